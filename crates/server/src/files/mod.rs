//! Plain HTTP below `/_/`: objects as files, folders as pages, and what keeps a server running.
//!
//! `/_/files/` lists buckets, `/_/files/BUCKET/` and any deeper path with a slash at its end a
//! folder, every other path is an object. Folders do not exist; they are what keys have in common
//! up to a slash.

mod archive;
mod condition;
pub(crate) mod fields;
mod form;
pub(crate) mod front;
mod headers;
mod limits;
mod listing;
mod object;
mod page;
mod routes;
mod understood;

use drystone_edge::fault::{self, Fault};
use drystone_store::{BucketName, Condition, Key, NameError, Store, StoreError};
use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicBool, Ordering};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use percent_encoding::percent_decode_str;

use self::condition::Conditions;
pub use self::routes::plain_routes;
use self::routes::{Names, Route};
use self::understood::{Query, bad, check_headers};
use crate::access::{Refused, Right, Who};
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::process::Process;
use crate::reason::Reason;
use crate::request_body::RequestBody;
use crate::route::{Answer, text};

/// The plain HTTP face.
pub(crate) struct Files {
    engine: PlainArc<Engine>,
    metrics: PlainArc<Metrics>,
    draining: PlainArc<AtomicBool>,
}

/// Why a plain request fails; the text is what the client reads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{1}")]
    Status(StatusCode, String),
    #[error("this path takes {0}")]
    Method(&'static str),
    #[error("no such range")]
    Range(u64),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Fault(Fault::Store(error))
    }
}

/// A path below `/_/files/`.
enum Place {
    Buckets,
    /// A bucket and a prefix that is empty or ends with a slash.
    Folder(BucketName, String),
    Object(BucketName, Key),
}

impl Files {
    pub(crate) fn new(
        engine: &PlainArc<Engine>,
        metrics: &PlainArc<Metrics>,
        draining: &PlainArc<AtomicBool>,
    ) -> Self {
        let (engine, metrics) = (PlainArc::clone(engine), PlainArc::clone(metrics));
        Self { engine, metrics, draining: PlainArc::clone(draining) }
    }

    pub(crate) async fn answer(&self, request: Request<RequestBody>) -> Answer {
        self.dispatch(request).await.unwrap_or_else(|error| refusal(&error))
    }

    async fn dispatch(&self, request: Request<RequestBody>) -> Result<Answer, Error> {
        let path = request.uri().path().to_owned();
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let place = path.strip_prefix("/_/files/").map(place).transpose()?;
        check_headers(
            request.method(),
            matches!(place, Some(Place::Object(..))),
            request.headers(),
        )?;
        if let Some(place) = place {
            return self.file(request, place).await;
        }
        Conditions::read(request.headers())?.of_a_page()?;
        Query::read(&request, if path == "/_/limits" { &["format"] } else { &[] })?;
        let nothing = || {
            Error::Status(
                StatusCode::NOT_FOUND,
                "nothing is here; files are below /_/files/".into(),
            )
        };
        let route = Route::of_page(&path).ok_or_else(nothing)?;
        match route.names {
            Names::Front if !get => Err(nothing()),
            _ if !route.takes(request.method()) => Err(Error::Method(route.methods)),
            Names::Live => Ok(text(StatusCode::OK, "live\n")),
            Names::Ready => self.ready().await,
            Names::Limits => {
                let who = self.operator(&request).await?;
                self.limits(&request, &who).await
            }
            Names::Metrics => {
                let who = self.operator(&request).await?;
                let turn =
                    self.engine.edge.turn_for_document(&who.share(request.extensions())).await?;
                let process = self.engine.edge.call(|_| Ok(Process::read())).await?;
                let text = self.metrics.text(&process);
                let mut response = Response::new(self.engine.edge.answer(text.into(), turn).await);
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                Ok(response)
            }
            Names::Front => Ok(front::to_files()),
            // What is a file's path was answered before.
            Names::Buckets | Names::Bucket | Names::Folder | Names::Object => Err(nothing()),
        }
    }

