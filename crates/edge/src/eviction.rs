//! Who has to leave when all connections are taken and somebody knocks.
//!
//! One is closed in favour of the new one: that which has been idle for longest, that of an upload
//! whose client sends next to nothing, or one whose client has not shown yet what it wants. A
//! thousand idle clients, or slow ones, cannot lock the others out, nor take the places of those
//! that are served.

use std::collections::BTreeMap;
use std::time::Duration;

use drystone_sync::{Mutex, PlainArc};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection that has been idle for less is likely to be used again at once.
pub const IDLE_MIN: Duration = Duration::from_secs(1);
/// So long a new connection is given for its first request.
pub const FRESH_MIN: Duration = Duration::from_millis(100);
/// So long an upload is given for its first bytes, and a handshake for its end: both need round
/// trips.
pub const BEGUN_MIN: Duration = Duration::from_millis(500);

/// Everybody who may be asked to leave when all places are taken and somebody knocks.
#[derive(Default)]
pub struct EvictionOrder {
    /// Connections between two requests.
    pub idle: PlainArc<EvictionList>,
    /// Those that nobody knows yet, before their first request; and those whose last request is
    /// answered and still read.
    pub fresh: PlainArc<EvictionList>,
    /// Uploads of which hardly anything has come, and handshakes.
    pub begun: PlainArc<EvictionList>,
    /// Uploads whose clients send next to nothing.
    pub slow: PlainArc<EvictionList>,
    /// Connections whose clients have not read for long what waits for them.
    pub stalled: PlainArc<EvictionList>,
}

impl EvictionOrder {
    /// Asks somebody to leave for one who waits since then; `false` when nobody can be asked yet.
    ///
    /// Who has been served and has just become idle, as busy clients are between two requests, is
    /// asked last: not before all who were there and had shown nothing when the wait began have
    /// done so or left.
    pub fn make_room(&self, since: Instant) -> bool {
        let is_decided = |list: &EvictionList| !list.has_one_since(since);
        self.idle.evict(IDLE_MIN)
            || self.slow.evict(Duration::ZERO)
            || self.fresh.evict(FRESH_MIN)
            || self.begun.evict(BEGUN_MIN)
            || self.stalled.evict(Duration::ZERO)
            || (is_decided(&self.fresh)
                && is_decided(&self.begun)
                && self.idle.evict(Duration::ZERO))
    }

    /// Asks a connection to leave that has no request, however short it has been there.
    pub fn close_idle(&self) -> bool {
        self.idle.evict(Duration::ZERO) || self.fresh.evict(Duration::ZERO)
    }
}

/// Those who may be asked to leave in favour of others, whoever has been among them for longest
/// first.
#[derive(Default)]
pub struct EvictionList {
    state: Mutex<EvictionListState>,
}

#[derive(Default)]
struct EvictionListState {
    next: u64,
    waiting: BTreeMap<u64, (Instant, PlainArc<Notify>)>,
}

impl EvictionList {
    /// Asks the one to leave who has been here for longest, and for `min` at least; `false` when
    /// there is none.
    pub fn evict(&self, min: Duration) -> bool {
        let mut state = self.state.lock();
        let Some(first) = state.waiting.first_entry() else { return false };
        if first.get().0.elapsed() < min {
            return false;
        }
        let (_, leave) = first.remove();
        leave.notify_one();
        true
    }

    /// Whether somebody has been here since then, or for longer.
    fn has_one_since(&self, then: Instant) -> bool {
        self.state.lock().waiting.first_key_value().is_some_and(|(_, (since, _))| *since <= then)
    }

    /// From now on it may be asked to leave, and is told by `leave`.
    pub fn add(self: &PlainArc<Self>, leave: &PlainArc<Notify>) -> Listed {
        let mut state = self.state.lock();
        let ticket = state.next;
        state.next += 1;
        state.waiting.insert(ticket, (Instant::now(), PlainArc::clone(leave)));
        drop(state);
        Listed { list: PlainArc::clone(self), ticket }
    }
}

/// One of those who may be asked to leave, until this is dropped.
pub struct Listed {
    list: PlainArc<EvictionList>,
    ticket: u64,
}

impl Listed {
    /// From now on nobody asks it to leave; `false` when it has been asked already.
    pub fn withdraw(self) -> bool {
        self.remove()
    }

    fn remove(&self) -> bool {
        self.list.state.lock().waiting.remove(&self.ticket).is_some()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.remove();
    }
}
