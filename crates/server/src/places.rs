//! A number of places that can be changed while some are taken.
//!
//! Raising it adds places at once. Lowering it takes free places away, and those that are taken as
//! they are given back: nobody who is under way is disturbed, and nobody new gets in before there
//! are fewer than the new number.

use drystone_sync::{Mutex, PlainArc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places, shared by whoever holds one.
pub(crate) struct Places {
    permits: PlainArc<Semaphore>,
    /// A leaf but for the semaphore's own: no other is locked, and nobody is waited for, while it
    /// is held.
    state: Mutex<State>,
}

struct State {
    ceiling: usize,
    taken: usize,
    high_water: usize,
    /// Places that are taken and will not come back: permits of the semaphore are `ceiling +
    /// surplus`.
    surplus: usize,
    waits: u64,
}

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlacesUsage {
    pub(crate) now: usize,
    pub(crate) high_water: usize,
    pub(crate) ceiling: usize,
    pub(crate) waits: u64,
}

/// One place; given back when dropped.
pub(crate) struct Permit {
    places: PlainArc<Places>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn new(ceiling: usize) -> PlainArc<Self> {
        let state = State { ceiling, taken: 0, high_water: 0, surplus: 0, waits: 0 };
        PlainArc::new(Self {
            permits: PlainArc::new(Semaphore::new(ceiling)),
            state: Mutex::new(state),
        })
    }

    /// A place, if there is one and nobody waits for it.
    pub(crate) fn try_take(self: &PlainArc<Self>) -> Option<Permit> {
        let permit = PlainArc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(self.taken(permit))
    }

    /// Waits for a place, first come first served. Dropping the future leaves the queue.
    pub(crate) async fn take(self: &PlainArc<Self>) -> Permit {
        let permit = PlainArc::clone(&self.permits).acquire_owned().await;
        self.taken(permit.expect("this semaphore is never closed"))
    }

    fn taken(self: &PlainArc<Self>, permit: OwnedSemaphorePermit) -> Permit {
        let mut state = self.state.lock();
        state.taken += 1;
        state.high_water = state.high_water.max(state.taken);
        Permit { places: PlainArc::clone(self), permit: Some(permit) }
    }

    /// Counts somebody who found no place free.
    pub(crate) fn note_wait(&self) {
        self.state.lock().waits += 1;
    }

    /// How many more are taken than there should be.
    pub(crate) fn surplus(&self) -> usize {
        self.state.lock().surplus
    }

    /// From now on there are so many.
    pub(crate) fn resize(&self, ceiling: usize) {
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

    pub(crate) fn usage(&self) -> PlacesUsage {
        let State { taken, high_water, ceiling, waits, .. } = *self.state.lock();
        PlacesUsage { now: taken, high_water, ceiling, waits }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.places.state.lock();
        // Before the permit goes back: whoever takes it next must not be counted beside this one.
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

    fn now(places: &Places) -> (usize, usize) {
        (places.usage().now, places.usage().ceiling)
    }

    #[test]
    fn lowering_lets_those_under_way_end_and_nobody_in_before() {
        let places = Places::new(4);
        let mut held: Vec<_> = (0..3).map(|_| places.try_take().unwrap()).collect();
        places.resize(1);
        assert_eq!(now(&places), (3, 1));
        assert_eq!(places.surplus(), 2);
        for left in [2, 1] {
            assert!(places.try_take().is_none());
            drop(held.pop());
            assert_eq!(now(&places), (left, 1));
        }
        assert!(places.try_take().is_none(), "the last one is still taken");
        drop(held);
        let one = places.try_take().unwrap();
        assert!(places.try_take().is_none());
        drop(one);
        assert_eq!((now(&places), places.usage().high_water), ((0, 1), 3));
    }

    #[test]
    fn raising_gives_back_what_was_to_be_taken_away_first() {
        let places = Places::new(3);
        let held: Vec<_> = (0..3).map(|_| places.try_take().unwrap()).collect();
        places.resize(1);
        places.resize(2);
        assert_eq!(places.surplus(), 1);
        places.resize(4);
        assert_eq!(places.surplus(), 0);
        let fourth = places.try_take().unwrap();
        assert!(places.try_take().is_none());
        drop((held, fourth));
        assert_eq!((0..9).map_while(|_| places.try_take()).collect::<Vec<_>>().len(), 4);
    }

    #[test]
    fn raising_serves_who_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let places = Places::new(1);
            let held = places.take().await;
            let mut waiting = Box::pin(places.take());
            tokio::select! {
                biased;
                _ = waiting.as_mut() => panic!("there is one place"),
                () = std::future::ready(()) => {}
            }
            places.resize(2);
            let second = waiting.await;
            assert_eq!(now(&places), (2, 2));
            drop((held, second));
        });
    }

    #[test]
    fn whatever_happens_in_between_the_number_is_the_last_one() {
        let places = Places::new(5);
        let mut held = Vec::new();
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match (state >> 33) % 8 {
                0 => places.resize((state >> 40) as usize % 9),
                1..=4 => held.extend(places.try_take()),
                _ if !held.is_empty() => {
                    drop(held.swap_remove((state >> 40) as usize % held.len()))
                }
                _ => {}
            }
            let usage = places.usage();
            assert_eq!(usage.now, held.len());
            assert_eq!(places.surplus(), usage.now.saturating_sub(usage.ceiling));
        }
        held.clear();
        let all: Vec<_> = (0..99).map_while(|_| places.try_take()).collect();
        assert_eq!(all.len(), places.usage().ceiling);
    }
}
