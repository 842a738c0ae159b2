//! Parts become an object, in one transaction.

use std::collections::BTreeMap;

use drystone_store::{
    Completion, NamedPart, ObjectRow, PART_NUMBER_MAX, PartRow, Store, StoreError, UploadId,
    UploadRow,
};
use percent_encoding::utf8_percent_encode;
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::api::{Api, bucket_name, key_name};
use super::checksums::{FULL_OBJECT, Fields, KIND, PartChecksums, checksum_fields};
use super::conditions::Write;
use super::errors::{self, error, invalid};
use super::listing::PLAIN;
use super::multipart::{id_of, id_text, no_upload};
use super::{describe, objects};
use crate::digest::{Algorithm, Digests};
use crate::meta;

/// The upload that an object was made by: a client that did not hear the answer asks again.
pub(super) const COMPLETED: &str = "completed-upload";
/// Every part but the last has at least as many bytes; as in S3.
const PART_BYTES_MIN: u64 = 5 << 20;
/// Parts that are read at a time.
const PARTS_PER_PAGE: usize = 100;

impl Api {
    pub(super) async fn complete_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let wanted = Write::of(&request.headers)?;
        let mut input = request.input;
        let named =
            input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
        if named.is_empty() || named.len() > PART_NUMBER_MAX as usize {
            let hint = format!(
                "an upload is completed with 1 to {PART_NUMBER_MAX} parts, not {}",
                named.len()
            );
            return Err(error(S3ErrorCode::MalformedXML, hint));
        }
        // What was read of the document is larger than what is needed of it.
        let named: Vec<Named> = named.into_iter().map(Named::of).collect();
        let completed = match self.complete(&input, named, &wanted).await {
            Ok(object) => Ok(object),
            // Another request may abort or complete the upload at the same moment and take its
            // parts away. Then the upload is missing, not a part.
            Err(refused) => {
                match self.need_upload(&input.bucket, &input.key, &input.upload_id).await {
                    Err(gone) if gone.code() == &S3ErrorCode::NoSuchUpload => {
                        self.completed_before(&input).await
                    }
                    _ => Err(refused),
                }
            }
        };
        completed.map(|object| answer(&input, &object))
    }

    async fn complete(
        &self,
        input: &CompleteMultipartUploadInput,
        named: Vec<Named>,
        wanted: &Write,
    ) -> Result<ObjectRow, S3Error> {
        let upload = self.need_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let present =
            if wanted.is_none() { None } else { self.look(&upload.bucket, &upload.key).await? };
        let condition = wanted.condition(present.as_ref())?;
        let id = upload.id;
        let parts = self.call(move |store| Ok(choose(store, id, &named))).await??;
        let system = properties(input, &upload, &parts)?;
        let parts = parts.into_iter().map(|part| NamedPart {
            number: part.number,
            content: Some(part.content),
            system: part.system,
        });
        let completion = Completion { parts: parts.collect(), system, condition };
        self.call(move |store| store.complete_upload(id, &completion)).await
    }

    /// The object, if it is what this very upload has become.
    async fn completed_before(
        &self,
        input: &CompleteMultipartUploadInput,
    ) -> Result<ObjectRow, S3Error> {
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        let same = |object: &ObjectRow| {
            let made_by = object.meta.system.get(COMPLETED);
            made_by.is_some() && made_by == id_of(&input.upload_id).map(id_text).as_ref()
        };
        let object = self
            .look(&bucket, &key)
            .await?
            .filter(same)
            .ok_or_else(|| no_upload(&input.upload_id))?;
        let plan = object.meta.system.get(KIND).and_then(|kind| {
            let (algorithm, sum) = Fields::of(&object.meta.system).first()?;
            Some((PartChecksums { algorithm, full: kind == FULL_OBJECT }, sum))
        });
        check_promised(input, plan.as_ref())?;
        Ok(object)
    }
}

fn answer(
    input: &CompleteMultipartUploadInput,
    object: &ObjectRow,
) -> S3Response<CompleteMultipartUploadOutput> {
    let fields = Fields::of(&object.meta.system);
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        location: Some(format!("/{}/{}", input.bucket, utf8_percent_encode(&input.key, PLAIN))),
        checksum_type: objects::kind(object, &fields),
        e_tag: Some(describe::etag(object)),
        ..CompleteMultipartUploadOutput::default()
    };
    checksum_fields!(fields => output);
    S3Response::new(output)
}

/// A part as the document names it.
struct Named {
    number: Option<u32>,
    etag: Option<String>,
    sums: Box<[(Algorithm, String)]>,
}

impl Named {
    fn of(part: CompletedPart) -> Self {
        let given = checksum_fields!(part);
        Self {
            number: part.part_number.and_then(|number| u32::try_from(number).ok()),
            etag: part.e_tag.map(|tag| tag.value().to_owned()),
            sums: given.iter().map(|(algorithm, sum)| (algorithm, sum.to_owned())).collect(),
        }
    }
}

/// The parts of an upload in order, a page at a time.
struct Present<'a> {
    store: &'a Store,
    upload: UploadId,
    page: std::vec::IntoIter<PartRow>,
}

