//! Configurations that clients ask for and this server does not have. Each question has its own way
//! to say "nothing".

use http::StatusCode;
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::api::{Api, bucket_name};
use super::errors::{custom, error};

/// Questions that are answered with an error, if the bucket is there.
macro_rules! refused {
    ($($method:ident($input:ty) -> $output:ty = $refusal:expr;)*) => {
        impl Api {
            $(
                pub(super) async fn $method(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    self.need_bucket(&bucket_name(&request.input.bucket)?).await?;
                    Err($refusal)
                }
            )*
        }
    };
}

/// Questions that are answered with an empty document, if the bucket is there.
macro_rules! empty {
    ($($method:ident($input:ty) -> $output:ty;)*) => {
        impl Api {
            $(
                pub(super) async fn $method(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    self.need_bucket(&bucket_name(&request.input.bucket)?).await?;
                    Ok(S3Response::new(<$output>::default()))
                }
            )*
        }
    };
}

fn none(code: S3ErrorCode, what: &str) -> S3Error {
    let mut refusal = error(code, format!("the bucket has no {what}"));
    refusal.set_status_code(StatusCode::NOT_FOUND);
    refusal
}

fn no_locks() -> S3Error {
    error(S3ErrorCode::InvalidRequest, "the bucket has no object lock configuration")
}

refused! {
    no_cors(GetBucketCorsInput) -> GetBucketCorsOutput =
        none(S3ErrorCode::NoSuchCORSConfiguration, "CORS configuration");
    no_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput =
        none(S3ErrorCode::ServerSideEncryptionConfigurationNotFoundError, "encryption configuration");
    no_lifecycle(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput =
        none(S3ErrorCode::NoSuchLifecycleConfiguration, "lifecycle configuration");
    no_ownership(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput =
        none(S3ErrorCode::OwnershipControlsNotFoundError, "ownership controls");
    no_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = none(S3ErrorCode::NoSuchBucketPolicy, "policy");
    no_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput =
        none(S3ErrorCode::ReplicationConfigurationNotFoundError, "replication configuration");
    no_bucket_tags(GetBucketTaggingInput) -> GetBucketTaggingOutput = none(S3ErrorCode::NoSuchTagSet, "tags");
    no_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput =
        none(S3ErrorCode::NoSuchWebsiteConfiguration, "website configuration");
    no_lock(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput =
        none(S3ErrorCode::ObjectLockConfigurationNotFoundError, "object lock configuration");
    no_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput =
        no_locks();
    no_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput =
        no_locks();
    no_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput =
        custom("NoSuchPublicAccessBlockConfiguration", StatusCode::NOT_FOUND, "the bucket has no public access block");
}

empty! {
    no_accelerate(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput;
    no_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput;
    no_notification(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput;
    no_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput;
}

impl Api {
    pub(super) async fn request_payment(
        &self,
        request: S3Request<GetBucketRequestPaymentInput>,
    ) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
        self.need_bucket(&bucket_name(&request.input.bucket)?).await?;
        let payer = Some(Payer::from_static(Payer::BUCKET_OWNER));
        Ok(S3Response::new(GetBucketRequestPaymentOutput { payer }))
    }
}
