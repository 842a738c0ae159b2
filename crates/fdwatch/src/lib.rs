//! Watches the file descriptors of processes.

mod descriptor;
mod process_key;
mod report;
#[cfg(feature = "run")]
pub mod run;
mod verdict;

pub use descriptor::{Descriptor, Kind, Socket};
pub use process_key::ProcessKey;
pub use report::{Children, GroupReport, KindReport, Point, ProcessReport, Report, StackCount};
pub use verdict::{Trend, Verdict};

/// A series holds at most so many points: when it is full, neighbours are merged.
pub const SERIES_POINTS_MAX: usize = 240;
