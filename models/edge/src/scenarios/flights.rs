//! Bytes of an answer that are under way.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use drystone_edge::flight::Flight;
use drystone_sync::PlainArc;

use crate::task::{spawn, yield_now};

const PIECE: &[u8] = b"piece";
/// Two pieces.
const BYTES_MAX: usize = 2 * PIECE.len();
const PIECES: usize = 4;

/// A piece in memory, for as long as the connection has it.
struct Held(PlainArc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer sends its pieces, and two connections let go of them in any order.
pub async fn no_more_than_a_connection_may_hold_is_under_way() {
    let flight = PlainArc::<Flight>::default();
    let held = PlainArc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..PIECES {
        poll_fn(|context| {
            let has_room = flight.is_below(BYTES_MAX - PIECE.len(), context);
            if has_room { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let before = held.fetch_add(1, Ordering::Relaxed);
        assert!(before < 2, "more is under way than a connection may hold");
        let piece = flight.send(Bytes::from_static(PIECE), Held(PlainArc::clone(&held)));
        connections.push(spawn(async move {
            yield_now().await;
            drop(piece);
        }));
    }
    for connection in connections {
        connection.await.expect("no panic");
    }
    assert_eq!(flight.bytes(), 0, "bytes that have landed are still under way");
}
