//! Counting permits, FIFO-fair, with a share for each owner.
//!
//! Invariant, kept under the one lock: while a unit is free, no waiter in the queue is *eligible*,
//! because the owner of each waiter is at its share. So a newcomer that finds a free unit overtakes
//! no waiter that could have had it, and a release hands its unit straight to the first eligible
//! waiter.

use std::collections::{BTreeMap, VecDeque};

use drystone_sync::{Arc, Condvar, Mutex};

use crate::Usage;

/// Why no permit was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// The owner was cancelled, before or while it waited.
    #[error("the wait was cancelled")]
    Cancelled,
}

/// A fixed number of permits.
#[derive(Clone)]
pub struct Permits {
    shared: Arc<Shared>,
}

struct Shared {
    /// Protects every field of the accounting; a leaf lock.
    state: Mutex<State>,
    share_max: usize,
}

struct State {
    usage: Usage,
    closed: bool,
    owner_next: u64,
    ticket_next: u64,
    owners: BTreeMap<u64, OwnerState>,
    /// In order of arrival; at most one entry for each blocked thread.
    waiters: VecDeque<Waiter>,
    /// The outcomes of waits that are decided, each until the thread that waited collects it.
    outcomes: BTreeMap<u64, Result<(), AcquireError>>,
}

#[derive(Default)]
struct OwnerState {
    held: usize,
    cancelled: bool,
    /// The [`Owner`] value was dropped. This entry is removed with the owner's last permit.
    retired: bool,
}

struct Waiter {
    ticket: u64,
    owner: u64,
    wake: Arc<Condvar>,
}

impl Permits {
    /// `ceiling` permits, of which one owner holds at most `share_max`. Both must be at least 1.
    pub fn new(ceiling: usize, share_max: usize) -> Self {
        assert!(ceiling > 0 && share_max > 0, "a pool of no permits would block for ever");
        let state = State {
            usage: Usage::new(ceiling),
            closed: false,
            owner_next: 0,
            ticket_next: 0,
            owners: BTreeMap::new(),
            waiters: VecDeque::new(),
            outcomes: BTreeMap::new(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), share_max }) }
    }

    /// Registers an owner, which will ask for permits. Shares are counted by owner.
    pub fn owner(&self) -> Owner {
        let mut state = self.shared.state.lock();
        let id = state.owner_next;
        state.owner_next += 1;
        state.owners.insert(id, OwnerState::default());
        Owner { shared: Arc::clone(&self.shared), id }
    }

    /// Refuses every later request and wakes every waiter with [`AcquireError::Closed`]. Permits
    /// that are out stay valid.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        while let Some(waiter) = state.waiters.pop_front() {
            state.decide(&waiter, Err(AcquireError::Closed));
        }
    }

    /// How many permits are in use.
    pub fn usage(&self) -> Usage {
        self.shared.state.lock().usage
    }
}

/// One owner of permits. When it is dropped, the permits that it holds stay valid.
pub struct Owner {
    shared: Arc<Shared>,
    id: u64,
}

impl Owner {
    /// Blocks until a permit is free and this owner is below its share; first come, first served.
    ///
    /// # Errors
    /// When the pool is closed or this owner is cancelled.
    pub fn acquire(&self) -> Result<Permit, AcquireError> {
        let mut state = self.shared.state.lock();
        if let Some(decided) = state.take_now(self.id, self.shared.share_max) {
            return decided.map(|()| self.permit());
        }
        let ticket = state.ticket_next;
        state.ticket_next += 1;
        state.usage.waits += 1;
        let wake = Arc::new(Condvar::new());
        state.waiters.push_back(Waiter { ticket, owner: self.id, wake: Arc::clone(&wake) });
        loop {
            if let Some(outcome) = state.outcomes.remove(&ticket) {
                return outcome.map(|()| self.permit());
            }
            state = wake.wait(state);
        }
    }

    /// A permit if one is free now and the share allows it; `Ok(None)` if not.
    ///
    /// # Errors
    /// When the pool is closed or this owner is cancelled.
    pub fn try_acquire(&self) -> Result<Option<Permit>, AcquireError> {
        let mut state = self.shared.state.lock();
        match state.take_now(self.id, self.shared.share_max) {
            Some(decided) => decided.map(|()| Some(self.permit())),
            None => Ok(None),
        }
    }

