//! What to watch, and within which bounds.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Target, Terms};

/// What to watch. [`WatchConfig::new`] has the usual bounds.
#[derive(Clone, Debug)]
pub struct WatchConfig {
    /// Which processes.
    pub targets: Vec<Target>,
    /// And everything below them.
    pub tree: bool,
    /// `/proc`, or where it is mounted.
    pub root: PathBuf,
    /// Between two ticks; for the report only, as the caller makes the ticks.
    pub interval: Duration,
    /// What is seen before is not taken for growth.
    pub warm_up: Duration,
    /// What the user will not have.
    pub terms: Terms,
    /// When the watch begins, in milliseconds since 1970; for the report only.
    pub started_unix_ms: u64,
    /// Processes that are watched at once; of the others only their number is known.
    pub processes_max: usize,
    /// Descriptors whose targets are looked at in one tick, of all processes together. Reading the
    /// tables of sockets is paid for from the same.
    pub scan_fds_max: usize,
    /// The same for the first tick, so that what is open is known at once.
    pub first_scan_fds_max: usize,
    /// Processes that are held open from tick to tick. Fewer are where RLIMIT_NOFILE is low: none
    /// at 12.
    pub handles_max: usize,
}

impl WatchConfig {
    /// For these targets, with the usual bounds.
    pub fn new(targets: Vec<Target>) -> Self {
        Self {
            targets,
            tree: false,
            root: PathBuf::from("/proc"),
            interval: Duration::from_secs(1),
            warm_up: Duration::from_secs(5),
            terms: Terms::default(),
            started_unix_ms: 0,
            processes_max: 1000,
            // About a hundredth of a second.
            scan_fds_max: 4096,
            first_scan_fds_max: 32 << 10,
            handles_max: 16,
        }
    }
}