    /// What a server has under way is nothing for those who may use a bucket of it.
    async fn operator(&self, request: &Request<RequestBody>) -> Result<Who, Error> {
        let who = self.engine.identify(request.headers()).await?;
        self.engine.allow(&who, Right::Admin, None).await?;
        Ok(who)
    }

    /// Ready means: the records answer, and no end has been announced.
    async fn ready(&self) -> Result<Answer, Error> {
        // A flag on its own.
        if self.draining.load(Ordering::Relaxed) {
            return Ok(text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"));
        }
        self.engine.edge.call(|store: &Store| store.buckets(None, 1)).await?;
        Ok(text(StatusCode::OK, "ready\n"))
    }

    async fn file(&self, request: Request<RequestBody>, place: Place) -> Result<Answer, Error> {
        let method = request.method().clone();
        let is_page = matches!(place, Place::Buckets | Place::Folder(..));
        if !is_page || !matches!(method, Method::GET | Method::HEAD) {
            Query::read(&request, &[])?;
        }
        let who = self.engine.identify(request.headers()).await?;
        let names = match &place {
            Place::Buckets => Names::Buckets,
            Place::Folder(_, prefix) if prefix.is_empty() => Names::Bucket,
            Place::Folder(..) => Names::Folder,
            Place::Object(..) => Names::Object,
        };
        let allowed = match Route::of(names) {
            Some(route) if route.takes(&method) => route.methods,
            route => return Err(Error::Method(route.map_or("", |route| route.methods))),
        };
        match (place, method) {
            (Place::Buckets, _) => self.list_buckets(&request, &who).await,
            (Place::Folder(bucket, prefix), Method::GET | Method::HEAD) => {
                self.folder(&request, &who, bucket, prefix).await
            }
            (Place::Folder(bucket, prefix), Method::POST) => {
                self.post_form(request, &who, bucket, prefix).await
            }
            (Place::Folder(bucket, _), Method::PUT) => {
                self.make_bucket(&request, &who, bucket).await
            }
            (Place::Folder(bucket, _), Method::DELETE) => {
                self.remove_bucket(&request, &who, bucket).await
            }
            (Place::Object(bucket, key), Method::GET | Method::HEAD) => {
                self.get(&request, &who, bucket, key).await
            }
            (Place::Object(bucket, key), Method::PUT) => self.put(request, &who, bucket, key).await,
            (Place::Object(bucket, key), Method::DELETE) => {
                self.delete(&request, &who, bucket, key).await
            }
            _ => Err(Error::Method(allowed)),
        }
    }

    async fn make_bucket(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::Admin, Some(&bucket)).await?;
        Conditions::read(request.headers())?.of_no_object()?;
        if !request.body().is_end_stream() {
            return Err(bad("a bucket is made by a request without a body"));
        }
        let new = self.engine.edge.call(move |store: &Store| store.create_bucket(&bucket)).await?;
        Ok(text(if new { StatusCode::CREATED } else { StatusCode::OK }, ""))
    }

    async fn remove_bucket(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::Admin, Some(&bucket)).await?;
        Conditions::read(request.headers())?.of_no_object()?;
        self.engine.edge.call(move |store: &Store| store.delete_bucket(&bucket)).await?;
        Ok(text(StatusCode::NO_CONTENT, ""))
    }

    async fn delete(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
        key: Key,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::Write, Some(&bucket)).await?;
        let wanted = Conditions::read(request.headers())?.of_a_write()?;
        let condition = match wanted.is_none() {
            true => Condition::Always,
            false => self.condition(&wanted, &bucket, &key).await?,
        };
        let shown = key.to_string();
        let delete = move |store: &Store| store.delete_if(&bucket, &key, condition);
        let was_there = self.engine.edge.call(delete).await?;
        if was_there {
            Ok(text(StatusCode::NO_CONTENT, ""))
        } else {
            Err(Error::Status(StatusCode::NOT_FOUND, format!("there is no `{shown}`")))
        }
    }
}

