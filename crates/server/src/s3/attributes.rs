//! GetObjectAttributes: what is known of an object, as a document.

use drystone_store::{ObjectParts, ObjectRow};
use s3s::dto::{
    Checksum, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::answers::BareTag;
use super::api::{Api, bucket_name, check_version, key_name};
use super::checksums::{Fields, checksum_fields};
use super::errors::invalid;
use super::objects::{kind, signed};
use super::{describe, listing};

impl Api {
    pub(super) async fn attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = request.input;
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        check_version(input.version_id.as_deref())?;
        let object = self.stat(&bucket, &key).await?;
        // They may come in one header or in several.
        let wanted = input.object_attributes.iter().flat_map(|wanted| wanted.as_str().split(','));
        let wanted: Vec<&str> = wanted.map(str::trim).collect();
        let has = |name: &str| wanted.contains(&name);
        let fields = Fields::of(&object.meta.system);
        let checksum = (has(ObjectAttributes::CHECKSUM) && !fields.is_empty()).then(|| {
            let mut checksum =
                Checksum { checksum_type: kind(&object, &fields), ..Checksum::default() };
            checksum_fields!(fields => checksum);
            checksum
        });
        let object_parts = match has(ObjectAttributes::OBJECT_PARTS) {
            true => self.part_page(&object, input.part_number_marker, input.max_parts).await?,
            false => None,
        };
        let output = GetObjectAttributesOutput {
            checksum,
            e_tag: has(ObjectAttributes::ETAG).then(|| describe::etag(&object)),
            last_modified: Some(describe::modified(&object)),
            object_parts,
            object_size: has(ObjectAttributes::OBJECT_SIZE).then(|| signed(object.size)),
            storage_class: has(ObjectAttributes::STORAGE_CLASS)
                .then(|| StorageClass::from_static(StorageClass::STANDARD)),
            ..GetObjectAttributesOutput::default()
        };
        let mut response = S3Response::new(output);
        response.extensions.insert(BareTag);
        Ok(response)
    }

    /// A page of an object's parts, which begins behind the one with the number `marker`; none
    /// where it was put whole.
    async fn part_page(
        &self,
        object: &ObjectRow,
        marker: Option<i32>,
        limit: Option<i32>,
    ) -> Result<Option<GetObjectAttributesParts>, S3Error> {
        let limit = listing::page_limit(limit)?;
        let marker = marker.unwrap_or(0);
        let after =
            u32::try_from(marker).map_err(|_| invalid("a part number marker is not negative"))?;
        let Some(ObjectParts { total, page }) = self.parts(object, after, limit).await? else {
            return Ok(None);
        };
        // Where a page is empty it ends where it begins.
        let end = page.last().map_or(after, |part| part.number);
        let is_truncated = end < total;
        let parts = page.into_iter().map(|remembered| {
            let mut part = ObjectPart {
                part_number: i32::try_from(remembered.number).ok(),
                size: Some(signed(remembered.size)),
                ..ObjectPart::default()
            };
            checksum_fields!(Fields::of(&remembered.system) => part);
            part
        });
        Ok(Some(GetObjectAttributesParts {
            is_truncated: Some(is_truncated),
            max_parts: i32::try_from(limit).ok(),
            next_part_number_marker: i32::try_from(end).ok().filter(|_| is_truncated),
            part_number_marker: Some(marker),
            parts: Some(parts.collect()),
            total_parts_count: i32::try_from(total).ok(),
        }))
    }
}
