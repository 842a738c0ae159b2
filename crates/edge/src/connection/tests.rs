//! Which connections are closed for others, and when.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::deadlines::Deadlines;
use crate::eviction::{BEGUN_MIN, FRESH_MIN, IDLE_MIN, SERVED_MIN, SERVED_NEXT_MIN, UNREAD_MIN};
use crate::read_size::Wide;

fn open(eviction: &PlainArc<EvictionOrder>) -> PlainArc<Connection> {
    let deadlines = PlainArc::new(SharedDeadlines::new(Deadlines::default()));
    Connection::new(eviction, &deadlines, &Wide::new(1))
}

async fn is_asked(connection: &Connection) -> bool {
    tokio::time::timeout(Duration::from_millis(1), connection.watch()).await.is_ok()
}

/// The connections are served again and again for this time, so that none is idle for [`IDLE_MIN`].
async fn keep_busy(connections: &[&PlainArc<Connection>], time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        tokio::time::advance(IDLE_MIN / 2).await;
        connections.iter().for_each(|connection| drop(connection.begin()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_first() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let room = || eviction.make_room(Instant::now());
    assert!(!room(), "there is no connection");
    let (silent, served, resting) = (open(&eviction), open(&eviction), open(&eviction));
    drop(resting.begin());
    tokio::time::advance(IDLE_MIN).await;
    drop(served.begin());
    let leave = PlainArc::new(Notify::new());
    let (begun, slow) = (eviction.begun.add(&leave), eviction.slow.add(&leave));
    assert!(room() && is_asked(&resting).await, "one that has been idle for a while");
    assert!(room() && !slow.withdraw(), "an upload that is slow");
    assert!(room() && is_asked(&silent).await, "one that has said nothing for a while");
    assert!(
        !room(),
        "an upload that has just begun may be slow, and one that is served waits for that"
    );
    tokio::time::advance(BEGUN_MIN).await;
    assert!(room() && !begun.withdraw());
    let since = Instant::now();
    assert!(!room(), "others may end, or show that they are slow");
    keep_busy(&[&served], SERVED_MIN).await;
    let new = open(&eviction);
    assert!(!room());
    assert!(eviction.make_room(since) && is_asked(&served).await, "not for those that came later");
    assert!(!eviction.make_room(since));
    tokio::time::advance(FRESH_MIN).await;
    assert!(room() && is_asked(&new).await);
    assert!(!room());
}

#[tokio::test(start_paused = true)]
async fn among_busy_clients_none_waits() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let since = Instant::now();
    let room = || eviction.make_room(since);
    let (first, second) = (open(&eviction), open(&eviction));
    keep_busy(&[&first, &second], IDLE_MIN).await;
    assert!(!room(), "only from now on it is known that all are busy");
    keep_busy(&[&first, &second], SERVED_MIN).await;
    let active = second.begin();
    assert!(room() && is_asked(&first).await);
    assert!(!room(), "the other one has a request");
    drop(active);
    let next = Instant::now();
    assert!(!eviction.make_room(next), "each client waits for a moment");
    tokio::time::advance(SERVED_NEXT_MIN).await;
    assert!(eviction.make_room(next) && is_asked(&second).await);
}

#[tokio::test(start_paused = true)]
async fn a_busy_one_stays_when_there_has_been_room() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let since = Instant::now();
    let busy = open(&eviction);
    drop(busy.begin());
    assert!(!eviction.make_room(since));
    keep_busy(&[&busy], SERVED_MIN / 2).await;
    eviction.note_room();
    assert!(!eviction.make_room(since));
    keep_busy(&[&busy], SERVED_MIN / 2).await;
    assert!(!eviction.make_room(since), "another connection ended meanwhile");
    keep_busy(&[&busy], SERVED_MIN / 2).await;
    assert!(eviction.make_room(since) && is_asked(&busy).await);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_something_left_to_send_is_not_idle() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let (mut client, socket) = tokio::io::duplex(8);
    let connection = open(&eviction);
    let mut socket = Watched::new(socket, PlainArc::clone(&connection));
    // As with hyper: the response is gone before its last bytes.
    drop(connection.begin());
    let sent = tokio::time::timeout(UNREAD_MIN / 4, socket.write_all(&[b'x'; 64])).await;
    assert!(sent.is_err(), "the client does not read");
    tokio::time::advance(UNREAD_MIN / 4).await;
    assert!(!eviction.make_room(Instant::now()) && !eviction.close_idle());
    client.read_exact(&mut [0; 8]).await.unwrap();
    socket.write_all(b"x").await.unwrap();
    tokio::time::advance(IDLE_MIN).await;
    assert!(eviction.make_room(Instant::now()) && is_asked(&connection).await);
}

/// Takes everything and passes nothing on, as TLS may, until it is told to.
struct Keeps(bool);

impl AsyncWrite for Keeps {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_and_not_passed_on_is_left_to_send() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let connection = open(&eviction);
    let mut socket = Watched::new(Keeps(true), PlainArc::clone(&connection));
    drop(connection.begin());
    socket.write_all(b"the end of a response").await.unwrap();
    assert!(tokio::time::timeout(UNREAD_MIN / 2, socket.flush()).await.is_err());
    assert!(!eviction.make_room(Instant::now()) && !eviction.close_idle());
    socket.socket.0 = false;
    socket.flush().await.unwrap();
    tokio::time::advance(IDLE_MIN).await;
    assert!(eviction.make_room(Instant::now()) && is_asked(&connection).await);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_read_makes_way_with_its_request_before_one_that_is_served() {
    let eviction = PlainArc::new(EvictionOrder::default());
    let (mut client, socket) = tokio::io::duplex(8);
    let (connection, served) = (open(&eviction), open(&eviction));
    let mut socket = Watched::new(socket, PlainArc::clone(&connection));
    let _active = connection.begin();
    drop(served.begin());
    let since = Instant::now();
    assert!(!eviction.make_room(since));
    keep_busy(&[&served], SERVED_MIN - UNREAD_MIN).await;
    let stall = async |socket: &mut Watched<_>, time: Duration| {
        let mut send = std::pin::pin!(socket.write_all(&[b'x'; 64]));
        let both =
            async { tokio::join!(tokio::time::timeout(time, &mut send), connection.watch()) };
        assert!(
            tokio::time::timeout(time, both).await.is_err(),
            "no other connection waits for it"
        );
    };
    stall(&mut socket, UNREAD_MIN / 2).await;
    assert!(!eviction.make_room(since), "neither has shown what it is, or both are served");
    client.read_exact(&mut [0; 8]).await.unwrap();
    socket.write_all(b"x").await.unwrap();
    stall(&mut socket, UNREAD_MIN / 2).await;
    assert!(eviction.make_room(since) && is_asked(&served).await, "the other one reads");
    stall(&mut socket, UNREAD_MIN).await;
    assert!(eviction.make_room(since) && is_asked(&connection).await);
}
