//! A folder as a tar or a zip, made while it is read.
//!
//! An archive is made at its client's pace: the next piece when the connection has room for it, and
//! nothing ahead of that. Between two pieces an archive holds its connection. The bytes of a file
//! are taken in turns, like any download's; the names that come next are a page of a few kilobytes;
//! and the list of its files, with which a zip ends, lies in the spool. So as many archives go on
//! at a time as there are connections, however slow each client is.

/// What a step of an archive comes to. It waits while the server is busy: what has been sent cannot
/// be taken back, so a busy server must not end it.
macro_rules! patiently {
    ($step:expr) => {
        loop {
            match $step.await {
                Err(drystone_edge::Fault::Busy(_)) => {
                    tokio::time::sleep($crate::files::archive::BUSY).await
                }
                done => break done,
            }
        }
    };
}

mod directory;
mod format;
mod names;
mod tar;
mod walk;
mod zip;

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use drystone_edge::Fault;
use drystone_edge::answer::{BodyError, full};
use drystone_edge::download::ObjectBody;
use drystone_edge::flight::Flight;
use drystone_edge::gate::{Share, Size};
use drystone_store::{BucketName, Key, ObjectRow, StoreError};
use drystone_sync::PlainArc;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};

use self::directory::{Directory, Encoder};
use self::format::{Format, Kind};
use self::walk::Walk;
use super::errors::Error;
use super::{Files, headers};
use crate::engine::Engine;
use crate::face::Answer;
use crate::request_body::RequestBody;

/// What a connection holds of an archive; the plan has it with the connection. What is larger than
/// that in one piece has a place among the large answers.
const PIECES_BYTES_MAX: u64 = 32 << 10;
/// What leaves at a time of a file that is longer.
const PIECE_BYTES: u64 = 16 << 10;
/// How long an archive under way waits before it asks again where the server was too busy.
const BUSY: Duration = Duration::from_secs(1);

impl Files {
    pub(super) async fn archive(
        &self,
        request: &Request<RequestBody>,
        share: Share,
        bucket: BucketName,
        prefix: String,
        kind: &str,
    ) -> Result<Answer, Error> {
        let Some(kind) = Kind::named(kind) else {
            return Err(Error::Status(
                StatusCode::BAD_REQUEST,
                "an archive can be `tar` or `zip`".into(),
            ));
        };
        // What is not there is an error, not a broken archive.
        self.need_folder(&bucket, &prefix).await?;
        let name = prefix.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
        let name = format!("{}.{}", name.unwrap_or(bucket.as_str()), kind.extension());
        let mut response = Response::new(full(Bytes::new()));
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind.media_type()));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers::insert(fields, CONTENT_DISPOSITION, &headers::disposition(false, &name));
        let walk = || Walk::new(share.clone(), bucket.clone(), prefix.clone());
        // Before anything is sent, because nothing can be said afterwards.
        let list_bytes = match kind {
            Kind::Tar => 0,
            Kind::Zip => list_bytes(&self.engine, walk()).await?,
        };
        if request.method() == Method::GET {
            let mut directory = Directory::new(&self.engine);
            directory.reserve(list_bytes).await?;
            let packing = Packing {
                engine: PlainArc::clone(&self.engine),
                walk: walk(),
                format: Format::new(kind, directory),
                flight: PlainArc::default(),
                step: Step::Between,
            };
            let frames = stream::unfold(packing, |mut packing| async {
                let piece = packing.piece().await?;
                Some((piece.map(Frame::data), packing))
            });
            *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        }
        Ok(response)
    }
}

/// How long the list at the end of a zip of the folder will be, as it is kept.
async fn list_bytes(engine: &PlainArc<Engine>, mut walk: Walk) -> Result<u64, Error> {
    let mut encoder = Encoder::new(engine.edge.spool.slot_bytes());
    while let Some(name) = walk.skim(engine).await? {
        let told = encoder.push(&name, directory::File::default());
        told.map_err(|full| Error::Status(StatusCode::BAD_REQUEST, full.to_string()))?;
        encoder.fresh.clear();
    }
    Ok(encoder.len)
}

