//! The fields of a `multipart/form-data` body, one after another, with a bound on everything that
//! has to be kept of them.
//!
//! multer takes all that a body has ready, and keeps what stands between two contents until it has
//! understood it, however long that is. So it gets one piece at a time here, only when it can do
//! nothing without, and not many before something comes of them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use drystone_sync::{Mutex, PlainArc};
use futures_util::{Stream, StreamExt as _};
use multer::{Constraints, Field, Multipart, SizeLimit};

use drystone_edge::fault::Fault;

/// Fields of one form.
pub(crate) const FIELDS_MAX: usize = 1000;
/// Bytes of a field that is not a file.
const FIELD_BYTES_MAX: u64 = 64 << 10;
/// What may come before a field's content: a head, and the boundary. When more has come, it is
/// refused with the next piece.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// The longest boundary, from RFC 2046.
const BOUNDARY_BYTES_MAX: usize = 70;

/// Why a form cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadForm {
    #[error("a form with files is needed: {0}")]
    Kind(multer::Error),
    #[error("the boundary of a form has at most {BOUNDARY_BYTES_MAX} characters")]
    Boundary,
    #[error("the form is malformed: {0}")]
    Malformed(multer::Error),
    #[error("a field's head has at most {HEAD_BYTES_MAX} bytes")]
    Head,
    #[error("a form has at most {FIELDS_MAX} fields")]
    TooMany,
    #[error("a part of the form is not understood: {0}")]
    Part(&'static str),
    #[error("a field that is not a file has at most {FIELD_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a body ends for multer.
#[derive(Debug, thiserror::Error)]
enum BadBody {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("a head is too long")]
    Head,
}

impl From<multer::Error> for BadForm {
    fn from(error: multer::Error) -> Self {
        let multer::Error::StreamReadFailed(source) = error else { return Self::Malformed(error) };
        match source.downcast::<BadBody>() {
            Ok(bad) => match *bad {
                BadBody::Fault(fault) => Self::Fault(fault),
                BadBody::Head => Self::Head,
            },
            Err(source) => Self::Malformed(multer::Error::StreamReadFailed(source)),
        }
    }
}

/// A form that is being received.
pub(crate) struct Form {
    multipart: Multipart<'static>,
    ration: PlainArc<Mutex<Ration>>,
    fields: usize,
    /// How long is waited for a field's head, or for more of a field that is not a file.
    silence_max: Duration,
}

/// What multer may take from the body.
#[derive(Default)]
struct Ration {
    /// It may take one piece.
    allowed: bool,
    /// Bytes it took since something last came of them.
    taken: usize,
}

/// A file of a form; its content is this stream, which must come to its end before the next file is
/// asked for. The caller decides how long to wait for it.
pub(crate) struct FormFile {
    /// Not empty.
    pub(crate) name: String,
    pub(crate) media_type: Option<String>,
    field: Field<'static>,
    ration: PlainArc<Mutex<Ration>>,
}

impl Form {
    /// Begins to read a body of this content type. Within a tokio runtime, like everything here.
    ///
    /// # Errors
    /// When it is not a form's.
    pub(crate) fn new(
        content_type: &str,
        body: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static,
        silence_max: Duration,
    ) -> Result<Self, BadForm> {
        let boundary = multer::parse_boundary(content_type).map_err(BadForm::Kind)?;
        if boundary.len() > BOUNDARY_BYTES_MAX {
            return Err(BadForm::Boundary);
        }
        let ration = PlainArc::new(Mutex::new(Ration::default()));
        let body = Rationed { body: Box::pin(body), ration: PlainArc::clone(&ration) };
        let limits = Constraints::new().size_limit(SizeLimit::new().per_field(u64::MAX));
        let multipart = Multipart::with_constraints(body, boundary, limits);
        Ok(Self { multipart, ration, fields: 0, silence_max })
    }

    /// The next file; passes over fields that are none.
    ///
    /// # Errors
    /// When the form is malformed, larger than it may be, or does not come; then there is nothing
    /// more to be had of it.
    pub(crate) async fn next_file(&mut self) -> Result<Option<FormFile>, BadForm> {
        loop {
            let Self { multipart, ration, silence_max, .. } = self;
            let next = poll_fn(|context| {
                feed(ration, context, |context| multipart.poll_next_field(context))
            });
            let Some(field) = timely(*silence_max, next).await?? else { return Ok(None) };
            self.fields += 1;
            if self.fields > FIELDS_MAX {
                return Err(BadForm::TooMany);
            }
            check_part(&field)?;
            let name = field.file_name().unwrap_or_default().to_owned();
            let media_type = field.content_type().map(ToString::to_string);
            let mut file =
                FormFile { name, media_type, field, ration: PlainArc::clone(&self.ration) };
            if !file.name.is_empty() {
                return Ok(Some(file));
            }
            let mut len = 0;
            while let Some(piece) = timely(self.silence_max, file.next()).await? {
                len += piece?.len() as u64;
                if len > FIELD_BYTES_MAX {
                    return Err(BadForm::TooLong);
                }
            }
        }
    }
}

