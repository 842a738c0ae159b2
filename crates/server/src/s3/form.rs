//! The form of a browser's upload, read up to its file.
//!
//! What comes before the file has a ceiling, for it is kept until its signature is known. What comes after the file is not
//! looked at: S3 has the file last.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicBool, Ordering};
use futures_util::Stream;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::{Constraints, Field, Multipart, SizeLimit};
use s3s::{S3Error, S3ErrorCode};

use super::errors::error;
use super::form_policy::Fields;
use crate::fault::Fault;

/// Everything before the file: 20 KB, as in S3.
const FIELDS_BYTES_MAX: usize = 20 << 10;
/// In this time it must be here.
pub(super) const FIELDS_MAX: Duration = Duration::from_secs(15);
/// The longest boundary, from RFC 2046.
const BOUNDARY_BYTES_MAX: usize = 70;

/// A form as far as it was read.
pub(super) struct Form {
    pub(super) fields: Fields,
    /// The name that the file has where it comes from, without folders.
    pub(super) file_name: String,
    pub(super) file: Field<'static>,
    /// Has to stay as long as `file` is read.
    _multipart: Multipart<'static>,
}

pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    kind.is_some_and(|kind| kind.trim_ascii_start().starts_with(b"multipart/form-data"))
}

impl Form {
    /// Reads the fields up to the file.
    pub(super) async fn read(
        headers: &HeaderMap,
        body: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static,
    ) -> Result<Self, S3Error> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary =
            multer::parse_boundary(kind).ok().filter(|boundary| boundary.len() <= BOUNDARY_BYTES_MAX);
        let boundary = boundary.ok_or_else(|| malformed("it has no boundary, or a long one"))?;
        let at_file = PlainArc::new(AtomicBool::new(false));
        let body =
            Ceiling { body: Box::pin(body), at_file: PlainArc::clone(&at_file), bytes: 0, rests: false };
        let limits = Constraints::new().size_limit(SizeLimit::new().per_field(u64::MAX));
        let multipart = Multipart::with_constraints(body, boundary, limits);
        let form = match tokio::time::timeout(FIELDS_MAX, Self::fields(multipart)).await {
            Ok(form) => form?,
            Err(_) => {
                return Err(error(S3ErrorCode::RequestTimeout, "the form's fields did not come in time"));
            }
        };
        at_file.store(true, Ordering::Relaxed);
        Ok(form)
    }

    async fn fields(mut multipart: Multipart<'static>) -> Result<Self, S3Error> {
        let mut fields = Fields::new();
        let mut bytes = 0;
        loop {
            let field = multipart.next_field().await.map_err(|refused| unreadable(&refused))?;
            let mut field = field.ok_or_else(|| malformed("it has no field `file`"))?;
            let name = field.name().unwrap_or_default().to_ascii_lowercase();
            if name == "file" {
                let path = field.file_name().unwrap_or_default();
                let file_name = path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
                return Ok(Self { fields, file_name, file: field, _multipart: multipart });
            }
            let mut value = BytesMut::new();
            while let Some(piece) = field.chunk().await.map_err(|refused| unreadable(&refused))? {
                bytes += piece.len();
                if bytes > FIELDS_BYTES_MAX {
                    return Err(too_long());
                }
                value.extend_from_slice(&piece);
            }
            let value = String::from_utf8(value.into()).map_err(|_| malformed("a field is no UTF-8"))?;
            // Which of two would the policy have meant?
            if name.is_empty() || fields.insert(name, value).is_some() {
                return Err(malformed("a field has no name, or the name of another"));
            }
        }
    }
}

/// Why a form's body ends for multer.
#[derive(Debug, thiserror::Error)]
enum BadBody {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("what comes before the file is longer than {FIELDS_BYTES_MAX} bytes")]
    TooLong,
}

/// A form's body on its way into multer, which keeps what it has not understood yet, however much that is, and takes all that is
/// ready: so it is told of an end where the fields are too long, and that nothing more is ready after each piece.
struct Ceiling<S> {
    body: Pin<Box<S>>,
    /// A flag on its own, and read by the task that sets it: nothing is published with it.
    at_file: PlainArc<AtomicBool>,
    bytes: usize,
    rests: bool,
}

impl<S: Stream<Item = Result<Bytes, Fault>>> Stream for Ceiling<S> {
    type Item = Result<Bytes, BadBody>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // The last piece of the fields may be the first of the file.
        if self.bytes > FIELDS_BYTES_MAX && !self.at_file.load(Ordering::Relaxed) {
            return Poll::Ready(Some(Err(BadBody::TooLong)));
        }
        let polled = self.body.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.bytes = self.bytes.saturating_add(bytes.len());
            self.rests = true;
        }
        polled.map(|next| next.map(|piece| piece.map_err(BadBody::from)))
    }
}

/// What has gone wrong in multer.
fn unreadable(refused: &multer::Error) -> S3Error {
    match refused {
        multer::Error::StreamReadFailed(inner) => match inner.downcast_ref::<BadBody>() {
            Some(BadBody::TooLong) => too_long(),
            _ => error(S3ErrorCode::IncompleteBody, refused.to_string()),
        },
        multer::Error::IncompleteStream
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteFieldData { .. } => {
            error(S3ErrorCode::IncompleteBody, refused.to_string())
        }
        _ => malformed(&refused.to_string()),
    }
}

fn too_long() -> S3Error {
    error(S3ErrorCode::MaxPostPreDataLengthExceededError, BadBody::TooLong.to_string())
}

fn malformed(why: &str) -> S3Error {
    error(S3ErrorCode::MalformedPOSTRequest, format!("the form cannot be read: {why}"))
}
