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
/// A new connection has this long for its first request.
pub const FRESH_MIN: Duration = Duration::from_millis(100);
/// An upload has this long for its first bytes, and a handshake for its end: both need round trips.
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
    /// Connections before their first request, of which nothing is known yet; and those whose last
    /// answer is made and still read.
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
    /// Asks one connection to leave for a client that has waited since then. Returns `false` when
    /// none can be asked yet.
    ///
    /// A connection that has been served and has just become idle is asked last: busy clients have
    /// such connections between two requests. It is not asked before every connection that was
    /// there when the wait began, and had sent no request or read nothing, has done so or left.
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

    /// Waits for what a client sends. The client's connection may be asked to make way when that
    /// takes long.
    ///
    /// # Errors
    /// [`Fault::MadeWay`] when the connection has been asked.
    pub async fn hurry<T>(&self, wait: impl Future<Output = T>) -> Result<T, Fault> {
        let leave = PlainArc::new(Notify::new());
        let listed = self.begun.add(&leave);
        let came = tokio::select! {
            came = wait => came,
            () = leave.notified() => return Err(Fault::MadeWay),
        };
        // The connection may have been asked in the moment in which the bytes came.
        if listed.withdraw() { Ok(came) } else { Err(Fault::MadeWay) }
    }

    /// A body, each piece of which is waited for like this.
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

    /// Asks a connection without a request to leave, even if it has just come.
    pub fn close_idle(&self) -> bool {
        self.idle.evict(Duration::ZERO) || self.fresh.evict(Duration::ZERO)
    }
}

/// Connections or uploads that may be asked to leave for others, all for the same reason. The one
/// for which the reason has held for longest comes first.
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
    /// Asks the connection to leave that has been in this list for longest, and for `min` at least.
    /// Returns `false` when there is none.
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

    /// Whether a connection has been in this list since then, or for longer.
    fn has_one_since(&self, then: Instant) -> bool {
        self.state.lock().waiting.first_key_value().is_some_and(|(_, (since, _))| *since <= then)
    }

    /// From now on the connection may be asked to leave. `leave` tells it.
    pub fn add(self: &PlainArc<Self>, leave: &PlainArc<Notify>) -> Listed {
        let mut state = self.state.lock();
        let ticket = state.next;
        state.next += 1;
        state.waiting.insert(ticket, (Instant::now(), PlainArc::clone(leave)));
        drop(state);
        Listed { list: PlainArc::clone(self), ticket }
    }
}

/// A place in a list: until this is dropped, its connection may be asked to leave.
pub struct Listed {
    list: PlainArc<EvictionList>,
    ticket: u64,
}

impl Listed {
    /// From now on the connection is not asked to leave; `false` when it has been asked already.
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
