//! A semaphore whose number of permits can be changed while some are taken.
//!
//! Raising the number adds permits at once. Lowering it removes free permits at once, and taken
//! ones as they are given back. So a holder is never disturbed, and no waiter gets a permit before
//! fewer are taken than the new number.

use drystone_pool::Usage;
use drystone_sync::{Mutex, PlainArc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits, shared by their holders.
pub struct ResizableSemaphore {
    permits: PlainArc<Semaphore>,
    /// A leaf but for the semaphore's own lock: no other lock is taken while this one is held.
    state: Mutex<State>,
}

struct State {
    ceiling: usize,
    taken: usize,
    high_water: usize,
    /// Permits that are taken and will not come back. The semaphore has `ceiling + surplus`.
    surplus: usize,
    waits: u64,
}

/// One permit; given back when dropped.
pub struct Permit {
    semaphore: PlainArc<ResizableSemaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl ResizableSemaphore {
    /// With so many permits.
    pub fn new(ceiling: usize) -> PlainArc<Self> {
        let state = State { ceiling, taken: 0, high_water: 0, surplus: 0, waits: 0 };
        PlainArc::new(Self {
            permits: PlainArc::new(Semaphore::new(ceiling)),
            state: Mutex::new(state),
        })
    }

    /// A permit, if one is free and no other task waits for it.
    pub fn try_take(self: &PlainArc<Self>) -> Option<Permit> {
        let permit = PlainArc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.taken(permit))
    }

    /// Waits for a permit, first come first served. Dropping the future leaves the queue.
    pub async fn take(self: &PlainArc<Self>) -> Permit {
        let permit = PlainArc::clone(&self.permits).acquire_owned().await;
        self.taken(permit.expect("this semaphore is never closed"))
    }

    fn taken(self: &PlainArc<Self>, permit: OwnedSemaphorePermit) -> Permit {
        let mut state = self.state.lock();
        state.taken += 1;
        state.high_water = state.high_water.max(state.taken);
        Permit { semaphore: PlainArc::clone(self), permit: Some(permit) }
    }

    /// Counts one that found no permit free.
    pub fn note_wait(&self) {
        self.state.lock().waits += 1;
    }

    /// How many more permits are taken than there should be.
    pub fn surplus(&self) -> usize {
        self.state.lock().surplus
    }

    /// From now on there are so many permits.
    pub fn resize(&self, ceiling: usize) {
        let mut state = self.state.lock();
        if ceiling >= state.ceiling {
            let more = ceiling - state.ceiling;
            let kept = more.min(state.surplus);
            state.surplus -= kept;
            self.permits.add_permits(more - kept);
        } else {
            let fewer = state.ceiling - ceiling;
            state.surplus += fewer - self.permits.forget_permits(fewer);
        }
        state.ceiling = ceiling;
    }

    /// A reading.
    pub fn usage(&self) -> Usage {
        let State { taken, high_water, ceiling, waits, .. } = *self.state.lock();
        Usage { now: taken, high_water, ceiling, waits }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.semaphore.state.lock();
        // Before the permit goes back: its next holder must not be counted beside this one.
        state.taken -= 1;
        let Some(permit) = self.permit.take() else { return };
        if state.surplus > 0 {
            state.surplus -= 1;
            permit.forget();
        } else {
            // While it is locked: a `resize` in between would find this place neither free nor
            // taken.
            drop(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(semaphore: &ResizableSemaphore) -> (usize, usize) {
        (semaphore.usage().now, semaphore.usage().ceiling)
    }

    #[test]
    fn lowering_lets_holders_end_and_admits_none_before() {
        let semaphore = ResizableSemaphore::new(4);
        let mut held: Vec<_> = (0..3).map(|_| semaphore.try_take().unwrap()).collect();
        semaphore.resize(1);
        assert_eq!(now(&semaphore), (3, 1));
        assert_eq!(semaphore.surplus(), 2);
        for left in [2, 1] {
            assert!(semaphore.try_take().is_none());
            drop(held.pop());
            assert_eq!(now(&semaphore), (left, 1));
        }
        assert!(semaphore.try_take().is_none(), "the last one is still taken");
        drop(held);
        let one = semaphore.try_take().unwrap();
        assert!(semaphore.try_take().is_none());
        drop(one);
        assert_eq!((now(&semaphore), semaphore.usage().high_water), ((0, 1), 3));
    }

    #[test]
    fn raising_gives_back_what_was_to_be_taken_away_first() {
        let semaphore = ResizableSemaphore::new(3);
        let held: Vec<_> = (0..3).map(|_| semaphore.try_take().unwrap()).collect();
        semaphore.resize(1);
        semaphore.resize(2);
        assert_eq!(semaphore.surplus(), 1);
        semaphore.resize(4);
        assert_eq!(semaphore.surplus(), 0);
        let fourth = semaphore.try_take().unwrap();
        assert!(semaphore.try_take().is_none());
        drop((held, fourth));
        assert_eq!((0..9).map_while(|_| semaphore.try_take()).collect::<Vec<_>>().len(), 4);
    }

    #[test]
    fn raising_serves_who_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let semaphore = ResizableSemaphore::new(1);
            let held = semaphore.take().await;
            let mut waiting = Box::pin(semaphore.take());
            tokio::select! {
                biased;
                _ = waiting.as_mut() => panic!("there is one place"),
                () = std::future::ready(()) => {}
            }
            semaphore.resize(2);
            let second = waiting.await;
            assert_eq!(now(&semaphore), (2, 2));
            drop((held, second));
        });
    }

    #[test]
    fn the_number_is_the_last_one_that_was_set() {
        let semaphore = ResizableSemaphore::new(5);
        let mut held = Vec::new();
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match (state >> 33) % 8 {
                0 => semaphore.resize((state >> 40) as usize % 9),
                1..=4 => held.extend(semaphore.try_take()),
                _ if !held.is_empty() => {
                    drop(held.swap_remove((state >> 40) as usize % held.len()));
                }
                _ => {}
            }
            let usage = semaphore.usage();
            assert_eq!(usage.now, held.len());
            assert_eq!(semaphore.surplus(), usage.now.saturating_sub(usage.ceiling));
        }
        held.clear();
        let all: Vec<_> = (0..99).map_while(|_| semaphore.try_take()).collect();
        assert_eq!(all.len(), semaphore.usage().ceiling);
    }
}
