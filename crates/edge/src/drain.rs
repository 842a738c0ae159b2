//! What is left of a request's body when its answer is known.
//!
//! A connection that is closed while it has bytes that the server has not read is reset, and a
//! client that is still sending may never see its answer. So the rest of a body that is not wanted
//! any more is read all the same: not much of it, not for long, and only while no other client
//! wants the connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use drystone_sync::{Mutex, PlainArc};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::Notify;

use crate::admission::Admission;

const BYTES_MAX: usize = 8 << 20;
const TIME_MAX: Duration = Duration::from_secs(2);

/// Gets back what is left of a body.
pub struct Unread<B> {
    left: Mutex<Option<Left<B>>>,
}

struct Left<B> {
    incoming: B,
    /// The face has begun to read it: a client that waits for `100 Continue` has got it.
    is_begun: bool,
}

impl<B> Default for Unread<B> {
    fn default() -> Self {
        Self { left: Mutex::new(None) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Unread<B> {
    /// The body, for the face that answers the request.
    pub fn lend(self: &PlainArc<Self>, incoming: B) -> RequestBody<B> {
        RequestBody { incoming: Some(incoming), is_begun: false, unread: PlainArc::clone(self) }
    }

    /// Whether there is a body that the face has not begun to read.
    pub fn is_untouched(&self) -> bool {
        self.left.lock().as_ref().is_some_and(|left| !left.is_begun)
    }

    /// Reads what is left; whether it came to its end.
    pub async fn drain(&self, admission: &Admission) -> bool {
        let Some(Left { mut incoming, .. }) = self.left.lock().take() else { return true };
        let drain = async {
            let mut bytes = 0;
            while bytes <= BYTES_MAX {
                match incoming.frame().await {
                    None => return true,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                }
            }
            false
        };
        let leave = PlainArc::new(Notify::new());
        let _listed = admission.eviction.fresh.add(&leave);
        tokio::select! {
            drained = tokio::time::timeout(TIME_MAX, drain) => drained.unwrap_or(false),
            () = leave.notified() => false,
        }
    }
}

/// A request's body. What is not read of it when this is dropped is left.
pub struct RequestBody<B: Body<Data = Bytes> + Unpin> {
    /// `None` when it has come to its end.
    incoming: Option<B>,
    is_begun: bool,
    unread: PlainArc<Unread<B>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.is_begun = true;
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(context));
        if frame.is_none() {
            // With chunks it does not know of its end itself.
            self.incoming = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) {
            *self.unread.left.lock() = Some(Left { incoming, is_begun: self.is_begun });
        }
    }
}
