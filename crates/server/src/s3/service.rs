//! The operations by the names that s3s calls them, and how s3s is set up.

use async_trait::async_trait;
use drystone_sync::PlainArc;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::access::{Guard, Secrets};
use super::api::Api;
use super::document_tables::DOCUMENT_BYTES_MAX;

pub(super) fn build(api: &Api) -> S3Service {
    let mut config = S3Config::default();
    config.xml_max_body_size = DOCUMENT_BYTES_MAX;
    // Forms do not go through s3s; should one come here, it finds no room.
    config.post_object_max_file_size = 0;
    config.form_max_field_size = 0;
    config.form_max_fields_size = 0;
    config.form_max_parts = 0;
    let engine = &api.engine;
    let mut builder = S3ServiceBuilder::new(api.clone());
    builder.set_config(PlainArc::new(StaticConfigProvider::new(PlainArc::new(config))));
    builder.set_auth(Secrets(PlainArc::clone(engine)));
    builder.set_access(Guard { engine: PlainArc::clone(engine) });
    builder.build()
}

/// Each operation is a method of [`Api`] in the file of its subject.
macro_rules! operations {
    ($($operation:ident($input:ty) -> $output:ty = $method:ident;)*) => {
        #[async_trait]
        impl S3 for Api {
            $(
                async fn $operation(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    self.is_still_let_in(&request.extensions).await?;
                    self.$method(request).await
                }
            )*
        }
    };
}

operations! {
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = abort_upload;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = complete_upload;
    copy_object(CopyObjectInput) -> CopyObjectOutput = copy;
    create_bucket(CreateBucketInput) -> CreateBucketOutput = create_bucket;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = create_upload;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = delete_bucket;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = delete;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = delete_object_tags;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = delete_many;
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput)
        -> GetBucketAccelerateConfigurationOutput = no_accelerate;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = bucket_acl;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput = no_cors;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = no_encryption;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
        -> GetBucketLifecycleConfigurationOutput = no_lifecycle;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = location;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = no_logging;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput)
        -> GetBucketNotificationConfigurationOutput = no_notification;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput = no_ownership;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = no_policy;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput = policy_status;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput = no_replication;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput = request_payment;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = no_bucket_tags;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = no_versioning;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = no_website;
    get_object(GetObjectInput) -> GetObjectOutput = get;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = object_acl;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = attributes;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput = no_legal_hold;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput = no_lock;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput = no_retention;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = object_tags;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = no_public_access_block;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = head_bucket;
    head_object(HeadObjectInput) -> HeadObjectOutput = head;
    list_buckets(ListBucketsInput) -> ListBucketsOutput = list_buckets;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = list_uploads;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = list_versions;
    list_objects(ListObjectsInput) -> ListObjectsOutput = list;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list_v2;
    list_parts(ListPartsInput) -> ListPartsOutput = list_parts;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput = put_bucket_acl;
    put_object(PutObjectInput) -> PutObjectOutput = put;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput = put_object_acl;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = put_object_tags;
    upload_part(UploadPartInput) -> UploadPartOutput = put_part;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = copy_part;
}