    /// Ends every wait of this owner, now and later, with [`AcquireError::Cancelled`]. Any thread
    /// may call it.
    pub fn cancel(&self) {
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        if let Some(owner) = state.owners.get_mut(&self.id) {
            owner.cancelled = true;
        }
        let mut index = 0;
        while index < state.waiters.len() {
            if state.waiters[index].owner == self.id {
                if let Some(waiter) = state.waiters.remove(index) {
                    state.decide(&waiter, Err(AcquireError::Cancelled));
                }
            } else {
                index += 1;
            }
        }
    }

    fn permit(&self) -> Permit {
        Permit { shared: Arc::clone(&self.shared), owner: self.id }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let done = state.owners.get_mut(&self.id).is_some_and(|owner| {
            owner.retired = true;
            owner.held == 0
        });
        if done {
            state.owners.remove(&self.id);
        }
    }
}

/// One unit of a bounded resource; dropping it gives the unit back.
pub struct Permit {
    shared: Arc<Shared>,
    owner: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.state.lock().release(self.owner, self.shared.share_max);
    }
}

impl State {
    /// Decides a request that does not have to wait. `None` means that it has to.
    fn take_now(&mut self, owner_id: u64, share_max: usize) -> Option<Result<(), AcquireError>> {
        if self.closed {
            return Some(Err(AcquireError::Closed));
        }
        let owner =
            self.owners.get_mut(&owner_id).expect("an owner is registered until it is dropped");
        if owner.cancelled {
            return Some(Err(AcquireError::Cancelled));
        }
        if owner.held >= share_max || self.usage.now >= self.usage.ceiling {
            return None;
        }
        owner.held += 1;
        self.usage.take();
        Some(Ok(()))
    }

    fn release(&mut self, owner_id: u64, share_max: usize) {
        self.usage.give_back();
        let owner =
            self.owners.get_mut(&owner_id).expect("an owner stays until its last permit is back");
        owner.held -= 1;
        if owner.retired && owner.held == 0 {
            self.owners.remove(&owner_id);
        }
        // One unit came back. Its owner may also be below its share again, so its own waiters may
        // have become eligible. One unit is free, so at most one waiter gets it.
        let eligible = self.waiters.iter().position(|waiter| {
            self.owners.get(&waiter.owner).is_some_and(|owner| owner.held < share_max)
        });
        if let Some(waiter) = eligible.and_then(|index| self.waiters.remove(index)) {
            let owner = self.owners.get_mut(&waiter.owner).expect("a waiting owner is registered");
            owner.held += 1;
            self.usage.take();
            self.decide(&waiter, Ok(()));
        }
    }

    fn decide(&mut self, waiter: &Waiter, outcome: Result<(), AcquireError>) {
        self.outcomes.insert(waiter.ticket, outcome);
        waiter.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_stops_at_its_share_and_others_pass() {
        let permits = Permits::new(3, 2);
        let (a, b) = (permits.owner(), permits.owner());
        let held = [a.acquire().unwrap(), a.acquire().unwrap()];
        assert!(a.try_acquire().unwrap().is_none());
        let other = b.try_acquire().unwrap();
        assert!(other.is_some());
        assert_eq!(permits.usage().now, 3);
        drop(held);
        drop(other);
        assert_eq!(permits.usage(), Usage { now: 0, high_water: 3, ceiling: 3, waits: 0 });
    }

    #[test]
    fn a_dropped_owner_keeps_its_permits() {
        let permits = Permits::new(1, 1);
        let owner = permits.owner();
        let permit = owner.acquire().unwrap();
        drop(owner);
        assert_eq!(permits.usage().now, 1);
        drop(permit);
        assert_eq!(permits.usage().now, 0);
        assert!(permits.shared.state.lock().owners.is_empty());
    }

    #[test]
    fn a_cancelled_owner_is_refused() {
        let permits = Permits::new(1, 1);
        let owner = permits.owner();
        owner.cancel();
        assert_eq!(owner.acquire().err(), Some(AcquireError::Cancelled));
        permits.close();
        assert_eq!(permits.owner().acquire().err(), Some(AcquireError::Closed));
    }
}