/// An archive under way.
struct Packing {
    engine: PlainArc<Engine>,
    walk: Walk,
    format: Format,
    /// What the connection has of it and has not sent yet.
    flight: PlainArc<Flight>,
    step: Step,
}

/// Where an archive is.
enum Step {
    /// Between two files, or before the first.
    Between,
    File {
        body: Box<ObjectBody>,
        size: u64,
    },
    /// Behind all files.
    Last,
    Broken(BodyError),
    End,
}

impl Packing {
    /// The next piece, when the connection has room for it; `None` when the archive is whole.
    /// Dropping the future loses nothing but this archive.
    async fn piece(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            if let Step::Broken(_) | Step::End = self.step {
                let Step::Broken(error) = std::mem::replace(&mut self.step, Step::End) else {
                    return None;
                };
                // hyper drops what it has not sent when it hears of an error.
                self.room_for(PIECES_BYTES_MAX).await;
                return Some(Err(error));
            }
            let piece = match self.advance().await {
                Ok(piece) => piece,
                Err(error) => {
                    tracing::warn!(%error, "an archive broke off");
                    self.step = Step::Broken(error);
                    // A proxy may hide that the response broke off.
                    self.format.cut_off()
                }
            };
            if !piece.is_empty() {
                return Some(Ok(self.sent(piece)));
            }
        }
    }

    /// Makes the next piece, which may be empty.
    async fn advance(&mut self) -> Result<Bytes, BodyError> {
        match &mut self.step {
            Step::Between => {
                let Some((name, key, size)) = self.walk.next(&self.engine).await? else {
                    self.step = Step::Last;
                    return Ok(Bytes::new());
                };
                // A small file is in memory as a whole from the moment when it is opened.
                self.room_for(size.min(PIECES_BYTES_MAX)).await;
                let opened = patiently!(self.open(key.clone()))?;
                let Some((object, body)) = opened else { return Ok(Bytes::new()) };
                self.step = Step::File { body: Box::new(body), size: object.size };
                Ok(self.format.begin(&name, &object)?)
            }
            Step::File { body, .. } if !body.is_end_stream() => {
                let next = body.bytes_left().min(PIECE_BYTES);
                room_for(&self.flight, next).await;
                let Some(frame) = body.frame().await else { return Ok(Bytes::new()) };
                let bytes = frame?.into_data().unwrap_or_default();
                self.format.pass(&bytes);
                Ok(bytes)
            }
            Step::File { size, .. } => {
                let size = *size;
                self.step = Step::Between;
                Ok(self.format.end(size).await?)
            }
            Step::Last => {
                self.room_for(PIECES_BYTES_MAX).await;
                let piece = self.format.last().await?;
                if piece.is_empty() {
                    self.step = Step::End;
                }
                Ok(piece)
            }
            Step::Broken(_) | Step::End => Ok(Bytes::new()),
        }
    }

    /// An object with its first bytes; `None` where it has been deleted since it was listed.
    async fn open(&self, key: Key) -> Result<Option<(ObjectRow, ObjectBody)>, Fault> {
        let (share, bucket) = (self.walk.share().clone(), self.walk.bucket().clone());
        let turn = self.engine.edge.archives.enter(&share, Size::Small).await?;
        let found = match self.engine.edge.find(share, bucket, key).await {
            Err(Fault::Store(StoreError::NotFound { .. })) => return Ok(None),
            found => found?,
        };
        // What comes now has its turn among the downloads.
        drop(turn);
        let object = found.object.clone();
        let all = 0..object.size;
        Ok(Some((object, found.body(&self.engine.edge, all).await?)))
    }

    /// Counts a piece until the connection has sent it. A larger one was counted by what has read
    /// it.
    fn sent(&self, piece: Bytes) -> Bytes {
        if piece.len() as u64 > PIECES_BYTES_MAX { piece } else { self.flight.send(piece, ()) }
    }

    async fn room_for(&self, bytes: u64) {
        room_for(&self.flight, bytes).await;
    }
}

/// Waits until the connection has room for so many more bytes.
async fn room_for(flight: &Flight, bytes: u64) {
    let under_way_max = (PIECES_BYTES_MAX - bytes) as usize;
    poll_fn(|context| match flight.is_below(under_way_max, context) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
