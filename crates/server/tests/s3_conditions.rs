//! Conditions and digests that the S3 face cannot read or cannot verify: the request is refused,
//! and nothing has been done.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{Answer, Running, config};
use drystone_store::{BucketName, Key};
use sigv4::ask;

/// Of `stone`.
const ETAG: &str = "0a840ef45467fb3932dbf2c2896c5cbf";
const WRONG_MD5: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const MD5_OF_NOTHING: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";
/// In frames, without a checksum.
const FRAMES: &[u8] = b"5\r\nother\r\n0\r\n\r\n";

/// Conditions that are none, where `{}` stands for the object's tag.
const UNREADABLE: [&str; 12] = [
    "",
    ",",
    "**",
    "*, \"x\"",
    "\"x\" \"{}\"",
    "\"{}",
    "{}\"",
    "w/\"{}\"",
    "W/{}",
    "'{}'",
    "\"{}\" ; x",
    "\"{}\" x",
];

fn unreadable() -> impl Iterator<Item = String> {
    UNREADABLE.iter().map(|text| text.replace("{}", ETAG))
}

/// A server with the object `stone` in the bucket `files`.
fn with_stone() -> Running {
    let server = Running::start(config());
    let put = ask(&server, "PUT", "/files/stone", &[], b"stone");
    assert_eq!(put.header("etag"), Some(format!("\"{ETAG}\"").as_str()));
    server
}

#[track_caller]
fn check(server: &Running, answer: &Answer, code: &str, names: &str, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {}", answer.text());
    let text = answer.text();
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{what}: {text}");
    assert!(text.to_lowercase().contains(names), "{what}: {text}");
    let got = ask(server, "GET", "/files/stone", &[], b"");
    assert_eq!((got.status, got.body.as_slice()), (200, &b"stone"[..]), "{what}");
    let other = server.store.stat(&BucketName::new("files").unwrap(), &Key::new("other").unwrap());
    assert!(other.is_err(), "{what}");
}

fn is_done(answer: &Answer, what: &str) {
    assert!(matches!(answer.status, 200 | 204), "{what}: {} {}", answer.status, answer.text());
}

#[test]
fn a_condition_of_a_put_that_cannot_be_read_is_refused() {
    let server = with_stone();
    for name in ["if-none-match", "if-match"] {
        for value in unreadable() {
            let answer = ask(&server, "PUT", "/files/stone", &[(name, &value)], b"other");
            check(&server, &answer, "InvalidArgument", name, &value);
        }
    }
    // Old SDKs send a tag without its quotes.
    let bare = ask(&server, "PUT", "/files/stone", &[("if-none-match", ETAG)], b"other");
    assert_eq!(bare.status, 412, "{}", bare.text());
    is_done(&ask(&server, "PUT", "/files/stone", &[("if-match", ETAG)], b"other"), "a bare tag");
}

#[test]
fn a_condition_of_a_completion_that_cannot_be_read_is_refused() {
    let server = with_stone();
    let begun = ask(&server, "POST", "/files/stone?uploads", &[], b"").text();
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let part =
        ask(&server, "PUT", &format!("/files/stone?partNumber=1&uploadId={id}"), &[], b"part");
    let tag = part.header("etag").unwrap();
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let path = format!("/files/stone?uploadId={id}");
    for value in unreadable() {
        let answer = ask(&server, "POST", &path, &[("if-none-match", &value)], document.as_bytes());
        check(&server, &answer, "InvalidArgument", "if-none-match", &value);
    }
    is_done(&ask(&server, "POST", &path, &[("if-match", ETAG)], document.as_bytes()), "the upload");
}

#[test]
fn a_condition_of_a_copy_that_cannot_be_read_is_refused() {
    let server = with_stone();
    is_done(&ask(&server, "PUT", "/files/source", &[], b"source"), "the source");
    for (name, source, to) in [
        ("if-none-match", "files/source", "/files/stone"),
        ("x-amz-copy-source-if-match", "files/stone", "/files/other"),
        ("x-amz-copy-source-if-none-match", "files/stone", "/files/other"),
    ] {
        for value in unreadable() {
            let headers = [("x-amz-copy-source", source), (name, &value)];
            let answer = ask(&server, "PUT", to, &headers, b"");
            check(&server, &answer, "InvalidArgument", name, &value);
        }
    }
    for name in ["x-amz-copy-source-if-modified-since", "x-amz-copy-source-if-unmodified-since"] {
        for value in ["x", "2015-01-01T00:00:00Z", "Thu, 01 Jan 2015 00:00:00 GMT, x"] {
            let headers = [("x-amz-copy-source", "files/stone"), (name, value)];
            let answer = ask(&server, "PUT", "/files/other", &headers, b"");
            check(&server, &answer, "InvalidArgument", name, value);
        }
    }
}

