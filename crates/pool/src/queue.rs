//! A bounded queue between threads: a full queue blocks its producers, a closed one ends its
//! consumers.

use std::collections::VecDeque;

use drystone_sync::{Arc, Condvar, Mutex};

use crate::Usage;

/// The queue was closed; the item comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// A first-in, first-out queue of at most `len_max` items, for any number of producers and
/// consumers.
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    /// A leaf lock.
    state: Mutex<State<T>>,
    /// Signalled for an item that came in, unless a signalled consumer has not looked yet.
    filled: Condvar,
    /// Signalled once for each item that went out while a producer waited.
    drained: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    usage: Usage,
    closed: bool,
    /// Consumers that wait for an item, and producers that wait for room. They are counted because
    /// a signal costs a system call, also when no thread waits for it.
    consumers_waiting: usize,
    producers_waiting: usize,
    /// A consumer has been signalled and has not looked yet. Only one consumer is in this state at
    /// a time: it signals the next one if there are more items. So the consumers that are awake
    /// work off a burst of items, and the queue does not wake a thread for each item.
    waking: bool,
}

impl<T> State<T> {
    /// Whether a consumer has to be signalled now. If so, this notes that it is.
    fn wakes_consumer(&mut self) -> bool {
        let wakes = !self.items.is_empty() && self.consumers_waiting > 0 && !self.waking;
        self.waking |= wakes;
        wakes
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Queue<T> {
    /// A queue that holds at most `len_max` items; at least 1.
    pub fn new(len_max: usize) -> Self {
        assert!(len_max > 0, "a queue of no items would block for ever");
        let state = State {
            items: VecDeque::with_capacity(len_max),
            usage: Usage::new(len_max),
            closed: false,
            consumers_waiting: 0,
            producers_waiting: 0,
            waking: false,
        };
        let shared =
            Shared { state: Mutex::new(state), filled: Condvar::new(), drained: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Blocks while the queue is full.
    ///
    /// # Errors
    /// [`Closed`] with the item when the queue is or becomes closed.
    pub fn push(&self, item: T) -> Result<(), Closed<T>> {
        let mut state = self.shared.state.lock();
        let mut waited = false;
        while !state.closed && state.usage.now == state.usage.ceiling {
            if !waited {
                waited = true;
                state.usage.waits += 1;
            }
            state.producers_waiting += 1;
            state = self.shared.drained.wait(state);
            state.producers_waiting -= 1;
        }
        if state.closed {
            return Err(Closed(item));
        }
        state.items.push_back(item);
        state.usage.take();
        let wakes_consumer = state.wakes_consumer();
        drop(state);
        if wakes_consumer {
            self.shared.filled.notify_one();
        }
        Ok(())
    }

    /// Blocks while the queue is empty and open; `None` once it is closed and drained.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.shared.state.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                state.usage.give_back();
                let (wakes_consumer, wakes_producer) =
                    (state.wakes_consumer(), state.producers_waiting > 0);
                drop(state);
                if wakes_producer {
                    self.shared.drained.notify_one();
                }
                if wakes_consumer {
                    self.shared.filled.notify_one();
                }
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state.consumers_waiting += 1;
            state = self.shared.filled.wait(state);
            state.consumers_waiting -= 1;
            state.waking = false;
        }
    }

    /// Refuses later items and wakes every waiting thread. Items inside can still be taken.
    pub fn close(&self) {
        self.shared.state.lock().closed = true;
        self.shared.filled.notify_all();
        self.shared.drained.notify_all();
    }

    /// Whether it has been closed.
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().closed
    }

    /// How many items are in the queue.
    pub fn usage(&self) -> Usage {
        self.shared.state.lock().usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_queue_drains_and_then_ends() {
        let queue = Queue::new(2);
        queue.push(1).unwrap();
        assert!(!queue.is_closed());
        queue.close();
        assert!(queue.is_closed());
        assert_eq!(queue.push(2), Err(Closed(2)));
        assert_eq!((queue.pop(), queue.pop()), (Some(1), None));
    }

    #[test]
    fn first_in_is_first_out() {
        let queue = Queue::new(3);
        (0..3).for_each(|item| queue.push(item).unwrap());
        assert_eq!(queue.pop(), Some(0));
        queue.push(3).unwrap();
        assert_eq!(queue.usage(), Usage { now: 3, high_water: 3, ceiling: 3, waits: 0 });
        assert_eq!([(); 3].map(|()| queue.pop()), [Some(1), Some(2), Some(3)]);
        assert_eq!(queue.usage(), Usage { now: 0, high_water: 3, ceiling: 3, waits: 0 });
    }
}
