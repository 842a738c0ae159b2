//! Whether counts grow by more than noise and bursts explain, and how fast.
//!
//! This is the judge where nothing but the number is known: where the kernel does not show what the
//! descriptors are, or where there are too many to remember them. Else what came and what went
//! decides, see `growth.rs`.
//!
//! A leak is called when one of three observations is made of the counts after warm-up. Each is
//! rare enough by chance to be looked for at every tick, for hours:
//! - **A young watch on a line** (56 to 64 counts): the noise is new at every count, or no more
//!   than what rounding to whole numbers leaves of a perfect line; and a rising line explains the
//!   counts better than a level, by 7.5 nats (see `line_fit.rs`), at each of the last three counts.
//! - **A line** (more than 64): the same by 25 nats, after counts that follow each other closely
//!   were discounted.
//! - **A rising floor** (128 and more): the lowest counts of eight equal parts rise, each over the
//!   one before it; either evenly (a t of 10), or ten times as far in all as the deepest fall
//!   between.
//!
//! All three also ask for growth beyond churn. When descriptors are opened at random and held for
//! any times at all, the number open is Poisson distributed in the long run (the M/G/∞ queue), so
//! it wanders by about the square root of itself for no reason. Growth must be six of these, or
//! twenty times the deepest fall; in a young watch, which has seen the noise to be new each time,
//! three and a half.
//!
//! Two windows are looked at: all after warm-up, and the newest quarter to half of it, for a leak
//! that begins late. That must also have left behind every height that was seen before it: a
//! process has come back from these. The same is asked of the whole while it is shorter than twice
//! the warm-up.
//!
//! **Asking at every tick** makes chances of error add up: a test that is wrong once in a hundred
//! times is wrong nearly surely within an hour of ticks. Hence the high thresholds. They cost a
//! true leak little: over a time T its evidence grows like T³, so that twice the evidence is there
//! after a quarter more time.
//!
//! A young watch knows least and errs most. Of 20,000 simulated leaks of one a second among uniform
//! noise of ±50 it called 99.4 % within a minute (96.7 % of 10,000 that lay 100 higher, where churn
//! may be more). Of 4,000 simulated hours of a bursty server it called one a leak, for some seconds
//! of the first minute. Strong noise that is new each second on top of slow churn is the hardest
//! case: the one hides the other.
//!
//! **A leak that stops** bends the line, and the last parts of the floor are level: it ends being
//! called once it has been level for about a third as long as it grew. Until then it is, as what is
//! held is still held.
//!
//! **What cannot be told apart**: a leak, and anything that rises for the whole watch and would
//! come back later. A collected runtime before its first collection, a cache that fills, the
//! morning of a daily curve, and descriptors held for longer than the watch are all called leaks
//! when they rise like one. Give a warm-up that is longer than they take; heights seen during
//! warm-up count as heights the process comes back from.

use serde::Serialize;

use crate::line_fit::{LineFit, squared_correlation, theil_sen};
use crate::stretch::{Lows, Stretch, highest, lowest};

/// How a series moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Trend {
    /// Descriptors a second, robust (Theil–Sen); 0 until there are enough points.
    pub per_second: f64,
    /// Whether it is a leak: it grows by more than noise and bursts explain.
    pub is_leak: bool,
}

/// With fewer stretches nothing is said.
pub(crate) const STRETCHES_MIN: usize = 56;
/// The newest of them are looked at on their own: in a full series, a quarter to a half of the
/// time.
const NEWER_STRETCHES: usize = 60;
/// A watch is young up to so many counts.
const YOUNG_COUNTS_MAX: u64 = 64;
const YOUNG_NATS_MIN: f64 = 7.5;
/// Noise that is new at each count is above this less than once in a hundred times.
const YOUNG_CORRELATION_MAX: f64 = 0.33;
/// What whole numbers leave of a perfect line, which echoes.
const YOUNG_ROUNDING_MAX: f64 = 2.5;
/// A step may explain the counts better than the line by so much: they look much alike in so few.
const YOUNG_STEP_NATS_MAX: f64 = 7.0;
const YOUNG_CHURN_FACTOR: f64 = 3.5;
/// It must hold with so many of the newest counts left out, one by one.
const YOUNG_LOOKS: usize = 3;

