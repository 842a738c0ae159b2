//! A bounded series of counts: what a watch remembers of one process, one kind or one group.
//!
//! At most [`SERIES_POINTS_MAX`] stretches of time, each with the lowest and the highest count in
//! it. When all are taken, neighbours are merged two by two, so a stretch holds twice as many
//! counts from then on; lows and highs are never lost, only their time gets coarser. A series of
//! one unchanging count, which is what most processes are, keeps no stretches at all.
//!
//! Pure: the time comes in with each count. Not here: what is made of the counts, see
//! [`crate::Trend`].

use std::time::Duration;

use crate::stretch::{self, Stretch};
use crate::trend::{self, History};
use crate::{Point, SERIES_POINTS_MAX, Trend};

/// Counts over time, in at most about 3 KiB.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Oldest first. Empty as long as all counts are equal; then `span` says all there is.
    stretches: Vec<Stretch>,
    /// How many counts a full stretch holds: a power of two. 0 as long as there are no stretches.
    counts_per_stretch: u64,
    /// How many the newest stretch holds.
    counts_in_newest: u64,
    /// When the newest stretch began, in milliseconds.
    newest_began_ms: u64,
    /// Stretches keep their time in so many milliseconds since the first count, so that 32 bits
    /// are enough.
    unit_ms: u64,
    /// All counts so far; `None` before the first.
    span: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    first_ms: u64,
    last_ms: u64,
    counts: u64,
    newest: u32,
    high_water: u32,
}

impl Series {
    /// Adds a count, taken `at` after the watch began. A time before the last one is taken for the
    /// last one.
    pub fn push(&mut self, at: Duration, count: u32) {
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let Some(span) = self.span else {
            self.span = Some(Span {
                first_ms: at_ms,
                last_ms: at_ms,
                counts: 1,
                newest: count,
                high_water: count,
            });
            return;
        };
        let at_ms = at_ms.max(span.last_ms);
        if self.stretches.is_empty() && count != span.newest {
            self.unfold(span);
        }
        if !self.stretches.is_empty() {
            self.append(at_ms - span.first_ms, count);
        }
        self.span = Some(Span {
            last_ms: at_ms,
            counts: span.counts.saturating_add(1),
            newest: count,
            high_water: span.high_water.max(count),
            ..span
        });
    }

    /// The stretches, oldest first; at most [`SERIES_POINTS_MAX`].
    pub fn points(&self) -> Vec<Point> {
        let Some(span) = self.span else { return Vec::new() };
        let point =
            |at_ms: u64, low, high| Point { at_ms: span.first_ms.saturating_add(at_ms), low, high };
        if self.stretches.is_empty() {
            // Two ends of a flat line.
            let mut points = vec![point(0, span.newest, span.newest)];
            points.extend(
                (span.counts > 1).then(|| point(span.length_ms(), span.newest, span.newest)),
            );
            return points;
        }
        let unit_ms = self.unit_ms;
        self.stretches
            .iter()
            .map(|stretch| point(u64::from(stretch.at) * unit_ms, stretch.low, stretch.high))
            .collect()
    }

    /// The newest count.
    pub fn newest(&self) -> Option<u32> {
        self.span.map(|span| span.newest)
    }

    /// The lowest count that was seen `warm_up` or more after the watch began; `None` if there was
    /// none.
    pub fn lowest_after(&self, warm_up: Duration) -> Option<u32> {
        let span = self.span?;
        if self.stretches.is_empty() {
            return (u128::from(span.last_ms) >= warm_up.as_millis()).then_some(span.newest);
        }
        let after = self.after(warm_up);
        (!after.is_empty()).then(|| stretch::lowest(after))
    }

    /// The highest count ever; 0 before the first.
    pub fn high_water(&self) -> u32 {
        self.span.map_or(0, |span| span.high_water)
    }

    /// Whether enough was seen after `warm_up` for [`trend`](Self::trend) to say something.
    pub fn is_warm(&self, warm_up: Duration) -> bool {
        let Some(span) = self.span else { return false };
        if self.stretches.is_empty() {
            let warm_up_ms = u64::try_from(warm_up.as_millis()).unwrap_or(u64::MAX);
            let counts_after = match span.last_ms.checked_sub(warm_up_ms.max(span.first_ms)) {
                None => 0,
                Some(_) if span.length_ms() == 0 => span.counts,
                Some(after_ms) => {
                    let share = after_ms as f64 / span.length_ms() as f64;
                    1 + (share * (span.counts - 1) as f64) as u64
                }
            };
            return counts_after >= trend::STRETCHES_MIN as u64;
        }
        self.after(warm_up).len() >= trend::STRETCHES_MIN
    }

