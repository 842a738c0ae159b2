//! A folder as a tar, made while it is sent.

use std::io;
use std::ops::Bound;

use bytes::Bytes;
use drystone_store::{BucketName, Key, ObjectRow, Store, StoreError};
use drystone_sync::PlainArc;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::{Error, Files, headers};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::route::{BodyError, full};
use crate::server::Answer;

/// Objects that are looked up at a time.
const PAGE: usize = 256;
const BLOCK: u64 = 512;
/// The longest name in a header of its own; a longer one has an entry in front.
const NAME_MAX: usize = 100;

impl Files {
    pub(super) async fn archive(
        &self,
        request: &Request<Incoming>,
        bucket: BucketName,
        prefix: String,
        kind: &str,
    ) -> Result<Answer, Error> {
        if kind != "tar" {
            return Err(Error::Status(StatusCode::BAD_REQUEST, "an archive can be `tar`".into()));
        }
        {
            // An unknown bucket is an error, not a broken archive.
            let bucket = bucket.clone();
            self.engine.call(move |store: &Store| store.list(&bucket, "", Bound::Unbounded, 1)).await?;
        }
        let name = prefix.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
        let name = format!("{}.tar", name.unwrap_or(bucket.as_str()));
        let mut response = Response::new(full(Bytes::new()));
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers::insert(fields, CONTENT_DISPOSITION, &headers::disposition(false, &name));
        if request.method() == Method::GET {
            let (sender, receiver) = mpsc::channel::<Result<Bytes, BodyError>>(1);
            let engine = PlainArc::clone(&self.engine);
            tokio::spawn(async move {
                // Whoever reads the archive sees it break off: a tar without its end is known to be broken.
                if let Err(error) = pack(&engine, bucket, prefix, &sender).await {
                    tracing::warn!(%error, "an archive broke off");
                    let _ = sender.send(Err(error)).await;
                }
            });
            let frames = stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|piece| (piece.map(Frame::data), receiver))
            });
            *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        }
        Ok(response)
    }
}

type Sender = mpsc::Sender<Result<Bytes, BodyError>>;

/// Sends the archive; ends quietly when nobody reads it any more.
async fn pack(
    engine: &PlainArc<Engine>,
    bucket: BucketName,
    prefix: String,
    to: &Sender,
) -> Result<(), BodyError> {
    let strip = prefix.trim_end_matches('/').rfind('/').map_or(0, |at| at + 1);
    let mut from: Bound<String> = Bound::Unbounded;
    loop {
        let page = {
            let (bucket, prefix, from) = (bucket.clone(), prefix.clone(), from.clone());
            let list =
                move |store: &Store| store.list(&bucket, &prefix, from.as_ref().map(String::as_str), PAGE);
            engine.call(list).await?
        };
        let last = page.len() < PAGE;
        if let Some(object) = page.last() {
            from = Bound::Excluded(object.key.as_str().to_owned());
        }
        for object in page {
            let name = object.key.as_str()[strip..].to_owned();
            // A name that ends with a slash would become a folder in whose way its bytes are.
            if name.ends_with('/') {
                continue;
            }
            if !pack_object(engine, &name, bucket.clone(), object.key, to).await? {
                return Ok(());
            }
        }
        if last {
            let end = Bytes::from_static(&[0; 2 * BLOCK as usize]);
            let _ = to.send(Ok(end)).await;
            return Ok(());
        }
    }
}

/// `false` when nobody reads any more.
async fn pack_object(
    engine: &PlainArc<Engine>,
    name: &str,
    bucket: BucketName,
    key: Key,
    to: &Sender,
) -> Result<bool, BodyError> {
    let found = match engine.find(bucket, key).await {
        // It has been deleted since it was listed.
        Err(Fault::Store(StoreError::NotFound { .. })) => return Ok(true),
        found => found?,
    };
    let size = found.object.size;
    let head = entry(name, &found.object)?;
    if to.send(Ok(head)).await.is_err() {
        return Ok(false);
    }
    let mut body = found.body(engine, 0..size).await?;
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data()
            && to.send(Ok(bytes)).await.is_err()
        {
            return Ok(false);
        }
    }
    let padding = size.next_multiple_of(BLOCK) - size;
    let padding = Bytes::from(vec![0; usize::try_from(padding)?]);
    Ok(padding.is_empty() || to.send(Ok(padding)).await.is_ok())
}

/// The head of an entry, with one for a long name in front of it.
fn entry(name: &str, object: &ObjectRow) -> io::Result<Bytes> {
    let mut head = Vec::with_capacity(BLOCK as usize);
    if name.len() > NAME_MAX {
        let mut long = tar::Header::new_gnu();
        long.set_entry_type(tar::EntryType::GNULongName);
        long.set_path("././@LongLink")?;
        long.set_size(name.len() as u64 + 1);
        long.set_mode(0o644);
        long.set_cksum();
        head.extend_from_slice(long.as_bytes());
        head.extend_from_slice(name.as_bytes());
        let padded = (name.len() as u64 + 1).next_multiple_of(BLOCK) - name.len() as u64;
        head.resize(head.len() + padded as usize, 0);
    }
    let mut header = tar::Header::new_gnu();
    let short = name.len().min(NAME_MAX);
    // Straight into the field: `set_path` refuses names that a key may have.
    header.as_old_mut().name[..short].copy_from_slice(&name.as_bytes()[..short]);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(object.size);
    header.set_mode(object.meta.mode.unwrap_or(0o644) & 0o777);
    header.set_mtime(u64::try_from(object.meta.modified_ns / 1_000_000_000).unwrap_or(0));
    header.set_cksum();
    head.extend_from_slice(header.as_bytes());
    Ok(head.into())
}
