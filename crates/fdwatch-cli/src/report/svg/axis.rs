//! Where the lines of a grid stand, and how a value becomes a place.

/// From values to pixels, along one axis.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Scale {
    pub(super) fn place(self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }
}

/// The values of about five lines from 0 past `highest`: the last is the top of the graph.
pub(super) fn counts(highest: u64) -> Vec<u64> {
    let step = step_of_ten(highest.max(4).div_ceil(5));
    (0..=highest.max(4).div_ceil(step)).map(|line| line.saturating_mul(step)).collect()
}

/// The smallest of 1, 2, 5, 10, 20, 50, … that is not below.
fn step_of_ten(least: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step >= least {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// Milliseconds of at most eight marks from 0 to `span_ms`, at a distance that people count in.
pub(super) fn times(span_ms: u64) -> Vec<u64> {
    const STEPS_S: [u64; 16] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200];
    const DAY_MS: u64 = 86_400_000;
    let least = span_ms.div_ceil(7).max(1);
    let fitting = STEPS_S.into_iter().map(|seconds| seconds * 1_000).find(|&step| step >= least);
    let step =
        fitting.unwrap_or_else(|| step_of_ten(least.div_ceil(DAY_MS)).saturating_mul(DAY_MS));
    (0..=span_ms / step).map(|mark| mark * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_round_numbers_and_few_lines() {
        assert_eq!(counts(0), [0, 1, 2, 3, 4]);
        assert_eq!(counts(4), [0, 1, 2, 3, 4]);
        assert_eq!(counts(41), [0, 10, 20, 30, 40, 50]);
        assert_eq!(counts(1_024), [0, 500, 1_000, 1_500]);
        for highest in [1, 5, 6, 99, 100, 101, 12_345, u64::from(u32::MAX), u64::MAX] {
            let lines = counts(highest);
            assert!(
                *lines.last().unwrap() >= highest && (3..=6).contains(&lines.len()),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn time_is_marked_as_people_count_it() {
        assert_eq!(times(0), [0]);
        assert_eq!(times(7_000), (0..=7).map(|second| second * 1_000).collect::<Vec<_>>());
        assert_eq!(times(240_000), [0, 60_000, 120_000, 180_000, 240_000]);
        for span_ms in [1, 59_999, 3_600_000, 86_400_000, 864_000_000, u64::MAX] {
            assert!((1..=8).contains(&times(span_ms).len()), "{span_ms}");
        }
    }
}
