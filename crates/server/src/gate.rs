//! A gate that lets a fixed number through at a time, first come first served, with a bounded queue in front and a bound on
//! how long anybody waits in it.

use std::time::Duration;

use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::Fault;

/// What is counted, in the words of the metrics and of the refusal.
pub(crate) struct Gate {
    what: &'static str,
    permits: PlainArc<Semaphore>,
    ceiling: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    patience: Duration,
    refused: AtomicUsize,
    high_water: AtomicUsize,
}

/// A reading of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateUsage {
    pub(crate) what: &'static str,
    pub(crate) now: usize,
    pub(crate) high_water: usize,
    pub(crate) ceiling: usize,
    pub(crate) waiting: usize,
    pub(crate) refused: usize,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(crate) fn new(what: &'static str, ceiling: usize, waiting_max: usize, patience: Duration) -> Self {
        Self {
            what,
            permits: PlainArc::new(Semaphore::new(ceiling)),
            ceiling,
            waiting: AtomicUsize::new(0),
            waiting_max,
            patience,
            refused: AtomicUsize::new(0),
            high_water: AtomicUsize::new(0),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Fault::Busy`] when the queue is full or patience has run out.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(permit) = PlainArc::clone(&self.permits).try_acquire_owned() {
            self.note_high_water();
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.waiting_max {
            return Err(self.refuse());
        }
        let acquired = PlainArc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(self.patience, acquired).await {
            Ok(Ok(permit)) => {
                self.note_high_water();
                Ok(permit)
            }
            _ => Err(self.refuse()),
        }
    }

    /// Whether somebody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn usage(&self) -> GateUsage {
        GateUsage {
            what: self.what,
            now: self.ceiling - self.permits.available_permits().min(self.ceiling),
            high_water: self.high_water.load(Ordering::Relaxed),
            ceiling: self.ceiling,
            waiting: self.waiting.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn note_high_water(&self) {
        let now = self.ceiling - self.permits.available_permits().min(self.ceiling);
        self.high_water.fetch_max(now, Ordering::Relaxed);
    }

    fn refuse(&self) -> Fault {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Fault::Busy(self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn the_queue_is_bounded_and_patience_ends() {
        paused().block_on(async {
            let gate = PlainArc::new(Gate::new("places", 1, 1, Duration::from_secs(5)));
            let held = gate.enter().await.unwrap();
            let second = tokio::spawn({
                let gate = PlainArc::clone(&gate);
                async move { gate.enter().await.map(drop) }
            });
            tokio::task::yield_now().await;
            assert!(gate.is_wanted());
            assert!(matches!(gate.enter().await, Err(Fault::Busy("places"))), "no place in the queue");
            assert!(matches!(second.await.unwrap(), Err(Fault::Busy(_))), "patience ended while it was held");
            assert_eq!(gate.usage().refused, 2);
            assert_eq!(gate.usage().waiting, 0);
            drop(held);
            drop(gate.enter().await.unwrap());
            assert_eq!((gate.usage().now, gate.usage().high_water), (0, 1));
        });
    }

    #[test]
    fn one_who_gives_up_leaves_the_queue() {
        paused().block_on(async {
            let gate = Gate::new("places", 1, 1, Duration::from_secs(60));
            let _held = gate.enter().await.unwrap();
            let gave_up = tokio::time::timeout(Duration::from_secs(1), gate.enter()).await;
            assert!(gave_up.is_err());
            assert!(!gate.is_wanted());
        });
    }
}
