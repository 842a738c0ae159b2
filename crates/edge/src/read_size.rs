//! How much a connection reads from its socket at a time.
//!
//! What hyper has read stays in memory until it is taken: a body that waits for its transfer, the
//! next request of the same connection, the buffer of a connection that has become idle after a
//! large upload. So connections read little at a time, and the plan counts that for each. A request
//! that turns out to be large makes its connection *wide*, if there is a place for one more; the
//! plan counts as many of these as transfers, and each stays so until it is closed, because hyper
//! keeps its buffer. When there is no place, the wide connection that has been idle for longest
//! makes room.

use std::time::Duration;

use drystone_pool::Usage;
use drystone_sync::PlainArc;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::eviction::{EvictionList, IDLE_MIN, Listed};
use crate::semaphore::{Permit, ResizableSemaphore};

/// What one read of a connection may bring, unless it is wide: one byte less than what would make
/// hyper take a larger buffer for the next.
pub const NARROW_BYTES: usize = (8 << 10) - 1;
/// A request that has brought so much is large.
const LARGE_BYTES: u64 = 32 << 10;
/// A connection that was asked to make room may stay, because a request has begun on it since; and
/// another connection may have taken the room that was made.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The places of wide connections.
pub struct Wide {
    places: PlainArc<ResizableSemaphore>,
    /// Those that have no request under way.
    idle: PlainArc<EvictionList>,
}

impl Wide {
    /// With so many places.
    pub fn new(ceiling: usize) -> PlainArc<Self> {
        PlainArc::new(Self { places: ResizableSemaphore::new(ceiling), idle: PlainArc::default() })
    }

    /// A reading.
    pub fn usage(&self) -> Usage {
        self.places.usage()
    }

    /// Another number of places from now on. Idle connections above it are closed.
    pub fn resize(&self, ceiling: usize) {
        self.places.resize(ceiling);
        let surplus = self.places.surplus();
        (0..surplus).take_while(|_| self.idle.evict(Duration::ZERO)).for_each(drop);
    }
}

/// One connection's part in that.
pub(crate) struct Width {
    wide: PlainArc<Wide>,
    place: Option<Permit>,
    /// Among the idle ones.
    listed: Option<Listed>,
    /// What the request under way has brought.
    read_bytes: u64,
    /// The request has waited for a place, which counts once.
    has_waited: bool,
    /// When an idle connection was last asked to make room for it.
    asked: Option<Instant>,
}

impl Width {
    pub(crate) fn new(wide: &PlainArc<Wide>) -> Self {
        let wide = PlainArc::clone(wide);
        Self { wide, place: None, listed: None, read_bytes: 0, has_waited: false, asked: None }
    }

    /// A request begins.
    pub(crate) fn begin(&mut self) {
        (self.read_bytes, self.has_waited, self.asked) = (0, false, None);
        self.listed = None;
    }

    /// The last request has ended; `close` is told when the connection should make room.
    pub(crate) fn rest(&mut self, close: &PlainArc<Notify>) {
        self.listed = self.place.is_some().then(|| self.wide.idle.add(close));
    }

    /// It is not to be closed now.
    pub(crate) fn stay(&mut self) {
        self.listed = None;
    }

    /// The most that the next read may bring; `None`: as much as there is room for. What comes
    /// between two requests is a head, and heads are small.
    pub(crate) fn read_bytes_max(&self, is_active: bool) -> Option<usize> {
        if self.place.is_some() && is_active { None } else { Some(NARROW_BYTES) }
    }

