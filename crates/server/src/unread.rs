//! What is left of a request's body when its answer is known.
//!
//! A connection that is closed while there are bytes in it that nobody has read is reset, and a client that is still sending may never
//! see its answer. So what nobody wants any more is read all the same: not much of it, not for long, and only while nobody else
//! wants the connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use drystone_sync::{Mutex, PlainArc};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::connection::Crowd;

const BYTES_MAX: usize = 8 << 20;
const TIME_MAX: Duration = Duration::from_secs(2);

/// Gets back what is left of a body.
#[derive(Default)]
pub(crate) struct Unread {
    left: Mutex<Option<Incoming>>,
}

impl Unread {
    /// The body, for whoever answers the request.
    pub(crate) fn lend(self: &PlainArc<Self>, incoming: Incoming) -> RequestBody {
        RequestBody { incoming: Some(incoming), unread: PlainArc::clone(self) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.lock().is_none()
    }

    /// Reads what is left; whether it came to its end.
    pub(crate) async fn drain(&self, crowd: &Crowd) -> bool {
        let Some(mut left) = self.left.lock().take() else { return true };
        let drain = async {
            let mut bytes = 0;
            while bytes <= BYTES_MAX {
                match left.frame().await {
                    None => return true,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                }
            }
            false
        };
        let leave = PlainArc::new(Notify::new());
        let _listed = crowd.fresh.add(&leave);
        tokio::select! {
            drained = tokio::time::timeout(TIME_MAX, drain) => drained.unwrap_or(false),
            () = leave.notified() => false,
        }
    }
}

/// A request's body. What is not read of it when this is dropped is left.
pub(crate) struct RequestBody {
    /// Taken when this is dropped.
    incoming: Option<Incoming>,
    unread: PlainArc<Unread>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let left = self.incoming.take().filter(|incoming| !incoming.is_end_stream());
        if left.is_some() {
            *self.unread.left.lock() = left;
        }
    }
}
