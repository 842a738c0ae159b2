//! Plain HTTP below `/_/`: objects as files, folders as pages, and what keeps a server running.
//!
//! `/_/files/` lists buckets, `/_/files/BUCKET/` and any deeper path with a slash at its end a
//! folder, every other path is an object. Folders do not exist; they are what keys have in common
//! up to a slash.

mod archive;
mod condition;
mod errors;
pub(crate) mod fields;
mod form;
mod headers;
mod limits;
mod listing;
mod object;
mod page;
mod routes;
mod understood;

use drystone_store::{BucketName, Condition, Key, Store};
use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicBool, Ordering};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use percent_encoding::percent_decode_str;

use self::condition::Conditions;
use self::errors::{Error, refusal};
pub use self::routes::plain_routes;
use self::routes::{Names, Route};
use self::understood::{Query, bad, check_headers};
use crate::access::{Right, Who};
use crate::cross_site;
use crate::engine::Engine;
use crate::face::{Answer, Face, text};
use crate::front;
use crate::metrics::Metrics;
use crate::process::Process;
use crate::request_body::RequestBody;
use crate::request_head::Refusal;

/// The plain HTTP face.
pub(crate) struct Files {
    engine: PlainArc<Engine>,
    metrics: PlainArc<Metrics>,
    draining: PlainArc<AtomicBool>,
}

/// A path below `/_/files/`.
enum FilesPath {
    Buckets,
    /// A bucket and a prefix that is empty or ends with a slash.
    Folder(BucketName, String),
    Object(BucketName, Key),
}

impl Face for Files {
    const NAME: &'static str = "http";

    /// Plain HTTP takes a password, which a browser attaches on its own, or a token.
    fn is_proven<B>(request: &Request<B>) -> bool {
        cross_site::scheme(request.headers())
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
    }

    async fn answer(&self, request: Request<RequestBody>, _id: &str) -> Answer {
        self.dispatch(request).await.unwrap_or_else(|error| refusal(&error))
    }

    fn refuse(&self, refused: Refusal, _id: &str) -> Answer {
        text(refused.status, format!("{}\n", refused.why))
    }
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

    async fn dispatch(&self, request: Request<RequestBody>) -> Result<Answer, Error> {
        let path = request.uri().path().to_owned();
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let place = path.strip_prefix("/_/files/").map(place).transpose()?;
        check_headers(
            request.method(),
            matches!(place, Some(FilesPath::Object(..))),
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

    /// The key of the request, which must be an administrator's: keys of single buckets may not see
    /// what the server has under way.
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

    async fn file(&self, request: Request<RequestBody>, place: FilesPath) -> Result<Answer, Error> {
        let method = request.method().clone();
        let is_page = matches!(place, FilesPath::Buckets | FilesPath::Folder(..));
        if !is_page || !matches!(method, Method::GET | Method::HEAD) {
            Query::read(&request, &[])?;
        }
        let who = self.engine.identify(request.headers()).await?;
        let names = match &place {
            FilesPath::Buckets => Names::Buckets,
            FilesPath::Folder(_, prefix) if prefix.is_empty() => Names::Bucket,
            FilesPath::Folder(..) => Names::Folder,
            FilesPath::Object(..) => Names::Object,
        };
        let allowed = match Route::of(names) {
            Some(route) if route.takes(&method) => route.methods,
            route => return Err(Error::Method(route.map_or("", |route| route.methods))),
        };
        match (place, method) {
            (FilesPath::Buckets, _) => self.list_buckets(&request, &who).await,
            (FilesPath::Folder(bucket, prefix), Method::GET | Method::HEAD) => {
                self.folder(&request, &who, bucket, prefix).await
            }
            (FilesPath::Folder(bucket, prefix), Method::POST) => {
                self.post_form(request, &who, bucket, prefix).await
            }
            (FilesPath::Folder(bucket, _), Method::PUT) => {
                self.make_bucket(&request, &who, bucket).await
            }
            (FilesPath::Folder(bucket, _), Method::DELETE) => {
                self.remove_bucket(&request, &who, bucket).await
            }
            (FilesPath::Object(bucket, key), Method::GET | Method::HEAD) => {
                self.get(&request, &who, bucket, key).await
            }
            (FilesPath::Object(bucket, key), Method::PUT) => {
                self.put(request, &who, bucket, key).await
            }
            (FilesPath::Object(bucket, key), Method::DELETE) => {
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

fn place(rest: &str) -> Result<FilesPath, Error> {
    if rest.is_empty() {
        return Ok(FilesPath::Buckets);
    }
    let decoded = percent_decode_str(rest).decode_utf8();
    let decoded = decoded
        .map_err(|_| Error::Status(StatusCode::BAD_REQUEST, "the path is not UTF-8".into()))?;
    let (bucket, key) = decoded.split_once('/').unwrap_or((&decoded, ""));
    let bucket = BucketName::new(bucket)?;
    if key.is_empty() {
        return Ok(FilesPath::Folder(bucket, String::new()));
    }
    // A folder's prefix obeys the rules of keys.
    let checked = Key::new(key)?;
    Ok(if key.ends_with('/') {
        FilesPath::Folder(bucket, key.to_owned())
    } else {
        FilesPath::Object(bucket, checked)
    })
}
