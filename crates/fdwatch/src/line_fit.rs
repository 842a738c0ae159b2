//! How much better a rising line explains counts than a level does.
//!
//! - **Slope**: Theil–Sen, the median of the slopes between all pairs of points (Theil 1950, Sen
//!   1968). More than a quarter of the points may be wild before it moves.
//! - **Evidence**: the logarithm of a likelihood ratio, in nats: `n · ln(scale around a level /
//!   scale around a line)`. The scale is that of a normal or of a uniform noise, whichever fits
//!   better, on each side. Noise with sharp edges gives a slope away much sooner than its spread
//!   says: the error of the line with the smallest greatest residual (Chebyshev's) falls like n⁻²
//!   where that of least squares falls like n⁻¹·⁵.
//! - **Echo**: counts that follow each other closely are worth fewer than their number. The
//!   residuals' autocorrelations, summed in pairs as long as these are positive (Geyer 1992), say
//!   how many times fewer.

use std::f64::consts::{E, PI};

use crate::stretch::{LOWS_MAX, Lows};

/// What a line says of counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineFit {
    /// Theil–Sen; counts per unit of time.
    pub(crate) slope: f64,
    /// The growth over the whole time, by the line with the smallest greatest residual.
    pub(crate) growth: f64,
    /// For the line, against a level, if all counts were worth their number.
    pub(crate) nats: f64,
    /// For one step between two levels, against one level.
    pub(crate) step_nats: f64,
    /// The scale of what is left: of whole numbers on a line, less than 2.
    pub(crate) noise: f64,
    /// How closely a residual follows the one before it: 0 for noise that is new each time.
    pub(crate) correlation: f64,
    /// How many times fewer the counts are worth.
    pub(crate) echo: f64,
}

/// A step has at least so many counts on each side.
const STEP_SIDE_MIN: usize = 4;
/// Each takes a third of what is left: to 10⁻⁴ of the first interval.
const SLOPE_SEARCH_STEPS: usize = 24;

impl LineFit {
    /// Of a rising line; `None` if the counts do not rise, or are too few to say.
    pub(crate) fn rising(lows: &Lows) -> Option<Self> {
        let slope = theil_sen(lows);
        if slope <= 0.0 || lows.counts().len() <= 2 * STEP_SIDE_MIN {
            return None;
        }
        let n = lows.counts().len() as f64;
        let rest = lows.without(slope);
        let edge_slope = edge_slope(lows);
        let level_scale = normal_scale(lows.counts()).min(uniform_scale(lows.counts()));
        let edge_scale = uniform_scale(lows.without(edge_slope).counts());
        let line_scale = normal_scale(rest.counts()).min(edge_scale);
        let correlations = Correlations::of(rest.counts());
        Some(Self {
            slope,
            growth: edge_slope * lows.duration(),
            nats: n * (level_scale / line_scale).ln(),
            step_nats: n * (level_scale / step_scale(lows.counts())).ln(),
            noise: line_scale,
            correlation: correlations.at(1),
            echo: correlations.echo(),
        })
    }
}

/// The median of all slopes between two points; 0 if there is none.
pub(crate) fn theil_sen(lows: &Lows) -> f64 {
    let mut slopes = [0.0; LOWS_MAX * (LOWS_MAX - 1) / 2];
    let mut len = 0;
    let (at, counts) = (lows.at(), lows.counts());
    for later in 1..counts.len() {
        for earlier in 0..later {
            let time = at[later] - at[earlier];
            if time > 0.0 {
                slopes[len] = (counts[later] - counts[earlier]) / time;
                len += 1;
            }
        }
    }
    if len == 0 {
        return 0.0;
    }
    *slopes[..len].select_nth_unstable_by(len / 2, f64::total_cmp).1
}

