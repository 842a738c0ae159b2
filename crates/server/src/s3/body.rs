//! Bodies of requests: bounded on their way into s3s, and with a reason when they fail on their way
//! out of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use drystone_edge::document::Refused;
use drystone_edge::fault::Fault;
use drystone_sync::{Mutex, PlainArc};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;
use s3s::dto::StreamingBlob;
use s3s::{Body, S3Error, S3ErrorCode};

use super::DOCUMENT_BYTES_MAX;
use super::document_tables::Element;
use super::documents::{self, BadDocument};
use super::errors::{custom, error, fault, invalid};
use super::framing::{BadFraming, Framing};
use super::operations::{Operation, Takes};
use crate::digest::{Algorithm, Digests, Expected};
use crate::request_body::RequestBody;

/// Elements in a document, opened or closed. In memory an empty one is twenty times as large as on
/// the wire; 10,000 parts with number, tag and checksum are 80,000.
const ELEMENTS_MAX: usize = 81_000;

/// Why a body came to a bad end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Bad {
    #[error(transparent)]
    Framing(#[from] BadFraming),
    #[error("the body ended early")]
    Early,
    #[error("the connection broke")]
    Broken,
    #[error("the document did not come in time")]
    Late,
    #[error("the document has more than {ELEMENTS_MAX} tags")]
    Elements,
    #[error(transparent)]
    Document(#[from] BadDocument),
    #[error("the document has more than {DOCUMENT_BYTES_MAX} bytes")]
    Long,
    #[error("the {0} that was given does not match the document: nothing was done")]
    Sum(&'static str),
    #[error("the payload's SHA-256 is not the one that was signed")]
    Digest,
    #[error("the signature of a chunk or of the trailers is wrong")]
    Signature,
    #[error("the body is longer or shorter than announced")]
    Length,
    /// Those of S3 are inside the frames of the body.
    #[error("a body has no trailers of HTTP here, and what they say is not looked at")]
    Trailers,
    #[error("the chunks or the trailers of the body cannot be read")]
    Unreadable,
    #[error("the file is larger than the form's policy allows")]
    TooLarge,
    #[error("the file is smaller than the form's policy allows")]
    TooSmall,
}

impl Bad {
    fn refusal(self) -> S3Error {
        let message = self.to_string();
        let code = match self {
            Self::Early | Self::Broken | Self::Length => S3ErrorCode::IncompleteBody,
            Self::Late => S3ErrorCode::RequestTimeout,
            Self::Document(BadDocument::Unsupported(_)) => S3ErrorCode::NotImplemented,
            Self::Elements | Self::Document(_) => S3ErrorCode::MalformedXML,
            Self::Long => S3ErrorCode::MaxMessageLengthExceeded,
            Self::Signature => S3ErrorCode::SignatureDoesNotMatch,
            Self::TooLarge => S3ErrorCode::EntityTooLarge,
            Self::TooSmall => S3ErrorCode::EntityTooSmall,
            Self::Sum(_) => S3ErrorCode::BadDigest,
            Self::Digest => {
                return custom("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message);
            }
            Self::Framing(BadFraming::TooLarge) => {
                return custom("InvalidChunkSizeError", StatusCode::BAD_REQUEST, message);
            }
            Self::Framing(_) | Self::Unreadable | Self::Trailers => S3ErrorCode::InvalidRequest,
        };
        error(code, message)
    }

    /// s3s tells its own reasons by their texts only.
    fn of(text: &str) -> Self {
        let reasons = [
            ("Sha256Mismatch", Self::Digest),
            ("SignatureMismatch", Self::Signature),
            ("LengthMismatch", Self::Length),
            ("Incomplete", Self::Early),
        ];
        reasons
            .iter()
            .find(|(word, _)| text.contains(word))
            .map_or(Self::Unreadable, |(_, bad)| *bad)
    }
}

/// What is known of a request's body beside its bytes; goes with the request.
#[derive(Default)]
pub(super) struct Notes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The body is this document.
    document: Option<&'static Element>,
    /// The first reason why the body failed.
    bad: Option<Bad>,
}

impl Notes {
    /// From here on the body counts as this document.
    pub(super) fn is_document(&self, document: &'static Element) {
        self.state.lock().document = Some(document);
    }

    /// Why the body failed, if it did.
    pub(super) fn refusal(&self) -> Option<S3Error> {
        self.state.lock().bad.map(Bad::refusal)
    }

    /// Notes a reason, unless there is an earlier one; returns the earlier of both.
    fn note(&self, bad: Bad) -> Bad {
        *self.state.lock().bad.get_or_insert(bad)
    }

    fn document(&self) -> Option<&'static Element> {
        self.state.lock().document
    }

    /// Says what has become of an upload: the body's own reason is better than what followed from
    /// it.
    pub(super) fn explain(&self, refused: Fault) -> S3Error {
        match (&refused, self.refusal()) {
            (Fault::BadBody(_), Some(reason)) => reason,
            _ => fault(refused),
        }
    }
}

/// Where a body comes from.
pub(super) enum Source {
    Request(RequestBody),
    /// A document that is here already.
    Document(Full<Bytes>),
}

impl Source {
    pub(super) fn document(bytes: Bytes) -> Self {
        Self::Document(Full::new(bytes))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Request(body) => body.is_end_stream(),
            Self::Document(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Request(body) => body.size_hint(),
            Self::Document(body) => body.size_hint(),
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Bad>>> {
        match self {
            Self::Request(body) => Pin::new(body).poll_frame(context).map_err(|_| Bad::Broken),
            Self::Document(body) => {
                Pin::new(body).poll_frame(context).map_err(|never| match never {})
            }
        }
    }
}

/// Why a document did not come, in the words of S3.
pub(super) fn refusal_of_document(refused: Refused) -> S3Error {
    match refused {
        Refused::Long => Bad::Long.refusal(),
        Refused::Late => Bad::Late.refusal(),
        Refused::Broken => Bad::Broken.refusal(),
        Refused::Trailers => Bad::Trailers.refusal(),
        Refused::Fault(refused) => fault(refused),
    }
}

/// A body on its way into s3s.
struct Guarded {
    incoming: Source,
    framing: Option<Framing>,
    /// What the frames must hold in all.
    decoded_len: Option<u64>,
    /// What has come of a document: it goes on when all of it has been looked at.
    document: BytesMut,
    /// Looked at and not yet passed on.
    out: VecDeque<Bytes>,
    notes: PlainArc<Notes>,
    /// A document's checksums, until they are compared.
    sums: Option<Sums>,
    elements: usize,
    ended: bool,
}

/// Checksums that are computed and those that were promised.
struct Sums {
    digests: Digests,
    expected: Expected,
}

impl Sums {
    /// Of a document, if it was promised any: its operation does not look at the bytes again.
    fn of(operation: &Operation, headers: &HeaderMap) -> Result<Option<Self>, S3Error> {
        let expected = match operation.takes {
            Takes::Document => Expected::read(headers, Algorithm::ALL).map_err(fault)?,
            Takes::Completion => Expected::read(headers, [Algorithm::Md5]).map_err(fault)?,
            Takes::Nothing | Takes::Bytes | Takes::Form => return Ok(None),
        };
        let digests = Digests::new(expected.algorithms());
        Ok((!expected.is_empty()).then_some(Self { digests, expected }))
    }

    fn check(self) -> Result<(), Bad> {
        match self.digests.finish().check(&self.expected) {
            Err(Fault::BadDigest(name)) => Err(Bad::Sum(name)),
            Err(_) => Err(Bad::Unreadable),
            Ok(()) => Ok(()),
        }
    }
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
    let payload = headers.get("x-amz-content-sha256");
    payload.is_some_and(|payload| payload.as_bytes().starts_with(b"STREAMING-"))
}

/// Puts a guard before a request's body.
pub(super) fn guard(
    operation: &Operation,
    headers: &HeaderMap,
    incoming: Source,
    notes: &PlainArc<Notes>,
) -> Result<Body, S3Error> {
    let sums = Sums::of(operation, headers)?;
    if incoming.is_end_stream() {
        sums.map_or(Ok(()), Sums::check).map_err(Bad::refusal)?;
        return Ok(Body::empty());
    }
    let payload = headers.get("x-amz-content-sha256").map_or(&b""[..], http::HeaderValue::as_bytes);
    let framing = match payload {
        b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Framing::new(false)),
        payload if payload.starts_with(b"STREAMING-") => Some(Framing::new(true)),
        _ => None,
    };
    // Where it is wrong the operation refuses it.
    let decoded_len = decoded_len(headers).ok().flatten();
    Ok(Body::http_body(Guarded {
        incoming,
        framing,
        decoded_len,
        document: BytesMut::new(),
        out: VecDeque::new(),
        notes: PlainArc::clone(notes),
        sums,
        elements: 0,
        ended: false,
    }))
}

impl Guarded {
    fn fail(&mut self, bad: Bad) -> Poll<Option<Result<Frame<Bytes>, Bad>>> {
        self.notes.note(bad);
        self.ended = true;
        self.out.clear();
        Poll::Ready(Some(Err(bad)))
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), Bad> {
        if self.notes.document().is_some() {
            if self.framing.is_some() {
                return Err(BadDocument::Chunked.into());
            }
            if self.document.len() + bytes.len() > DOCUMENT_BYTES_MAX {
                return Err(Bad::Long);
            }
            self.elements += bytes.iter().filter(|byte| **byte == b'<').count();
            if self.elements > ELEMENTS_MAX {
                return Err(Bad::Elements);
            }
            if self.document.is_empty() {
                // In one piece: growing would take twice as much.
                let announced =
                    self.incoming.size_hint().lower().saturating_add(bytes.len() as u64);
                self.document.reserve(
                    usize::try_from(announced).map_or(0, |len| len.min(DOCUMENT_BYTES_MAX)),
                );
            }
            self.document.extend_from_slice(&bytes);
            return Ok(());
        }
        match &mut self.framing {
            Some(framing) => {
                framing.pass(bytes, &mut self.out)?;
                // Not read to its end, which may be far away.
                if self.decoded_len.is_some_and(|len| framing.decoded() > len) {
                    return Err(Bad::Length);
                }
            }
            None => self.out.push_back(bytes),
        }
        Ok(())
    }

    /// What is left to do when all has come.
    fn finish(&mut self) -> Result<(), Bad> {
        if let Some(framing) = &self.framing {
            if !framing.is_complete() {
                return Err(Bad::Early);
            }
            if self.decoded_len.is_some_and(|len| framing.decoded() != len) {
                return Err(Bad::Length);
            }
        }
        if let Some(mut sums) = self.sums.take() {
            sums.digests.update(&self.document);
            sums.check()?;
        }
        if let Some(document) = self.notes.document() {
            documents::check(document, &self.document)?;
            self.out.push_back(self.document.split().freeze());
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
            match ready!(self.incoming.poll_frame(context)) {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { return self.fail(Bad::Trailers) };
                    if let Err(bad) = self.take(bytes) {
                        return self.fail(bad);
                    }
                }
                Some(Err(bad)) => return self.fail(bad),
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

/// A body on its way out of s3s, with its reason noted if it fails.
pub(super) fn stream(
    body: Option<StreamingBlob>,
    notes: PlainArc<Notes>,
) -> impl Stream<Item = Result<Bytes, Fault>> {
    let body = body.unwrap_or_else(|| StreamingBlob::from(Body::empty()));
    body.map(move |piece| {
        piece.map_err(|error| {
            let bad = notes.note(Bad::of(&error.to_string()));
            Fault::BadBody(bad.to_string())
        })
    })
}

/// Says that a form's file is longer than it may be.
pub(super) fn too_large(notes: &Notes) -> Fault {
    Fault::BadBody(notes.note(Bad::TooLarge).to_string())
}

/// Says that a form's file is shorter than it may be.
pub(super) fn too_small(notes: &Notes) -> Fault {
    Fault::BadBody(notes.note(Bad::TooSmall).to_string())
}
