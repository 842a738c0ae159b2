//! Lists of uploads under way, and of their parts.

use drystone_store::{UploadId, UploadRow, after_prefix};
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, Initiator, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part,
    StorageClass,
};
use s3s::{S3Request, S3Response, S3Result};

use super::acl::owner;
use super::api::{Api, bucket_name};
use super::checksums::{Fields, PartChecksums, checksum_fields};
use super::describe;
use super::errors::invalid;
use super::listing::{Encoding, page_limit};
use super::multipart::{id_of, id_text};
use super::objects::signed;
use crate::listing::{NAMES_BYTES_MAX, ROWS, shorten};

/// Comes after every upload to a key, and before all of them.
const LAST: UploadId = UploadId(i64::MAX as u64);
const FIRST: UploadId = UploadId(0);

/// One entry of the list.
enum Entry {
    Upload(UploadRow),
    Folder(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Upload(row) => row.key.as_str(),
            Self::Folder(folder) => folder,
        }
    }
}

impl Api {
    pub(super) async fn list_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let bucket = bucket_name(&input.bucket)?;
        self.need_bucket(&bucket).await?;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let asked = [&input.prefix, &input.delimiter, &input.key_marker];
        encoding.check(asked.into_iter().flatten().map(String::as_str))?;
        let limit = page_limit(input.max_uploads)?;
        let (prefix, delimiter) =
            (input.prefix.clone().unwrap_or_default(), input.delimiter.clone().unwrap_or_default());
        let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
        let id_marker = input.upload_id_marker.as_deref().filter(|marker| !marker.is_empty());
        let id_marker = id_marker
            .map(|marker| id_of(marker).ok_or_else(|| invalid("there is no such upload id")));
        let id_marker = id_marker.transpose()?;
        let mut after = key_marker.map(|marker| match id_marker {
            Some(id) => (marker, id),
            None => behind(marker, &prefix, &delimiter),
        });
        let (mut entries, mut more, mut bytes) = (Vec::new(), limit > 0, 0);
        // One call for each folder, at most as many as entries: what is in a folder is skipped.
        while more && entries.len() <= limit && bytes <= NAMES_BYTES_MAX {
            let (bucket, page_prefix, place) = (bucket.clone(), prefix.clone(), after.take());
            let want = ROWS.min(limit + 1 - entries.len());
            let rows = self.call(move |store| {
                let after = place.as_ref().map(|(key, id)| (key.as_str(), *id));
                store.uploads(&bucket, &page_prefix, after, want)
            });
            let rows = rows.await?;
            more = rows.len() == want;
            for mut row in rows {
                bytes += row.key.as_str().len();
                shorten(&mut row.meta);
                after = Some((row.key.as_str().to_owned(), row.id));
                if let Some(folder) = folder_of(row.key.as_str(), &prefix, &delimiter) {
                    after = Some(behind(folder.to_owned(), &prefix, &delimiter));
                    entries.push(Entry::Folder(folder.to_owned()));
                    more = true;
                    break;
                }
                entries.push(Entry::Upload(row));
            }
        }
        // One more than fits, or more than a page has of names: a place where the next one begins.
        let is_truncated = entries.len() > limit || (more && limit > 0);
        entries.truncate(limit);
        encoding.check(entries.iter().map(Entry::name))?;
        let (next_key, next_id) = match entries.last().filter(|_| is_truncated) {
            Some(Entry::Upload(row)) => {
                (Some(encoding.encode(row.key.as_str())), Some(id_text(row.id)))
            }
            Some(Entry::Folder(folder)) => (Some(encoding.encode(folder)), Some(String::new())),
            None => (None, None),
        };
        let (mut uploads, mut folders) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Upload(row) => uploads.push(upload(&row, encoding)),
                Entry::Folder(folder) => {
                    folders.push(CommonPrefix { prefix: Some(encoding.encode(&folder)) });
                }
            }
        }
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            common_prefixes: (!folders.is_empty()).then_some(folders),
            delimiter: encoding.echo(input.delimiter),
            encoding_type: encoding.announced(),
            is_truncated: Some(is_truncated),
            key_marker: Some(encoding.echo(input.key_marker).unwrap_or_default()),
            max_uploads: i32::try_from(limit).ok(),
            next_key_marker: next_key,
            next_upload_id_marker: next_id,
            prefix: encoding.echo(input.prefix),
            upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
            uploads: (!uploads.is_empty()).then_some(uploads),
            ..ListMultipartUploadsOutput::default()
        }))
    }

    pub(super) async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let upload = self.need_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let limit = page_limit(input.max_parts)?;
        let marker = u32::try_from(input.part_number_marker.unwrap_or(0));
        let marker = marker.map_err(|_| invalid("a part's number is not negative"))?;
        let id = upload.id;
        let mut rows = self.call(move |store| store.parts(id, marker, limit + 1)).await?;
        let is_truncated = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().and_then(|row| number(row.number)).filter(|_| is_truncated);
        let parts = rows.into_iter().map(|row| {
            let mut part = Part {
                e_tag: Some(describe::etag_in(&row.system, &row.content)),
                last_modified: Some(describe::from_ms(row.modified_ms)),
                part_number: number(row.number),
                size: Some(signed(row.size)),
                ..Part::default()
            };
            checksum_fields!(Fields::of(&row.system) => part);
            part
        });
        let plan = PartChecksums::of(&upload.meta.system);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            checksum_algorithm: plan.map(algorithm),
            checksum_type: plan.map(|plan| ChecksumType::from_static(plan.kind())),
            initiator: Some(initiator()),
            is_truncated: Some(is_truncated),
            key: Some(input.key),
            max_parts: i32::try_from(limit).ok(),
            next_part_number_marker: next,
            owner: Some(owner()),
            part_number_marker: number(marker),
            parts: Some(parts.collect()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            upload_id: Some(input.upload_id),
            ..ListPartsOutput::default()
        }))
    }
}

