//! The headers of a request that change what it does: each must be known for its operation, be
//! there once, and mean something.
//!
//! A condition, a guard, a checksum or a wish that were left out would be a promise that the server
//! does not keep.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, EXPECT, EXPIRES,
    HOST, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::{S3Error, S3ErrorCode};

use super::checksums::KEPT;
use super::errors::{error, fault, invalid};
use super::operations::{Operation, Takes};
use super::queries::shown;
use super::{conditions, header_values};
use crate::digest::{Algorithm, Digests, Expected};
use crate::meta::KEPT_HEADERS;

/// Headers of every request: of signatures, of SDKs and of what is between, and who the bucket's
/// owner should be.
const ALWAYS: &[&str] = &[
    "x-amz-api-version",
    "x-amz-cf-id",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-expected-bucket-owner",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-te",
    "x-amz-user-agent",
];
/// S3 leaves them out, too, where they have no meaning. Those of a form are fields, and a header
/// that was meant for the object would be lost.
const METADATA: &[&str] = &["x-amz-meta-"];
/// Conditions that a read without an entity tag cannot fail: caches send them for everything.
const ALWAYS_READ: &[&str] = &["if-modified-since", "if-none-match", "if-range"];

/// Lists, of which every line is read.
const MAY_BE_REPEATED: &[&str] = &["x-amz-object-attributes", "x-amz-optional-object-attributes"];

/// Refuses a header that is there twice, where only the first would count.
pub(super) fn check_repeated(headers: &HeaderMap, is_read: bool) -> Result<(), S3Error> {
    for name in headers.keys() {
        let text = name.as_str();
        let counts = text.starts_with("x-amz-")
            || text.starts_with("if-")
            || text.starts_with("content-")
            || [AUTHORIZATION, EXPECT, HOST, RANGE].contains(name)
            || ([CACHE_CONTROL, EXPIRES].contains(name) || KEPT_HEADERS.contains(&text))
                && !is_read;
        if counts
            && !MAY_BE_REPEATED.contains(&text)
            && headers.get_all(name).iter().nth(1).is_some()
        {
            return Err(error(
                S3ErrorCode::InvalidRequest,
                format!("the header {} is there more than once", shown(text)),
            ));
        }
    }
    Ok(())
}

/// Refuses what this operation does not understand.
pub(super) fn check(operation: &Operation, headers: &HeaderMap) -> Result<(), S3Error> {
    check_payload(operation, headers)?;
    for (name, value) in headers {
        let text = name.as_str();
        if !text.starts_with("x-amz-") && !text.starts_with("if-") {
            continue;
        }
        let groups = operation.headers.iter().copied();
        let always: &[&[&str]] = match operation.takes {
            Takes::Form => &[ALWAYS],
            _ if operation.is_read() => &[ALWAYS, METADATA, ALWAYS_READ],
            _ => &[ALWAYS, METADATA],
        };
        let known =
            |known: &&str| *known == text || (known.ends_with('-') && text.starts_with(*known));
        if !groups.chain(always.iter().copied()).flatten().any(known) {
            return Err(not_here(operation, name));
        }
        if text.starts_with("x-amz-") && !text.starts_with("x-amz-meta-") {
            header_values::check(text, value)?;
        }
    }
    if headers.contains_key(CONTENT_RANGE) {
        // A part of an object would be stored as all of it.
        return Err(error(
            S3ErrorCode::InvalidRequest,
            "a request has no Content-Range: send all of the body",
        ));
    }
    conditions::check(headers)?;
    check_checksums(operation, headers)
}

fn not_here(operation: &Operation, name: &HeaderName) -> S3Error {
    let hint = if name.as_str().starts_with("x-amz-checksum-") && operation.takes != Takes::Nothing
    {
        let known: Vec<&str> = KEPT.iter().map(|algorithm| algorithm.name()).collect();
        format!("the server cannot verify {}; it knows {}", shown(name.as_str()), known.join(", "))
    } else {
        format!("{} does not understand the header {} here", operation.name, shown(name.as_str()))
    };
    error(S3ErrorCode::NotImplemented, format!("{hint}: nothing was done"))
}

/// How the body comes: in chunks only where they are undone.
fn check_payload(operation: &Operation, headers: &HeaderMap) -> Result<(), S3Error> {
    let payload = headers.get("x-amz-content-sha256").map_or(&b""[..], HeaderValue::as_bytes);
    let in_chunks = payload.starts_with(b"STREAMING-");
    if in_chunks && operation.takes != Takes::Bytes {
        let hint = format!(
            "{} takes no aws-chunked body: x-amz-content-sha256 is its SHA-256 or UNSIGNED-PAYLOAD",
            operation.name
        );
        return Err(error(S3ErrorCode::InvalidRequest, hint));
    }
    // The frames would become the object. Where no body is read it is a description that came with
    // another object.
    if !in_chunks && operation.takes != Takes::Nothing && is_in_chunks(headers) {
        let hint =
            "Content-Encoding is aws-chunked, but x-amz-content-sha256 names no STREAMING- payload";
        return Err(error(S3ErrorCode::InvalidRequest, hint));
    }
    let decoded = headers.get("x-amz-decoded-content-length");
    if !in_chunks && decoded.is_some() && decoded != headers.get(CONTENT_LENGTH) {
        let hint =
            "x-amz-decoded-content-length is the length of the body, where that is not in chunks";
        return Err(invalid(hint));
    }
    Ok(())
}

