//! A chunk on its way from a worker to the reader that wants it.

use drystone_pool::Slice;
use drystone_sync::{Arc, Condvar, Mutex};

use crate::{Result, StoreError};

/// A chunk on its way from a worker.
pub(super) struct Slot {
    /// A leaf lock.
    state: Mutex<Option<Result<Slice>>>,
    arrived: Condvar,
}

/// Fills its slot once, also when it is dropped without a result.
pub(super) struct Delivery(Option<Arc<Slot>>);

impl Delivery {
    pub(super) fn to(slot: &Arc<Slot>) -> Self {
        Self(Some(Arc::clone(slot)))
    }

    pub(super) fn deliver(mut self, result: Result<Slice>) {
        self.fill(result);
    }

    fn fill(&mut self, result: Result<Slice>) {
        if let Some(slot) = self.0.take() {
            *slot.state.lock() = Some(result);
            slot.arrived.notify_one();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.fill(Err(StoreError::Closed));
    }
}

impl Slot {
    pub(super) fn new(state: Option<Result<Slice>>) -> Self {
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    pub(super) fn take(&self) -> Result<Slice> {
        let mut state = self.state.lock();
        loop {
            if let Some(result) = state.take() {
                return result;
            }
            state = self.arrived.wait(state);
        }
    }
}
