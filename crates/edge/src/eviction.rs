//! Which connection is closed when all are taken and another client connects.
//!
//! It is the one that has been idle for longest, that of an upload whose client sends next to
//! nothing, one whose client has not shown yet what it wants, or one whose client does not read. A
//! thousand idle clients, or slow ones, cannot lock the others out, nor take the connections of
//! those that are served.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use drystone_sync::{Mutex, PlainArc};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fault::Fault;

/// A connection that has been idle for less is likely to be used again at once.
pub const IDLE_MIN: Duration = Duration::from_secs(1);
/// So long a new connection is given for its first request.
pub const FRESH_MIN: Duration = Duration::from_millis(100);
/// So long an upload is given for its first bytes, and a handshake for its end: both need round
/// trips.
pub const BEGUN_MIN: Duration = Duration::from_millis(500);
/// A connection that is served makes way when for so long no other one has ended or could be asked:
/// then all of them are busy, and their clients take turns. Not sooner, because its client loses
/// more than the connection: when it comes back it stands behind all that wait.
pub const SERVED_MIN: Duration = Duration::from_secs(10);
/// So long each client waits then.
pub const SERVED_NEXT_MIN: Duration = Duration::from_millis(500);
/// A client that has read nothing for so long, although there is something, may lose its connection
/// to others. The kernel says that there is room again only when a good part of a buffer has gone,
/// so a client with a slow line looks like one that does not read. While there are connections for
/// all, neither loses its own; when there are not, the one that has read nothing for longest makes
/// way, and not one that is served.
pub const UNREAD_MIN: Duration = Duration::from_millis(500);

/// The connections and uploads that may be asked to leave, by the reason.
#[derive(Default)]
pub struct EvictionOrder {
    /// Connections between two requests.
    pub idle: PlainArc<EvictionList>,
    /// Those that nobody knows yet, before their first request; and those whose last request is
    /// answered and still read.
    pub fresh: PlainArc<EvictionList>,
    /// Uploads of which hardly anything has come, handshakes, and documents and forms whose next
    /// piece is waited for.
    pub begun: PlainArc<EvictionList>,
    /// Uploads whose clients send next to nothing.
    pub slow: PlainArc<EvictionList>,
    /// Connections whose clients do not read what waits for them.
    pub unread: PlainArc<EvictionList>,
    /// Since when all connections are busy ones. A leaf.
    all_busy_since: Mutex<Option<Instant>>,
}

impl EvictionOrder {
    /// Asks one connection to leave for a client that waits since then; `false` when none can be
    /// asked yet.
    ///
    /// A connection that has been served and has just become idle, as those of busy clients are
    /// between two requests, is asked last: not before all that were there when the wait began, and
    /// had shown nothing or read nothing, have done so or left.
    pub fn make_room(&self, since: Instant) -> bool {
        let is_other_asked = self.idle.evict(IDLE_MIN)
            || self.slow.evict(Duration::ZERO)
            || self.fresh.evict(FRESH_MIN)
            || self.begun.evict(BEGUN_MIN)
            || self.unread.evict(UNREAD_MIN);
        if is_other_asked {
            self.note_room();
            return true;
        }
        let all_busy_since = *self.all_busy_since.lock().get_or_insert_with(Instant::now);
        let is_decided = |list: &EvictionList| !list.has_one_since(since);
        all_busy_since.elapsed() >= SERVED_MIN
            && since.elapsed() >= SERVED_NEXT_MIN
            && is_decided(&self.fresh)
            && is_decided(&self.begun)
            && is_decided(&self.unread)
            && self.idle.evict(Duration::ZERO)
    }

    /// A client got a connection for which no busy one had to make way.
    pub fn note_room(&self) {
        *self.all_busy_since.lock() = None;
    }

    /// Waits for a client, whose connection may be asked to make way when that takes long.
    ///
    /// # Errors
    /// [`Fault::MadeWay`] when it has been.
    pub async fn hurry<T>(&self, wait: impl Future<Output = T>) -> Result<T, Fault> {
        let leave = PlainArc::new(Notify::new());
        let listed = self.begun.add(&leave);
        let came = tokio::select! {
            came = wait => came,
            () = leave.notified() => return Err(Fault::MadeWay),
        };
        // The choice may have been made in the moment in which it came.
        if listed.withdraw() { Ok(came) } else { Err(Fault::MadeWay) }
    }

    /// A body that is received while its client is waited for like this.
    pub fn hurried(
        self: &PlainArc<Self>,
        body: impl Stream<Item = Result<Bytes, Fault>> + Send + Unpin + 'static,
    ) -> BoxStream<'static, Result<Bytes, Fault>> {
        let order = PlainArc::clone(self);
        let next = move |body: Option<_>| {
            let order = PlainArc::clone(&order);
            async move {
                let mut body = body?;
                match order.hurry(StreamExt::next(&mut body)).await {
                    Ok(next) => next.map(|piece| (piece, Some(body))),
                    Err(fault) => Some((Err(fault), None)),
                }
            }
        };
        stream::unfold(Some(body), next).boxed()
    }

    /// Asks a connection to leave that has no request, however short it has been there.
    pub fn close_idle(&self) -> bool {
        self.idle.evict(Duration::ZERO) || self.fresh.evict(Duration::ZERO)
    }
}

/// Connections or uploads that may be asked to leave in favour of others, for one reason; first the
/// one for which it has held for longest.
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
