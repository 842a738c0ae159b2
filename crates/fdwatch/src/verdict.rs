//! What is to be said of a process, and of all: pure; no clock, no I/O.

use std::time::Duration;

use serde::Serialize;

use crate::Trend;

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

/// What the user will not have, beyond leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// `--fail-over`: more descriptors than this are too many.
    pub fail_over: Option<u64>,
    /// `--max-rate`: a leak of at most so many descriptors a second is put up with.
    pub max_rate: Option<f64>,
}

/// A limit is near from so many percent on.
const NEAR_PERCENT: u128 = 90;
/// Longer than this is as good as never, and fits every unit.
const LIMIT_IN_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// What is to be said of a process with `count` descriptors (`None`: the kernel does not tell) and a soft limit.
///
/// `is_warm` is [`Series::is_warm`](crate::Series::is_warm). For children, which have no limit: `limit` is `None`.
pub fn verdict_of(
    count: Option<u64>,
    limit: Option<u64>,
    trend: &Trend,
    is_warm: bool,
    terms: &Terms,
) -> Verdict {
    let Some(count) = count else { return Verdict::NotPermitted };
    if let Some(limit) = limit
        && u128::from(count) * 100 >= u128::from(limit) * NEAR_PERCENT
    {
        return Verdict::NearLimit { count, limit };
    }
    if let Some(most) = terms.fail_over
        && count > most
    {
        return Verdict::NearLimit { count, limit: most };
    }
    let is_too_fast = terms.max_rate.is_none_or(|rate| trend.per_second > rate);
    if trend.is_leak && is_too_fast {
        let limit_in = limit.and_then(|limit| limit_in(count, limit, trend.per_second));
        return Verdict::Leaking { per_second: trend.per_second, limit_in };
    }
    if is_warm { Verdict::Steady } else { Verdict::Warming }
}

/// How long until `limit` at this rate, from the newest count on; `None` if it does not grow.
///
/// From the newest count, not from the floor below the noise: `open` fails when the count gets there, and noise only
/// makes that sooner. At most a hundred years.
pub fn limit_in(count: u64, limit: u64, per_second: f64) -> Option<Duration> {
    if per_second.is_nan() || per_second <= 0.0 {
        return None;
    }
    let seconds = limit.saturating_sub(count) as f64 / per_second;
    Some(Duration::try_from_secs_f64(seconds).map_or(LIMIT_IN_MAX, |time| time.min(LIMIT_IN_MAX)))
}

impl Verdict {
    /// The exit code of the command. A watch too short to say anything found no leak: 0.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Warming | Self::Steady => 0,
            Self::Leaking { .. } => 1,
            Self::NearLimit { .. } => 2,
            Self::Gone => 3,
            Self::NotPermitted => 4,
        }
    }

    /// The worse of two; of two leaks the one that hits its limit first, then the faster.
    ///
    /// From bad to good: near the limit, leaking, not permitted (there may be anything), gone, steady, warming: a
    /// child that has just been born takes nothing from what is known of the others.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.badness() > self.badness() { other } else { self }
    }

    /// The worst of many; [`Verdict::Warming`] of none.
    pub fn worst(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().fold(Self::Warming, Self::worse)
    }

    /// Compared part by part.
    fn badness(&self) -> (u8, f64, f64) {
        match *self {
            Self::Warming => (0, 0.0, 0.0),
            Self::Steady => (1, 0.0, 0.0),
            Self::Gone => (2, 0.0, 0.0),
            Self::NotPermitted => (3, 0.0, 0.0),
            Self::Leaking { per_second, limit_in } => {
                (4, -limit_in.map_or(f64::INFINITY, |time| time.as_secs_f64()), per_second)
            }
            Self::NearLimit { count, limit } => (5, count as f64 / limit.max(1) as f64, count as f64),
        }
    }
}
