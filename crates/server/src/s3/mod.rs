//! The S3 face: path-style buckets and objects at `/`.
//!
//! The crate `s3s` reads requests, verifies signatures and writes answers. What it leaves to us is done here: permissions
//! ([`access`]), what must be refused before a signature is looked at ([`precheck`]), bounds on bodies ([`body`]), checksums
//! ([`checksums`]) and, of course, the operations, which are methods of [`Api`] in a file for each subject.

mod access;
mod acl;
mod answers;
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
mod parts;
mod precheck;
mod put;
mod service;
mod signed_date;
mod tags;
mod unconfigured;
mod uploads;

use drystone_store::{BucketName, Key, ObjectRow, Store, StoreError};
use drystone_sync::PlainArc;
use http::{Method, Request, StatusCode};
use s3s::service::S3Service;
use s3s::{S3Error, S3ErrorCode};

pub(crate) use self::form::FIELDS_MAX;
use crate::engine::Engine;
use crate::route::text;
use crate::server::Answer;
use crate::unread::RequestBody;

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

    /// Answers the request with this id.
    pub(crate) async fn answer(&self, mut request: Request<RequestBody>, id: &str) -> Answer {
        let checked = precheck::check(&mut request).and_then(|()| signed_date::supply(&mut request));
        if let Err(refused) = checked {
            return answers::error(refused, id);
        }
        let notes = PlainArc::new(body::Notes::default());
        let (mut parts, incoming) = request.into_parts();
        parts.extensions.insert(PlainArc::clone(&notes));
        let body = body::guard(&parts.headers, incoming, &notes);
        if parts.method == Method::POST && form::is_form(&parts.headers) {
            match self.api.post(&parts.uri, &parts.headers, body, &notes).await {
                Ok(response) => answers::complete(response, id),
                Err(refused) => answers::error(refused, id),
            }
        } else {
            self.serve(Request::from_parts(parts, body), &notes, id).await
        }
    }

    async fn serve(&self, request: Request<s3s::Body>, notes: &body::Notes, id: &str) -> Answer {
        match self.service.call(request).await {
            // Where s3s itself reads the body, it knows of no reason but its own failure.
            Ok(response) if response.status() == StatusCode::INTERNAL_SERVER_ERROR => match notes.refusal() {
                Some(refused) => answers::error(refused, id),
                None => answers::complete(response, id),
            },
            Ok(response) => answers::complete(response, id),
            Err(error) => {
                tracing::error!(error = %Box::<dyn std::error::Error + Send + Sync>::from(error), "s3s failed");
                text(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
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
