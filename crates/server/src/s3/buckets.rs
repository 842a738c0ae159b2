//! Buckets.

use drystone_store::BucketRow;
use s3s::dto::{
    Bucket, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::errors::{error, invalid};
use super::listing::owner;
use super::{Api, bucket_name, describe};
use crate::access::{Right, Who, may};

/// The region of everything. Clients sign for the one that they are set to, and any is fine.
pub(super) const REGION: &str = "us-east-1";
/// Buckets in a list; as in S3.
const BUCKETS_MAX: usize = 10_000;
/// Buckets that are read at a time.
const BUCKETS_AT_A_TIME: usize = 1000;

impl Api {
    pub(super) async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let name = bucket_name(&request.input.bucket)?;
        let location = Some(format!("/{name}"));
        if self.call(move |store| store.create_bucket(&name)).await? {
            Ok(S3Response::new(CreateBucketOutput { location }))
        } else {
            Err(error(S3ErrorCode::BucketAlreadyOwnedByYou, "the bucket is there already"))
        }
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
        self.need_bucket(&bucket_name(&request.input.bucket)?).await?;
        let bucket_region = Some(REGION.to_owned());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    pub(super) async fn location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.need_bucket(&bucket_name(&request.input.bucket)?).await?;
        // None at all means `us-east-1`.
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    pub(super) async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let input = &request.input;
        let limit = input.max_buckets.map_or(Ok(BUCKETS_MAX), usize::try_from);
        let limit = limit.ok().filter(|limit| (1..=BUCKETS_MAX).contains(limit));
        let limit = limit.ok_or_else(|| invalid(format!("a list has 1 to {BUCKETS_MAX} buckets")))?;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let mut after = input.continuation_token.as_deref().map(bucket_name).transpose()?;
        let mut shown: Vec<Bucket> = Vec::new();
        let mut next = None;
        'pages: loop {
            let page = self.bucket_page(after.take()).await?;
            let is_last = page.len() < BUCKETS_AT_A_TIME;
            after = page.last().map(|row| row.name.clone());
            for row in page {
                if !row.name.as_str().starts_with(prefix) || !may_see(&request, &row) {
                    continue;
                }
                if shown.len() == limit {
                    next = shown.last().and_then(|bucket| bucket.name.clone());
                    break 'pages;
                }
                shown.push(Bucket {
                    bucket_region: Some(REGION.to_owned()),
                    creation_date: Some(describe::from_ms(row.created_ms)),
                    name: Some(row.name.as_str().to_owned()),
                });
            }
            if is_last {
                break;
            }
        }
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(shown),
            continuation_token: next,
            owner: Some(owner()),
            prefix: request.input.prefix,
        }))
    }

    async fn bucket_page(
        &self,
        after: Option<drystone_store::BucketName>,
    ) -> Result<Vec<BucketRow>, S3Error> {
        self.call(move |store| store.buckets(after.as_ref(), BUCKETS_AT_A_TIME)).await
    }
}

/// Whether a key has anything to do with a bucket.
fn may_see<T>(request: &S3Request<T>, row: &BucketRow) -> bool {
    let Some(Who::Key(key)) = request.extensions.get::<Who>() else { return false };
    let rights = [Right::Read, Right::Write, Right::List, Right::Admin];
    rights.iter().any(|right| may(key, *right, Some(&row.name)))
}
