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
pub(crate) const IDLE_MIN: Duration = Duration::from_secs(1);
/// So long a new connection is given for its first request.
pub(crate) const FRESH_MIN: Duration = Duration::from_millis(100);
/// So long an upload is given for its first bytes, and a handshake for its end: both need round
/// trips.
pub(crate) const BEGUN_MIN: Duration = Duration::from_millis(500);

/// Everybody who may be asked to leave when all places are taken and somebody knocks.
#[derive(Default)]
pub(crate) struct Crowd {
    /// Connections between two requests.
    pub(crate) idle: PlainArc<Evictable>,
    /// Those that nobody knows yet, before their first request; and those whose last request is
    /// answered and still read.
    pub(crate) fresh: PlainArc<Evictable>,
    /// Uploads of which hardly anything has come, and handshakes.
    pub(crate) begun: PlainArc<Evictable>,
    /// Uploads whose clients send next to nothing.
    pub(crate) slow: PlainArc<Evictable>,
    /// Connections whose clients have not read for long what waits for them.
    pub(crate) stalled: PlainArc<Evictable>,
}

impl Crowd {
    /// Asks somebody to leave for one who waits since then; `false` when nobody can be asked yet.
    ///
    /// Who has been served and has just become idle, as busy clients are between two requests, is
    /// asked last: not before all who were there and had shown nothing when the wait began have
    /// done so or left.
    pub(crate) fn make_room(&self, since: Instant) -> bool {
        let is_decided = |list: &Evictable| !list.has_one_since(since);
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
    pub(crate) fn close_idle(&self) -> bool {
        self.idle.evict(Duration::ZERO) || self.fresh.evict(Duration::ZERO)
    }
}

/// Those who may be asked to leave in favour of others, whoever has been among them for longest
/// first.
#[derive(Default)]
pub(crate) struct Evictable {
    state: Mutex<EvictableState>,
}

#[derive(Default)]
struct EvictableState {
    next: u64,
    waiting: BTreeMap<u64, (Instant, PlainArc<Notify>)>,
}

impl Evictable {
    /// Asks the one to leave who has been here for longest, and for `min` at least; `false` when
    /// there is none.
    pub(crate) fn evict(&self, min: Duration) -> bool {
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
    pub(crate) fn add(self: &PlainArc<Self>, leave: &PlainArc<Notify>) -> Listed {
        let mut state = self.state.lock();
        let ticket = state.next;
        state.next += 1;
        state.waiting.insert(ticket, (Instant::now(), PlainArc::clone(leave)));
        drop(state);
        Listed { list: PlainArc::clone(self), ticket }
    }
}

/// One of those who may be asked to leave, until this is dropped.
pub(crate) struct Listed {
    list: PlainArc<Evictable>,
    ticket: u64,
}

impl Listed {
    /// From now on nobody asks it to leave; `false` when it has been asked already.
    pub(crate) fn withdraw(self) -> bool {
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
