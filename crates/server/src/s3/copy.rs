//! Copies: rows in the records, no byte is moved.

use std::collections::BTreeMap;
use std::ops::Range;

use drystone_store::{BucketName, CopySource, CopyTarget, Key, ObjectRow};
use s3s::dto::{
    self, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, MetadataDirective,
    TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::api::{Api, bucket_name, check_version, key_name};
use super::checksums::{self, Fields, PartChecksums, checksum_fields};
use super::conditions::{Read, Tags, Write};
use super::errors::{error, invalid};
use super::{describe, errors, objects, part_sizes, parts, tags};
use crate::access::{Right, Who};
use crate::meta;

/// The largest object that can be copied in one request, and the largest part: as in S3.
const COPY_BYTES_MAX: u64 = 5 << 30;

/// The source of a copy.
struct SourceObject {
    bucket: BucketName,
    object: ObjectRow,
}

impl SourceObject {
    /// As the store wants it: what has been looked at is what is copied.
    fn pinned(&self) -> CopySource {
        let (bucket, key) = (self.bucket.clone(), self.object.key.clone());
        CopySource { bucket, key, content: Some(self.object.content) }
    }
}

impl Api {
    pub(super) async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = &request.input;
        let source = self.source(&request, &input.copy_source).await?;
        let read = Read {
            matches: Tags::of(&request.headers, "x-amz-copy-source-if-match")?,
            none_matches: Tags::of(&request.headers, "x-amz-copy-source-if-none-match")?,
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        read.check_source(&source.object)?;
        if let Some(wanted) = input.checksum_algorithm.as_ref()
            && !Fields::of(&source.object.meta.system)
                .iter()
                .any(|(algorithm, _)| algorithm.name().eq_ignore_ascii_case(wanted.as_str()))
        {
            let hint = "a copy keeps its source's checksums: x-amz-checksum-algorithm can only name one of these";
            return Err(error(S3ErrorCode::NotImplemented, hint));
        }
        if source.object.size > COPY_BYTES_MAX {
            let hint = "the source is larger than 5 GiB: copy it in parts";
            return Err(error(S3ErrorCode::InvalidRequest, hint));
        }
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        let replace = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
            None | Some(MetadataDirective::COPY) => false,
            Some(MetadataDirective::REPLACE) => true,
            Some(_) => return Err(invalid("the metadata directive is COPY or REPLACE")),
        };
        if !replace && bucket == source.bucket && key == source.object.key {
            let hint =
                "an object can be copied onto itself only with the metadata directive REPLACE";
            return Err(error(S3ErrorCode::InvalidRequest, hint));
        }
        let directive = input.tagging_directive.as_ref().map(TaggingDirective::as_str);
        let tags = tags::of_copy(&request.headers, directive, &source.object)?;
        self.check_object_acl(&bucket, &request.headers).await?;
        let mut meta = source.object.meta.clone();
        if replace {
            meta = describe::meta(&request.headers, request.input.metadata.clone())?;
            let content =
                source.object.meta.system.iter().filter(|(name, _)| goes_with_content(name));
            meta.system.extend(content.map(|(name, value)| (name.clone(), value.clone())));
        }
        tags.note(&mut meta.system)?;
        meta.system.remove(super::complete::COMPLETED);
        let wanted = Write::of(&request.headers)?;
        let present = if wanted.is_none() { None } else { self.look(&bucket, &key).await? };
        let condition = wanted.condition(present.as_ref())?;
        let target = CopyTarget {
            bucket,
            key,
            meta: Some(meta),
            modified_ns: Some(describe::now_ns()),
            condition,
        };
        let source = source.pinned();
        let copied = self.call(move |store| store.copy(&source, &target)).await?;
        let fields = Fields::of(&copied.meta.system);
        let mut result = CopyObjectResult {
            checksum_type: objects::kind(&copied, &fields),
            e_tag: Some(describe::etag(&copied)),
            last_modified: Some(describe::modified(&copied)),
            ..CopyObjectResult::default()
        };
        checksum_fields!(fields => result);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        }))
    }

    pub(super) async fn copy_part(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = &request.input;
        let upload = self.need_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let mut target = super::multipart::part_target(upload.id, input.part_number)?;
        let source = self.source(&request, &input.copy_source).await?;
        let read = Read {
            matches: Tags::of(&request.headers, "x-amz-copy-source-if-match")?,
            none_matches: Tags::of(&request.headers, "x-amz-copy-source-if-none-match")?,
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        read.check_source(&source.object)?;
        let range = input.copy_source_range.as_deref().map(part_range).transpose()?;
        let len = range
            .as_ref()
            .map_or(source.object.size, |range| range.end.saturating_sub(range.start));
        if len > COPY_BYTES_MAX {
            return Err(error(S3ErrorCode::InvalidRequest, "a part has at most 5 GiB"));
        }
        if range.is_none() {
            target.system = whole_part(&source.object, PartChecksums::of(&upload.meta.system));
        }
        let source = source.pinned();
        let part = self.call(move |store| store.copy_part(&source, range, &target)).await?;
        let mut result = CopyPartResult {
            e_tag: Some(describe::etag_in(&part.system, &part.content)),
            last_modified: Some(describe::from_ms(part.modified_ms)),
            ..CopyPartResult::default()
        };
        checksum_fields!(Fields::of(&part.system) => result);
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        }))
    }

    /// Looks the source of a copy up, if the key of the request may read it.
    async fn source<T>(
        &self,
        request: &S3Request<T>,
        source: &dto::CopySource,
    ) -> Result<SourceObject, S3Error> {
        let dto::CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(invalid("the copy source is BUCKET/KEY"));
        };
        let (bucket, key): (BucketName, Key) = (bucket_name(bucket)?, key_name(key)?);
        check_version(version_id.as_deref())?;
        let who = request.extensions.get::<Who>().cloned().unwrap_or(Who::Anonymous);
        self.engine.allow(&who, Right::Read, Some(&bucket)).await.map_err(errors::refused)?;
        let object = self.stat(&bucket, &key).await?;
        Ok(SourceObject { bucket, object })
    }
}