impl Present<'_> {
    /// The part with this number, which is larger than that of any part that was asked for before.
    fn find(&mut self, number: u32) -> Result<Option<PartRow>, StoreError> {
        let has_passed = |page: &[PartRow]| page.last().is_some_and(|last| last.number >= number);
        if !has_passed(self.page.as_slice()) {
            self.page = self.store.parts(self.upload, number - 1, PARTS_PER_PAGE)?.into_iter();
        }
        Ok(self.page.find(|part| part.number >= number).filter(|part| part.number == number))
    }
}

/// The parts that are named, if they are the ones that are there.
fn choose(store: &Store, upload: UploadId, named: &[Named]) -> Result<Vec<PartRow>, S3Error> {
    let mut present = Present { store, upload, page: Vec::new().into_iter() };
    let mut chosen: Vec<PartRow> = Vec::with_capacity(named.len());
    for part in named {
        let number = part
            .number
            .ok_or_else(|| error(S3ErrorCode::MalformedXML, "each part needs its number"))?;
        if chosen.last().is_some_and(|last| last.number >= number) {
            return Err(errors::store(&StoreError::PartOrder { number }));
        }
        let missing = || errors::store(&StoreError::PartMissing { number });
        if number == 0 {
            return Err(missing());
        }
        let row = present.find(number).map_err(|error| errors::store(&error))?;
        let row = row.ok_or_else(missing)?;
        let etag = meta::etag_in(&row.system, &row.content);
        // Without quotes it is meant just the same.
        if part.etag.as_ref() != Some(&etag) {
            return Err(errors::store(&StoreError::PartChanged { number }));
        }
        for (algorithm, sum) in &part.sums {
            // One that is not known of the part cannot be compared, and would be a promise that is
            // not kept.
            if row.system.get(algorithm.header()).is_none_or(|known| known != sum) {
                let hint = format!(
                    "the {} of part {number} is not the one that was stored",
                    algorithm.name()
                );
                return Err(error(S3ErrorCode::InvalidPart, hint));
            }
        }
        chosen.push(row);
    }
    if let Some((_, but_last)) = chosen.split_last()
        && let Some(small) = but_last.iter().find(|part| part.size < PART_BYTES_MIN)
    {
        let hint = format!(
            "part {} has {} bytes; all but the last have at least 5 MiB",
            small.number, small.size
        );
        return Err(error(S3ErrorCode::EntityTooSmall, hint));
    }
    Ok(chosen)
}

/// What is to be known of the object.
fn properties(
    input: &CompleteMultipartUploadInput,
    upload: &UploadRow,
    parts: &[PartRow],
) -> Result<BTreeMap<String, String>, S3Error> {
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if input.mpu_object_size.is_some_and(|said| u64::try_from(said) != Ok(size)) {
        return Err(error(
            S3ErrorCode::InvalidRequest,
            format!("the parts have {size} bytes together"),
        ));
    }
    let mut system = BTreeMap::from([(COMPLETED.to_owned(), id_text(upload.id))]);
    meta::note_etag(&mut system, etag(parts));
    super::parts::note(&mut system, upload.id);
    let plan = PartChecksums::of(&upload.meta.system);
    if let Some(kind) = input.checksum_type.as_ref().map(ChecksumType::as_str)
        && plan.is_some_and(|plan| plan.kind() != kind)
    {
        return Err(error(
            S3ErrorCode::InvalidRequest,
            "the upload was created with another checksum type",
        ));
    }
    let combined = plan.and_then(|plan| {
        let sums = parts
            .iter()
            .map(|part| (part.system.get(plan.algorithm.header()).map(String::as_str), part.size));
        Some((plan, plan.combine(sums)?))
    });
    check_promised(input, combined.as_ref())?;
    if let Some((plan, sum)) = combined {
        system.insert(plan.algorithm.header().into(), sum);
        system.insert(KIND.into(), plan.kind().into());
    }
    Ok(system)
}

/// Compares the object's checksums that the client gives with what follows from the parts'.
fn check_promised(
    input: &CompleteMultipartUploadInput,
    combined: Option<&(PartChecksums, String)>,
) -> Result<(), S3Error> {
    let bare = |sum: &str| sum.split('-').next().unwrap_or_default().to_owned();
    for (algorithm, sum) in checksum_fields!(input).iter() {
        match combined {
            Some((plan, found)) if plan.algorithm == algorithm => {
                if bare(found) != bare(sum) {
                    let hint =
                        format!("the {} that was given does not match the parts", algorithm.name());
                    return Err(error(S3ErrorCode::BadDigest, hint));
                }
            }
            // A checksum that is not verified must not be promised.
            _ => {
                return Err(invalid(format!(
                    "the {} of these parts is not known",
                    algorithm.name()
                )));
            }
        }
    }
    Ok(())
}

/// The entity tag that S3 clients know: the MD5 of the parts' MD5s, and their number. A part
/// without an MD5 contributes what tag it has.
fn etag(parts: &[PartRow]) -> String {
    let mut digests = Digests::new([Algorithm::Md5]);
    for part in parts {
        let tag = meta::etag_in(&part.system, &part.content);
        match hex(&tag) {
            Some(md5) => digests.update(&md5),
            None => digests.update(tag.as_bytes()),
        }
    }
    format!("{}-{}", digests.finish().hex(Algorithm::Md5).unwrap_or_default(), parts.len())
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let is_md5 = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = (0..32).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    bytes.collect::<Option<Vec<u8>>>().filter(|_| is_md5)
}
