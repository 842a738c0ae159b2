//! The parts that an object was completed of: read by their numbers, and told with their checksums.
//!
//! The store remembers them with the object's manifest, by the upload that put it together; the
//! object names that upload. What was completed by an earlier version has no more than the sizes:
//! see [`super::part_sizes`].

use std::collections::BTreeMap;
use std::ops::Range;

use drystone_store::{ObjectPart, ObjectParts, ObjectRow, UploadId};
use http::StatusCode;
use s3s::S3Error;

use super::api::Api;
use super::checksums::Fields;
use super::errors::custom;
use super::multipart::{id_of, id_text};
use super::part_sizes::PartSizes;

/// The property that names the upload.
pub(super) const MADE_BY: &str = "parts-of";

/// Notes which upload an object is made by.
pub(super) fn note(system: &mut BTreeMap<String, String>, upload: UploadId) {
    system.insert(MADE_BY.into(), id_text(upload));
}

/// A part of an object, as it is read.
pub(super) struct Part {
    /// Its bytes.
    pub(super) range: Range<u64>,
    /// Its checksums.
    pub(super) sums: Fields,
    /// How many there are, where the object was completed of parts.
    pub(super) total: Option<i32>,
}

impl Api {
    /// A page of an object's parts, those with numbers above `after`; `None` where it was put
    /// whole.
    pub(super) async fn parts(
        &self,
        object: &ObjectRow,
        after: u32,
        limit: usize,
    ) -> Result<Option<ObjectParts>, S3Error> {
        if let Some(upload) = object.meta.system.get(MADE_BY).and_then(|text| id_of(text)) {
            let object = object.clone();
            let parts =
                self.call(move |store| store.object_parts(&object, upload, after, limit)).await?;
            return Ok((parts.total > 0).then_some(parts));
        }
        Ok(PartSizes::of(&object.meta.system).map(|sizes| page(&sizes, after, limit)))
    }

    /// The part with this number. An object that was put whole is its own first part.
    pub(super) async fn part(&self, object: &ObjectRow, number: i32) -> Result<Part, S3Error> {
        let missing = || {
            let hint = "there is no such part of this object";
            custom("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, hint)
        };
        let after = u32::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1))
            .ok_or_else(missing)?;
        let Some(parts) = self.parts(object, after, 1).await? else {
            let whole =
                Part { range: 0..object.size, sums: Fields::of(&object.meta.system), total: None };
            return (after == 0).then_some(whole).ok_or_else(missing);
        };
        let part =
            parts.page.first().filter(|part| part.number == after + 1).ok_or_else(missing)?;
        Ok(Part {
            // What is read of a damaged row must not be beyond the object.
            range: part.offset.min(object.size)
                ..part.offset.saturating_add(part.size).min(object.size),
            sums: Fields::of(&part.system),
            total: i32::try_from(parts.total).ok(),
        })
    }
}

fn page(sizes: &PartSizes, after: u32, limit: usize) -> ObjectParts {
    let part = |number: u32| {
        let range = sizes.range(number.into())?;
        let (offset, size) = (range.start, range.end - range.start);
        Some(ObjectPart { number, offset, size, system: BTreeMap::new() })
    };
    let numbers = after.saturating_add(1)..=u32::MAX;
    let page = numbers.map_while(part).take(limit).collect();
    ObjectParts { total: u32::try_from(sizes.count()).unwrap_or(u32::MAX), page }
}
