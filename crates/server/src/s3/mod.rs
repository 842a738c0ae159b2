//! The S3 face: path-style buckets and objects at `/`.
//!
//! The crate `s3s` reads requests, verifies signatures and writes answers. What it leaves to us is
//! done here: permissions ([`access`]), what must be refused before a signature is looked at
//! ([`precheck`]), above all what is not in the table of what is known ([`operations`], with
//! [`queries`] and [`headers`]), bounds on bodies ([`body`]), checksums
//! ([`checksums`]) and, of course, the operations, which are methods of [`Api`] in a file for each
//! subject.

mod access;
mod acl;
mod answers;
mod attributes;
mod body;
mod bucket_list;
mod buckets;
mod checksums;
mod complete;
mod conditions;
mod copy;
mod delete;
mod describe;
mod document_tables;
mod documents;
mod errors;
mod form;
mod form_policy;
mod form_signature;
mod form_upload;
pub(crate) mod framing;
mod header_values;
mod headers;
mod listing;
mod multipart;
mod objects;
mod operations;
mod part_sizes;
mod parts;
mod precheck;
mod put;
mod queries;
mod service;
mod signed_date;
mod tags;
mod unconfigured;
mod uploads;
mod xml_text;

use drystone_edge::gate::Share;
use drystone_store::{BucketName, Key, ObjectRow, Store, StoreError};
use drystone_sync::PlainArc;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use s3s::service::S3Service;
use s3s::{S3Error, S3ErrorCode};

pub(crate) use self::form::FIELDS_MAX;
use self::operations::{FORM, OPERATIONS, Takes};
use crate::access::Peer;
use crate::engine::Engine;
use crate::request_body::RequestBody;
use crate::request_head::Refusal;
use crate::route::{Answer, text};
use crate::writer::Writer;

/// The longest document: an upload of 10,000 parts with checksums is completed with less.
const DOCUMENT_BYTES_MAX: usize = 2 << 20;

/// The names of all operations that are understood, as S3 has them.
pub fn s3_operations() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().chain([&FORM]).map(|operation| operation.name)
}

/// Whether a request is a form of a browser, which is signed in its fields.
pub(crate) fn is_form<B>(request: &Request<B>) -> bool {
    request.method() == http::Method::POST && form::is_form(request.headers())
}

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

    /// Answers the request with this id.
    pub(crate) async fn answer(&self, mut request: Request<RequestBody>, id: &str) -> Answer {
        let operation = match precheck::check(&mut request) {
            Ok(operation) => operation,
            Err(refused) => return answers::error(refused, id),
        };
        if let Err(refused) = signed_date::supply(&mut request) {
            return answers::error(refused, id);
        }
        let notes = PlainArc::new(body::Notes::default());
        let (mut parts, mut incoming) = request.into_parts();
        parts.extensions.insert(PlainArc::clone(&notes));
        parts.extensions.insert(operation);
        let engine = &self.api.engine;
        // Who has signed it is not known yet, so addresses take turns.
        let share =
            Share::new(Some(String::new()), parts.extensions.get::<Peer>().map(|peer| peer.0));
        let (incoming, turn) = if operation.takes_document() && !incoming.is_end_stream() {
            match engine.edge.receive_document(&share, &mut incoming, DOCUMENT_BYTES_MAX).await {
                Ok((document, turn)) => (body::Source::document(document), Some(turn)),
                Err(refused) => return answers::error(body::refusal_of_document(refused), id),
            }
        } else if operation.takes_document() || operation.has_long_answer() {
            match engine.edge.turn_for_document(&share).await {
                Ok(turn) => (body::Source::Request(incoming), Some(turn)),
                Err(refused) => return answers::error(errors::fault(refused), id),
            }
        } else {
            (body::Source::Request(incoming), None)
        };
        let body = match body::guard(operation, &parts.headers, incoming, &notes) {
            Ok(body) => body,
            Err(refused) => return answers::error(refused, id),
        };
        if operation.takes == Takes::Form {
            match self.api.post(&parts.uri, &parts.headers, &parts.extensions, body).await {
                Ok(response) => answers::complete(response, id),
                Err(refused) => answers::error(refused, id),
            }
        } else {
            let condition = conditions::of_write(&parts.headers);
            let request = Request::from_parts(parts, body);
            let Some(turn) = turn else {
                return match serve(&self.service, request, &notes, condition, id).await {
                    Ok(response) => answers::complete(response, id),
                    Err(answer) => answer,
                };
            };
            let (service, id) = (self.service.clone(), id.to_owned());
            let make = {
                let (engine, id) = (PlainArc::clone(engine), id.clone());
                async move {
                    match serve(&service, request, &notes, condition, &id).await {
                        Ok(response) => answers::complete_long(response, &id, &engine, turn).await,
                        Err(answer) => answer,
                    }
                }
            };
            let made = engine.make(make).await;
            made.unwrap_or_else(|refused| answers::error(errors::fault(refused), &id))
        }
    }

    /// Says in the words of S3 why a request was refused before a face was chosen.
    pub(crate) fn refuse(&self, refused: Refusal, id: &str) -> Answer {
        answers::error(errors::custom(refused.code, refused.status, refused.why), id)
    }
}

/// Has s3s answer it.
async fn serve(
    service: &S3Service,
    request: Request<s3s::Body>,
    notes: &body::Notes,
    condition: Option<&'static str>,
    id: &str,
) -> Result<Response<s3s::Body>, Answer> {
    match service.call(request).await {
        // Where s3s itself reads the body, it knows of no reason but its own failure.
        Ok(response) if response.status() == StatusCode::INTERNAL_SERVER_ERROR => {
            match notes.refusal() {
                Some(refused) => Err(answers::error(refused, id)),
                None => Ok(response),
            }
        }
        Ok(mut response) => {
            if let (StatusCode::PRECONDITION_FAILED, Some(name)) = (response.status(), condition) {
                // The operation knows better which of several it was, if it has looked before
                // the commit did.
                let headers = response.headers_mut();
                headers.entry(errors::CONDITION).or_insert(HeaderValue::from_static(name));
            }
            Ok(response)
        }
        Err(error) => {
            tracing::error!(error = %Box::<dyn std::error::Error + Send + Sync>::from(error), "s3s failed");
            Err(text(StatusCode::INTERNAL_SERVER_ERROR, ""))
        }
    }
}

impl Api {
    /// Runs a short call of the store.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, S3Error> {
        self.engine.edge.call(call).await.map_err(errors::fault)
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

    /// Asked before each operation, when its document is here: that may have been long in coming. A
    /// body is longer, and asks once more.
    async fn is_still_let_in(&self, extensions: &http::Extensions) -> Result<(), S3Error> {
        match extensions.get::<Writer>() {
            Some(writer) => self.engine.still_writes(writer).await.map_err(errors::fault),
            None => Ok(()),
        }
    }

    async fn need_bucket(&self, bucket: &BucketName) -> Result<(), S3Error> {
        self.bucket_row(bucket).await.map(drop)
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
