//! What is to be said of a process, and of all: pure; no clock, no I/O.

use std::time::Duration;

use serde::Serialize;

use crate::Trend;

/// What is to be said of one process, or of all.
///
/// Exhaustive on purpose: a program that acts on verdicts must not overlook a new one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
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
        /// Open descriptors; over `--fail-over`, the most that were open at a time.
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
    /// `--fail-over`: more descriptors than this are too many, also if only for a moment.
    pub fail_over: Option<u64>,
    /// `--max-rate`: a leak of at most so many descriptors a second is put up with.
    pub max_rate: Option<f64>,
}

/// A limit is near from so many percent on.
const NEAR_PERCENT: u128 = 90;
/// Longer than this is as good as never, and fits every unit.
const LIMIT_IN_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// What is to be said of a process with `count` descriptors (`None`: the kernel does not tell),
/// `high_water` at the most so far, and a soft limit.
///
/// `is_warm` is [`Series::is_warm`](crate::Series::is_warm). For children, which have no limit:
/// `limit` is `None`.
pub fn verdict_of(
    count: Option<u64>,
    high_water: u64,
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
        && high_water > most
    {
        return Verdict::NearLimit { count: high_water, limit: most };
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
/// From the newest count, not from the floor below the noise: `open` fails when the count gets
/// there, and noise only makes that sooner. At most a hundred years.
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
    /// From bad to good: near the limit, leaking, not permitted (there may be anything), gone,
    /// steady, warming: a child that has just been born takes nothing from what is known of the
    /// others.
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
            Self::NearLimit { count, limit } => {
                (5, count as f64 / limit.max(1) as f64, count as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEADY: Trend = Trend { per_second: 0.25, is_leak: false };
    const LEAK: Trend = Trend { per_second: 0.5, is_leak: true };

    fn leaking(per_second: f64, limit_in_s: Option<u64>) -> Verdict {
        Verdict::Leaking { per_second, limit_in: limit_in_s.map(Duration::from_secs) }
    }

    #[track_caller]
    fn check(count: u64, limit: Option<u64>, trend: &Trend, terms: Terms, expected: Verdict) {
        assert_eq!(verdict_of(Some(count), count, limit, trend, true, &terms), expected);
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_not_permitted() {
        assert_eq!(
            verdict_of(None, 0, Some(10), &LEAK, true, &Terms::default()),
            Verdict::NotPermitted
        );
    }

    #[test]
    fn without_a_leak_it_is_steady_once_warm() {
        check(10, None, &STEADY, Terms::default(), Verdict::Steady);
        assert_eq!(
            verdict_of(Some(10), 10, None, &STEADY, false, &Terms::default()),
            Verdict::Warming
        );
    }

    #[test]
    fn a_limit_is_near_from_nine_tenths_on() {
        let near = |count| Verdict::NearLimit { count, limit: 1000 };
        check(899, Some(1000), &STEADY, Terms::default(), Verdict::Steady);
        check(900, Some(1000), &STEADY, Terms::default(), near(900));
        check(901, Some(1000), &LEAK, Terms::default(), near(901));
        check(0, Some(0), &STEADY, Terms::default(), Verdict::NearLimit { count: 0, limit: 0 });
        check(u64::MAX - 1, Some(u64::MAX), &STEADY, Terms::default(), {
            Verdict::NearLimit { count: u64::MAX - 1, limit: u64::MAX }
        });
    }

    #[test]
    fn more_than_fail_over_is_too_many() {
        let terms = Terms { fail_over: Some(20), ..Terms::default() };
        check(19, None, &STEADY, terms, Verdict::Steady);
        check(20, None, &STEADY, terms, Verdict::Steady);
        check(21, Some(1000), &LEAK, terms, Verdict::NearLimit { count: 21, limit: 20 });
        let after_a_peak = verdict_of(Some(3), 21, None, &STEADY, true, &terms);
        assert_eq!(after_a_peak, Verdict::NearLimit { count: 21, limit: 20 });
    }

    #[test]
    fn only_a_leak_faster_than_max_rate_is_one() {
        let max_rate = |rate| Terms { max_rate: Some(rate), ..Terms::default() };
        check(10, None, &LEAK, max_rate(0.49), leaking(0.5, None));
        check(10, None, &LEAK, max_rate(0.5), Verdict::Steady);
        check(10, None, &STEADY, max_rate(0.1), Verdict::Steady);
    }

    #[test]
    fn the_time_to_the_limit_runs_from_the_newest_count() {
        check(24, Some(1024), &LEAK, Terms::default(), leaking(0.5, Some(2000)));
        assert_eq!(limit_in(1024, 1024, 1.0), Some(Duration::ZERO));
        assert_eq!(limit_in(2000, 1024, 1.0), Some(Duration::ZERO));
        assert_eq!(limit_in(0, u64::MAX, f64::MIN_POSITIVE), Some(LIMIT_IN_MAX));
        for no_growth in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(limit_in(0, 1024, no_growth), None);
        }
        assert_eq!(limit_in(0, 1024, f64::INFINITY), Some(Duration::ZERO));
    }

    /// From good to bad.
    fn ladder() -> Vec<Verdict> {
        vec![
            Verdict::Warming,
            Verdict::Steady,
            Verdict::Gone,
            Verdict::NotPermitted,
            leaking(0.1, None),
            leaking(9.0, None),
            leaking(9.0, Some(500)),
            leaking(0.1, Some(400)),
            Verdict::NearLimit { count: 950, limit: 1000 },
            Verdict::NearLimit { count: 96, limit: 100 },
        ]
    }

    #[test]
    fn the_worst_is_found_in_any_order() {
        let ladder = ladder();
        for (index, worse) in ladder.iter().enumerate() {
            for better in &ladder[..=index] {
                assert_eq!(worse.worse(*better), *worse);
                assert_eq!(better.worse(*worse), *worse);
            }
            assert_eq!(Verdict::worst(ladder[..=index].iter().copied()), *worse);
            assert_eq!(Verdict::worst(ladder[..=index].iter().rev().copied()), *worse);
        }
        assert_eq!(Verdict::worst([]), Verdict::Warming);
    }

    #[test]
    fn exit_codes_are_as_documented() {
        let codes: Vec<u8> = ladder().iter().map(Verdict::exit_code).collect();
        assert_eq!(codes, [0, 0, 3, 4, 1, 1, 1, 1, 2, 2]);
    }
}