const NATS_MIN: f64 = 25.0;
/// So much of the variance is on a line at the least where the evidence is that large.
const LINE_CORRELATION_MIN: f64 = 0.25;

const FLOOR_PARTS: usize = 8;
const FLOOR_COUNTS_MIN: u64 = 128;
const FLOOR_T_MIN: f64 = 10.0;
/// Where falls are small, no rise may be less than this share of the mean rise.
const FLOOR_RISE_SHARE_MIN: f64 = 0.1;
const FLOOR_FALL_FACTOR: f64 = 10.0;

/// Fewer descriptors than this are no leak yet.
const GROWTH_MIN: f64 = 8.0;
const CHURN_FACTOR: f64 = 6.0;
const FALL_FACTOR: f64 = 20.0;
/// While a window is shorter than so many times what was before it, it must leave the heights of
/// that behind.
const SHORT_FACTOR: u64 = 2;

/// What is looked at: some stretches before a window, and those of the window.
#[derive(Clone, Copy)]
pub(crate) struct History<'a> {
    /// Until the end of the warm-up.
    pub(crate) before: &'a [Stretch],
    pub(crate) after: &'a [Stretch],
    pub(crate) counts_per_stretch: u64,
    /// Of the stretches' times.
    pub(crate) unit_ms: u64,
}

impl<'a> History<'a> {
    pub(crate) fn trend(self) -> Trend {
        if self.after.len() < STRETCHES_MIN {
            return Trend::default();
        }
        let leak = self.leak();
        let slope = theil_sen(&Lows::of(leak.unwrap_or(self.after)));
        Trend { per_second: slope * 1000.0 / self.unit_ms as f64, is_leak: leak.is_some() }
    }

    /// The window that shows a leak, the longest first.
    pub(crate) fn leak(self) -> Option<&'a [Stretch]> {
        let whole = self.after;
        if whole.len() < STRETCHES_MIN {
            return None;
        }
        if (!self.is_short() || lowest_lately(whole) > highest(self.before))
            && self.grows(whole, true)
        {
            return Some(whole);
        }
        let (older, newer) = whole.split_at(whole.len().saturating_sub(NEWER_STRETCHES));
        let is_new_ground = || {
            let floor = lowest_lately(newer);
            floor > highest(older) && floor > highest(self.before)
        };
        let is_leak = older.len() >= NEWER_STRETCHES && is_new_ground() && self.grows(newer, false);
        is_leak.then_some(newer)
    }

    fn is_short(self) -> bool {
        let (Some(oldest), Some(first), Some(last)) =
            (self.before.first(), self.after.first(), self.after.last())
        else {
            return false;
        };
        u64::from(last.at - first.at) < SHORT_FACTOR * u64::from(first.at - oldest.at)
    }

    fn grows(self, window: &[Stretch], is_whole: bool) -> bool {
        let counts = window.len() as u64 * self.counts_per_stretch;
        if counts <= YOUNG_COUNTS_MAX {
            return is_whole && is_young_line(window);
        }
        let growth = floor_growth(window);
        let is_rising_floor =
            counts >= FLOOR_COUNTS_MIN && growth.is_some_and(|growth| growth.is_leak(window));
        is_rising_floor || is_line(window)
    }
}

fn lowest_lately(window: &[Stretch]) -> u32 {
    lowest(&window[window.len() - window.len() / 3..])
}

