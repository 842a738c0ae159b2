//! Deleting objects.

use drystone_store::{BucketName, Key, Store, StoreError};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
    ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::errors::error;
use super::{Api, bucket_name, check_version, errors, key_name};

/// Objects in one request.
const OBJECTS_MAX: usize = 1000;
/// Objects that are deleted before others get their turn.
const OBJECTS_AT_A_TIME: usize = 100;

impl Api {
    pub(super) async fn delete(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        if input.if_match.is_some()
            || input.if_match_size.is_some()
            || input.if_match_last_modified_time.is_some()
        {
            return Err(conditional());
        }
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        check_version(input.version_id.as_deref())?;
        // It is gone in either case.
        self.call(move |store| store.delete(&bucket, &key)).await?;
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
        let mut objects = input.delete.objects;
        if objects.is_empty() || objects.len() > OBJECTS_MAX {
            let hint = format!("a request deletes 1 to {OBJECTS_MAX} objects, this has {}", objects.len());
            return Err(error(S3ErrorCode::MalformedXML, hint));
        }
        self.need_bucket(&bucket).await?;
        let quiet = input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut failed) = (Vec::new(), Vec::new());
        while !objects.is_empty() {
            let rest = objects.split_off(objects.len().min(OBJECTS_AT_A_TIME));
            let some = std::mem::replace(&mut objects, rest);
            let bucket = bucket.clone();
            let outcomes = self.call(move |store| Ok(delete_each(store, &bucket, some))).await?;
            for (object, outcome) in outcomes {
                let (key, version_id) = (Some(object.key), object.version_id);
                match outcome {
                    Ok(()) if quiet => {}
                    Ok(()) => deleted.push(DeletedObject { key, version_id, ..DeletedObject::default() }),
                    Err(refused) => failed.push(Error {
                        code: Some(refused.code().as_str().to_owned()),
                        message: refused.message().map(str::to_owned),
                        key,
                        version_id,
                    }),
                }
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

fn delete_each(store: &Store, bucket: &BucketName, objects: Vec<ObjectIdentifier>) -> Vec<Outcome> {
    let delete = |object: &ObjectIdentifier| {
        if object.e_tag.is_some() || object.size.is_some() || object.last_modified_time.is_some() {
            return Err(conditional());
        }
        check_version(object.version_id.as_deref())?;
        let key: Key = key_name(&object.key)?;
        let deleted: Result<bool, StoreError> = store.delete(bucket, &key);
        deleted.map(drop).map_err(|refused| errors::store(&refused))
    };
    objects
        .into_iter()
        .map(|object| (delete(&object), object))
        .map(|(outcome, object)| (object, outcome))
        .collect()
}

fn conditional() -> S3Error {
    error(S3ErrorCode::NotImplemented, "an object cannot be deleted on a condition")
}
