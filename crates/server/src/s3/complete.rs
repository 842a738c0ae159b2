//! Parts become an object, in one transaction.

use std::collections::{BTreeMap, HashMap};

use drystone_store::{
    Completion, NamedPart, ObjectRow, PART_NUMBER_MAX, PartRow, Store, StoreError, UploadRow,
};
use percent_encoding::utf8_percent_encode;
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::checksums::{FULL_OBJECT, Fields, KIND, Plan, checksum_fields};
use super::conditions::Write;
use super::errors::{error, invalid, store};
use super::listing::PLAIN;
use super::multipart::{id_of, id_text, no_upload};
use super::{Api, bucket_name, describe, key_name, objects};
use crate::digest::{Algorithm, Digests};
use crate::meta;

/// The upload that an object was made by: a client that did not hear the answer asks again.
pub(super) const COMPLETED: &str = "completed-upload";
/// Every part but the last has at least as many bytes; as in S3.
const PART_BYTES_MIN: u64 = 5 << 20;
const PARTS_PER_PAGE: usize = 1000;

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
        let completed = match self.complete(&input, &named, &wanted).await {
            Ok(object) => Ok(object),
            // Whoever aborts or completes it at the same moment takes the parts away under our
            // eyes: what is missing then is not a part but the upload.
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
        named: &[CompletedPart],
        wanted: &Write,
    ) -> Result<ObjectRow, S3Error> {
        let upload = self.need_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let present =
            if wanted.is_none() { None } else { self.look(&upload.bucket, &upload.key).await? };
        let condition = wanted.condition(present.as_ref())?;
        let id = upload.id;
        let parts = self.call(move |store| all_parts(store, id)).await?;
        let parts = choose(named, &parts)?;
        let system = properties(input, &upload, &parts)?;
        let parts = parts.iter().map(|part| NamedPart {
            number: part.number,
            content: Some(part.content),
            system: part.system.clone(),
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
            Some((Plan { algorithm, full: kind == FULL_OBJECT }, sum))
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

/// At most 10,000 of them, by their numbers.
fn all_parts(
    store: &Store,
    upload: drystone_store::UploadId,
) -> Result<HashMap<u32, PartRow>, StoreError> {
    let mut all = HashMap::new();
    let mut after = 0;
    loop {
        let page = store.parts(upload, after, PARTS_PER_PAGE)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.number;
        all.extend(page.into_iter().map(|part| (part.number, part)));
    }
}

/// The parts that are named, if they are the ones that are there.
fn choose<'a>(
    named: &[CompletedPart],
    parts: &'a HashMap<u32, PartRow>,
) -> Result<Vec<&'a PartRow>, S3Error> {
    let mut chosen: Vec<&PartRow> = Vec::with_capacity(named.len());
    for part in named {
        let number = part.part_number.and_then(|number| u32::try_from(number).ok());
        let number =
            number.ok_or_else(|| error(S3ErrorCode::MalformedXML, "each part needs its number"))?;
        if chosen.last().is_some_and(|last| last.number >= number) {
            return Err(store(&StoreError::PartOrder { number }));
        }
        let row = parts.get(&number).ok_or_else(|| store(&StoreError::PartMissing { number }))?;
        let etag = meta::etag_in(&row.system, &row.content);
        // Without quotes it is meant just the same.
        if part.e_tag.as_ref().map(ETag::value) != Some(etag.as_str()) {
            return Err(store(&StoreError::PartChanged { number }));
        }
        let given = checksum_fields!(part);
        for (algorithm, sum) in given.iter() {
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
    parts: &[&PartRow],
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
    let plan = Plan::of(&upload.meta.system);
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
    combined: Option<&(Plan, String)>,
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
            // A checksum that nobody verifies would be a promise that nobody keeps.
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
fn etag(parts: &[&PartRow]) -> String {
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
