//! Buckets.

use drystone_store::{BucketRow, NewBucket};
use s3s::dto::{
    BucketLocationConstraint, CreateBucketConfiguration, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
    HeadBucketInput, HeadBucketOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::acl::Canned;
use super::api::{Api, bucket_name};
use super::errors::error;
use super::region::REGION;

/// The longest name of a region: that of a label in a host's name.
const REGION_BYTES_MAX: usize = 63;

impl Api {
    pub(super) async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let name = bucket_name(&request.input.bucket)?;
        let made = S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")) });
        let region =
            request.input.create_bucket_configuration.as_ref().map(region).transpose()?.flatten();
        let canned = Canned::of(&request.headers)?;
        let public = canned.is_some_and(Canned::makes_public);
        let bucket = NewBucket { name: name.clone(), region: region.clone(), public };
        if self.call(move |store| store.make_bucket(&bucket)).await? {
            return Ok(made);
        }
        // As in S3, where its first region says so for the sake of old clients. Unlike there, a
        // bucket that was public stays so.
        let row = self.bucket_row(&name).await?;
        let same = region.is_none()
            && row.region.is_none()
            && canned.is_none_or(|canned| canned.is_of(&row));
        if same {
            return Ok(made);
        }
        let hint = "the bucket is there already, with another region or access list; PutBucketAcl changes the latter";
        Err(error(S3ErrorCode::BucketAlreadyOwnedByYou, hint))
    }

    pub(super) async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let name = bucket_name(&request.input.bucket)?;
        self.call(move |store| store.delete_bucket(&name)).await?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    pub(super) async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let row = self.bucket_row(&bucket_name(&request.input.bucket)?).await?;
        let bucket_region = Some(region_of(&row));
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    pub(super) async fn location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let row = self.bucket_row(&bucket_name(&request.input.bucket)?).await?;
        // None at all means `us-east-1`.
        let location_constraint = row.region.map(BucketLocationConstraint::from);
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }
}

/// What was said of where the bucket is to be; `None` for the region that needs no name.
fn region(configuration: &CreateBucketConfiguration) -> Result<Option<String>, S3Error> {
    if configuration.location.is_some() || configuration.bucket.is_some() {
        return Err(error(S3ErrorCode::NotImplemented, "there are no directory buckets here"));
    }
    let constraint =
        configuration.location_constraint.as_ref().map_or("", BucketLocationConstraint::as_str);
    if constraint.is_empty() || constraint == REGION {
        return Ok(None);
    }
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let can_be = constraint.len() <= REGION_BYTES_MAX && constraint.bytes().all(is_name);
    if !can_be && constraint != BucketLocationConstraint::EU {
        let hint = format!(
            "a region has at most {REGION_BYTES_MAX} of a-z, 0-9 and `-`, like eu-central-1"
        );
        return Err(error(S3ErrorCode::InvalidLocationConstraint, hint));
    }
    Ok(Some(constraint.to_owned()))
}

/// The region of a bucket by its name of today.
pub(super) fn region_of(bucket: &BucketRow) -> String {
    match bucket.region.as_deref() {
        None => REGION.into(),
        Some(BucketLocationConstraint::EU) => "eu-west-1".into(),
        Some(region) => region.into(),
    }
}
