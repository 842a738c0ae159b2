//! Bytes of an answer that its connection has taken and not sent yet.
//!
//! A connection keeps what it is given until the client reads. So an answer gives it little at a
//! time, and waits until that is gone: a client that reads slowly holds so much memory and no more.

use bytes::Bytes;
use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicUsize, Ordering};
use futures_util::task::AtomicWaker;
use std::task::Context;

/// The bytes of one answer that are under way.
#[derive(Default)]
pub struct Flight {
    bytes: AtomicUsize,
    landed: AtomicWaker,
}

/// A piece that the connection has. When the connection drops it, first its memory and its permits
/// are freed, and then it is counted out. So more is never held than is counted.
struct Piece<P> {
    bytes: Bytes,
    flight: PlainArc<Flight>,
    /// `None` when it has been given back.
    paid: Option<P>,
}

impl Flight {
    /// Bytes under way.
    pub fn bytes(&self) -> usize {
        // Pairs with the release of a piece: what comes after it sees memory that is free.
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether at most `bytes_max` are under way. If not, the task is woken when that changes.
    pub fn is_below(&self, bytes_max: usize, context: &mut Context<'_>) -> bool {
        if self.bytes() <= bytes_max {
            return true;
        }
        self.landed.register(context.waker());
        // Once more: the last piece may have landed before the waker was there.
        self.bytes() <= bytes_max
    }

    /// Hands bytes to the connection. Their permits are held until the connection has dropped them.
    pub fn send<P: Send + 'static>(self: &PlainArc<Self>, bytes: Bytes, paid: P) -> Bytes {
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Piece { bytes, flight: PlainArc::clone(self), paid: Some(paid) })
    }
}

impl<P> AsRef<[u8]> for Piece<P> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<P> Drop for Piece<P> {
    fn drop(&mut self) {
        let len = std::mem::take(&mut self.bytes).len();
        self.paid = None;
        self.flight.bytes.fetch_sub(len, Ordering::Release);
        self.flight.landed.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    async fn is_below(flight: &Flight, bytes_max: usize) {
        poll_fn(
            |context| {
                if flight.is_below(bytes_max, context) { Poll::Ready(()) } else { Poll::Pending }
            },
        )
        .await;
    }

    #[tokio::test]
    async fn an_answer_waits_until_its_pieces_have_landed() {
        let flight = PlainArc::<Flight>::default();
        let permit = PlainArc::new(());
        let one = flight.send(Bytes::from_static(b"one"), PlainArc::clone(&permit));
        let three = flight.send(Bytes::from_static(b"three"), ());
        assert_eq!((flight.bytes(), &one[..], &three[..]), (8, &b"one"[..], &b"three"[..]));
        is_below(&flight, 8).await;
        let waiting = tokio::spawn({
            let flight = PlainArc::clone(&flight);
            async move { is_below(&flight, 3).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        // A part of a piece is all of it: the memory is one.
        let part = three.slice(1..2);
        drop(three);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(part);
        waiting.await.unwrap();
        assert_eq!(PlainArc::strong_count(&permit), 2);
        drop(one);
        assert_eq!((flight.bytes(), PlainArc::strong_count(&permit)), (0, 1));
    }
}
