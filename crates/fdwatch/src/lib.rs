//! Watches the file descriptors of processes: series of counts, whether they are a leak, and pictures of what was found.
//!
//! What is here so far judges and shows; reading `/proc` and the command are to come.

mod descriptor;
mod line_fit;
mod process_key;
pub mod report;
mod series;
mod stretch;
mod trend;
mod verdict;

pub use descriptor::{Descriptor, Kind, Socket};
pub use process_key::ProcessKey;
pub use report::{Children, GroupReport, KindReport, Point, ProcessReport, Report, StackCount};
pub use series::Series;
pub use trend::Trend;
pub use verdict::{Terms, Verdict, limit_in, verdict_of};

/// A series holds at most so many points: when it is full, neighbours are merged.
pub const SERIES_POINTS_MAX: usize = 240;
