//! A gate lets a number of turns through at a time. In front of it is a bounded queue, and a bound
//! on how long each waits in it.
//!
//! Small requests go first: they are over soon. Large requests have one turn in eight for certain,
//! so small ones can never make them wait long. Among requests of one size, keys take turns; among
//! requests of one key, addresses do. So a client with a thousand requests waits behind its own
//! requests, and other clients do not. When the queue is full, a new request takes the place of the
//! last request of the longest line, if its own line is shorter.
//!
//! The number can be changed while turns are taken. Raising it lets more through at once. Lowering
//! it disturbs no turn that is under way. No further turn begins before fewer are taken than the
//! new number.

use std::time::Duration;

use drystone_sync::{Mutex, PlainArc};
use tokio::sync::{Notify, oneshot};

use crate::turns::Turns;

pub use crate::turns::Share;

/// Small requests that go before one that is not, when both wait.
const SMALL_IN_A_ROW: u32 = 7;

/// How large a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few KiB, which are here already or fit into one write.
    Small,
    /// Anything else.
    Large,
}

/// Why a request is not let through: the queue is full, or its patience has run out. Names the
/// gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is at its ceiling of {0}; try again in a moment")]
pub struct Busy(pub &'static str);

/// What is counted, in the words of the metrics and of the refusal.
pub struct Gate {
    what: &'static str,
    shared: PlainArc<Shared>,
}

struct Shared {
    /// A leaf, but for what wakes a waiter.
    state: Mutex<State>,
    /// A request begins to wait.
    wanted: Notify,
}

struct State {
    ceiling: usize,
    taken: usize,
    waiting_max: usize,
    patience: Duration,
    small: Turns<Waiter>,
    large: Turns<Waiter>,
    /// Small requests that have gone before a large one that waits.
    small_in_a_row: u32,
    /// Numbers the requests that wait.
    next: u64,
    waiting: usize,
    usage: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    high_water: usize,
    waits: u64,
    refused: u64,
}

struct Waiter {
    number: u64,
    turn: oneshot::Sender<Turn>,
}

/// A reading of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateUsage {
    /// Turns that are taken.
    pub now: usize,
    /// The most that there have been.
    pub high_water: usize,
    /// How many there may be.
    pub ceiling: usize,
    /// Requests that wait now.
    pub waiting: usize,
    /// Requests that have ever waited.
    pub waits: u64,
    /// Requests that were not let through.
    pub refused: u64,
}

/// A turn. Dropped, it lets the next one through.
#[must_use = "a turn that is dropped is over"]
pub struct Turn(Option<PlainArc<Shared>>);

/// One that waits; dropped, it leaves the queue.
struct Waiting<'a> {
    shared: &'a Shared,
    share: &'a Share,
    size: Size,
    number: u64,
}

impl Gate {
    /// `ceiling` turns at a time; up to `waiting_max` requests wait, each for `patience`.
    pub fn new(what: &'static str, ceiling: usize, waiting_max: usize, patience: Duration) -> Self {
        let state = State {
            ceiling,
            taken: 0,
            waiting_max,
            patience,
            small: Turns::default(),
            large: Turns::default(),
            small_in_a_row: 0,
            next: 0,
            waiting: 0,
            usage: Counts::default(),
        };
        Self {
            what,
            shared: PlainArc::new(Shared { state: Mutex::new(state), wanted: Notify::new() }),
        }
    }

    /// A turn, if there is one and no request waits for it.
    pub fn try_enter(&self) -> Option<Turn> {
        self.shared.state.lock().try_take().then(|| self.turn())
    }

