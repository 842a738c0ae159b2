//! Bodies of requests: bounded on their way into s3s, and with a reason when they fail on their way
//! out of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use drystone_edge::fault::Fault;
use drystone_sync::{Mutex, PlainArc};
use futures_util::{Stream, StreamExt as _};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use s3s::dto::StreamingBlob;
use s3s::{Body, S3Error};

use super::bad_body::Bad;
use super::errors::invalid;
use super::framing::Framing;
use crate::request_body::RequestBody;

/// What the signature says of a body that comes in frames begins so.
const CHUNKS: &[u8] = b"STREAMING-";
/// The one whose frames are not signed.
const UNSIGNED_CHUNKS: &[u8] = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Why a request's body has failed; goes with the request. s3s keeps no more of an error of a body
/// than its text. So the guard in front of s3s leaves its reason here, and what reads the body
/// behind s3s takes it from here.
pub(super) struct Failure {
    /// The guard's own reason.
    own: Mutex<Option<Bad>>,
    /// The reason when a body fails that the guard has let through: s3s has looked at what it looks
    /// at itself.
    of_s3s: Bad,
}

impl Failure {
    /// Of a request with these headers.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let of_s3s = match payload(headers) {
            UNSIGNED_CHUNKS => Bad::Unreadable,
            chunks if chunks.starts_with(CHUNKS) => Bad::Signature,
            _ => Bad::Digest,
        };
        Self { own: Mutex::new(None), of_s3s }
    }

    /// Why the body failed.
    fn reason(&self) -> Bad {
        self.own.lock().unwrap_or(self.of_s3s)
    }
}

/// A body on its way into s3s.
struct Guarded {
    incoming: RequestBody,
    framing: Option<Framing>,
    /// What the frames must hold in all.
    decoded_len: Option<u64>,
    /// Looked at and not yet passed on.
    out: VecDeque<Bytes>,
    failure: PlainArc<Failure>,
    ended: bool,
}

/// The length of a body that comes in frames, as its client has announced it.
///
/// # Errors
/// If it is no number, or is said twice.
pub(super) fn decoded_len(headers: &HeaderMap) -> Result<Option<u64>, S3Error> {
    const NAME: &str = "x-amz-decoded-content-length";
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    let len = text.filter(|_| values.next().is_none()).and_then(|text| text.parse().ok());
    len.map(Some).ok_or_else(|| invalid(format!("the header {NAME} must be one number of bytes")))
}

/// Whether a body comes in frames.
pub(super) fn is_framed(headers: &HeaderMap) -> bool {
    payload(headers).starts_with(CHUNKS)
}

/// How a body comes, in the words of its signature.
fn payload(headers: &HeaderMap) -> &[u8] {
    headers.get("x-amz-content-sha256").map_or(b"", http::HeaderValue::as_bytes)
}

/// Puts a guard before a request's body.
pub(super) fn guard(
    headers: &HeaderMap,
    incoming: RequestBody,
    failure: &PlainArc<Failure>,
) -> Body {
    if incoming.is_end_stream() {
        return Body::empty();
    }
    let framing = is_framed(headers).then(|| Framing::new(payload(headers) != UNSIGNED_CHUNKS));
    // Where it is wrong the operation refuses it.
    let decoded_len = decoded_len(headers).ok().flatten();
    Body::http_body(Guarded {
        incoming,
        framing,
        decoded_len,
        out: VecDeque::new(),
        failure: PlainArc::clone(failure),
        ended: false,
    })
}

impl Guarded {
    fn fail(&mut self, bad: Bad) -> Poll<Option<Result<Frame<Bytes>, Bad>>> {
        self.failure.own.lock().get_or_insert(bad);
        self.ended = true;
        self.out.clear();
        Poll::Ready(Some(Err(bad)))
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), Bad> {
        let Some(framing) = &mut self.framing else {
            self.out.push_back(bytes);
            return Ok(());
        };
        framing.pass(bytes, &mut self.out)?;
        // Not read to its end, which may be far away.
        if self.decoded_len.is_some_and(|len| framing.decoded() > len) {
            return Err(Bad::Length);
        }
        Ok(())
    }

    /// What is left to look at when all has come.
    fn finish(&self) -> Result<(), Bad> {
        let Some(framing) = &self.framing else { return Ok(()) };
        if !framing.is_complete() {
            return Err(Bad::Early);
        }
        if self.decoded_len.is_some_and(|len| framing.decoded() != len) {
            return Err(Bad::Length);
        }
        Ok(())
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Bad;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Bad>>> {
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { return self.fail(Bad::Trailers) };
                    if let Err(bad) = self.take(bytes) {
                        return self.fail(bad);
                    }
                }
                Some(Err(_)) => return self.fail(Bad::Broken),
                None => {
                    if let Err(bad) = self.finish() {
                        return self.fail(bad);
                    }
                    self.ended = true;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.out.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // Cut chunks are longer; s3s reads the announced length where it matters.
        if self.framing.is_none() { self.incoming.size_hint() } else { SizeHint::default() }
    }
}

/// A body on its way out of s3s, with its reason if it fails.
pub(super) fn stream(
    body: Option<StreamingBlob>,
    failure: PlainArc<Failure>,
) -> impl Stream<Item = Result<Bytes, Fault>> {
    let body = body.unwrap_or_else(|| StreamingBlob::from(Body::empty()));
    body.map(move |piece| piece.map_err(|_| Fault::bad_body(failure.reason())))
}
