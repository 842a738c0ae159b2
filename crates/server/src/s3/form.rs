//! The form of a browser's upload, read up to its file.
//!
//! What comes before the file has a ceiling, for it is kept until its signature is known. What
//! comes after the file is not looked at: S3 has the file last.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use drystone_edge::fault::Fault;
use drystone_store::Key;
use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicBool, Ordering};
use futures_util::Stream;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::{Constraints, Field, Multipart, SizeLimit};
use s3s::{S3Error, S3ErrorCode};

use super::errors::error;
use super::form_policy::Fields;
use crate::engine::FORM_FIELDS_MAX;

/// Everything before the file: 20 KB, as in S3.
const FIELDS_BYTES_MAX: usize = 20 << 10;
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
        let kind =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind)
            .ok()
            .filter(|boundary| boundary.len() <= BOUNDARY_BYTES_MAX);
        let boundary = boundary.ok_or_else(|| malformed("it has no boundary, or a long one"))?;
        let [at_file, starved] = [(); 2].map(|()| PlainArc::new(AtomicBool::new(false)));
        let flags = (PlainArc::clone(&at_file), PlainArc::clone(&starved));
        let body = Ceiling {
            body: Box::pin(body),
            at_file: flags.0,
            starved: flags.1,
            bytes: 0,
            rests: false,
        };
        let limits = Constraints::new().size_limit(SizeLimit::new().per_field(u64::MAX));
        let multipart = Multipart::with_constraints(body, boundary, limits);
        let form =
            match tokio::time::timeout(FORM_FIELDS_MAX, Self::fields(multipart, &starved)).await {
                Ok(form) => form?,
                Err(_) => {
                    return Err(error(
                        S3ErrorCode::RequestTimeout,
                        "the form's fields did not come in time",
                    ));
                }
            };
        at_file.store(true, Ordering::Relaxed);
        Ok(form)
    }

    async fn fields(
        mut multipart: Multipart<'static>,
        starved: &AtomicBool,
    ) -> Result<Self, S3Error> {
        let mut fields = Fields::new();
        let mut bytes = 0;
        loop {
            let field = step(starved, multipart.next_field()).await?;
            let mut field = field.ok_or_else(|| malformed("it has no field `file`"))?;
            let name = field.name().unwrap_or_default().to_ascii_lowercase();
            if name == "file" {
                let path = field.file_name().unwrap_or_default();
                let file_name = path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
                // It is put into the key, as often as the form says, before the signature has been
                // checked.
                if file_name.len() > Key::BYTES_MAX {
                    return Err(malformed("the file's name is longer than any key"));
                }
                return Ok(Self { fields, file_name, file: field, _multipart: multipart });
            }
            let mut value = BytesMut::new();
            while let Some(piece) = step(starved, field.chunk()).await? {
                bytes += piece.len();
                if bytes > FIELDS_BYTES_MAX {
                    return Err(too_long());
                }
                value.extend_from_slice(&piece);
            }
            let value =
                String::from_utf8(value.into()).map_err(|_| malformed("a field is no UTF-8"))?;
            // Which of two would the policy have meant?
            if name.is_empty() || fields.insert(name, value).is_some() {
                return Err(malformed("a field has no name, or the name of another"));
            }
        }
    }
}

/// One step of multer, unless it needs more than may come before the file.
async fn step<T>(
    starved: &AtomicBool,
    step: impl Future<Output = Result<T, multer::Error>>,
) -> Result<T, S3Error> {
    let mut step = pin!(step);
    let step = poll_fn(|context| match step.as_mut().poll(context) {
        Poll::Pending if starved.load(Ordering::Relaxed) => Poll::Ready(Err(too_long())),
        polled => polled.map_err(|refused| unreadable(&refused)),
    });
    step.await
}

/// A form's body on its way into multer, which keeps what it has not understood yet, however much
/// that is, and takes all that is ready: so it is told that nothing more is ready after each piece,
/// and given nothing more where the fields may be too long. Whether they are is seen by whether it
/// can go on: the last piece of the fields may be the first of the file, and a long one.
struct Ceiling<S> {
    body: Pin<Box<S>>,
    /// A flag on its own, and read by the task that sets it: nothing is published with it.
    at_file: PlainArc<AtomicBool>,
    /// It was given nothing although it asked. Another such flag.
    starved: PlainArc<AtomicBool>,
    bytes: usize,
    rests: bool,
}

impl<S: Stream<Item = Result<Bytes, Fault>>> Stream for Ceiling<S> {
    type Item = Result<Bytes, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.bytes > FIELDS_BYTES_MAX && !self.at_file.load(Ordering::Relaxed) {
            self.starved.store(true, Ordering::Relaxed);
            return Poll::Pending;
        }
        let polled = self.body.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.bytes = self.bytes.saturating_add(bytes.len());
            self.rests = true;
        }
        polled
    }
}

/// What has gone wrong in multer.
fn unreadable(refused: &multer::Error) -> S3Error {
    match refused {
        multer::Error::StreamReadFailed(_)
        | multer::Error::IncompleteStream
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteFieldData { .. } => {
            error(S3ErrorCode::IncompleteBody, refused.to_string())
        }
        _ => malformed(&refused.to_string()),
    }
}

fn too_long() -> S3Error {
    let why = format!("what comes before the file is longer than {FIELDS_BYTES_MAX} bytes");
    error(S3ErrorCode::MaxPostPreDataLengthExceededError, why)
}

fn malformed(why: &str) -> S3Error {
    error(S3ErrorCode::MalformedPOSTRequest, format!("the form cannot be read: {why}"))
}
