//! The list of buckets, which has no end in most requests: clients that know of no pages want all of
//! them.
//!
//! So it is made a page after the other, and what is made lies in the spool until the client reads
//! it. A list that is one page is an answer like any other.

use drystone_edge::answer::Growing;
use drystone_edge::fault::Fault;
use drystone_store::BucketRow;
use drystone_sync::{Mutex, PlainArc};
use s3s::dto::{Bucket, ListBucketsInput, ListBucketsOutput};
use s3s::xml::{Serialize as _, Serializer};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::acl::owner;
use super::answers::Made;
use super::api::{Api, bucket_name};
use super::buckets::region_of;
use super::describe;
use super::errors::{self, invalid};
use super::xml_text::mended;
use crate::access::{Right, Who, may};

/// Buckets in a list; as in S3.
const BUCKETS_MAX: usize = 10_000;
/// Buckets that are read, and written down, at a time.
const BUCKETS_AT_A_TIME: usize = 1000;
/// Where the buckets end in the document.
const END: &str = "</Buckets>";

impl Api {
    pub(super) async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let input = &request.input;
        let limit = input.max_buckets.map_or(Ok(BUCKETS_MAX), usize::try_from);
        let limit = limit.ok().filter(|limit| (1..=BUCKETS_MAX).contains(limit));
        let limit =
            limit.ok_or_else(|| invalid(format!("a list has 1 to {BUCKETS_MAX} buckets")))?;
        let mut list = List { api: self, request: &request, limit, spooled: None };
        match list.make(true).await {
            // A full disk, most likely: then the list is in memory as a whole, while it has its
            // turn.
            Err(Failed::Spool(error)) => {
                tracing::debug!(%error, "a list of buckets could not be moved to the spool");
                list.spooled = None;
                list.make(false).await.map_err(Failed::into_s3)
            }
            made => made.map_err(Failed::into_s3),
        }
    }
}

/// A list in the making.
struct List<'a> {
    api: &'a Api,
    request: &'a S3Request<ListBucketsInput>,
    limit: usize,
    /// The document as far as it is in the spool.
    spooled: Option<Growing>,
}

enum Failed {
    S3(S3Error),
    Spool(Fault),
}

impl From<S3Error> for Failed {
    fn from(error: S3Error) -> Self {
        Self::S3(error)
    }
}

impl Failed {
    fn into_s3(self) -> S3Error {
        match self {
            Self::S3(error) => error,
            Self::Spool(fault) => errors::fault(fault),
        }
    }
}

impl List<'_> {
    /// With `spools`, no more than a page of it is in memory at a time.
    async fn make(&mut self, spools: bool) -> Result<S3Response<ListBucketsOutput>, Failed> {
        let input = &self.request.input;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let mut after = input.continuation_token.as_deref().map(bucket_name).transpose()?;
        let (mut shown, mut count): (Vec<Bucket>, _) = (Vec::new(), 0);
        let (mut last, mut next) = (None, None);
        'pages: loop {
            let from = after.take();
            let page =
                self.api.call(move |store| store.buckets(from.as_ref(), BUCKETS_AT_A_TIME)).await?;
            let is_last = page.len() < BUCKETS_AT_A_TIME;
            after = page.last().map(|row| row.name.clone());
            for row in page {
                let is_there =
                    input.bucket_region.as_ref().is_none_or(|region| *region == region_of(&row));
                let is_asked = is_there && row.name.as_str().starts_with(prefix);
                if !is_asked || !may_see(self.request, &row) {
                    continue;
                }
                if count == self.limit {
                    next = last.take();
                    break 'pages;
                }
                count += 1;
                let name = row.name.as_str().to_owned();
                last = Some(name.clone());
                shown.push(Bucket {
                    bucket_region: Some(region_of(&row)),
                    creation_date: Some(describe::from_ms(row.created_ms)),
                    name: Some(name),
                });
            }
            if is_last {
                break;
            }
            if spools && shown.len() >= BUCKETS_AT_A_TIME / 2 {
                self.spool(&std::mem::take(&mut shown)).await?;
            }
        }
        if self.spooled.is_some() {
            self.spool(&std::mem::take(&mut shown)).await?;
        }
        let output = ListBucketsOutput {
            buckets: Some(shown),
            continuation_token: next,
            owner: Some(owner()),
            prefix: input.prefix.clone(),
        };
        let Some(mut spooled) = self.spooled.take() else { return Ok(S3Response::new(output)) };
        let document = document(&output)?;
        let document = mended(&document).unwrap_or(document);
        let (_, end) = document.split_once(END).ok_or_else(broken)?;
        spooled.push(&format!("{END}{end}")).await.map_err(Failed::Spool)?;
        let body = spooled.into_body().await.map_err(Failed::Spool)?;
        let mut response = S3Response::new(output);
        response.extensions.insert(Made(PlainArc::new(Mutex::new(Some(body)))));
        Ok(response)
    }

    /// Moves a page to the spool.
    async fn spool(&mut self, page: &[Bucket]) -> Result<(), Failed> {
        let mut text = Vec::new();
        if self.spooled.is_none() {
            let empty = ListBucketsOutput { buckets: Some(Vec::new()), ..Default::default() };
            let document = document(&empty)?;
            let (begin, _) = document.split_once(END).ok_or_else(broken)?;
            text.extend_from_slice(begin.as_bytes());
        }
        let mut serializer = Serializer::new(&mut text);
        for bucket in page {
            serializer.content("Bucket", bucket).map_err(S3Error::internal_error)?;
        }
        let text = String::from_utf8(text).map_err(S3Error::internal_error)?;
        let spooled = self.spooled.get_or_insert_with(|| Growing::new(&self.api.engine.edge));
        spooled.push(&text).await.map_err(Failed::Spool)
    }
}

/// The document that this would be.
fn document(output: &ListBucketsOutput) -> Result<String, S3Error> {
    let mut text = Vec::new();
    let mut serializer = Serializer::new(&mut text);
    serializer
        .decl()
        .and_then(|()| output.serialize(&mut serializer))
        .map_err(S3Error::internal_error)?;
    String::from_utf8(text).map_err(S3Error::internal_error)
}

fn broken() -> S3Error {
    errors::fault(Fault::Internal)
}

/// Whether a key has anything to do with a bucket.
fn may_see<T>(request: &S3Request<T>, row: &BucketRow) -> bool {
    let Some(Who::Key(key)) = request.extensions.get::<Who>() else { return false };
    let rights = [Right::Read, Right::Write, Right::List, Right::Admin];
    rights.iter().any(|right| may(key, *right, Some(&row.name)))
}