#[test]
fn a_condition_of_a_delete_that_cannot_be_read_is_refused() {
    let server = with_stone();
    for value in unreadable() {
        let answer = ask(&server, "DELETE", "/files/stone", &[("if-match", &value)], b"");
        check(&server, &answer, "InvalidArgument", "if-match", &value);
    }
    let date = [("x-amz-if-match-last-modified-time", "x")];
    let answer = ask(&server, "DELETE", "/files/stone", &date, b"");
    check(&server, &answer, "InvalidArgument", date[0].0, "a date");
    let delete = |inside: &str| {
        let document = format!("<Delete><Object><Key>stone</Key>{inside}</Object></Delete>");
        ask(&server, "POST", "/files?delete", &[], document.as_bytes())
    };
    for (inside, names) in [
        ("<Size>+5</Size>", "size"),
        ("<Size></Size>", "size"),
        ("<ETag/>", "etag"),
        ("<ETag>'x'</ETag>", "etag"),
        ("<ETag>&quot;x</ETag>", "etag"),
    ] {
        check(&server, &delete(inside), "MalformedXML", names, inside);
    }
    // A weak tag names no bytes.
    let weak = delete(&format!("<ETag>W/\"{ETAG}\"</ETag>"));
    assert!(weak.text().contains("<Code>PreconditionFailed</Code>"), "{}", weak.text());
    assert_eq!(ask(&server, "GET", "/files/stone", &[], b"").status, 200);
    let done = delete(&format!("<ETag>&quot;{ETAG}&#34;</ETag><Size>5</Size>"));
    assert!(done.text().contains("<Deleted>"), "{}", done.text());
    assert_eq!(ask(&server, "GET", "/files/stone", &[], b"").status, 404);
}

#[test]
fn an_if_range_that_cannot_be_read_is_refused() {
    let server = with_stone();
    let get = |value: &str| {
        ask(&server, "GET", "/files/stone", &[("range", "bytes=0-1"), ("if-range", value)], b"")
    };
    for value in ["", "*", "\"x", "\"x\", \"y\"", "Thu, 01 Jan"] {
        check(&server, &get(value), "InvalidArgument", "if-range", value);
    }
    assert_eq!(get(&format!("\"{ETAG}\"")).status, 206);
    assert_eq!(get(ETAG).status, 206);
    for other in
        ["\"x\"".to_owned(), format!("W/\"{ETAG}\""), "Thu, 01 Jan 2015 00:00:00 GMT".to_owned()]
    {
        assert_eq!(get(&other).status, 200, "{other}");
    }
}

#[test]
fn frames_are_not_stored_as_the_object() {
    let server = with_stone();
    for encoding in ["aws-chunked", "gzip, AWS-Chunked", "aws-chunked,gzip"] {
        for path in ["/files/stone", "/files/other"] {
            let answer = ask(&server, "PUT", path, &[("content-encoding", encoding)], FRAMES);
            check(&server, &answer, "InvalidRequest", "aws-chunked", encoding);
        }
    }
    is_done(&ask(&server, "PUT", "/files/gzip", &[("content-encoding", "gzip")], b"x"), "gzip");
}

#[test]
fn a_digest_of_a_body_that_is_not_read_is_that_of_nothing() {
    let server = with_stone();
    is_done(&ask(&server, "PUT", "/files/gone", &[], b"gone"), "an object");
    let copy = ("x-amz-copy-source", "files/stone");
    for (value, code) in [(WRONG_MD5, "BadDigest"), ("x", "InvalidDigest"), ("", "InvalidDigest")] {
        let md5 = ("content-md5", value);
        for (method, path) in [
            ("DELETE", "/files/stone"),
            ("GET", "/files/stone"),
            ("DELETE", "/files"),
            ("POST", "/files/stone?uploads"),
        ] {
            check(&server, &ask(&server, method, path, &[md5], b""), code, "md5", method);
        }
        check(
            &server,
            &ask(&server, "PUT", "/files/other", &[copy, md5], b""),
            code,
            "md5",
            "a copy",
        );
    }
    let nothing = ("content-md5", MD5_OF_NOTHING);
    is_done(&ask(&server, "PUT", "/files/copy", &[copy, nothing], b""), "a copy");
    is_done(&ask(&server, "DELETE", "/files/gone", &[nothing], b""), "a delete");
}

#[test]
fn a_digest_does_not_go_with_a_presigned_url_of_version_2() {
    let server = with_stone();
    let old = "AWSAccessKeyId=a&Expires=9999999999&Signature=s";
    for name in ["x-amz-content-sha256", "X-Amz-Content-Sha256"] {
        for value in ["00".repeat(32), "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned()] {
            let path = format!("/files/stone?{old}&{name}={value}");
            let answer = server.request_as(None, "PUT", &path, &[], b"other");
            check(&server, &answer, "InvalidRequest", "x-amz-content-sha256", &path);
        }
    }
}
