//! A gate lets a number of turns through at a time. In front of it is a bounded queue, and a bound
//! on how long each waits in it.
//!
//! Small requests go first: they are over soon, and so many of them can never add up to a long wait
//! for the others, who have one turn in eight for certain. Among equals keys take turns, and among
//! those with one key addresses. So a client with a thousand requests waits for itself, not the
//! others for it.
//!
//! The number can be changed while turns are taken. Raising it lets more through at once. Lowering
//! it disturbs no turn that is under way, and lets none through before there are fewer than the new
//! number.

use std::time::Duration;

use drystone_sync::{Mutex, PlainArc};
use tokio::sync::{Notify, oneshot};

use crate::turns::Turns;

pub use crate::turns::Share;

/// Small requests that go before one that is not, when both wait.
const SMALL_IN_A_ROW: u32 = 7;

/// How much a turn is wanted for.
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
    /// Numbers those who wait.
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
            if state.waiting >= state.waiting_max {
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
            // The gate drops nobody that waits; so the second is a deadline, too, seen from its
            // other side.
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

    /// Says that what comes with a turn is wanted, although no request waits for one.
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

    /// Takes a turn for a newcomer, which overtakes nothing that waits.
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

    /// Who comes up next.
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
                // It has left in this moment. Its turn would be given back under the lock that is
                // held here.
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
mod tests {
    use super::*;

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    }

    fn share(key: &str) -> Share {
        Share::new(Some(key.to_owned()), None)
    }

    /// Queues one after the other, and tells in which order they came through a gate with one turn.
    fn order(waiters: &[(&str, Size)]) -> String {
        paused().block_on(async {
            let gate = PlainArc::new(Gate::new("turns", 1, 99, Duration::from_secs(60)));
            let order = PlainArc::new(Mutex::new(String::new()));
            let held = gate.try_enter().unwrap();
            let mut tasks = Vec::new();
            for (number, (key, size)) in waiters.iter().enumerate() {
                let (gate, order, share, size) =
                    (PlainArc::clone(&gate), PlainArc::clone(&order), share(key), *size);
                tasks.push(tokio::spawn(async move {
                    let _turn = gate.enter(&share, size).await.unwrap();
                    order.lock().push_str(&number.to_string());
                }));
                tokio::task::yield_now().await;
            }
            drop(held);
            for task in tasks {
                task.await.unwrap();
            }
            std::mem::take(&mut *order.lock())
        })
    }

    #[test]
    fn small_ones_go_first_but_not_for_ever() {
        assert_eq!(order(&[("a", Size::Large), ("a", Size::Small), ("b", Size::Small)]), "120");
        let mut waiters = vec![("a", Size::Large)];
        waiters.extend([("b", Size::Small); 9]);
        assert_eq!(order(&waiters), "1234567089");
    }

    #[test]
    fn a_key_with_many_requests_waits_for_itself() {
        let large = Size::Large;
        assert_eq!(order(&[("a", large), ("a", large), ("a", large), ("b", large)]), "0312");
    }

    #[test]
    fn the_queue_is_bounded_and_patience_ends() {
        paused().block_on(async {
            let gate = PlainArc::new(Gate::new("turns", 1, 1, Duration::from_secs(5)));
            let anybody = Share::default();
            let held = gate.enter(&anybody, Size::Large).await.unwrap();
            let second = tokio::spawn({
                let gate = PlainArc::clone(&gate);
                async move { gate.enter(&Share::default(), Size::Large).await.map(drop) }
            });
            tokio::task::yield_now().await;
            assert!(gate.is_wanted());
            assert!(gate.enter(&anybody, Size::Large).await.is_err(), "no place in the queue");
            assert_eq!(
                second.await.unwrap(),
                Err(Busy("turns")),
                "patience ended while it was held"
            );
            assert_eq!((gate.usage().refused, gate.usage().waiting), (2, 0));
            drop(held);
            drop(gate.enter(&anybody, Size::Large).await.unwrap());
            let usage = gate.usage();
            assert_eq!((usage.now, usage.high_water, usage.waits), (0, 1, 1));
        });
    }

    #[test]
    fn one_that_gives_up_leaves_the_queue() {
        paused().block_on(async {
            let gate = Gate::new("turns", 1, 1, Duration::from_secs(60));
            let held = gate.try_enter().unwrap();
            for _ in 0..3 {
                let anybody = Share::default();
                let entering = gate.enter(&anybody, Size::Small);
                assert!(tokio::time::timeout(Duration::from_secs(1), entering).await.is_err());
                assert!(!gate.is_wanted());
                assert!(
                    gate.shared.state.lock().small.is_empty(),
                    "the queue grows with those that left"
                );
            }
            drop(held);
            assert!(gate.try_enter().is_some());
        });
    }

    #[test]
    fn lowering_lets_those_under_way_end_and_none_in_before() {
        let gate = Gate::new("turns", 3, 9, Duration::from_secs(60));
        let mut held: Vec<_> = (0..3).map(|_| gate.try_enter().unwrap()).collect();
        gate.resize(1);
        for left in [2, 1] {
            assert!(gate.try_enter().is_none());
            drop(held.pop());
            assert_eq!((gate.usage().now, gate.usage().ceiling), (left, 1));
        }
        assert!(gate.try_enter().is_none(), "the last one is still taken");
        drop(held);
        let one = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        drop(one);
    }

    #[test]
    fn another_queue_is_for_those_that_come() {
        paused().block_on(async {
            let gate = Gate::new("turns", 1, 0, Duration::from_secs(60));
            let (_held, anybody) = (gate.try_enter().unwrap(), Share::default());
            assert!(gate.enter(&anybody, Size::Large).await.is_err(), "no queue");
            let begun = tokio::time::Instant::now();
            gate.set_queue(1, Duration::from_secs(7));
            assert!(gate.enter(&anybody, Size::Large).await.is_err());
            assert_eq!(begun.elapsed().as_secs(), 7, "a queue, and the new patience");
            gate.set_queue(0, Duration::from_secs(60));
            assert!(gate.enter(&anybody, Size::Large).await.is_err(), "no queue again");
            assert_eq!(begun.elapsed().as_secs(), 7);
        });
    }

    #[test]
    fn raising_serves_the_one_that_waits() {
        paused().block_on(async {
            let gate = PlainArc::new(Gate::new("turns", 1, 9, Duration::from_secs(60)));
            let _held = gate.try_enter().unwrap();
            let waiting = tokio::spawn({
                let gate = PlainArc::clone(&gate);
                async move { gate.enter(&Share::default(), Size::Large).await.map(|_| ()) }
            });
            tokio::task::yield_now().await;
            gate.resize(2);
            waiting.await.unwrap().unwrap();
        });
    }
}