/// Refuses a part whose content would be kept as something else than it is, or passed over although
/// it is a file.
fn check_part(field: &Field<'_>) -> Result<(), BadForm> {
    let headers = field.headers();
    let is_as_it_is = |coding: &[u8]| {
        [&b"7bit"[..], b"8bit", b"binary"].iter().any(|known| coding.eq_ignore_ascii_case(known))
    };
    let codings = headers.get_all("content-transfer-encoding");
    if !codings.iter().all(|coding| is_as_it_is(coding.as_bytes().trim_ascii())) {
        return Err(BadForm::Part("its Content-Transfer-Encoding must be `binary`"));
    }
    if headers.contains_key("content-encoding") {
        return Err(BadForm::Part("it has a Content-Encoding"));
    }
    let disposition = headers.get("content-disposition").map_or(&[][..], |value| value.as_bytes());
    let is_extended = disposition.windows(10).any(|text| text.eq_ignore_ascii_case(b"filename*="));
    if is_extended && field.file_name().is_none() {
        return Err(BadForm::Part(
            "give the file's name as `filename` in UTF-8, not as `filename*`",
        ));
    }
    Ok(())
}

async fn timely<T>(silence_max: Duration, next: impl Future<Output = T>) -> Result<T, Fault> {
    tokio::time::timeout(silence_max, next).await.map_err(|_| Fault::TooSlow(silence_max.as_secs()))
}

impl Stream for FormFile {
    type Item = Result<Bytes, BadForm>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { field, ration, .. } = &mut *self;
        let next = ready!(feed(ration, context, |context| field.poll_next_unpin(context)));
        Poll::Ready(next.map(|piece| Ok(piece?)))
    }
}

/// Polls, and lets one more piece of the body in each time that nothing comes of what is there.
fn feed<T>(
    ration: &Mutex<Ration>,
    context: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    loop {
        for allowed in [false, true] {
            ration.lock().allowed = allowed;
            if let Poll::Ready(ready) = poll(context) {
                *ration.lock() = Ration::default();
                return Poll::Ready(ready);
            }
        }
        if std::mem::take(&mut ration.lock().allowed) {
            // It was not taken: the body has nothing ready.
            return Poll::Pending;
        }
    }
}

/// A body as multer sees it.
struct Rationed<S> {
    body: Pin<Box<S>>,
    ration: PlainArc<Mutex<Ration>>,
}

