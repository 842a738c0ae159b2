//! When the ticks are.

use std::time::{Duration, Instant};

/// The ticks of a watch: at fixed times, of which those that were missed are left out.
#[derive(Debug)]
pub(super) struct Clock {
    begun: Instant,
    interval: Duration,
    end: Option<Instant>,
    next: Instant,
}

impl Clock {
    pub(super) fn start(interval: Duration, duration: Option<Duration>) -> Self {
        let begun = Instant::now();
        Self { begun, interval, end: duration.and_then(|duration| begun.checked_add(duration)), next: begun }
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
        self.next += self.interval;
        if self.next <= now {
            // A suspended machine, or a tick that took long: not one after another now.
            self.next = now + self.interval;
        }
        self.end.map_or(self.next, |end| self.next.min(end))
    }
}