fn place(rest: &str) -> Result<Place, Error> {
    if rest.is_empty() {
        return Ok(Place::Buckets);
    }
    let decoded = percent_decode_str(rest).decode_utf8();
    let decoded = decoded
        .map_err(|_| Error::Status(StatusCode::BAD_REQUEST, "the path is not UTF-8".into()))?;
    let (bucket, key) = decoded.split_once('/').unwrap_or((&decoded, ""));
    let bucket = BucketName::new(bucket)?;
    if key.is_empty() {
        return Ok(Place::Folder(bucket, String::new()));
    }
    // A folder's prefix obeys the rules of keys.
    let checked = Key::new(key)?;
    Ok(if key.ends_with('/') {
        Place::Folder(bucket, key.to_owned())
    } else {
        Place::Object(bucket, checked)
    })
}

/// The answer to a request that fails.
fn refusal(error: &Error) -> Answer {
    let status = match error {
        Error::Refused(Refused::KeyNeeded | Refused::WrongKey | Refused::TwoKeys) => {
            StatusCode::UNAUTHORIZED
        }
        Error::Refused(Refused::NotAllowed) => StatusCode::FORBIDDEN,
        Error::Refused(Refused::Fault(fault)) | Error::Fault(fault) => fault_status(fault),
        Error::Name(_) => StatusCode::BAD_REQUEST,
        Error::Status(status, _) => *status,
        Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        Error::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%error, "a request failed");
    }
    // What the store says of itself has names of files in it.
    let said = match status {
        StatusCode::INTERNAL_SERVER_ERROR => fault::FAILED.into(),
        StatusCode::INSUFFICIENT_STORAGE => fault::FULL.into(),
        _ => error.to_string(),
    };
    let mut response = text(status, format!("{said}\n"));
    response.extensions_mut().insert(Reason::new(&error.to_string()));
    let headers = response.headers_mut();
    match error {
        Error::Method(allowed) => {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        Error::Range(size) => {
            headers::insert(headers, http::header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
        _ if status == StatusCode::UNAUTHORIZED => {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"drystone\", charset=\"UTF-8\""),
            );
        }
        _ if status == StatusCode::REQUEST_TIMEOUT => {
            // Nothing more is read of what it sends.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ if status == StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

fn fault_status(fault: &Fault) -> StatusCode {
    match fault {
        Fault::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        Fault::TooSlow(_) | Fault::MadeWay => StatusCode::REQUEST_TIMEOUT,
        Fault::Incomplete(_)
        | Fault::BadBody(_)
        | Fault::BadDigest(_)
        | Fault::InvalidDigest(_) => StatusCode::BAD_REQUEST,
        Fault::Revoked => StatusCode::FORBIDDEN,
        Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::Store(error) => match error {
            StoreError::NotFound { .. } | StoreError::NoSuchBucket(_) => StatusCode::NOT_FOUND,
            StoreError::PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
            StoreError::BucketNotEmpty(_) => StatusCode::CONFLICT,
            StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Name(_) => StatusCode::BAD_REQUEST,
            error if error.is_full() => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_of_the_server_are_not_named() {
        for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::PermissionDenied] {
            let failed =
                StoreError::storage("cannot append to /srv/segments/7", std::io::Error::from(kind));
            let mut answer = refusal(&Error::from(failed));
            let reason = Reason::take(answer.extensions_mut());
            assert!(reason.is_some_and(|reason| reason.contains("segments/7")));
            let bytes =
                http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            let message = String::from_utf8_lossy(&bytes);
            assert!(message.len() > 20 && !message.contains('/'), "{message}");
        }
    }
}
