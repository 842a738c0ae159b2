//! The S3 face: path-style buckets and objects at `/`.
//!
//! The crate `s3s` reads requests, verifies signatures and writes answers. What it leaves to us is done here: permissions
//! ([`access`]), what must be refused before a signature is looked at ([`precheck`]), bounds on bodies ([`body`]), checksums
//! ([`checksums`]) and, of course, the operations, which are methods of [`Api`] in a file for each subject.

mod access;
mod attributes;
mod body;
mod buckets;
mod checksums;
mod complete;
mod conditions;
mod copy;
mod delete;
mod describe;
mod errors;
mod form;
mod form_policy;
mod form_signature;
mod form_upload;
pub(crate) mod framing;
mod listing;
mod multipart;
mod objects;
mod part_sizes;
mod precheck;
mod put;
mod service;
mod unconfigured;
mod uploads;

use drystone_store::{BucketName, Key, ObjectRow, Store, StoreError};
use drystone_sync::PlainArc;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{S3Error, S3ErrorCode};

use crate::engine::Engine;
use crate::route::{full, text};
use crate::server::Answer;

/// The longest document: an upload of 10,000 parts with checksums is completed with less.
const DOCUMENT_BYTES_MAX: usize = 2 << 20;

/// The S3 face.
pub(crate) struct S3Face {
    api: Api,
    service: S3Service,
}

/// The operations.
#[derive(Clone)]
struct Api {
    engine: PlainArc<Engine>,
}

impl S3Face {
    pub(crate) fn new(engine: &PlainArc<Engine>) -> Self {
        let api = Api { engine: PlainArc::clone(engine) };
        Self { service: service::build(&api), api }
    }

    pub(crate) async fn answer(&self, mut request: Request<Incoming>) -> Answer {
        if let Err(refused) = precheck::check(&mut request) {
            return if refused.code().as_str() == precheck::WRONG_REGION {
                wrong_region()
            } else {
                error_answer(refused)
            };
        }
        let notes = PlainArc::new(body::Notes::default());
        let (mut parts, incoming) = request.into_parts();
        parts.extensions.insert(PlainArc::clone(&notes));
        let waits = parts.headers.contains_key(EXPECT);
        let unasked = waits && incoming.is_end_stream();
        let body = body::guard(&parts.headers, incoming, &notes);
        let mut response = if parts.method == Method::POST && form::is_form(&parts.headers) {
            self.api.post(&parts.uri, &parts.headers, body, &notes).await.unwrap_or_else(error_answer)
        } else {
            self.serve(Request::from_parts(parts, body), &notes).await
        };
        // Who waits to be told to go on will not send the rest. Without a `100 Continue` before its answer a connection is not
        // used again: some clients are confused about which answer belongs to what. (Plain HTTP has the same rule in `route`.)
        if unasked || (waits && notes.is_left()) || !notes.drain().await {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn serve(&self, request: Request<s3s::Body>, notes: &body::Notes) -> Answer {
        match self.service.call(request).await {
            // Where s3s itself reads the body, it knows of no reason but its own failure.
            Ok(response) if response.status() == StatusCode::INTERNAL_SERVER_ERROR => match notes.refusal() {
                Some(refused) => error_answer(refused),
                None => response.map(s3s::Body::boxed_unsync),
            },
            Ok(response) if response.extensions().get::<attributes::BareTag>().is_some() => {
                response.map(|body| attributes::without_quotes(body).boxed_unsync())
            }
            Ok(response) => response.map(s3s::Body::boxed_unsync),
            Err(error) => {
                tracing::error!(error = %Box::<dyn std::error::Error + Send + Sync>::from(error), "s3s failed");
                text(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
}

fn error_answer(refused: S3Error) -> Answer {
    match refused.to_http_response() {
        Ok(response) => response.map(s3s::Body::boxed_unsync),
        Err(_) => {
            let mut response = Response::new(full(""));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// The one error with more than a code and a message: clients sign anew for the region that it names.
fn wrong_region() -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>the region of the signature is wrong; \
         expecting '{region}'</Message><Region>{region}</Region></Error>",
        precheck::WRONG_REGION,
        region = buckets::REGION,
    );
    let mut response = Response::new(full(xml));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

impl Api {
    /// Runs a short call of the store.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, S3Error> {
        self.engine.call(call).await.map_err(errors::fault)
    }

    async fn stat(&self, bucket: &BucketName, key: &Key) -> Result<ObjectRow, S3Error> {
        let (bucket, key) = (bucket.clone(), key.clone());
        self.call(move |store| store.stat(&bucket, &key)).await
    }

    /// The object, if there is one; an error if there is no such bucket.
    async fn look(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>, S3Error> {
        let (bucket, key) = (bucket.clone(), key.clone());
        let looked = self.call(move |store| match store.stat(&bucket, &key) {
            Ok(object) => Ok(Some(object)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        });
        looked.await
    }

    async fn need_bucket(&self, bucket: &BucketName) -> Result<(), S3Error> {
        let name = bucket.clone();
        match self.call(move |store| store.bucket(&name)).await? {
            Some(_) => Ok(()),
            None => Err(errors::store(&StoreError::NoSuchBucket(bucket.clone()))),
        }
    }
}

fn bucket_name(text: &str) -> Result<BucketName, S3Error> {
    BucketName::new(text).map_err(|refused| errors::name(&refused))
}

fn key_name(text: &str) -> Result<Key, S3Error> {
    Key::new(text).map_err(|refused| errors::name(&refused))
}

/// Every object has one version, `null`: as in a bucket that never had versioning.
fn check_version(version: Option<&str>) -> Result<(), S3Error> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(errors::error(
            S3ErrorCode::InvalidArgument,
            "this version id cannot be: the only one is `null`",
        )),
    }
}
