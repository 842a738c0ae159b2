//! How much better a rising line explains counts than a level does.
//!
//! - **Slope**: Theil–Sen, the median of the slopes between all pairs of points (Theil 1950, Sen 1968). More than a
//!   quarter of the points may be wild before it moves.
//! - **Evidence**: the logarithm of a likelihood ratio, in nats: `n · ln(scale around a level / scale around a line)`.
//!   The scale is that of a normal or of a uniform noise, whichever fits better, on each side. Noise with sharp
//!   edges gives a slope away much sooner than its spread says: the error of the line with the smallest greatest
//!   residual (Chebyshev's) falls like n⁻² where that of least squares falls like n⁻¹·⁵.
//! - **Echo**: counts that follow each other closely are worth fewer than their number. The residuals'
//!   autocorrelations, summed in pairs as long as these are positive (Geyer 1992), say how many times fewer.

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

/// The slope, not below 0, around which the residuals span the least. That span is convex in the slope.
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