    /// The request under way has brought so much more.
    pub(crate) fn note_read(&mut self, bytes: usize) {
        self.read_bytes += bytes as u64;
        if self.place.is_some() || self.read_bytes < LARGE_BYTES {
            return;
        }
        self.place = self.wide.places.try_take();
        if self.place.is_some() {
            return;
        }
        if !std::mem::replace(&mut self.has_waited, true) {
            self.wide.places.note_wait();
        }
        // Again with every read until there is an idle one: a long upload does not stay narrow
        // because all were busy as it began.
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN_AFTER);
        if is_due && self.wide.idle.evict(IDLE_MIN) {
            self.asked = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::connection::{Connection, Watched};
    use crate::deadlines::Deadlines;
    use crate::deadlines::SharedDeadlines;

    const FOR_OTHERS: &str = "idle for longest while others wait";
    /// As much as hyper offers room for at the most.
    const ROOM: usize = 128 << 10;

    struct Open {
        connection: PlainArc<Connection>,
        socket: Watched<DuplexStream>,
        _client: DuplexStream,
    }

    impl Open {
        /// A connection whose client has sent a lot.
        async fn new(wide: &PlainArc<Wide>) -> Self {
            let (mut client, socket) = tokio::io::duplex(4 << 20);
            client.write_all(&vec![b'x'; 4 << 20]).await.unwrap();
            let deadlines = PlainArc::new(SharedDeadlines::new(Deadlines::default()));
            let connection = Connection::new(&PlainArc::default(), &deadlines, wide);
            let socket = Watched::new(socket, PlainArc::clone(&connection));
            Self { connection, socket, _client: client }
        }

        async fn read(&mut self) -> usize {
            self.socket.read(&mut vec![0; ROOM]).await.unwrap()
        }

        /// Reads until the request under way counts as large.
        async fn read_large(&mut self) {
            for _ in 0..(LARGE_BYTES as usize).div_ceil(NARROW_BYTES) {
                assert_eq!(self.read().await, NARROW_BYTES, "it is not large yet");
            }
        }
    }

    fn paused(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test);
    }

    #[test]
    fn little_is_read_before_a_request_is_large_and_between_requests() {
        paused(async {
            let mut open = Open::new(&Wide::new(1)).await;
            assert_eq!(open.read().await, NARROW_BYTES, "a head");
            let active = open.connection.begin();
            open.read_large().await;
            assert_eq!(open.read().await, ROOM);
            drop(active);
            for _ in 0..9 {
                assert_eq!(open.read().await, NARROW_BYTES, "between two requests");
            }
            let _active = open.connection.begin();
            assert_eq!(
                open.read().await,
                ROOM,
                "it keeps its place, because hyper keeps its buffer"
            );
        });
    }

    #[test]
    fn without_a_place_it_stays_narrow_until_an_idle_one_has_made_room() {
        paused(async {
            let wide = Wide::new(1);
            let (mut first, mut second) = (Open::new(&wide).await, Open::new(&wide).await);
            let active = first.connection.begin();
            first.read_large().await;
            let _active = second.connection.begin();
            second.read_large().await;
            assert_eq!(
                second.read().await,
                NARROW_BYTES,
                "the first one has the place, and is busy"
            );
            drop(active);
            assert_eq!(
                second.read().await,
                NARROW_BYTES,
                "one that has just become idle is likely to be used again"
            );
            tokio::time::advance(IDLE_MIN).await;
            assert_eq!(second.read().await, NARROW_BYTES, "the other is asked, and not closed yet");
            assert_eq!(first.connection.watch().await, FOR_OTHERS);
            assert_eq!(second.read().await, NARROW_BYTES);
            drop(first);
            assert_eq!(second.read().await, NARROW_BYTES);
            assert_eq!(second.read().await, ROOM);
            assert_eq!((wide.usage().now, wide.usage().waits), (1, 1));
        });
    }

    #[test]
    fn fewer_places_close_idle_ones() {
        paused(async {
            let wide = Wide::new(2);
            let (mut idle, mut busy) = (Open::new(&wide).await, Open::new(&wide).await);
            let active = idle.connection.begin();
            idle.read_large().await;
            drop(active);
            let _active = busy.connection.begin();
            busy.read_large().await;
            wide.resize(1);
            assert_eq!(idle.connection.watch().await, FOR_OTHERS);
            drop(idle);
            assert_eq!((wide.usage().now, busy.read().await), (1, ROOM));
        });
    }
}