fn is_young_line(window: &[Stretch]) -> bool {
    let churn = f64::from(lowest(window)).sqrt();
    (0..YOUNG_LOOKS).all(|left_out| {
        LineFit::rising(&Lows::of(&window[..window.len() - left_out])).is_some_and(|fit| {
            fit.nats >= YOUNG_NATS_MIN
                && (fit.correlation < YOUNG_CORRELATION_MAX || fit.noise <= YOUNG_ROUNDING_MAX)
                && fit.step_nats - fit.nats <= YOUNG_STEP_NATS_MAX
                && fit.growth >= GROWTH_MIN.max(YOUNG_CHURN_FACTOR * churn)
        })
    })
}

fn is_line(window: &[Stretch]) -> bool {
    if !may_be_line(window) {
        return false;
    }
    let lows = Lows::of(window);
    // First what costs least: a line grows no further than the counts range.
    let range =
        f64::from(window.iter().map(|stretch| stretch.low).max().unwrap_or(0) - lowest(window));
    if !is_beyond_churn(window, &lows, range) || squared_correlation(&lows) < LINE_CORRELATION_MIN {
        return false;
    }
    LineFit::rising(&lows).is_some_and(|fit| {
        let growth = range.min(fit.slope * lows.duration());
        fit.nats / fit.echo >= NATS_MIN && is_beyond_churn(window, &lows, growth)
    })
}

/// Cheap, and true of all lines: the lowest or the highest lows of three parts rise.
fn may_be_line(window: &[Stretch]) -> bool {
    let third = window.len() / 3;
    let (first, rest) = window.split_at(third);
    let (second, last) = rest.split_at(rest.len() - third);
    let peak = |part: &[Stretch]| part.iter().map(|stretch| stretch.low).max().unwrap_or(0);
    let lows = [lowest(first), lowest(second), lowest(last)];
    let peaks = [peak(first), peak(second), peak(last)];
    let is_rising = |of: [u32; 3]| of[0] < of[1] && of[1] < of[2];
    (is_rising(lows) || is_rising(peaks)) && lows[0] < lows[2] && peaks[0] < peaks[2]
}

struct FloorGrowth {
    total: f64,
    least_rise: f64,
    /// Of the rises: their mean, by the standard error of it.
    t: f64,
}

fn floor_growth(window: &[Stretch]) -> Option<FloorGrowth> {
    let bound = |part: usize| part * window.len() / FLOOR_PARTS;
    let mut rises = [0.0; FLOOR_PARTS - 1];
    let mut floor = lowest(&window[..bound(1)]);
    for (index, rise) in rises.iter_mut().enumerate() {
        let next = lowest(&window[bound(index + 1)..bound(index + 2)]);
        if next <= floor {
            return None;
        }
        *rise = f64::from(next - floor);
        floor = next;
    }
    let n = rises.len() as f64;
    let total = rises.iter().sum::<f64>();
    let mean = total / n;
    let variance = rises.iter().map(|rise| (rise - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let least_rise = rises.iter().copied().fold(f64::INFINITY, f64::min);
    Some(FloorGrowth { total, least_rise, t: mean / (variance / n).sqrt() })
}

impl FloorGrowth {
    fn is_leak(&self, window: &[Stretch]) -> bool {
        let lows = Lows::of(window);
        let is_even = self.t >= FLOOR_T_MIN;
        let is_hardly_falling = self.least_rise
            >= FLOOR_RISE_SHARE_MIN * self.total / (FLOOR_PARTS - 1) as f64
            && self.total >= FLOOR_FALL_FACTOR * lows.deepest_fall();
        (is_even || is_hardly_falling)
            && is_beyond_churn(window, &lows, self.total)
            && theil_sen(&lows) > 0.0
    }
}

fn is_beyond_churn(window: &[Stretch], lows: &Lows, growth: f64) -> bool {
    let churn = f64::from(lowest(window)).sqrt();
    growth >= GROWTH_MIN
        && (growth >= CHURN_FACTOR * churn || growth >= FALL_FACTOR * lows.deepest_fall())
}
