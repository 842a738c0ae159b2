//! Watches the file descriptors of processes: how many, what they are, how fast they grow, when the
//! limit is hit.
//!
//! - [`count`], [`snapshot`], [`own`], [`own_kinds`]: one look at a process.
//! - [`Watcher`]: many processes over time; its [`Report`] is what the command draws.
//!
//! ```
//! use std::time::Duration;
//! use fdwatch::{Target, WatchConfig, Watcher};
//!
//! let target = Target::Pid(std::process::id());
//! let mut watcher = Watcher::new(WatchConfig::new(vec![target]))?;
//! for second in 0..3 {
//!     watcher.tick(Duration::from_secs(second))?;
//! }
//! let report = watcher.report();
//! assert!(report.processes[0].count >= Some(1));
//! # Ok::<(), fdwatch::Error>(())
//! ```
//!
//! The command `fdwatch` (package `fdwatch-cli`) draws reports, shows them live, and starts
//! commands whose leaks it names by call stack.
//!
//! # Invariants
//! - Never starts a thread. The watcher reads no clock and does not sleep.
//! - Only reads, and only below `/proc`. It never traces, stops or signals a process.
//! - What the kernel does not tell is `None` or an error, never 0.

mod descriptor;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
mod growth;
mod ledger;
mod line_fit;
mod lineages;
mod pattern;
mod proc;
mod process_key;
mod report;
mod rings;
mod series;
mod snapshot;
mod stretch;
mod trend;
mod verdict;
mod watcher;

pub use descriptor::{Descriptor, Kind, Socket};
pub use error::Error;
pub use growth::Evidence;
#[doc(hidden)]
pub use ledger::Ledger;
pub use pattern::{coarse_pattern, pattern};
#[doc(hidden)]
pub use proc::parse;
pub use proc::{Bound, Ceiling, LOOK_DESCRIPTORS, Target};
pub use process_key::ProcessKey;
pub use report::{
    Children, GroupReport, KindReport, LineageReport, Point, ProcessReport, Report, StackCount,
};
pub use series::Series;
pub use snapshot::{Count, Snapshot, count, own, own_kinds, snapshot};
pub use trend::Trend;
pub use verdict::{Terms, Verdict, limit_in, verdict_of};
pub use watcher::{Tick, WatchConfig, Watcher};

/// A series holds at most so many points: when it is full, neighbours are merged.
pub const SERIES_POINTS_MAX: usize = 240;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
