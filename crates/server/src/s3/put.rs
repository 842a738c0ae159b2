//! Bodies that come in: objects and parts.

use std::collections::BTreeMap;

use drystone_edge::gate::Share;
use drystone_store::{Condition, PutTarget};
use drystone_sync::PlainArc;
use http::HeaderMap;
use s3s::dto::{
    ChecksumType, ETag, PutObjectInput, PutObjectOutput, StreamingBlob, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders};

use super::api::{Api, bucket_name, key_name};
use super::body::{self, Failure};
use super::checksums::{self, Fields, PartChecksums, Promised, checksum_fields};
use super::conditions::Write;
use super::describe;
use super::errors::{error, fault, invalid};
use super::tags::ObjectTags;
use crate::digest::{Aim, Algorithm, Digests, Upload, Uploaded};
use crate::meta;
use crate::writer::Writer;

/// Below this length a body is taken without a look whether its bucket is there: the commit looks.
const BLIND_BYTES_MAX: u64 = 64 << 10;

/// A body and what is said of it.
struct Incoming {
    writer: Writer,
    share: Share,
    len: Option<u64>,
    body: Option<StreamingBlob>,
    promised: Promised,
    trailing: Option<TrailingHeaders>,
    failure: PlainArc<Failure>,
}

impl Incoming {
    fn of<T>(
        request: &S3Request<T>,
        len: Option<i64>,
        body: Option<StreamingBlob>,
    ) -> Result<Self, S3Error> {
        let len =
            len.map(u64::try_from).transpose().map_err(|_| invalid("the length is negative"))?;
        let len = announced(len, &request.headers)?;
        let writer = request.extensions.get::<Writer>().cloned().ok_or_else(unchecked)?;
        let failure = request.extensions.get::<PlainArc<Failure>>().cloned();
        let failure = failure.unwrap_or_else(|| PlainArc::new(Failure::new(&request.headers)));
        Ok(Self {
            share: writer.share(&request.extensions),
            writer,
            len,
            body,
            promised: Promised::read(&request.headers).map_err(fault)?,
            trailing: request.trailing_headers.clone(),
            failure,
        })
    }
}

impl Api {
    pub(super) async fn put(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let body = request.input.body.take();
        let incoming = Incoming::of(&request, request.input.content_length, body)?;
        let input = request.input;
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        let mut meta = describe::meta(&request.headers, input.metadata)?;
        ObjectTags::of_header(&request.headers)?.unwrap_or_default().note(&mut meta.system)?;
        self.check_object_acl(&bucket, &request.headers).await?;
        let wanted = Write::of(&request.headers)?;
        let blind = wanted.is_none() && incoming.len.is_some_and(|len| len <= BLIND_BYTES_MAX);
        let condition = if blind {
            Condition::Always
        } else {
            wanted.condition(self.look(&bucket, &key).await?.as_ref())?
        };
        let target = move |digested: &_, _| {
            meta::note_digests(&mut meta, digested);
            PutTarget { bucket, key, meta, condition }.into()
        };
        let uploaded = self.take(incoming, None, Box::new(target)).await?;
        let system = properties(&uploaded);
        let fields = Fields::of(&system);
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(meta::etag_of_upload(&uploaded))),
            checksum_type: (!fields.is_empty())
                .then(|| ChecksumType::from_static(checksums::FULL_OBJECT)),
            ..PutObjectOutput::default()
        };
        checksum_fields!(fields => output);
        Ok(S3Response::new(output))
    }

    pub(super) async fn put_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let body = request.input.body.take();
        let incoming = Incoming::of(&request, request.input.content_length, body)?;
        let input = request.input;
        let upload = self.need_upload(&input.bucket, &input.key, &input.upload_id).await?;
        let plan = PartChecksums::of(&upload.meta.system);
        let mut target = super::multipart::part_target(upload.id, input.part_number)?;
        let target = move |digested: &_, _| {
            meta::note_digests_in(&mut target.system, digested);
            target.into()
        };
        let uploaded =
            self.take(incoming, plan.map(|plan| plan.algorithm), Box::new(target)).await?;
        let system = properties(&uploaded);
        let e_tag = Some(ETag::Strong(meta::etag_of_upload(&uploaded)));
        let mut output = UploadPartOutput { e_tag, ..UploadPartOutput::default() };
        checksum_fields!(Fields::of(&system) => output);
        Ok(S3Response::new(output))
    }

    /// Stores a body. `also` is computed too.
    async fn take(
        &self,
        incoming: Incoming,
        also: Option<Algorithm>,
        target: Aim,
    ) -> Result<Uploaded, S3Error> {
        let Incoming { writer, share, len, body, promised, trailing, failure } = incoming;
        if len.is_none() {
            return Err(error(
                S3ErrorCode::MissingContentLength,
                "the request needs a Content-Length",
            ));
        }
        let mut algorithms = promised.algorithms();
        algorithms.extend(also);
        if meta::wants_md5(len) {
            algorithms.push(Algorithm::Md5);
        }
        let (last_look, checksums) = (self.engine.last_look(&writer), Digests::new(algorithms));
        let upload = Upload { last_look, share, len, checksums, target };
        let body = body::stream(body, failure);
        let uploaded = self
            .engine
            .edge
            .upload(upload, body, move || promised.complete(trailing.as_ref()))
            .await;
        uploaded.map_err(fault)
    }
}

/// An operation that the check before it has not noted as one that writes.
fn unchecked() -> S3Error {
    error(S3ErrorCode::AccessDenied, "the right to write was not looked at")
}

/// The length of a body without what frames it. A client that frames its body may send it without
/// a `Content-Length`; s3s has put the decoded length in place of one that is there.
fn announced(len: Option<u64>, headers: &HeaderMap) -> Result<Option<u64>, S3Error> {
    let decoded = body::decoded_len(headers)?;
    if body::is_framed(headers) {
        return Ok(decoded);
    }
    match decoded {
        Some(decoded) if len != Some(decoded) => {
            Err(error(S3ErrorCode::InvalidRequest, "the body has two lengths and is not framed"))
        }
        _ => Ok(len),
    }
}

/// What follows from a body's checksums.
fn properties(uploaded: &Uploaded) -> BTreeMap<String, String> {
    let mut system = BTreeMap::new();
    meta::note_digests_in(&mut system, &uploaded.computed);
    system
}
