//! Group commit: a submitter that finds no leader becomes the leader, and commits every item that
//! is in the queue.
//!
//! The queue is bounded by *cost* (bytes, say). A submitter that finds it full does not sleep if
//! no thread is committing: it becomes the leader. So the queue empties without a thread of its
//! own and without a clock.

use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_sync::{Arc, Condvar, Mutex};

/// Collects items and has them committed together, in the order in which they were submitted.
pub struct GroupCommit<T, R> {
    shared: Arc<Shared<T, R>>,
}

impl<T, R> Clone for GroupCommit<T, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

type CommitFn<T, R> = dyn Fn(Vec<T>) -> Vec<R> + Send + Sync;

struct Shared<T, R> {
    /// Never held while `commit` runs. Taken before a ticket's slot.
    state: Mutex<State<T, R>>,
    /// Signalled when a group has been committed.
    committed: Condvar,
    cost_max: usize,
    /// One result for each item, in order.
    commit: Box<CommitFn<T, R>>,
    /// The result of items whose leader panicked.
    lost: fn() -> R,
}

struct State<T, R> {
    queue: Vec<(T, Slot<R>)>,
    cost: usize,
    leading: bool,
    groups: u64,
}

type Slot<R> = Arc<Mutex<Option<R>>>;

/// An item's place in a group. Dropping it gives up the result, not the commit.
pub struct Ticket<T, R> {
    shared: Arc<Shared<T, R>>,
    slot: Slot<R>,
}

impl<T, R> GroupCommit<T, R> {
    /// Queues items of up to `cost_max` in all. `commit` gets a group and returns one result for
    /// each item; should it panic, every item of the group gets `lost()`.
    pub fn new(
        cost_max: usize,
        commit: impl Fn(Vec<T>) -> Vec<R> + Send + Sync + 'static,
        lost: fn() -> R,
    ) -> Self {
        let state = State { queue: Vec::new(), cost: 0, leading: false, groups: 0 };
        let shared = Shared {
            state: Mutex::new(state),
            committed: Condvar::new(),
            cost_max,
            commit: Box::new(commit),
            lost,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Queues an item. While the queue is full, leads a commit or waits for the one under way; an
    /// item that alone passes the bound goes into an empty queue.
    pub fn submit(&self, item: T, cost: usize) -> Ticket<T, R> {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        while state.cost > 0 && state.cost.saturating_add(cost) > shared.cost_max {
            if state.leading {
                state = shared.committed.wait(state);
            } else {
                drop(state);
                shared.lead();
                state = shared.state.lock();
            }
        }
        let slot: Slot<R> = Arc::new(Mutex::new(None));
        state.queue.push((item, Arc::clone(&slot)));
        state.cost += cost.max(1);
        Ticket { shared: Arc::clone(shared), slot }
    }

    /// How many groups have been committed.
    pub fn groups(&self) -> u64 {
        self.shared.state.lock().groups
    }
}

impl<T, R> Ticket<T, R> {
    /// Blocks until the item's group has been committed. If no other thread leads, this one does.
    pub fn wait(self) -> R {
        loop {
            let state = self.shared.state.lock();
            if let Some(result) = self.slot.lock().take() {
                return result;
            }
            if state.leading {
                drop(self.shared.committed.wait(state));
            } else {
                drop(state);
                self.shared.lead();
            }
        }
    }

    /// Whether [`wait`](Self::wait) returns at once.
    pub fn is_decided(&self) -> bool {
        self.slot.lock().is_some()
    }
}

/// Ends a leader's term, also when its commit panics: unanswered items are lost, and others may
/// lead.
struct Term<'a, T, R> {
    shared: &'a Shared<T, R>,
    slots: Vec<Slot<R>>,
}

impl<T, R> Drop for Term<'_, T, R> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        for slot in &self.slots {
            slot.lock().get_or_insert_with(self.shared.lost);
        }
        state.leading = false;
        state.groups += 1;
        drop(state);
        self.shared.committed.notify_all();
    }
}

impl<T, R> Shared<T, R> {
    /// Commits what is queued, unless another thread has begun to in the meantime.
    fn lead(&self) {
        let mut state = self.state.lock();
        if state.leading || state.queue.is_empty() {
            return;
        }
        state.leading = true;
        state.cost = 0;
        let (items, slots): (Vec<T>, Vec<Slot<R>>) =
            std::mem::take(&mut state.queue).into_iter().unzip();
        drop(state);
        let term = Term { shared: self, slots };
        // A panic stays here. The leader may be a worker or a cutter half-way through an upload,
        // and no other thread would end that upload.
        let Ok(results) = catch_unwind(AssertUnwindSafe(|| (self.commit)(items))) else { return };
        assert_eq!(results.len(), term.slots.len(), "a group commit answers every item");
        for (slot, result) in term.slots.iter().zip(results) {
            *slot.lock() = Some(result);
        }
    }
}