fn is_in_chunks(headers: &HeaderMap) -> bool {
    let is_it = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"aws-chunked");
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    encodings.any(|value| value.as_bytes().split(|byte| *byte == b',').any(is_it))
}

/// Which checksums go together, and which can be verified.
fn check_checksums(operation: &Operation, headers: &HeaderMap) -> Result<(), S3Error> {
    let begins = operation.name == "CreateMultipartUpload";
    if begins
        && headers.contains_key("x-amz-checksum-type")
        && !headers.contains_key("x-amz-checksum-algorithm")
    {
        return Err(invalid("x-amz-checksum-type goes with x-amz-checksum-algorithm"));
    }
    if operation.takes != Takes::Nothing {
        return Ok(());
    }
    // A body is not read here, so its digest can only be that of no bytes.
    let promised = Expected::read(headers, Algorithm::ALL).map_err(fault)?;
    Digests::new(promised.algorithms()).finish().check(&promised).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::super::operations::{FIELDS, FORM, OPERATIONS};
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    #[track_caller]
    fn check_code(operation: &str, pairs: &[(&'static str, &'static str)], expected: Option<&str>) {
        let row = OPERATIONS.iter().chain([&FIELDS]).find(|row| row.name == operation).unwrap();
        let found = check(row, &map(pairs)).err();
        let code = found.as_ref().map(|refused| refused.code().as_str());
        assert_eq!(code, expected, "{operation} {pairs:?} {found:?}");
        if let (Some(found), [(name, _)]) = (&found, pairs) {
            assert!(
                found.message().is_some_and(|text| text.to_lowercase().contains(name)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_header_that_an_operation_does_not_know_is_refused_by_its_name() {
        let not_here = Some("NotImplemented");
        for (operation, name) in [
            ("PutObject", "x-amz-rename-source"),
            ("PutObject", "x-amz-write-offset-bytes"),
            ("PutObject", "x-amz-server-side-encryption"),
            ("PutObject", "x-amz-website-redirect-location"),
            ("PutObject", "x-amz-foo"),
            ("PutObject", "x-amz-checksum-sha512"),
            ("PutObject", "x-amz-checksum-xxhash64"),
            ("PutObject", "x-amz-checksum-xxhash3"),
            ("PutObject", "x-amz-checksum-xxhash128"),
            ("PutObject", "x-amz-checksum-md5"),
            ("PutObject", "if-unmodified-since"),
            ("PutObject", "if-modified-since"),
            ("UploadPart", "x-amz-checksum-sha512"),
            ("UploadPart", "if-match"),
            ("UploadPart", "x-amz-acl"),
            ("CreateMultipartUpload", "if-none-match"),
            ("CompleteMultipartUpload", "x-amz-checksum-xxhash3"),
            ("DeleteObject", "x-amz-copy-source"),
            ("DeleteObject", "x-amz-mfa"),
            ("DeleteObject", "if-none-match"),
            ("DeleteObject", "if-unmodified-since"),
            ("DeleteBucket", "if-match"),
            ("DeleteObjects", "x-amz-mfa"),
            ("DeleteObjects", "if-match"),
            ("AbortMultipartUpload", "x-amz-if-match-initiated-time"),
            ("CreateBucket", "x-amz-bucket-namespace"),
            ("GetObject", "x-amz-server-side-encryption-customer-key"),
            ("GetObject", "x-amz-foo"),
            ("ListObjects", "if-match"),
            ("PostObject", "x-amz-checksum-sha512"),
            ("PostObject", "x-amz-server-side-encryption"),
        ] {
            check_code(operation, &[(name, "1")], not_here);
        }
    }

    #[test]
    fn what_clients_send_by_default_is_known() {
        for operation in OPERATIONS {
            for (name, value) in [
                ("x-amz-date", "20300101T000000Z"),
                ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
                ("x-amz-user-agent", "aws-sdk-js/3"),
                ("x-amz-api-version", "2006-03-01"),
                ("x-amz-te", "append-md5"),
                ("x-amz-security-token", "x"),
                ("x-amz-sdk-checksum-algorithm", "CRC32"),
                ("x-amz-request-payer", "requester"),
                ("x-amz-expected-bucket-owner", "drystone"),
                ("amz-sdk-invocation-id", "x"),
                ("amz-sdk-request", "attempt=1"),
                ("x-amzn-trace-id", "x"),
            ] {
                check_code(operation.name, &[(name, value)], None);
            }
        }
        check_code("GetObject", &[("x-amz-checksum-mode", "ENABLED"), ("if-match", "\"a\"")], None);
        check_code("GetObject", &[("x-amz-checksum-mode", "enabled")], None);
        check_code("GetObject", &[("x-amz-checksum-mode", "DISABLED")], Some("InvalidArgument"));
        check_code(
            "ListObjectsV2",
            &[("if-none-match", "\"a\""), ("if-modified-since", "x")],
            None,
        );
        let put = [
            ("x-amz-acl", "private"),
            ("x-amz-storage-class", ""),
            ("x-amz-meta-a", ""),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ];
        check_code("PutObject", &put, None);
        check_code(
            "CopyObject",
            &[("x-amz-copy-source", "b/ü"), ("x-amz-metadata-directive", "COPY")],
            None,
        );
        check_code("PostObject", &[("x-amz-checksum-crc32", "AAAAAA==")], None);
    }

    #[test]
    fn a_guard_holds_or_refuses() {
        let denied = Some("AccessDenied");
        for operation in OPERATIONS {
            check_code(operation.name, &[("x-amz-expected-bucket-owner", "123456789012")], denied);
        }
        check_code("PutObject", &[("x-amz-expected-bucket-owner", "")], denied);
        check_code("PutObject", &[("x-amz-expected-bucket-owner", "é")], denied);
        check_code("CopyObject", &[("x-amz-source-expected-bucket-owner", "x")], denied);
    }

    #[test]
    fn a_value_that_would_be_read_as_another_one_is_refused() {
        let bad = Some("InvalidArgument");
        check_code("DeleteObject", &[("x-amz-if-match-size", "5x")], bad);
        check_code("DeleteObject", &[("x-amz-if-match-size", "")], bad);
        check_code("DeleteObject", &[("x-amz-if-match-last-modified-time", "")], bad);
        check_code("CompleteMultipartUpload", &[("x-amz-mp-object-size", "+5")], bad);
        check_code("PutObject", &[("x-amz-decoded-content-length", "5")], bad);
        check_code("PutObject", &[("x-amz-acl", "é")], bad);
        check_code("GetObjectAttributes", &[("x-amz-object-attributes", "ETag, Colour")], bad);
        check_code("GetObjectAttributes", &[("x-amz-object-attributes", "ETag, ObjectSize")], None);
        check_code("CreateBucket", &[("x-amz-object-ownership", "ObjectWriter")], bad);
        check_code("CreateMultipartUpload", &[("x-amz-checksum-type", "FULL_OBJECT")], bad);
        check_code("PutObject", &[("content-range", "bytes 0-1/5")], Some("InvalidRequest"));
    }

    #[test]
    fn a_checksum_of_an_unknown_kind_is_refused() {
        let not_here = Some("NotImplemented");
        check_code("PutObject", &[("x-amz-sdk-checksum-algorithm", "SHA512")], not_here);
        check_code("DeleteObjects", &[("x-amz-sdk-checksum-algorithm", "x")], not_here);
        check_code("CopyObject", &[("x-amz-checksum-algorithm", "MD5")], not_here);
        check_code("PutObject", &[("x-amz-trailer", "x-amz-checksum-sha512")], not_here);
        check_code(
            "PutObject",
            &[("x-amz-trailer", "x-amz-checksum-crc32,x-amz-meta-a")],
            not_here,
        );
        check_code("PutObject", &[("x-amz-trailer", "crc32")], not_here);
        let twice = "x-amz-checksum-crc32,x-amz-checksum-crc32";
        check_code("PutObject", &[("x-amz-trailer", twice)], Some("InvalidArgument"));
    }

    #[test]
    fn chunks_are_for_bodies_that_are_stored() {
        let payload = ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
        check_code("DeleteObjects", &[payload], Some("InvalidRequest"));
        check_code("UploadPart", &[payload], None);
    }

    #[test]
    fn a_form_says_in_its_fields_what_it_wants() {
        let headers = map(&[("x-amz-meta-a", "b")]);
        assert!(check(&FORM, &headers).is_err());
        for (name, value) in [("x-amz-acl", "private"), ("x-amz-checksum-crc32", "AAAAAA==")] {
            let headers = map(&[(name, value)]);
            assert!(check(&FORM, &headers).is_err() && check(&FIELDS, &headers).is_ok(), "{name}");
        }
        let headers = map(&[("if-none-match", "*")]);
        assert!(check(&FORM, &headers).is_err() && check(&FIELDS, &headers).is_err());
    }

    #[test]
    fn what_is_there_twice_is_refused_where_only_one_would_count() {
        let twice = |name: &'static str, is_read| {
            check_repeated(&map(&[(name, "a"), (name, "a")]), is_read)
        };
        for name in
            ["if-match", "x-amz-meta-a", "content-md5", "authorization", "range", "x-amz-trailer"]
        {
            assert!(twice(name, true).is_err(), "{name}");
        }
        assert!(twice("cache-control", false).is_err());
        for name in
            ["cache-control", "accept", "x-amz-object-attributes", "x-forwarded-for", "cookie"]
        {
            assert!(twice(name, true).is_ok(), "{name}");
        }
    }
}
