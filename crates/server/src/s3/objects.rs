//! GET and HEAD of an object.

use std::ops::Range;

use drystone_edge::gate::Share;
use drystone_store::ObjectRow;
use http::header::{CONTENT_RANGE, IF_MATCH, IF_NONE_MATCH};
use http::{Extensions, HeaderMap, HeaderValue};
use s3s::dto::{
    ChecksumMode, ChecksumType, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    StreamingBlob,
};
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::answers::Partial;
use super::api::{Api, bucket_name, check_version, key_name};
use super::checksums::{self, Fields, checksum_fields};
use super::conditions::{self, Read, Tags};
use super::describe::{self, kept};
use super::errors::{error, fault, with_headers};
use super::parts::Part;
use super::tags;
use crate::access::Who;

/// The part of an object that is asked for.
struct Wanted {
    range: Range<u64>,
    /// For `Content-Range`, when it is not simply all of it.
    shown: Option<String>,
    parts: Option<i32>,
}

impl Wanted {
    fn of(part: &Part, object: &ObjectRow) -> Self {
        Self {
            range: part.range.clone(),
            shown: shown(&part.range, object.size),
            parts: part.total,
        }
    }
}

/// For `Content-Range`. An empty range cannot be written down.
fn shown(range: &Range<u64>, size: u64) -> Option<String> {
    (!range.is_empty()).then(|| format!("bytes {}-{}/{size}", range.start, range.end - 1))
}

/// What is asked for of an object, if its conditions hold, and all that an answer says of it but
/// its body. GET and HEAD are the same in this, and the protocol crate has two types for each side
/// of it.
macro_rules! described {
    ($api:expr, $output:ident, $request:expr, $object:expr) => {{
        let (input, object): (_, &ObjectRow) = (&$request.input, $object);
        let read = Read {
            matches: Tags::of(&$request.headers, IF_MATCH)?,
            none_matches: Tags::of(&$request.headers, IF_NONE_MATCH)?,
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        };
        read.check(object)?;
        let part = match input.part_number {
            None => None,
            Some(_) if input.range.is_some() => {
                return Err(error(S3ErrorCode::InvalidRequest, "either a range or a part can be asked for"));
            }
            Some(number) => Some($api.part(object, number).await?),
        };
        let wanted = match &part {
            Some(part) => Wanted::of(part, object),
            None => wanted(object, input.range.as_ref(), &$request.headers)?,
        };
        let sums = sums(object, input.checksum_mode.as_ref(), part, wanted.shown.is_some());
        let mut output = $output {
            accept_ranges: Some("bytes".into()),
            cache_control: kept(object, "cache-control"),
            checksum_type: kind(object, &sums),
            content_disposition: kept(object, "content-disposition"),
            content_encoding: kept(object, "content-encoding"),
            content_language: kept(object, "content-language"),
            content_length: Some(signed(wanted.range.end - wanted.range.start)),
            content_range: wanted.shown.clone(),
            content_type: Some(describe::media_type(object)),
            e_tag: Some(describe::etag(object)),
            last_modified: Some(describe::modified(object)),
            metadata: describe::user(object),
            parts_count: wanted.parts,
            ..$output::default()
        };
        checksum_fields!(sums => output);
        (output, wanted)
    }};
}

impl Api {
    pub(super) async fn get(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = &request.input;
        refuse_anonymous_overrides(&request)?;
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        check_version(input.version_id.as_deref())?;
        let found =
            self.engine.edge.find(share(&request.extensions), bucket, key).await.map_err(fault)?;
        let mut headers = describe::headers(&found.object, input.response_expires.is_some());
        tags::count(&mut headers, &found.object, request.extensions.get::<Who>());
        let (mut output, wanted) = described!(self, GetObjectOutput, request, &found.object);
        let body = found.body(&self.engine.edge, wanted.range).await.map_err(fault)?;
        output.body = Some(StreamingBlob::from(Body::http_body(body)));
        Ok(S3Response::with_headers(output, headers))
    }

    pub(super) async fn head(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = &request.input;
        let (bucket, key) = (bucket_name(&input.bucket)?, key_name(&input.key)?);
        check_version(input.version_id.as_deref())?;
        let object = self.stat(&bucket, &key).await?;
        let (output, wanted) = described!(self, HeadObjectOutput, request, &object);
        let mut response = S3Response::new(output);
        if wanted.shown.is_some() {
            response.extensions.insert(Partial);
        }
        response.headers = describe::headers(&object, false);
        tags::count(&mut response.headers, &object, request.extensions.get::<Who>());
        Ok(response)
    }
}

fn share(extensions: &Extensions) -> Share {
    extensions.get::<Who>().unwrap_or(&Who::Anonymous).share(extensions)
}

/// A length as the protocol crate has it.
pub(super) fn signed(len: u64) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// A client without a key may not decide, by the link that it gives away, how others see a public
/// object.
fn refuse_anonymous_overrides(request: &S3Request<GetObjectInput>) -> Result<(), S3Error> {
    let input = &request.input;
    let overrides = input.response_cache_control.is_some()
        || input.response_content_disposition.is_some()
        || input.response_content_encoding.is_some()
        || input.response_content_language.is_some()
        || input.response_content_type.is_some()
        || input.response_expires.is_some();
    if overrides && !matches!(request.extensions.get::<Who>(), Some(Who::Key(_))) {
        return Err(error(
            S3ErrorCode::InvalidRequest,
            "response headers can be chosen by signed requests only",
        ));
    }
    Ok(())
}

fn wanted(
    object: &ObjectRow,
    range: Option<&s3s::dto::Range>,
    headers: &HeaderMap,
) -> Result<Wanted, S3Error> {
    let all = 0..object.size;
    match range.filter(|_| conditions::range_applies(headers, object)) {
        None => Ok(Wanted { range: all, shown: None, parts: None }),
        Some(range) => match range.check(object.size).ok().filter(|range| !range.is_empty()) {
            Some(range) => Ok(Wanted { shown: shown(&range, object.size), range, parts: None }),
            None => Err(unsatisfiable(object.size)),
        },
    }
}

fn unsatisfiable(size: u64) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
        headers.insert(CONTENT_RANGE, value);
    }
    with_headers(
        error(S3ErrorCode::InvalidRange, "the range is beyond the end of the object"),
        headers,
    )
}

/// The checksums to tell: those of the whole are no help with a range of it, and a part has its
/// own.
fn sums(
    object: &ObjectRow,
    mode: Option<&ChecksumMode>,
    part: Option<Part>,
    partial: bool,
) -> Fields {
    if mode.is_none_or(|mode| !mode.as_str().eq_ignore_ascii_case(ChecksumMode::ENABLED)) {
        return Fields::default();
    }
    match part {
        Some(part) => part.sums,
        None if partial => Fields::default(),
        None => Fields::of(&object.meta.system),
    }
}

pub(super) fn kind(object: &ObjectRow, sums: &Fields) -> Option<ChecksumType> {
    let composite =
        object.meta.system.get(checksums::KIND).is_some_and(|kind| kind == checksums::COMPOSITE);
    let kind = if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    (!sums.is_empty()).then(|| ChecksumType::from_static(kind))
}
