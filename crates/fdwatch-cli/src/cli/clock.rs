//! When the ticks are.

use std::time::{Duration, Instant};

/// The ticks of a watch: at fixed times, of which those that were missed are left out.
#[derive(Debug)]
pub(super) struct Clock {
    begun: Instant,
    pace: Pace,
    end: Option<Instant>,
    next: Instant,
}

/// How far apart the ticks are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As the user wants it.
    Fixed(Duration),
    /// Close at first, as a short run has no others; later, once a second.
    Slowing {
        /// The first.
        first: Duration,
    },
}

impl Pace {
    /// What is given, or else slowing from `first_ms` on.
    pub(super) fn new(given: Option<Duration>, first_ms: u64) -> Self {
        given.map_or(Self::Slowing { first: Duration::from_millis(first_ms) }, Self::Fixed)
    }

    fn at(self, elapsed: Duration) -> Duration {
        match (self, elapsed.as_secs()) {
            (Self::Fixed(interval), _) => interval,
            (Self::Slowing { first }, 0..10) => first,
            (Self::Slowing { .. }, 10..60) => Duration::from_millis(500),
            (Self::Slowing { .. }, _) => Duration::from_secs(1),
        }
    }
}

impl Clock {
    pub(super) fn start(pace: Pace, duration: Option<Duration>) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            pace,
            end: duration.and_then(|duration| begun.checked_add(duration)),
            next: begun,
        }
    }

    /// Between the tick that is now and the next.
    pub(super) fn interval(&self) -> Duration {
        self.pace.at(self.elapsed())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether the last tick has been.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end <= Instant::now())
    }

    /// The next tick, that at the very end at the latest.
    pub(super) fn next(&mut self) -> Instant {
        let now = Instant::now();
        let interval = self.interval();
        self.next += interval;
        if self.next <= now {
            // A suspended machine, or a tick that took long: not one after another now.
            self.next = now + interval;
        }
        self.end.map_or(self.next, |end| self.next.min(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_slows_down_unless_it_is_told_how_fast_to_be() {
        let at = |pace: Pace| {
            [0, 9, 10, 59, 60, 9_999].map(|second| pace.at(Duration::from_secs(second)).as_millis())
        };
        assert_eq!(at(Pace::new(None, 100)), [100, 100, 500, 500, 1_000, 1_000]);
        assert_eq!(at(Pace::new(Some(Duration::from_secs(7)), 100)), [7_000; 6]);
    }
}