impl<S: Stream<Item = Result<Bytes, Fault>>> Stream for Rationed<S> {
    type Item = Result<Bytes, BadBody>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.ration.lock().allowed {
            // The caller knows that no piece is allowed now, and does not wait to be woken.
            return Poll::Pending;
        }
        let next = ready!(self.body.as_mut().poll_next(context));
        let mut ration = self.ration.lock();
        ration.allowed = false;
        Poll::Ready(match next {
            Some(Ok(_)) if ration.taken > HEAD_BYTES_MAX => Some(Err(BadBody::Head)),
            Some(Ok(piece)) => {
                ration.taken += piece.len();
                Some(Ok(piece))
            }
            Some(Err(fault)) => Some(Err(fault.into())),
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const KIND: &str = "multipart/form-data; boundary=XX";
    const SILENCE_MAX: Duration = Duration::from_secs(30);

    /// The form's files, and how it ended. `pieces` are all ready.
    async fn read(
        pieces: impl IntoIterator<Item = Vec<u8>>,
    ) -> (Vec<(String, usize)>, Result<(), String>) {
        let pieces: Vec<_> = pieces.into_iter().map(|piece| Ok(Bytes::from(piece))).collect();
        let mut form = Form::new(KIND, stream::iter(pieces), SILENCE_MAX).unwrap();
        let mut files = Vec::new();
        let ended = async {
            while let Some(mut file) = form.next_file().await? {
                let mut len = 0;
                while let Some(piece) = file.next().await {
                    len += piece?.len();
                }
                files.push((file.name.clone(), len));
            }
            Ok(())
        };
        let ended = ended.await;
        (files, ended.map_err(|error: BadForm| error.to_string()))
    }

    fn head(disposition: &str) -> String {
        format!("--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n")
    }

    #[tokio::test]
    async fn nothing_is_kept_without_end() {
        let pieces =
            |piece: &'static str| (0..).map(move |_| Vec::from(piece)).take(4 * HEAD_BYTES_MAX);
        let too_long = |result: (Vec<_>, Result<(), String>)| {
            assert!(result.1.unwrap_err().contains("head has at most"));
        };
        too_long(read(pieces("no boundary")).await);
        too_long(read(["--XX\r\n".into()].into_iter().chain(pieces("a: b\r\n"))).await);
        too_long(read(["--XX".into()].into_iter().chain(pieces(" "))).await);
        // All of it is content, and is passed on as it comes.
        let file = [head("name=a; filename=f").into_bytes()];
        let (files, ended) =
            read(file.into_iter().chain(pieces("x")).chain(["\r\n--XX--".into()])).await;
        assert_eq!((files, ended), (vec![("f".into(), 4 * HEAD_BYTES_MAX)], Ok(())));
        let field = [head("name=a").into_bytes()];
        let (_, ended) = read(field.into_iter().chain(pieces("x")).chain(pieces("x"))).await;
        assert!(ended.unwrap_err().contains("65536"));
    }

    #[tokio::test]
    async fn pieces_are_taken_one_by_one() {
        let taken = PlainArc::new(Mutex::new(0));
        let count = PlainArc::clone(&taken);
        let pieces = stream::iter((0..100).map(move |_| {
            *count.lock() += 1;
            Ok(Bytes::from_static(b"some content"))
        }));
        let begin = stream::iter([Ok(Bytes::from(head("name=a; filename=f")))]);
        let mut form = Form::new(KIND, begin.chain(pieces), SILENCE_MAX).unwrap();
        let mut file = form.next_file().await.unwrap().unwrap();
        for expected in 1..=5 {
            assert_eq!(file.next().await.unwrap().unwrap(), "some content");
            assert_eq!(*taken.lock(), expected);
        }
    }

    #[tokio::test]
    async fn fields_are_counted() {
        let form = async |fields: usize| {
            let fields = (0..fields).map(|_| head("name=a") + "\r\n");
            read(fields.chain(["--XX--".to_owned()]).map(String::into_bytes)).await.1
        };
        assert_eq!(form(FIELDS_MAX).await, Ok(()));
        assert!(form(FIELDS_MAX + 1).await.unwrap_err().contains("1000 fields"));
    }

    #[tokio::test]
    async fn a_part_that_would_be_kept_as_something_else_is_refused() {
        let part = async |head: &str| {
            let form = format!("--XX\r\n{head}\r\n\r\nYQ==\r\n--XX--\r\n");
            read([form.into_bytes()]).await
        };
        let file = "Content-Disposition: form-data; name=a; filename=f";
        for fine in
            ["", "\r\nContent-Transfer-Encoding: Binary", "\r\nContent-Transfer-Encoding: 8bit"]
        {
            assert_eq!(
                part(&format!("{file}{fine}")).await,
                (vec![("f".into(), 4)], Ok(())),
                "{fine}"
            );
        }
        for bad in ["\r\nContent-Transfer-Encoding: base64", "\r\nContent-Encoding: gzip"] {
            let (files, ended) = part(&format!("{file}{bad}")).await;
            assert!(files.is_empty() && ended.unwrap_err().contains("not understood"), "{bad}");
        }
        let (_, ended) = part("Content-Disposition: form-data; name=a; filename*=UTF-8''f").await;
        assert!(ended.unwrap_err().contains("filename"));
    }

    #[tokio::test]
    async fn a_broken_body_is_no_malformed_form() {
        let begin = stream::iter([Ok(Bytes::from(head("name=a; filename=f")))]);
        let broken = stream::iter([Err(Fault::Incomplete("the client went away".into()))]);
        let mut form = Form::new(KIND, begin.chain(broken), SILENCE_MAX).unwrap();
        let mut file = form.next_file().await.unwrap().unwrap();
        let error = file.next().await.unwrap().unwrap_err();
        assert!(matches!(error, BadForm::Fault(Fault::Incomplete(_))), "{error}");
    }

    #[test]
    fn a_boundary_has_a_length() {
        let kind = |len: usize| format!("multipart/form-data; boundary={}", "b".repeat(len));
        let form = |len: usize| Form::new(&kind(len), stream::empty(), SILENCE_MAX).map(|_| ());
        assert!(form(70).is_ok());
        assert!(matches!(form(71), Err(BadForm::Boundary)));
        assert!(matches!(
            Form::new("text/plain", stream::empty(), SILENCE_MAX),
            Err(BadForm::Kind(_))
        ));
    }
    #[tokio::test(start_paused = true)]
    async fn a_client_who_goes_silent_between_files_is_not_waited_for() {
        let silent = |begin: String| {
            let begin = stream::iter([Ok(Bytes::from(begin))]);
            Form::new(KIND, begin.chain(stream::pending()), SILENCE_MAX).unwrap()
        };
        for begin in ["--XX\r\nContent-".into(), head("name=a") + "not a file"] {
            let mut form = silent(begin);
            let next = tokio::time::timeout(2 * SILENCE_MAX, form.next_file()).await;
            let error = next.expect("it is waited for").map(|_| ()).unwrap_err();
            assert!(matches!(error, BadForm::Fault(Fault::TooSlow(30))), "{error}");
        }
    }
}
