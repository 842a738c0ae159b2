//! What the operations of S3 are methods of, and what most of them need.

use drystone_store::{BucketName, Key, ObjectRow, Store, StoreError};
use drystone_sync::PlainArc;
use s3s::{S3Error, S3ErrorCode};

use super::errors;
use crate::engine::Engine;
use crate::writer::Writer;

/// The operations.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) engine: PlainArc<Engine>,
}

impl Api {
    /// Runs a short call of the store.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, S3Error> {
        self.engine.edge.call(call).await.map_err(errors::fault)
    }

    pub(super) async fn stat(&self, bucket: &BucketName, key: &Key) -> Result<ObjectRow, S3Error> {
        let (bucket, key) = (bucket.clone(), key.clone());
        self.call(move |store| store.stat(&bucket, &key)).await
    }

    /// The object, if there is one; an error if there is no such bucket.
    pub(super) async fn look(
        &self,
        bucket: &BucketName,
        key: &Key,
    ) -> Result<Option<ObjectRow>, S3Error> {
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
    pub(super) async fn is_still_let_in(
        &self,
        extensions: &http::Extensions,
    ) -> Result<(), S3Error> {
        match extensions.get::<Writer>() {
            Some(writer) => self.engine.still_writes(writer).await.map_err(errors::fault),
            None => Ok(()),
        }
    }

    pub(super) async fn need_bucket(&self, bucket: &BucketName) -> Result<(), S3Error> {
        self.bucket_row(bucket).await.map(drop)
    }
}

pub(super) fn bucket_name(text: &str) -> Result<BucketName, S3Error> {
    BucketName::new(text).map_err(|refused| errors::name(&refused))
}

pub(super) fn key_name(text: &str) -> Result<Key, S3Error> {
    Key::new(text).map_err(|refused| errors::name(&refused))
}

/// Every object has one version, `null`: as in a bucket that never had versioning.
pub(super) fn check_version(version: Option<&str>) -> Result<(), S3Error> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(errors::error(
            S3ErrorCode::InvalidArgument,
            "this version id cannot be: the only one is `null`",
        )),
    }
}