    /// How the counts move after `warm_up`. Bounded work and no allocation.
    pub fn trend(&self, warm_up: Duration) -> Trend {
        self.history(warm_up).trend()
    }

    /// [`Trend::is_leak`] alone, for most series at a tenth of the cost of the whole.
    pub fn is_leaking(&self, warm_up: Duration) -> bool {
        self.history(warm_up).leak().is_some()
    }

    fn history(&self, warm_up: Duration) -> History<'_> {
        let after = self.after(warm_up);
        History {
            before: &self.stretches[..self.stretches.len() - after.len()],
            after,
            counts_per_stretch: self.counts_per_stretch,
            unit_ms: self.unit_ms,
        }
    }

    fn after(&self, warm_up: Duration) -> &[Stretch] {
        let Some(span) = self.span else { return &[] };
        let is_before = |stretch: &Stretch| {
            u128::from(span.first_ms) + u128::from(stretch.at) * u128::from(self.unit_ms)
                < warm_up.as_millis()
        };
        &self.stretches[self.stretches.partition_point(is_before)..]
    }

    /// Makes stretches of the equal counts so far: as if they had come at even distances.
    fn unfold(&mut self, span: Span) {
        self.unit_ms = 1;
        self.counts_per_stretch = 1;
        while span.counts.div_ceil(self.counts_per_stretch) > SERIES_POINTS_MAX as u64 {
            self.counts_per_stretch *= 2;
        }
        while span.length_ms() / self.unit_ms > u64::from(u32::MAX) {
            self.unit_ms *= 2;
        }
        let stretches = span.counts.div_ceil(self.counts_per_stretch);
        self.counts_in_newest = span.counts - (stretches - 1) * self.counts_per_stretch;
        let time_of = |index: u64| {
            let steps = u128::from((span.counts - 1).max(1));
            (u128::from(span.length_ms()) * u128::from(index) / steps) as u64
        };
        self.stretches.reserve_exact(capacity_for(stretches as usize));
        for index in 0..stretches {
            let first = index * self.counts_per_stretch;
            let last = (first + self.counts_per_stretch).min(span.counts) - 1;
            let (began_ms, ended_ms) = (time_of(first), time_of(last));
            self.newest_began_ms = began_ms;
            let at = ((began_ms + (ended_ms - began_ms) / 2) / self.unit_ms) as u32;
            self.stretches.push(Stretch { at, low: span.newest, high: span.newest });
        }
    }

    fn append(&mut self, at_ms: u64, count: u32) {
        while at_ms / self.unit_ms > u64::from(u32::MAX) {
            self.unit_ms *= 2;
            self.stretches.iter_mut().for_each(|stretch| stretch.at /= 2);
        }
        if self.counts_in_newest < self.counts_per_stretch {
            self.counts_in_newest += 1;
        } else {
            if self.stretches.len() == SERIES_POINTS_MAX {
                self.merge_neighbours();
            }
            self.newest_began_ms = at_ms;
            self.counts_in_newest = 1;
            if self.stretches.len() == self.stretches.capacity() {
                let more = capacity_for(self.stretches.len() + 1) - self.stretches.len();
                self.stretches.reserve_exact(more);
            }
            self.stretches.push(Stretch { at: 0, low: count, high: count });
        }
        let middle_ms = self.newest_began_ms + (at_ms - self.newest_began_ms) / 2;
        let at = (middle_ms / self.unit_ms) as u32;
        let newest = self.stretches.last_mut().expect("it was there or has just been pushed");
        *newest = Stretch { at, low: newest.low.min(count), high: newest.high.max(count) };
    }

    fn merge_neighbours(&mut self) {
        for index in 0..self.stretches.len() / 2 {
            let (a, b) = (self.stretches[2 * index], self.stretches[2 * index + 1]);
            self.stretches[index] = a.merged(b);
        }
        self.stretches.truncate(self.stretches.len() / 2);
        self.counts_per_stretch *= 2;
    }
}

impl Span {
    fn length_ms(&self) -> u64 {
        self.last_ms - self.first_ms
    }
}

/// Doubles, like a `Vec` does, but never beyond what will be used.
fn capacity_for(stretches: usize) -> usize {
    stretches.next_power_of_two().clamp(8, SERIES_POINTS_MAX)
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
