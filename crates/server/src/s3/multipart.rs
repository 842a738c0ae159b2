//! Multipart uploads: begun and given up. Parts come in [`super::put`] and [`super::copy`].

use drystone_store::{PART_NUMBER_MAX, PartTarget, StoreError, UploadId, UploadRow};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CreateMultipartUploadInput, CreateMultipartUploadOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::api::{Api, bucket_name, key_name};
use super::checksums::PartChecksums;
use super::describe;
use super::errors::{error, invalid};
use super::tags::ObjectTags;

impl Api {
    pub(super) async fn create_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        let mut meta = describe::meta(&request.headers, input.metadata)?;
        ObjectTags::of_header(&request.headers)?.unwrap_or_default().note(&mut meta.system)?;
        self.check_object_acl(&bucket, &request.headers).await?;
        let algorithm = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        let plan = PartChecksums::choose(
            algorithm,
            input.checksum_type.as_ref().map(ChecksumType::as_str),
        )?;
        if let Some(plan) = plan {
            plan.note(&mut meta.system);
        }
        let upload = self.call(move |store| store.create_upload(&bucket, &key, &meta)).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            checksum_algorithm: plan.and(input.checksum_algorithm),
            checksum_type: plan.map(|plan| ChecksumType::from_static(plan.kind())),
            upload_id: Some(id_text(upload.id)),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn abort_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        let upload = self.need_upload(&input.bucket, &input.key, &input.upload_id).await?;
        // Another request may have ended it since.
        if !self.call(move |store| store.abort_upload(upload.id)).await? {
            return Err(no_upload(&input.upload_id));
        }
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    /// Looks an upload up, which must be one to this key: the right to write is one over a bucket.
    pub(super) async fn need_upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<UploadRow, S3Error> {
        let (bucket, key) = (bucket_name(bucket)?, key_name(key)?);
        let upload = id_of(id).ok_or_else(|| no_upload(id))?;
        let row = self.call(move |store| match store.upload(upload) {
            Ok(row) => Ok(Some(row)),
            Err(StoreError::NoSuchUpload(_)) => Ok(None),
            Err(error) => Err(error),
        });
        row.await?.filter(|row| row.bucket == bucket && row.key == key).ok_or_else(|| no_upload(id))
    }
}

pub(super) fn no_upload(id: &str) -> S3Error {
    error(S3ErrorCode::NoSuchUpload, format!("there is no upload `{}`", id.escape_default()))
}

/// An upload's id, as clients see it.
pub(super) fn id_text(id: UploadId) -> String {
    format!("{:016x}", id.0)
}

pub(super) fn id_of(text: &str) -> Option<UploadId> {
    let plain = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u64::from_str_radix(text, 16).ok().filter(|_| plain)?;
    // What the records can hold.
    i64::try_from(id).ok().map(|_| UploadId(id))
}

pub(super) fn part_target(upload: UploadId, number: i32) -> Result<PartTarget, S3Error> {
    let number = u32::try_from(number).ok().filter(|number| (1..=PART_NUMBER_MAX).contains(number));
    let number =
        number.ok_or_else(|| invalid(format!("parts have the numbers 1 to {PART_NUMBER_MAX}")))?;
    Ok(PartTarget { upload, number, system: Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        assert_eq!(id_of(&id_text(UploadId(77))), Some(UploadId(77)));
        for odd in [
            "",
            "77",
            "000000000000004",
            "+00000000000004d",
            "ffffffffffffffff",
            "00000000000000zz",
        ] {
            assert_eq!(id_of(odd), None, "{odd}");
        }
    }
}
