//! Forms, in arbitrary pieces.

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use drystone_edge::fault::Fault;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::runtime::{Builder, Runtime};

use super::{Input, PARTS_MAX, Splits};
use crate::files::fields::{BadForm, Form};

const BOUNDARY: &str = "wall";
/// Longer than any input takes: no deadline comes up here.
const SILENCE_MAX: Duration = Duration::from_secs(3600);
/// Deadlines need a runtime's clock; nothing else of it is used.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without threads can be made")
});

/// A form that is well-formed.
#[derive(Debug, Arbitrary)]
struct FormInput {
    splits: Splits,
    preamble: Vec<u8>,
    fields: Vec<PlannedField>,
    epilogue: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
struct PlannedField {
    name: Vec<u8>,
    is_file: bool,
    has_type: bool,
    padding: u8,
    content: Vec<u8>,
    /// Puts something that almost ends the content into it.
    almost: Option<u8>,
}

/// A file's name, media type and content.
type File = (String, Option<String>, Vec<u8>);

/// What a form is, and whether it comes to a good end.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    files: Vec<File>,
    is_whole: bool,
}

/// For any body in any pieces: its files are the same in all pieces, and no longer than what came
/// in. The files of a well-formed body are what was put into it.
///
/// # Panics
/// When that does not hold.
pub fn form_body(data: &[u8]) {
    match Input::<FormInput>::new(data) {
        Some(Input::Raw(splits, body)) => {
            check(&body, &splits);
        }
        Some(Input::Built(input)) => input.check(),
        None => {}
    }
}

fn check(body: &[u8], splits: &Splits) -> Read {
    let whole = read(vec![Bytes::copy_from_slice(body)], false);
    let len: usize = whole.files.iter().map(|(name, _, content)| name.len() + content.len()).sum();
    assert!(len <= body.len(), "{len} bytes came of {}", body.len());
    // Trying both would cost twice as much.
    let sleepy = splits.0.first().is_some_and(|size| size % 2 == 1);
    assert_eq!(
        read(splits.pieces(body), sleepy),
        whole,
        "a form depends on the pieces in which it comes"
    );
    whole
}

/// Reads a form to its end. A sleepy body has nothing ready at first, each time that it is asked.
fn read(pieces: Vec<Bytes>, sleepy: bool) -> Read {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let polls_max = 10 * (pieces.len() + 1);
    let _runtime = RUNTIME.enter();
    let mut reading = pin!(read_files(&kind, pieces, sleepy));
    let mut context = Context::from_waker(Waker::noop());
    let read = (0..polls_max).find_map(|_| match reading.as_mut().poll(&mut context) {
        Poll::Ready(read) => Some(read),
        Poll::Pending => None,
    });
    read.expect("a form waits although its body is at its end")
}

async fn read_files(kind: &str, pieces: Vec<Bytes>, sleepy: bool) -> Read {
    let mut form =
        Form::new(kind, body(pieces, sleepy), SILENCE_MAX).expect("the content type is a form's");
    let mut files = Vec::new();
    loop {
        match next_file(&mut form).await {
            Ok(Some(file)) => files.push(file),
            ended => return Read { files, is_whole: ended.is_ok() },
        }
    }
}

async fn next_file(form: &mut Form) -> Result<Option<File>, BadForm> {
    let Some(mut file) = form.next_file().await? else { return Ok(None) };
    assert!(!file.name.is_empty());
    let mut content = Vec::new();
    while let Some(piece) = file.next().await {
        content.extend_from_slice(&piece?);
    }
    Ok(Some((file.name.clone(), file.media_type.clone(), content)))
}

fn body(pieces: Vec<Bytes>, sleepy: bool) -> impl Stream<Item = Result<Bytes, Fault>> {
    let mut pieces = pieces.into_iter();
    let mut asleep = sleepy;
    stream::poll_fn(move |_| {
        if asleep {
            asleep = false;
            return Poll::Pending;
        }
        asleep = sleepy;
        Poll::Ready(pieces.next().map(Ok))
    })
}

impl FormInput {
    fn check(&self) {
        let delimiter = format!("--{BOUNDARY}");
        let (mut body, mut files) = (Vec::new(), Vec::new());
        if !holds(&self.preamble, delimiter.as_bytes()) {
            body.extend_from_slice(&self.preamble);
            body.extend_from_slice(b"\r\n");
        }
        for field in self.fields.iter().take(PARTS_MAX) {
            let content = field.content();
            if holds(&[&content[..], b"\r\n"].concat(), format!("\r\n{delimiter}").as_bytes()) {
                continue;
            }
            let name = field.name();
            let padding = " \t".repeat(usize::from(field.padding % 4));
            body.extend_from_slice(
                format!("{delimiter}{padding}\r\nContent-Disposition: form-data").as_bytes(),
            );
            let attribute = if field.is_file { "name=\"a\"; filename" } else { "name" };
            body.extend_from_slice(format!("; {attribute}=\"{name}\"\r\n").as_bytes());
            if field.has_type {
                body.extend_from_slice(b"Content-Type: text/plain\r\n");
            }
            body.extend_from_slice(b"\r\n");
            body.extend_from_slice(&content);
            body.extend_from_slice(b"\r\n");
            if field.is_file {
                files.push((name, field.has_type.then(|| "text/plain".to_owned()), content));
            }
        }
        body.extend_from_slice(format!("{delimiter}--").as_bytes());
        body.extend_from_slice(&self.epilogue);
        assert_eq!(check(&body, &self.splits), Read { files, is_whole: true });
    }
}

impl PlannedField {
    /// Without what has a meaning of its own between quotation marks.
    fn name(&self) -> String {
        let plain = |byte: &u8| char::from(b'a' + byte % 26);
        format!("f{}", self.name.iter().map(plain).collect::<String>())
    }

    fn content(&self) -> Vec<u8> {
        let mut content = self.content.clone();
        if let Some(almost) = self.almost {
            let delimiter = format!("\r\n--{BOUNDARY}");
            content
                .extend_from_slice(&delimiter.as_bytes()[..usize::from(almost) % delimiter.len()]);
            content.extend_from_slice(&self.content);
        }
        content
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
