//! Deleting objects.

use drystone_store::{BucketName, Condition, DELETES_MAX, Key, Store, StoreError};
use http::header::IF_MATCH;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETag, Error, ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::api::{Api, bucket_name, check_version, key_name};
use super::conditions::{Delete, Tags};
use super::errors;
use super::errors::error;

/// Objects in one request.
const OBJECTS_MAX: usize = DELETES_MAX;

impl Api {
    pub(super) async fn delete(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let matches = Tags::of(&request.headers, IF_MATCH)?;
        let input = request.input;
        let wanted = Delete {
            matches,
            size: input.if_match_size,
            modified: input.if_match_last_modified_time,
        };
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        check_version(input.version_id.as_deref())?;
        self.call(move |store| Ok(delete(store, &bucket, &key, &wanted))).await??;
        Ok(S3Response::new(DeleteObjectOutput {
            version_id: input.version_id,
            ..DeleteObjectOutput::default()
        }))
    }

    pub(super) async fn delete_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let bucket = bucket_name(&input.bucket)?;
        let objects = input.delete.objects;
        if objects.is_empty() || objects.len() > OBJECTS_MAX {
            let hint =
                format!("a request deletes 1 to {OBJECTS_MAX} objects, this has {}", objects.len());
            return Err(error(S3ErrorCode::MalformedXML, hint));
        }
        self.need_bucket(&bucket).await?;
        let quiet = input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut failed) = (Vec::new(), Vec::new());
        let outcomes = self.call(move |store| Ok(delete_all(store, &bucket, objects))).await??;
        for (object, outcome) in outcomes {
            let (key, version_id) = (Some(object.key), object.version_id);
            match outcome {
                Ok(()) if quiet => {}
                Ok(()) => {
                    deleted.push(DeletedObject { key, version_id, ..DeletedObject::default() });
                }
                Err(refused) => failed.push(Error {
                    code: Some(refused.code().as_str().to_owned()),
                    message: refused.message().map(str::to_owned),
                    key,
                    version_id,
                }),
            }
        }
        let output = DeleteObjectsOutput {
            deleted: (!deleted.is_empty()).then_some(deleted),
            errors: (!failed.is_empty()).then_some(failed),
            ..DeleteObjectsOutput::default()
        };
        Ok(S3Response::new(output))
    }
}

type Outcome = (ObjectIdentifier, Result<(), S3Error>);

/// Deletes objects in one transaction, each under its own conditions.
fn delete_all(
    store: &Store,
    bucket: &BucketName,
    objects: Vec<ObjectIdentifier>,
) -> Result<Vec<Outcome>, S3Error> {
    let deletions: Vec<Result<Deletion, S3Error>> =
        objects.iter().map(|object| deletion(store, bucket, object)).collect();
    let asked: Vec<_> =
        deletions.iter().filter_map(|deletion| deletion.as_ref().ok()?.clone()).collect();
    let mut outcomes =
        store.delete_many(bucket, &asked).map_err(|error| errors::store(&error))?.into_iter();
    let outcome = |deletion: Result<Deletion, S3Error>| match deletion? {
        None => Ok(()),
        Some(_) => {
            let outcome = outcomes.next().expect("each object that is asked for is answered");
            outcome.map(drop).map_err(|refused| errors::store(&refused))
        }
    };
    let outcomes: Vec<Result<(), S3Error>> = deletions.into_iter().map(outcome).collect();
    Ok(objects.into_iter().zip(outcomes).collect())
}

/// What a delete asks of the store: nothing where what is to be gone is gone already.
type Deletion = Option<(Key, Condition)>;

fn deletion(
    store: &Store,
    bucket: &BucketName,
    object: &ObjectIdentifier,
) -> Result<Deletion, S3Error> {
    check_version(object.version_id.as_deref())?;
    // As it stands in the document: only a strong tag names bytes.
    let text = object.e_tag.as_ref().map(|tag| match tag {
        ETag::Strong(tag) => format!("\"{tag}\""),
        ETag::Weak(tag) => format!("W/\"{tag}\""),
    });
    let matches = text.map(|text| Tags::of_text(&text)).transpose()?;
    let wanted = Delete { matches, size: object.size, modified: object.last_modified_time.clone() };
    let key = key_name(&object.key)?;
    Ok(condition(store, bucket, &key, &wanted)?.map(|condition| (key, condition)))
}

/// Deletes an object, if its conditions hold at that moment. What is not there is gone: without a
/// tag to match that is fine.
fn delete(store: &Store, bucket: &BucketName, key: &Key, wanted: &Delete) -> Result<(), S3Error> {
    match condition(store, bucket, key, wanted)? {
        Some(condition) => store
            .delete_if(bucket, key, condition)
            .map(drop)
            .map_err(|refused| errors::store(&refused)),
        None => Ok(()),
    }
}

/// What must hold when the object is deleted; `None` where there is nothing to delete.
fn condition(
    store: &Store,
    bucket: &BucketName,
    key: &Key,
    wanted: &Delete,
) -> Result<Option<Condition>, S3Error> {
    let mut present = None;
    if !wanted.is_none() {
        match store.stat(bucket, key) {
            Ok(object) => present = Some(object),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(errors::store(&error)),
        }
    }
    wanted.condition(present.as_ref())
}
