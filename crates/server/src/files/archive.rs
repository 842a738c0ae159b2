//! A folder as a tar or a zip, made while it is sent.
//!
//! A tar has no memory of what it has sent. A zip ends with a list of its files, which is kept in
//! as little as it takes; so there are a few of them at a time, and a folder may have too many
//! files for one.

mod directory;
mod format;
mod names;
mod tar;
mod zip;

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use drystone_edge::Fault;
use drystone_edge::answer::{BodyError, full};
use drystone_edge::gate::{Share, Size};
use drystone_store::{BucketName, Key, ObjectRow, Store, StoreError};
use drystone_sync::PlainArc;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use self::format::{Format, Kind};
use self::names::harmless;
use self::zip::Zip;
use super::{Error, Files, headers};
use crate::engine::Engine;
use crate::request_body::RequestBody;
use crate::route::Answer;

/// Objects that are looked up at a time. They are kept until the client has taken them, as slowly
/// as it likes, so there are few.
const PAGE: usize = 8;
/// How long an archive under way waits before it asks again whoever was too busy.
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
        let place = match kind {
            Kind::Tar => None,
            Kind::Zip => Some(
                self.engine.edge.archives.enter(&share, Size::Large).await.map_err(Fault::from)?,
            ),
        };
        if place.is_some() {
            // Before anything is sent, because nothing can be said afterwards.
            fits(&self.engine, &bucket, &prefix).await?;
        }
        if request.method() == Method::GET {
            let (sender, receiver) = mpsc::channel::<Message>(1);
            let packing =
                Packing { engine: PlainArc::clone(&self.engine), share, bucket, to: sender };
            tokio::spawn(async move {
                let _place = place;
                let last = match packing.pack(Format::new(kind), prefix).await {
                    Ok(()) => Ok(None),
                    Err(error) => {
                        tracing::warn!(%error, "an archive broke off");
                        // A proxy may hide that the response broke off.
                        packing.send(Format::cut_off(kind)).await;
                        Err(error)
                    }
                };
                let _ = packing.to.send(last).await;
            });
            let frames = stream::unfold(Some(receiver), |receiver| async {
                let mut receiver = receiver?;
                match receiver.recv().await {
                    Some(Ok(Some(piece))) => Some((Ok(Frame::data(piece)), Some(receiver))),
                    Some(Ok(None)) => None,
                    Some(Err(error)) => {
                        // hyper drops what it has not sent when it hears of an error, and sends
                        // when it has to wait.
                        tokio::task::yield_now().await;
                        Some((Err(error), None))
                    }
                    None => Some((Err("who made the archive has died".into()), None)),
                }
            });
            *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        }
        Ok(response)
    }
}

/// A piece of an archive; `None` says that it is whole.
type Message = Result<Option<Bytes>, BodyError>;
type Sender = mpsc::Sender<Message>;

/// The objects of a folder, a page after the other, with the names that they have in an archive.
struct Walk {
    bucket: BucketName,
    prefix: String,
    from: Bound<String>,
    is_last: bool,
}

impl Walk {
    fn new(bucket: BucketName, prefix: String) -> Self {
        Self { bucket, prefix, from: Bound::Unbounded, is_last: false }
    }

    /// `None` at the end.
    async fn next(
        &mut self,
        engine: &PlainArc<Engine>,
    ) -> Result<Option<Vec<(String, ObjectRow)>>, Fault> {
        if self.is_last {
            return Ok(None);
        }
        let (bucket, prefix, from) = (self.bucket.clone(), self.prefix.clone(), self.from.clone());
        let list = move |store: &Store| {
            store.list(&bucket, &prefix, from.as_ref().map(String::as_str), PAGE)
        };
        let page = engine.edge.call(list).await?;
        self.is_last = page.len() < PAGE;
        if let Some(object) = page.last() {
            self.from = Bound::Excluded(object.key.as_str().to_owned());
        }
        // The folder itself is part of the names, what it is in is not.
        let strip = self.prefix.trim_end_matches('/').rfind('/').map_or(0, |at| at + 1);
        let named = |object: ObjectRow| (harmless(&object.key.as_str()[strip..]), object);
        // A name that ends with a slash would become a folder in whose way its bytes are.
        let is_file = |(name, _): &(String, ObjectRow)| !name.ends_with('/');
        Ok(Some(page.into_iter().map(named).filter(is_file).collect()))
    }
}

/// Looks whether the list of the folder's files can be kept.
async fn fits(engine: &PlainArc<Engine>, bucket: &BucketName, prefix: &str) -> Result<(), Error> {
    let mut walk = Walk::new(bucket.clone(), prefix.to_owned());
    let mut zip = Zip::new();
    while let Some(page) = walk.next(engine).await? {
        for (name, object) in page {
            zip.begin(&name, &object);
            zip.end().map_err(|full| Error::Status(StatusCode::BAD_REQUEST, full.to_string()))?;
        }
    }
    Ok(())
}

/// What an archive is made of, and where it goes.
struct Packing {
    engine: PlainArc<Engine>,
    share: Share,
    bucket: BucketName,
    to: Sender,
}

impl Packing {
    /// Sends the archive; ends quietly when it is not read any more.
    async fn pack(&self, mut format: Format, prefix: String) -> Result<(), BodyError> {
        let mut walk = Walk::new(self.bucket.clone(), prefix);
        loop {
            let page = match walk.next(&self.engine).await {
                Err(Fault::Busy(_)) if self.wait().await => continue,
                page => page?,
            };
            let Some(page) = page else { break };
            for (name, object) in page {
                if !self.pack_object(&mut format, &name, object.key).await? {
                    return Ok(());
                }
            }
        }
        for piece in format.last() {
            if !self.send(piece).await {
                break;
            }
        }
        Ok(())
    }

    /// Lets others go first: what has been sent cannot be taken back, so a busy server must not end
    /// it. `false` when it is not read any more.
    async fn wait(&self) -> bool {
        tokio::select! {
            () = self.to.closed() => false,
            () = tokio::time::sleep(BUSY) => true,
        }
    }

    /// `false` when it is not read any more.
    async fn send(&self, piece: Bytes) -> bool {
        self.to.send(Ok(Some(piece))).await.is_ok()
    }

    /// `false` when it is not read any more.
    async fn pack_object(
        &self,
        format: &mut Format,
        name: &str,
        key: Key,
    ) -> Result<bool, BodyError> {
        let found = loop {
            match self.engine.edge.find(self.share.clone(), self.bucket.clone(), key.clone()).await
            {
                // It has been deleted since it was listed.
                Err(Fault::Store(StoreError::NotFound { .. })) => return Ok(true),
                Err(Fault::Busy(_)) if self.wait().await => {}
                found => break found?,
            }
        };
        let size = found.object.size;
        let head = format.begin(name, &found.object)?;
        if !self.send(head).await {
            return Ok(false);
        }
        let mut body = found.body(&self.engine.edge, 0..size).await?;
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                format.pass(&bytes);
                if !self.send(bytes).await {
                    return Ok(false);
                }
            }
        }
        let tail = format.end(size)?;
        Ok(tail.is_empty() || self.send(tail).await)
    }
}
