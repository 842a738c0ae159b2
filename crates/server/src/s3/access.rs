//! Who may do what over S3.
//!
//! An operation is let in only if it stands in [`need`]: what is new in s3s is refused until it has
//! been added there.

use async_trait::async_trait;
use drystone_sync::PlainArc;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3ErrorCode, S3Result};

use super::api::bucket_name;
use super::document::Document;
use super::operations::Operation;
use super::{describe, document_tables, errors};
use crate::access::{Right, Who, may};
use crate::engine::Engine;
use crate::writer::Writer;

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A key that exists; the operation itself looks at what it may do.
    Key,
    /// Any right over the bucket: clients ask such things before they do what they are for.
    Any,
    /// May be done without a key in a public bucket.
    PublicRead,
    Right(Right),
}

fn need(operation: &str) -> Option<Need> {
    Some(match operation {
        "ListBuckets" => Need::Key,
        "GetObject" | "HeadObject" => Need::PublicRead,
        "GetObjectAttributes"
        | "GetObjectAcl"
        | "GetObjectTagging"
        | "GetObjectLegalHold"
        | "GetObjectRetention" => Need::Right(Right::Read),
        "ListObjects" | "ListObjectsV2" | "ListObjectVersions" | "ListMultipartUploads" => {
            Need::Right(Right::List)
        }
        "PutObject"
        | "PutObjectAcl"
        | "PutObjectTagging"
        | "DeleteObjectTagging"
        | "CopyObject"
        | "DeleteObject"
        | "DeleteObjects"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload"
        | "AbortMultipartUpload"
        | "ListParts" => Need::Right(Right::Write),
        "CreateBucket" | "DeleteBucket" | "PutBucketAcl" => Need::Right(Right::Admin),
        "HeadBucket"
        | "GetBucketLocation"
        | "GetBucketVersioning"
        | "GetBucketAcl"
        | "GetBucketPolicy"
        | "GetBucketPolicyStatus"
        | "GetBucketLifecycleConfiguration"
        | "GetBucketTagging"
        | "GetBucketCors"
        | "GetBucketEncryption"
        | "GetBucketWebsite"
        | "GetBucketReplication"
        | "GetBucketLogging"
        | "GetBucketNotificationConfiguration"
        | "GetBucketAccelerateConfiguration"
        | "GetBucketRequestPayment"
        | "GetBucketOwnershipControls"
        | "GetObjectLockConfiguration"
        | "GetPublicAccessBlock" => Need::Any,
        _ => return None,
    })
}

/// Keys as s3s asks for them.
pub(super) struct Secrets(pub(super) PlainArc<Engine>);

#[async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access: &str) -> S3Result<SecretKey> {
        let unknown =
            || errors::error(S3ErrorCode::InvalidAccessKeyId, "there is no such access key");
        let key = self.0.key(access).await.map_err(errors::fault)?.ok_or_else(unknown)?;
        Ok(SecretKey::from(key.key.secret.0.as_str()))
    }
}

/// The check before each operation.
pub(super) struct Guard {
    pub(super) engine: PlainArc<Engine>,
}

#[async_trait]
impl S3Access for Guard {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = context.s3_op().name().to_owned();
        let missing = || {
            errors::error(
                S3ErrorCode::NotImplemented,
                format!("{operation} is not implemented here"),
            )
        };
        // Where s3s reads the request as another operation than we do, one of both has not
        // understood it.
        let known = context.extensions_mut().get::<&'static Operation>();
        known.filter(|known| known.name == operation).ok_or_else(missing)?;
        let need = need(&operation).ok_or_else(missing)?;
        let who = match context.credentials() {
            None => Who::Anonymous,
            Some(credentials) => {
                let key = self.engine.key(&credentials.access_key).await.map_err(errors::fault)?;
                // Revoked since the signature was verified.
                let unknown = || {
                    errors::error(S3ErrorCode::InvalidAccessKeyId, "there is no such access key")
                };
                Who::Key(key.ok_or_else(unknown)?)
            }
        };
        let bucket = context.s3_path().get_bucket_name().map(bucket_name).transpose()?;
        if let (Need::Right(right @ (Right::Write | Right::Admin)), Some(bucket)) = (need, &bucket)
        {
            let writer = Writer::new(&who, right, bucket);
            context.extensions_mut().insert(writer);
        }
        let refused = || match who {
            Who::Anonymous => errors::refused(crate::access::Refused::KeyNeeded),
            Who::Key(_) => errors::refused(crate::access::Refused::NotAllowed),
        };
        match (need, &who) {
            (Need::PublicRead, _) => {
                self.engine
                    .allow(&who, Right::Read, bucket.as_ref())
                    .await
                    .map_err(errors::refused)?;
            }
            (_, Who::Anonymous) => return Err(refused()),
            (Need::Key, Who::Key(_)) => {}
            (Need::Right(right), Who::Key(_)) => {
                self.engine.allow(&who, right, bucket.as_ref()).await.map_err(errors::refused)?;
            }
            (Need::Any, Who::Key(key)) => {
                let rights = [Right::Read, Right::Write, Right::List, Right::Admin];
                if !rights.iter().any(|right| may(key, *right, bucket.as_ref())) {
                    return Err(refused());
                }
            }
        }
        if matches!(need, Need::Right(Right::Write | Right::Admin)) {
            describe::refuse_unsupported(&operation, context.headers())?;
        }
        context.extensions_mut().insert(who);
        // From here on its reader is s3s.
        let document = context.extensions_mut().remove::<Document>();
        if let (Some(document), Some(root)) = (document, document_tables::of(&operation)) {
            document.check(root)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_is_not_public_and_what_is_unknown_is_refused() {
        for operation in ["PutObject", "DeleteObject", "CompleteMultipartUpload", "CopyObject"] {
            assert_eq!(need(operation), Some(Need::Right(Right::Write)), "{operation}");
        }
        for operation in ["PutBucketPolicy", "PutBucketTagging", "RestoreObject", "PostObject", ""]
        {
            assert_eq!(need(operation), None, "{operation}");
        }
        assert_eq!(need("GetObject"), Some(Need::PublicRead));
    }
}