    /// Waits for a turn. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// When the queue is full, or patience has run out.
    pub async fn enter(&self, share: &Share, size: Size) -> Result<Turn, Busy> {
        let (number, told, patience) = {
            let mut state = self.shared.state.lock();
            if state.try_take() {
                drop(state);
                return Ok(self.turn());
            }
            if state.waiting >= state.waiting_max && !state.make_room_for(share, size) {
                state.usage.refused += 1;
                return Err(Busy(self.what));
            }
            let (turn, told) = oneshot::channel();
            let number = state.next;
            state.next += 1;
            state.waiting += 1;
            state.usage.waits += 1;
            state.line(size).push(share, Waiter { number, turn });
            (number, told, state.patience)
        };
        self.shared.wanted.notify_one();
        let _waiting = Waiting { shared: &self.shared, share, size, number };
        match tokio::time::timeout(patience, told).await {
            Ok(Ok(turn)) => Ok(turn),
            // Its patience has run out, or it has made room for a request with a shorter line.
            Err(_) | Ok(Err(_)) => {
                self.shared.state.lock().usage.refused += 1;
                Err(Busy(self.what))
            }
        }
    }

    /// Whether a request waits.
    pub fn is_wanted(&self) -> bool {
        self.shared.state.lock().waiting > 0
    }

    /// Says that the buffers of turns are wanted, although no request waits for a turn.
    pub fn want(&self) {
        self.shared.wanted.notify_one();
    }

    /// Waits until a request begins to wait, or [`want`](Self::want) is called. For one task: it is
    /// what takes turns from those that do not use them.
    pub async fn wanted(&self) {
        self.shared.wanted.notified().await;
    }

    /// Another number of turns from now on.
    pub fn resize(&self, ceiling: usize) {
        let mut state = self.shared.state.lock();
        state.ceiling = ceiling;
        self.shared.let_through(&mut state);
    }

    /// Another queue from now on; a request that waits keeps the patience that it came with.
    pub fn set_queue(&self, waiting_max: usize, patience: Duration) {
        let mut state = self.shared.state.lock();
        (state.waiting_max, state.patience) = (waiting_max, patience);
    }

    /// A reading.
    pub fn usage(&self) -> GateUsage {
        let state = self.shared.state.lock();
        GateUsage {
            now: state.taken,
            high_water: state.usage.high_water,
            ceiling: state.ceiling,
            waiting: state.waiting,
            waits: state.usage.waits,
            refused: state.usage.refused,
        }
    }

    fn turn(&self) -> Turn {
        Turn(Some(PlainArc::clone(&self.shared)))
    }
}

impl State {
    fn line(&mut self, size: Size) -> &mut Turns<Waiter> {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }

    /// Takes a turn for a new request, if no other one waits.
    fn try_take(&mut self) -> bool {
        let is_free = self.taken < self.ceiling && self.waiting == 0;
        if is_free {
            self.take();
        }
        is_free
    }

    fn take(&mut self) {
        self.taken += 1;
        self.usage.high_water = self.usage.high_water.max(self.taken);
    }

    /// Refuses the last request of the longest line for a new request with a shorter line. The
    /// refused request learns it from its dropped sender.
    fn make_room_for(&mut self, share: &Share, size: Size) -> bool {
        let refused = self.line(size).make_room_for(share);
        self.waiting -= usize::from(refused.is_some());
        refused.is_some()
    }

    /// The request whose turn is next.
    fn pop(&mut self) -> Option<Waiter> {
        let is_larges_turn = self.small.is_empty()
            || (self.small_in_a_row >= SMALL_IN_A_ROW && !self.large.is_empty());
        let waiter = self.line(if is_larges_turn { Size::Large } else { Size::Small }).pop()?;
        self.small_in_a_row =
            if is_larges_turn || self.large.is_empty() { 0 } else { self.small_in_a_row + 1 };
        self.waiting -= 1;
        Some(waiter)
    }
}

impl Shared {
    fn let_through(self: &PlainArc<Self>, state: &mut State) {
        while state.taken < state.ceiling {
            let Some(waiter) = state.pop() else { return };
            state.take();
            if let Err(mut turn) = waiter.turn.send(Turn(Some(PlainArc::clone(self)))) {
                // The request has left in this moment. Its turn would be given back under the lock
                // that is held here.
                turn.0 = None;
                state.taken -= 1;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.state.lock();
        state.taken -= 1;
        shared.let_through(&mut state);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let left = state.line(self.size).remove(self.share, |waiter| waiter.number == self.number);
        state.waiting -= usize::from(left.is_some());
    }
}

#[cfg(test)]
mod tests;
