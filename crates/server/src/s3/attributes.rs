//! GetObjectAttributes: what is known of an object, as a document.

use s3s::dto::{
    Checksum, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::answers::BareTag;
use super::checksums::{Fields, checksum_fields};
use super::errors::invalid;
use super::objects::{kind, signed};
use super::part_sizes::PartSizes;
use super::{Api, bucket_name, check_version, describe, key_name, listing};

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
            let mut checksum = Checksum { checksum_type: kind(&object, &fields), ..Checksum::default() };
            checksum_fields!(fields => checksum);
            checksum
        });
        let sizes = PartSizes::of(&object.meta.system).filter(|_| has(ObjectAttributes::OBJECT_PARTS));
        let page = |sizes: &PartSizes| parts(sizes, input.part_number_marker, input.max_parts);
        let output = GetObjectAttributesOutput {
            checksum,
            e_tag: has(ObjectAttributes::ETAG).then(|| describe::etag(&object)),
            last_modified: Some(describe::modified(&object)),
            object_parts: sizes.as_ref().map(page).transpose()?,
            object_size: has(ObjectAttributes::OBJECT_SIZE).then(|| signed(object.size)),
            storage_class: has(ObjectAttributes::STORAGE_CLASS)
                .then(|| StorageClass::from_static(StorageClass::STANDARD)),
            ..GetObjectAttributesOutput::default()
        };
        let mut response = S3Response::new(output);
        response.extensions.insert(BareTag);
        Ok(response)
    }
}

/// A page of an object's parts, which begins behind the one with the number `marker`.
fn parts(
    sizes: &PartSizes,
    marker: Option<i32>,
    limit: Option<i32>,
) -> Result<GetObjectAttributesParts, S3Error> {
    let limit = listing::page_limit(limit)?;
    let marker = marker.unwrap_or(0);
    let first = u64::try_from(marker).map_err(|_| invalid("a part number marker is not negative"))? + 1;
    let part = |number: u64| {
        let range = sizes.range(number)?;
        let (number, size) = (i32::try_from(number).ok(), signed(range.end - range.start));
        Some(ObjectPart { part_number: number, size: Some(size), ..ObjectPart::default() })
    };
    let parts: Vec<ObjectPart> = (first..).map_while(part).take(limit).collect();
    let end = first + parts.len() as u64;
    let is_truncated = end <= sizes.count();
    Ok(GetObjectAttributesParts {
        is_truncated: Some(is_truncated),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: i32::try_from(end - 1).ok().filter(|_| is_truncated),
        part_number_marker: Some(marker),
        parts: Some(parts),
        total_parts_count: i32::try_from(sizes.count()).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_pages() {
        #[track_caller]
        fn check(marker: Option<i32>, limit: Option<i32>, numbers: &[i32], next: Option<i32>) {
            let page = parts(&PartSizes::new([5, 5, 5, 2]), marker, limit).unwrap();
            let found: Vec<i32> = page.parts.unwrap().iter().filter_map(|part| part.part_number).collect();
            assert_eq!((found.as_slice(), page.next_part_number_marker), (numbers, next));
            assert_eq!(page.is_truncated, Some(next.is_some()));
            assert_eq!(page.total_parts_count, Some(4));
        }
        check(None, None, &[1, 2, 3, 4], None);
        check(Some(0), Some(2), &[1, 2], Some(2));
        check(Some(2), Some(2), &[3, 4], None);
        check(Some(3), Some(1), &[4], None);
        check(Some(4), Some(1), &[], None);
        check(Some(i32::MAX), Some(1), &[], None);
        check(Some(1), Some(0), &[], Some(1));
        let sizes = PartSizes::new([5, 2]);
        assert_eq!(parts(&sizes, Some(1), None).unwrap().parts.unwrap()[0].size, Some(2));
        assert!(parts(&sizes, Some(-1), None).is_err());
        assert!(parts(&sizes, None, Some(-1)).is_err());
    }
}