/// The place behind every upload to a key, or to anything in a folder.
fn behind(marker: String, prefix: &str, delimiter: &str) -> (String, UploadId) {
    let is_folder =
        folder_of(&marker, prefix, delimiter).is_some_and(|folder| folder.len() == marker.len());
    match after_prefix(&marker).filter(|_| is_folder) {
        Some(next) => (next, FIRST),
        None => (marker, LAST),
    }
}

fn folder_of<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let inside = key.strip_prefix(prefix).filter(|_| !delimiter.is_empty())?;
    let end = inside.find(delimiter)? + delimiter.len();
    Some(&key[..prefix.len() + end])
}

fn number(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

fn algorithm(plan: PartChecksums) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from(plan.algorithm.name().to_ascii_uppercase())
}

fn initiator() -> Initiator {
    let owner = owner();
    Initiator { display_name: owner.display_name, id: owner.id }
}

fn upload(row: &UploadRow, encoding: Encoding) -> MultipartUpload {
    let plan = PartChecksums::of(&row.meta.system);
    MultipartUpload {
        checksum_algorithm: plan.map(algorithm),
        checksum_type: plan.map(|plan| ChecksumType::from_static(plan.kind())),
        initiated: Some(describe::from_ms(row.created_ms)),
        initiator: Some(initiator()),
        key: Some(encoding.encode(row.key.as_str())),
        owner: Some(owner()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some(id_text(row.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_behind_a_folder_is_behind_what_is_in_it() {
        assert_eq!(behind("p/a/".into(), "p/", "/"), ("p/a0".into(), FIRST));
        assert_eq!(behind("p/a".into(), "p/", "/"), ("p/a".into(), LAST));
        assert_eq!(behind("p/a/".into(), "p/", ""), ("p/a/".into(), LAST));
    }
}
