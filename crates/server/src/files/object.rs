//! GET, HEAD and PUT of one object.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use drystone_edge::answer::full;
use drystone_edge::fault::Fault;
use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget, Store, StoreError};
use futures_util::{Stream, StreamExt as _};
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION, RANGE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, BodyStream};

use super::condition::{Conditions, Verdict};
use super::errors::Error;
use super::{Files, headers, understood};
use crate::access::{Right, Who};
use crate::digest::{Algorithm, Digests, Expected, Upload};
use crate::face::Answer;
use crate::meta;
use crate::range::{self, Ranged};
use crate::request_body::RequestBody;
use crate::request_head::single;
use crate::writer::Writer;

impl Files {
    pub(super) async fn get(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
        key: Key,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::Read, Some(&bucket)).await?;
        let asked = request.headers();
        let conditions = Conditions::read(asked)?;
        let is_get = request.method() == Method::GET;
        let (object, found) = if is_get {
            let found = self.engine.edge.find(who.share(request.extensions()), bucket, key).await?;
            (found.object.clone(), Some(found))
        } else {
            (self.engine.edge.call(move |store: &Store| store.stat(&bucket, &key)).await?, None)
        };
        let mut response = Response::new(full(Bytes::new()));
        headers::describe(response.headers_mut(), &object);
        match conditions.verdict(&object) {
            Verdict::Go => {}
            Verdict::NotModified => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return Ok(response);
            }
            Verdict::Failed => return Err(precondition_failed()),
        }
        // What cannot be read as one range is none, says RFC 9110: then all of it is sent.
        let wanted = single(asked, &RANGE).unwrap_or_default();
        let wanted = wanted.filter(|_| conditions.range_applies(&object));
        let range = match range::parse(wanted, object.size) {
            Ranged::Whole => 0..object.size,
            Ranged::Unsatisfiable => return Err(Error::Range(object.size)),
            Ranged::Part(range) => {
                let shown = format!("bytes {}-{}/{}", range.start, range.end - 1, object.size);
                headers::insert(response.headers_mut(), CONTENT_RANGE, &shown);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                range
            }
        };
        let len = range.end - range.start;
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
        if let Some(found) = found {
            let body = found.body(&self.engine.edge, range).await?;
            *response.body_mut() = body.map_err(Into::into).boxed_unsync();
        }
        Ok(response)
    }

    pub(super) async fn put(
        &self,
        request: Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
        key: Key,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::Write, Some(&bucket)).await?;
        let asked = request.headers();
        let conditions = Conditions::read(asked)?.of_a_write()?;
        let expected = expected(asked)?;
        let media_type = media_type(asked)?;
        let said = understood::said_of_body(asked)?;
        let len = length(asked);
        // In chunks a body has an end, too.
        if len.is_none() && !asked.contains_key(TRANSFER_ENCODING) {
            let why = "the request needs a Content-Length, or a body in chunks";
            return Err(Error::Status(StatusCode::LENGTH_REQUIRED, why.into()));
        }
        let condition = self.condition(&conditions, &bucket, &key).await?;
        let mut algorithms: Vec<Algorithm> = expected.algorithms().collect();
        if meta::wants_md5(len) {
            algorithms.push(Algorithm::Md5);
        }
        let location = request.uri().path().to_owned();
        let upload = Upload {
            last_look: self.engine.last_look(&Writer::new(who, Right::Write, &bucket)),
            share: who.share(request.extensions()),
            len,
            checksums: Digests::new(algorithms),
            target: Box::new(move |digested, _| {
                let mut meta =
                    ObjectMeta { media_type, modified_ns: now_ns(), ..ObjectMeta::default() };
                meta.system.extend(said.into_iter().map(|(name, value)| (name.to_owned(), value)));
                meta::note_digests(&mut meta, digested);
                PutTarget { bucket, key, meta, condition }.into()
            }),
        };
        let body = body_stream(request.into_body());
        let uploaded = self.engine.edge.upload(upload, body, move || Ok(expected)).await?;
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::CREATED;
        let etag = meta::etag_of_upload(&uploaded);
        headers::insert(response.headers_mut(), ETAG, &format!("\"{etag}\""));
        headers::insert(response.headers_mut(), LOCATION, &location);
        Ok(response)
    }

    /// What must hold at the commit. Fails at once where it can be seen beforehand.
    pub(super) async fn condition(
        &self,
        wanted: &Conditions,
        bucket: &BucketName,
        key: &Key,
    ) -> Result<Condition, Error> {
        let (bucket, key) = (bucket.clone(), key.clone());
        // Also says that there is no such bucket before the body is sent.
        let present = self.engine.edge.call(move |store: &Store| match store.stat(&bucket, &key) {
            Ok(object) => Ok(Some(object)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        });
        wanted.at_commit(present.await?.as_ref()).ok_or_else(precondition_failed)
    }
}

pub(super) fn precondition_failed() -> Error {
    Error::Status(StatusCode::PRECONDITION_FAILED, "the precondition does not hold".into())
}

/// The checksums that a request promises in its headers.
fn expected(asked: &HeaderMap) -> Result<Expected, Fault> {
    let mut expected = Expected::default();
    for algorithm in Algorithm::ALL {
        if let Some(value) = asked.get(algorithm.header()) {
            let value = value.to_str().map_err(|_| Fault::InvalidDigest(algorithm.name()))?;
            expected.add(algorithm, value)?;
        }
    }
    Ok(expected)
}

fn media_type(asked: &HeaderMap) -> Result<Option<String>, Error> {
    let kind = understood::single(asked, &CONTENT_TYPE)?;
    // What curl says of every body says nothing.
    let says = |kind: &&str| !kind.is_empty() && *kind != "application/x-www-form-urlencoded";
    Ok(kind.filter(says).map(str::to_owned))
}

fn length(asked: &HeaderMap) -> Option<u64> {
    asked.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A request's body as it comes.
pub(super) fn body_stream(body: RequestBody) -> impl Stream<Item = Result<Bytes, Fault>> {
    BodyStream::new(body).map(|frame| {
        let frame = frame.map_err(|error| Fault::Incomplete(error.to_string()))?;
        // What is promised there would be looked at by nothing.
        let trailer =
            |_| Fault::BadBody("there are fields behind it, which are not taken here".into());
        frame.into_data().map_err(trailer)
    })
}
