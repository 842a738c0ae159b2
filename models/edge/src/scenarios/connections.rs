//! Connections: which are closed for others.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use drystone_edge::connection::{Connection, Watched};
use drystone_edge::deadlines::{Deadlines, SharedDeadlines};
use drystone_edge::eviction::{EvictionOrder, FRESH_MIN, IDLE_MIN};
use drystone_edge::read_size::{ASK_AGAIN_AFTER, NARROW_BYTES, Wide};
use drystone_sync::PlainArc;

use crate::io::{AsyncRead, ReadBuf, Result};
use crate::sync::Notify;
use crate::task::{spawn, yield_now};
use crate::time::{Instant, advance};

fn deadlines() -> PlainArc<SharedDeadlines> {
    PlainArc::new(SharedDeadlines::new(Deadlines::default()))
}

fn open(eviction: &PlainArc<EvictionOrder>) -> PlainArc<Connection> {
    Connection::new(eviction, &deadlines(), &Wide::new(1))
}

/// A socket whose client has always sent more.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let room = buffer.initialize_unfilled().len();
        buffer.advance(room);
        Poll::Ready(Ok(()))
    }
}

/// A connection that reads whatever it may.
struct Reading {
    connection: PlainArc<Connection>,
    socket: Watched<Endless>,
    room: Vec<u8>,
}

impl Reading {
    fn new(wide: &PlainArc<Wide>) -> Self {
        let connection = Connection::new(&PlainArc::default(), &deadlines(), wide);
        let socket = Watched::new(Endless, PlainArc::clone(&connection));
        Self { connection, socket, room: vec![0; NARROW_BYTES + 1] }
    }

    /// Whether the next read may bring as much as there is room for.
    async fn is_wide(&mut self) -> bool {
        let mut buffer = ReadBuf::new(&mut self.room);
        std::future::poll_fn(|context| Pin::new(&mut self.socket).poll_read(context, &mut buffer))
            .await
            .expect("no error");
        buffer.filled().len() > NARROW_BYTES
    }

    /// Reads as much as makes a request a large one; whether it has a wide place by then.
    async fn read_large(&mut self) -> bool {
        for _ in 0..4 {
            assert!(!self.is_wide().await, "it is not large yet");
        }
        self.is_wide().await;
        self.is_wide().await
    }
}

/// A new client asks for a place while a request begins on the connection that has been idle for
/// longest.
pub async fn one_with_a_request_is_not_closed_for_others() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let connection = open(&eviction);
    let (begun, done) = (PlainArc::new(AtomicBool::new(false)), PlainArc::new(Notify::new()));
    let request = spawn({
        let (connection, begun, done) =
            (PlainArc::clone(&connection), PlainArc::clone(&begun), PlainArc::clone(&done));
        async move {
            let active = connection.begin();
            begun.store(true, Ordering::Relaxed);
            for _ in 0..3 {
                yield_now().await;
            }
            begun.store(false, Ordering::Relaxed);
            drop(active);
            done.notify_one();
        }
    });
    let knock = spawn({
        let eviction = PlainArc::clone(&eviction);
        async move { eviction.close_idle() }
    });
    let mut watch = pin!(connection.watch());
    let mut done = pin!(done.notified());
    std::future::poll_fn(|context| {
        let active = begun.load(Ordering::Relaxed);
        if let Poll::Ready(why) = watch.as_mut().poll(context) {
            let still = begun.load(Ordering::Relaxed);
            assert!(!(active && still), "closed with a request under way: {why}");
            return Poll::Ready(());
        }
        done.as_mut().poll(context)
    })
    .await;
    request.await.expect("no panic");
    knock.await.expect("no panic");
}

/// The clock stands still. So the watch of a connection that was chosen has to be woken, or this
/// would wait for ever.
pub async fn one_that_is_chosen_hears_of_it() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let (first, second) = (open(&eviction), open(&eviction));
    advance(FRESH_MIN);
    let watch = spawn({
        let first = PlainArc::clone(&first);
        async move { first.watch().await }
    });
    // A request that comes and goes makes `second` one that has been served.
    let request = spawn({
        let second = PlainArc::clone(&second);
        async move { drop(second.begin()) }
    });
    request.await.expect("no panic");
    assert!(eviction.make_room(Instant::now()), "there was an idle connection");
    watch.await.expect("no panic");
    drop((first, second));
    assert!(!eviction.close_idle(), "a connection that is gone can still be chosen");
}

/// A new client asks for a place while one client is served again and again, and another has sent
/// nothing yet.
pub async fn one_that_is_served_stays_while_another_says_nothing() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let (served, silent) = (open(&eviction), open(&eviction));
    drop(served.begin());
    let requests = spawn({
        let served = PlainArc::clone(&served);
        async move {
            for _ in 0..3 {
                let active = served.begin();
                yield_now().await;
                drop(active);
                yield_now().await;
            }
        }
    });
    let closed = spawn({
        let silent = PlainArc::clone(&silent);
        async move { silent.watch().await }
    });
    let knock = spawn({
        let eviction = PlainArc::clone(&eviction);
        async move {
            let since = Instant::now();
            while !eviction.make_room(since) {
                advance(FRESH_MIN);
                yield_now().await;
            }
        }
    });
    knock.await.expect("no panic");
    requests.await.expect("no panic");
    let mut watch = pin!(served.watch());
    std::future::poll_fn(|context| {
        let closed = watch.as_mut().poll(context);
        assert!(closed.is_pending(), "a client that is served was asked to leave");
        Poll::Ready(())
    })
    .await;
    closed.await.expect("no panic");
}

/// There is one wide place, and it is an idle connection's. A large request asks for it just as
/// that connection gets another request.
pub async fn a_large_request_gets_room_although_the_first_it_asked_has_stayed() {
    let wide = Wide::new(1);
    let (mut first, mut large) = (Reading::new(&wide), Reading::new(&wide));
    let active = first.connection.begin();
    assert!(first.read_large().await, "there was a place");
    drop(active);
    advance(IDLE_MIN);
    let connection = PlainArc::clone(&first.connection);
    let request = spawn(async move {
        let active = connection.begin();
        yield_now().await;
        drop(active);
    });
    let closed = spawn(async move {
        first.connection.watch().await;
        drop(first);
    });
    let _active = large.connection.begin();
    assert!(!large.read_large().await, "the other one has the place");
    request.await.expect("no panic");
    // It has been idle for long enough again, and so has the last question been answered.
    advance(IDLE_MIN.max(ASK_AGAIN_AFTER));
    large.is_wide().await;
    closed.await.expect("no panic");
    large.is_wide().await;
    assert!(large.is_wide().await, "the place is still taken");
}