/// Which share of the counts' variance lies on a line; 0 on a level.
pub(crate) fn squared_correlation(lows: &Lows) -> f64 {
    let n = lows.counts().len() as f64;
    let mean = |of: &[f64]| of.iter().sum::<f64>() / n;
    let (mean_at, mean_count) = (mean(lows.at()), mean(lows.counts()));
    let pairs = lows.at().iter().zip(lows.counts());
    let product: f64 = pairs.map(|(at, count)| (at - mean_at) * (count - mean_count)).sum();
    let scale = squares(lows.at()) * squares(lows.counts());
    if scale > 0.0 { product * product / scale } else { 0.0 }
}

/// The slope, not below 0, around which the residuals span the least. That span is convex in the
/// slope.
fn edge_slope(lows: &Lows) -> f64 {
    let span = |slope: f64| uniform_scale(lows.without(slope).counts());
    let (mut least, mut most) = (0.0, 3.0 * uniform_scale(lows.counts()) / lows.duration());
    for _ in 0..SLOPE_SEARCH_STEPS {
        let third = (most - least) / 3.0;
        if span(least + third) < span(most - third) {
            most -= third;
        } else {
            least += third;
        }
    }
    f64::midpoint(least, most)
}

/// The scale of uniform noise: a count is whole, so even equal ones span 1.
fn uniform_scale(counts: &[f64]) -> f64 {
    let low = counts.iter().copied().fold(f64::INFINITY, f64::min);
    let high = counts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    high - low + 1.0
}

/// The scale of normal noise that compares with the uniform one: e to its entropy.
fn normal_scale(counts: &[f64]) -> f64 {
    entropy_scale(squares(counts) / counts.len() as f64)
}

/// Of noise around the best step between two levels.
fn step_scale(counts: &[f64]) -> f64 {
    let of_sides = |(before, after): (&[f64], &[f64])| {
        let variance = (squares(before) + squares(after)) / counts.len() as f64;
        entropy_scale(variance).min(uniform_scale(before).max(uniform_scale(after)))
    };
    let steps = STEP_SIDE_MIN..=counts.len() - STEP_SIDE_MIN;
    steps.map(|at| of_sides(counts.split_at(at))).fold(f64::INFINITY, f64::min)
}

fn entropy_scale(variance: f64) -> f64 {
    // Rounding to whole counts adds a twelfth.
    (2.0 * PI * E * (variance + 1.0 / 12.0)).sqrt()
}

/// The sum of the squared distances from the mean.
fn squares(counts: &[f64]) -> f64 {
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    counts.iter().map(|count| (count - mean).powi(2)).sum()
}

/// Autocorrelations of residuals.
struct Correlations<'a> {
    rest: &'a [f64],
    mean: f64,
    squares: f64,
}

impl<'a> Correlations<'a> {
    fn of(rest: &'a [f64]) -> Self {
        Self { rest, mean: rest.iter().sum::<f64>() / rest.len() as f64, squares: squares(rest) }
    }

    fn at(&self, lag: usize) -> f64 {
        if self.squares <= f64::EPSILON {
            return 0.0;
        }
        let pairs = self.rest.iter().zip(&self.rest[lag..]);
        pairs.map(|(a, b)| (a - self.mean) * (b - self.mean)).sum::<f64>() / self.squares
    }