fn goes_with_content(name: &str) -> bool {
    meta::is_of_content(name) || [checksums::KIND, part_sizes::NAME, parts::MADE_BY].contains(&name)
}

/// What is known of a part that is all of an object.
fn whole_part(object: &ObjectRow, plan: Option<PartChecksums>) -> BTreeMap<String, String> {
    let mut system = BTreeMap::new();
    let etag = meta::etag(object);
    if !etag.contains('-') {
        meta::note_etag(&mut system, etag);
    }
    let composite =
        object.meta.system.get(checksums::KIND).is_some_and(|kind| kind == checksums::COMPOSITE);
    if let Some(plan) = plan
        && !composite
        && let Some(sum) = object.meta.system.get(plan.algorithm.header())
    {
        system.insert(plan.algorithm.header().into(), sum.clone());
    }
    system
}

/// `bytes=FIRST-LAST`, both there: here nothing may be left open.
fn part_range(text: &str) -> Result<Range<u64>, S3Error> {
    let bad = || invalid("x-amz-copy-source-range is `bytes=FIRST-LAST`");
    let (first, last) =
        text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(bad)?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().map_err(|_| bad()),
        false => Err(bad()),
    };
    let (first, last) = (number(first)?, number(last)?);
    let end = last.checked_add(1).filter(|end| first < *end).ok_or_else(bad)?;
    Ok(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_copied_part_is_closed() {
        assert_eq!(part_range("bytes=0-0").unwrap(), 0..1);
        assert_eq!(part_range("bytes=5-9").unwrap(), 5..10);
        for bad in [
            "bytes=5-",
            "bytes=-5",
            "5-9",
            "bytes=9-5",
            "bytes=+1-2",
            "bytes=0-18446744073709551615",
            "bytes=a-b",
        ] {
            assert!(part_range(bad).is_err(), "{bad}");
        }
    }
}
