//! A gate that lets a fixed number through at a time, first come first served, with a bounded queue
//! in front and a bound on how long anybody waits in it.

use std::time::Duration;

use drystone_edge::gate::Busy;
use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::{Mutex, PlainArc};

use crate::fault::Fault;
use crate::places::{Permit, Places, PlacesUsage};

/// What is counted, in the words of the metrics and of the refusal.
pub(crate) struct Gate {
    what: &'static str,
    places: PlainArc<Places>,
    waiting: AtomicUsize,
    refused: AtomicUsize,
    /// A leaf.
    queue: Mutex<Queue>,
}

/// How many may wait, and for how long.
#[derive(Clone, Copy)]
struct Queue {
    waiting_max: usize,
    patience: Duration,
}

/// A reading of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateUsage {
    pub(crate) places: PlacesUsage,
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
    pub(crate) fn new(
        what: &'static str,
        ceiling: usize,
        waiting_max: usize,
        patience: Duration,
    ) -> Self {
        Self {
            what,
            places: Places::new(ceiling),
            waiting: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            queue: Mutex::new(Queue { waiting_max, patience }),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Fault::Busy`] when the queue is full or patience has run out.
    pub(crate) async fn enter(&self) -> Result<Permit, Fault> {
        if let Some(permit) = self.places.try_take() {
            return Ok(permit);
        }
        let Queue { waiting_max, patience } = *self.queue.lock();
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= waiting_max {
            return Err(self.refuse());
        }
        self.places.note_wait();
        let taken = tokio::time::timeout(patience, self.places.take()).await;
        taken.map_err(|_| self.refuse())
    }

    /// Another number of places from now on.
    pub(crate) fn resize(&self, ceiling: usize) {
        self.places.resize(ceiling);
    }

    /// Other ceilings from now on; who waits keeps the patience that he came with.
    pub(crate) fn change(&self, ceiling: usize, waiting_max: usize, patience: Duration) {
        *self.queue.lock() = Queue { waiting_max, patience };
        self.places.resize(ceiling);
    }

    pub(crate) fn usage(&self) -> GateUsage {
        GateUsage {
            places: self.places.usage(),
            waiting: self.waiting.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn refuse(&self) -> Fault {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Fault::Busy(self.what)
    }
}

// Not beside `Fault`: its file is read by the fuzz targets, too, which know no gates.
impl From<Busy> for Fault {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
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
            assert_eq!(gate.usage().waiting, 1);
            assert!(
                matches!(gate.enter().await, Err(Fault::Busy("places"))),
                "no place in the queue"
            );
            assert!(
                matches!(second.await.unwrap(), Err(Fault::Busy(_))),
                "patience ended while it was held"
            );
            assert_eq!(gate.usage().refused, 2);
            assert_eq!(gate.usage().waiting, 0);
            drop(held);
            drop(gate.enter().await.unwrap());
            let usage = gate.usage().places;
            assert_eq!((usage.now, usage.high_water, usage.waits), (0, 1, 1));
        });
    }

    #[test]
    fn one_who_gives_up_leaves_the_queue() {
        paused().block_on(async {
            let gate = Gate::new("places", 1, 1, Duration::from_secs(60));
            let _held = gate.enter().await.unwrap();
            let gave_up = tokio::time::timeout(Duration::from_secs(1), gate.enter()).await;
            assert!(gave_up.is_err());
            assert_eq!(gate.usage().waiting, 0);
        });
    }

    #[test]
    fn a_gate_that_is_changed_uses_the_new_numbers_for_whoever_comes() {
        paused().block_on(async {
            let gate = Gate::new("places", 1, 0, Duration::from_secs(60));
            let _held = gate.enter().await.unwrap();
            assert!(matches!(gate.enter().await, Err(Fault::Busy(_))), "no queue");
            let begun = tokio::time::Instant::now();
            gate.change(1, 1, Duration::from_secs(7));
            assert!(matches!(gate.enter().await, Err(Fault::Busy(_))));
            assert_eq!(begun.elapsed().as_secs(), 7, "a queue, and the new patience");
            gate.change(2, 0, Duration::from_secs(60));
            let _second = gate.enter().await.unwrap();
            assert!(matches!(gate.enter().await, Err(Fault::Busy(_))), "no queue again");
            assert_eq!(begun.elapsed().as_secs(), 7);
        });
    }
}
