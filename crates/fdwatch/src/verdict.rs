//! Leaking or not, and how long until the limit: over a bounded series of counts. Pure; no clock, no I/O.

use std::time::Duration;

use serde::Serialize;

/// How a series moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Trend {
    /// Descriptors a second, robust (Theil–Sen); 0 until there are enough points.
    pub per_second: f64,
    /// Whether it is a leak: it grows by more than noise and bursts explain.
    pub is_leak: bool,
}

/// What is to be said of one process, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// Too little has been seen to say anything.
    Warming,
    /// No leak in what was seen.
    Steady,
    /// It grows and does not come back.
    Leaking {
        /// Descriptors (for all: or children) a second.
        per_second: f64,
        /// Until the soft RLIMIT_NOFILE at this rate; `None` where the limit is unknown.
        limit_in: Option<Duration>,
    },
    /// At or above 90 % of the soft RLIMIT_NOFILE, or over `--fail-over`.
    NearLimit {
        /// Open descriptors.
        count: u64,
        /// The limit it is near.
        limit: u64,
    },
    /// The process ended.
    Gone,
    /// The kernel does not show us its descriptors.
    NotPermitted,
}