    fn echo(&self) -> f64 {
        let lags = (1..self.rest.len() / 2 - 1).step_by(2);
        let pairs = lags.map(|lag| self.at(lag) + self.at(lag + 1));
        1.0 + 2.0 * pairs.take_while(|pair| *pair > 0.0).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stretch::Stretch;

    fn lows(counts: &[u32]) -> Lows {
        let stretch =
            |(at, &count): (usize, &u32)| Stretch { at: at as u32, low: count, high: count };
        Lows::of(&counts.iter().enumerate().map(stretch).collect::<Vec<_>>())
    }

    /// Ten wide, and new each time.
    fn noise(at: u32) -> u32 {
        (at.wrapping_mul(0x9e37_79b9) >> 16) % 10
    }

    #[test]
    fn theil_sen_is_the_median_of_the_slopes_of_all_pairs() {
        assert_eq!(theil_sen(&lows(&[])), 0.0);
        assert_eq!(theil_sen(&lows(&[5])), 0.0);
        assert_eq!(theil_sen(&lows(&[5, 5, 5])), 0.0);
        // Pairs: 3, 1, 4/3, −1, 1/2, 2.
        assert_eq!(theil_sen(&lows(&[10, 13, 12, 14])), 4.0 / 3.0);
        assert_eq!(theil_sen(&lows(&[9, 7, 5, 3])), -2.0);
    }

    #[test]
    fn a_quarter_of_wild_counts_does_not_move_the_slope() {
        let with_wild_from = |from: u32| {
            let count = |at: u32| if at >= from { 100_000 } else { 100 + 2 * at };
            theil_sen(&lows(&(0..60).map(count).collect::<Vec<_>>()))
        };
        assert_eq!(with_wild_from(45), 2.0);
        assert_ne!(with_wild_from(30), 2.0);
    }

    #[test]
    fn a_level_or_a_fall_is_no_rise() {
        assert!(LineFit::rising(&lows(&[12; 60])).is_none());
        assert!(LineFit::rising(&lows(&(0..60).rev().collect::<Vec<_>>())).is_none());
        assert!(LineFit::rising(&lows(&(0..8).collect::<Vec<_>>())).is_none());
        assert!(LineFit::rising(&lows(&(0..9).collect::<Vec<_>>())).is_some());
    }

    #[test]
    fn the_evidence_for_a_line_is_the_shrinking_of_the_noise() {
        let counts: Vec<u32> = (0..64).map(|at| 100 + 2 * at).collect();
        let fit = LineFit::rising(&lows(&counts)).expect("it rises");
        assert_eq!(fit.slope, 2.0);
        assert!((fit.growth - 126.0).abs() < 0.1, "{fit:?}");
        // Around a level they span 127, around the line 1.
        assert!((fit.nats - 64.0 * 127.0_f64.ln()).abs() < 0.5, "{fit:?}");
        assert!(fit.step_nats < fit.nats / 4.0, "{fit:?}");
    }

    #[test]
    fn the_evidence_for_a_step_is_greater_where_there_is_one() {
        let counts: Vec<u32> =
            (0..64).map(|at| 100 + noise(at) + if at < 32 { 0 } else { 30 }).collect();
        let fit = LineFit::rising(&lows(&counts)).expect("it rises");
        assert!(fit.step_nats > fit.nats + 10.0, "{fit:?}");
    }

    #[test]
    fn counts_that_follow_each_other_echo() {
        let fresh: Vec<u32> = (0..64).map(|at| at + noise(at)).collect();
        let fit = LineFit::rising(&lows(&fresh)).expect("it rises");
        assert!(fit.correlation < 0.3 && fit.echo < 2.0, "{fit:?}");
        let wave = |at: u32| 20.0 + f64::from(at) + 10.0 * (f64::from(at) / 5.0).sin();
        let smooth: Vec<u32> = (0..64).map(|at| wave(at) as u32).collect();
        let fit = LineFit::rising(&lows(&smooth)).expect("it rises");
        assert!(fit.correlation > 0.9 && fit.echo > 5.0, "{fit:?}");
    }

    #[test]
    fn the_share_on_a_line_is_between_none_and_all() {
        assert_eq!(squared_correlation(&lows(&[])), 0.0);
        assert_eq!(squared_correlation(&lows(&[3, 3, 3])), 0.0);
        assert_eq!(squared_correlation(&lows(&[3, 5, 3])), 0.0);
        assert!((squared_correlation(&lows(&[3, 5, 7])) - 1.0).abs() < 1e-12);
        assert!((squared_correlation(&lows(&[1, 3, 2])) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn correlations_are_those_of_the_books() {
        let correlations = Correlations::of(&[1.0, -1.0, 1.0, -1.0]);
        assert_eq!([1, 2, 3].map(|lag| correlations.at(lag)), [-0.75, 0.5, -0.25]);
        assert_eq!(Correlations::of(&[2.0; 9]).at(1), 0.0);
        assert_eq!(Correlations::of(&[2.0; 9]).echo(), 1.0);
    }
}
