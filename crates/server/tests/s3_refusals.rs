//! What the S3 face does not understand, or was told to guard against: it is refused, and nothing
//! has been done.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{ACCESS, Answer, Running, SECRET, config, head};
use drystone_store::{BucketName, Key};
use sigv4::{Signing, ask};

const WRONG_MD5: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const WRONG_CRC: &str = "AAAAAA==";

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    let message = answer.text().split("<Message>").nth(1).map(str::to_owned).unwrap_or_default();
    assert!(
        message.find("</Message>").is_some_and(|len| len > 10),
        "no message: {}",
        answer.text()
    );
}

/// A server with the object `stone` in the bucket `files`.
fn with_stone() -> Running {
    let server = Running::start(config());
    assert_eq!(ask(&server, "PUT", "/files/stone", &[("x-amz-meta-a", "b")], b"stone").status, 200);
    server
}

#[track_caller]
fn check_untouched(server: &Running) {
    let got = ask(server, "GET", "/files/stone", &[], b"");
    assert_eq!((got.body.as_slice(), got.header("x-amz-meta-a")), (&b"stone"[..], Some("b")));
    assert!(!is_there(server, "other"));
}

fn is_there(server: &Running, key: &str) -> bool {
    server.store.stat(&BucketName::new("files").unwrap(), &Key::new(key).unwrap()).is_ok()
}

fn bucket_is_there(server: &Running, name: &str) -> bool {
    server.store.bucket(&BucketName::new(name).unwrap()).unwrap().is_some()
}

/// A signed request with lines in its head that were added later.
fn ask_with_lines(
    server: &Running,
    method: &str,
    path: &str,
    signed: &[(&str, &str)],
    lines: &str,
) -> Answer {
    let sent = Signing::now(method, path, signed).headers();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let head =
        head(None, method, path, &sent, Some(5)).replacen("\r\n", &format!("\r\n{lines}"), 1);
    server.say(&[head.as_bytes(), b"other"].concat())
}

fn crc32(bytes: &[u8]) -> String {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    BASE64.encode((!crc).to_be_bytes())
}

#[test]
fn a_header_that_selects_or_alters_is_known_or_refused() {
    let server = with_stone();
    for (method, path, name, value) in [
        ("PUT", "/files/other", "x-amz-rename-source", "/files/stone"),
        ("PUT", "/files/stone", "x-amz-write-offset-bytes", "5"),
        ("PUT", "/files/stone", "x-amz-server-side-encryption", "AES256"),
        ("PUT", "/files/stone", "x-amz-annotation-name", "a"),
        ("PUT", "/files/stone", "x-amz-foo", "1"),
        ("PUT", "/files/stone", "if-unmodified-since", "Thu, 01 Jan 2015 00:00:00 GMT"),
        ("PUT", "/files/stone", "x-amz-checksum-sha512", "AAAA"),
        ("PUT", "/files/stone", "x-amz-checksum-xxhash64", "AAAA"),
        ("PUT", "/files/stone", "x-amz-checksum-xxhash3", "AAAA"),
        ("PUT", "/files/stone", "x-amz-checksum-xxhash128", "AAAA"),
        ("PUT", "/files/stone", "x-amz-checksum-md5", WRONG_MD5),
        ("PUT", "/files/stone", "x-amz-sdk-checksum-algorithm", "SHA512"),
        ("PUT", "/files/stone", "x-amz-trailer", "x-amz-checksum-sha512"),
        ("DELETE", "/files/stone", "x-amz-mfa", "1 2"),
        ("DELETE", "/files/stone", "if-none-match", "\"x\""),
        ("DELETE", "/files/stone", "x-amz-copy-source", "files/stone"),
        ("POST", "/files?delete", "x-amz-foo", "1"),
        ("GET", "/files/stone", "x-amz-server-side-encryption-customer-key", "x"),
    ] {
        let answer = ask(&server, method, path, &[(name, value)], b"other");
        check(&answer, 501, "NotImplemented");
        assert!(answer.text().contains(name), "{}", answer.text());
        check_untouched(&server);
    }
    let range = [("content-range", "bytes 0-4/9")];
    check(&ask(&server, "PUT", "/files/stone", &range, b"other"), 400, "InvalidRequest");
    check_untouched(&server);
}

#[test]
fn a_guard_on_the_owner_holds_for_every_operation() {
    let server = with_stone();
    for (method, path) in [
        ("GET", "/files/stone"),
        ("HEAD", "/files/stone"),
        ("PUT", "/files/stone"),
        ("DELETE", "/files/stone"),
        ("POST", "/files/stone?uploads"),
        ("GET", "/files"),
        ("GET", "/files?acl"),
        ("PUT", "/fresh"),
        ("DELETE", "/files"),
        ("POST", "/files?delete"),
    ] {
        for owner in ["123456789012", "DRYSTONE", ""] {
            let answer =
                ask(&server, method, path, &[("x-amz-expected-bucket-owner", owner)], b"other");
            assert_eq!(answer.status, 403, "{method} {path} {owner} {}", answer.text());
        }
    }
    check_untouched(&server);
    assert!(!bucket_is_there(&server, "fresh"));
    let copy = |owner| {
        let headers =
            [("x-amz-copy-source", "files/stone"), ("x-amz-source-expected-bucket-owner", owner)];
        ask(&server, "PUT", "/files/copied", &headers, b"")
    };
    check(&copy("another"), 403, "AccessDenied");
    assert!(!is_there(&server, "copied"));
    assert_eq!(copy("drystone").status, 200);
    let put = Signing::now("PUT", "/files/other?x-amz-expected-bucket-owner=another", &[]);
    check(&server.request_as(None, "PUT", &put.presigned(60), &[], b"other"), 403, "AccessDenied");
    let right = [("x-amz-expected-bucket-owner", "drystone")];
    assert_eq!(ask(&server, "DELETE", "/files/stone", &right, b"").status, 204);
}

#[test]
fn what_a_presigned_url_carries_instead_of_headers_counts() {
    let server = with_stone();
    let put = Signing::now("PUT", "/files/new?x-amz-meta-colour=grey", &[]);
    assert_eq!(server.request_as(None, "PUT", &put.presigned(60), &[], b"new").status, 200);
    let found = ask(&server, "HEAD", "/files/new", &[], b"");
    assert_eq!(found.header("x-amz-meta-colour"), Some("grey"));
    let put = Signing::now("PUT", "/files/other?x-amz-checksum-crc32=AAAAAQ%3D%3D", &[]);
    check(&server.request_as(None, "PUT", &put.presigned(60), &[], b"other"), 400, "BadDigest");
    // What the SDK for JavaScript puts in, which does not know the body when it presigns.
    let put = Signing::now("PUT", "/files/new?x-amz-checksum-crc32=AAAAAA%3D%3D", &[]);
    assert_eq!(server.request_as(None, "PUT", &put.presigned(60), &[], b"newer").status, 200);
    let put = Signing::now("PUT", "/files/other?x-amz-rename-source=files%2Fstone", &[]);
    check(&server.request_as(None, "PUT", &put.presigned(60), &[], b""), 501, "NotImplemented");
    check_untouched(&server);
}

#[test]
fn a_documents_checksum_is_verified_before_it_is_acted_on() {
    let server = with_stone();
    let delete = b"<Delete><Object><Key>stone</Key></Object></Delete>";
    for (name, value, code) in [
        ("content-md5", WRONG_MD5, "BadDigest"),
        ("content-md5", "none", "InvalidDigest"),
        ("x-amz-checksum-crc32", WRONG_CRC, "BadDigest"),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", "BadDigest"),
    ] {
        check(&ask(&server, "POST", "/files?delete", &[(name, value)], delete), 400, code);
        check_untouched(&server);
    }
    for body in [&b"<CreateBucketConfiguration/>"[..], b""] {
        check(
            &ask(&server, "PUT", "/fresh", &[("content-md5", WRONG_MD5)], body),
            400,
            "BadDigest",
        );
        assert!(!bucket_is_there(&server, "fresh"));
    }
    let sum = crc32(delete);
    let right = ask(&server, "POST", "/files?delete", &[("x-amz-checksum-crc32", &sum)], delete);
    assert_eq!(right.status, 200, "{}", right.text());
    assert!(!is_there(&server, "stone"));
}

#[test]
fn checksums_of_a_completion_are_the_documents_and_the_objects() {
    let server = with_stone();
    let create = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "FULL_OBJECT")];
    let begun = ask(&server, "POST", "/files/other?uploads", &create, b"").text();
    let id =
        begun.split("<UploadId>").nth(1).and_then(|rest| rest.split("</UploadId>").next()).unwrap();
    let sum = crc32(b"other");
    let part = ask(
        &server,
        "PUT",
        &format!("/files/other?partNumber=1&uploadId={id}"),
        &[("x-amz-checksum-crc32", &sum)],
        b"other",
    );
    assert_eq!(part.status, 200, "{}", part.text());
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        part.header("etag").unwrap()
    );
    let path = format!("/files/other?uploadId={id}");
    let complete =
        |headers: &[(&str, &str)]| ask(&server, "POST", &path, headers, document.as_bytes());
    let unknown = document
        .replace("</Part>", "<ChecksumSHA1>AAAAAAAAAAAAAAAAAAAAAAAAAAA=</ChecksumSHA1></Part>");
    check(&ask(&server, "POST", &path, &[], unknown.as_bytes()), 400, "InvalidPart");
    check(&complete(&[("content-md5", WRONG_MD5)]), 400, "BadDigest");
    check(&complete(&[("x-amz-checksum-crc32", WRONG_CRC)]), 400, "BadDigest");
    check(&complete(&[("x-amz-checksum-crc32c", WRONG_CRC)]), 400, "InvalidArgument");
    check(&complete(&[("x-amz-checksum-xxhash3", WRONG_CRC)]), 501, "NotImplemented");
    check_untouched(&server);
    let right = complete(&[("x-amz-checksum-crc32", &sum), ("x-amz-checksum-type", "FULL_OBJECT")]);
    assert_eq!(right.status, 200, "{}", right.text());
    // Once more, as a client does that has not heard the answer: the guard is the same.
    check(&complete(&[("x-amz-checksum-crc32", WRONG_CRC)]), 400, "BadDigest");
    assert_eq!(complete(&[("x-amz-checksum-crc32", &sum)]).status, 200);
}

#[test]
fn trailers_are_verified_and_none_is_left_out() {
    let server = with_stone();
    let put = |announced: &str, trailers: &[(&str, &str)]| {
        let lines: String =
            trailers.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        let body = format!("5\r\nother\r\n0\r\n{lines}\r\n");
        let extra = [("x-amz-decoded-content-length", "5"), ("x-amz-trailer", announced)];
        let payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
        let sent = Signing { payload, ..Signing::now("PUT", "/files/other", &extra) }.headers();
        let sent: Vec<_> =
            sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let head = head(None, "PUT", "/files/other", &sent, Some(body.len()));
        server.say(&[head.as_bytes(), body.as_bytes()].concat())
    };
    let (crc, sha) = ("x-amz-checksum-crc32", "x-amz-checksum-sha1");
    let sum = crc32(b"other");
    let wrong_sha = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (announced, trailers, status, code) in [
        (crc, &[(crc, WRONG_CRC)][..], 400, "BadDigest"),
        (crc, &[], 400, "InvalidRequest"),
        (crc, &[(crc, &sum), (crc, WRONG_CRC)], 400, "InvalidRequest"),
        (crc, &[(crc, &sum), (sha, wrong_sha)], 400, "InvalidRequest"),
        (crc, &[(sha, wrong_sha)], 400, "InvalidRequest"),
        (crc, &[(crc, &sum), ("x-amz-checksum-sha512", "AAAA")], 400, "InvalidRequest"),
        (
            "x-amz-checksum-crc32,x-amz-checksum-sha1",
            &[(crc, &sum), (sha, wrong_sha)],
            400,
            "BadDigest",
        ),
        ("x-amz-checksum-crc32,x-amz-checksum-sha512", &[(crc, &sum)], 501, "NotImplemented"),
        ("x-amz-checksum-crc32,x-amz-checksum-crc32", &[(crc, &sum)], 400, "InvalidArgument"),
    ] {
        check(&put(announced, trailers), status, code);
        check_untouched(&server);
    }
    let right = put(crc, &[(crc, &sum)]);
    assert_eq!(right.status, 200, "{}", right.text());
    assert!(is_there(&server, "other"));
}

#[test]
fn a_header_of_which_only_the_first_would_count_is_refused() {
    let server = with_stone();
    for line in [
        "If-Match: \"x\"\r\nIf-Match: \"y\"\r\n",
        "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Content-Type: a/b\r\nContent-Type: c/d\r\n",
        "Cache-Control: no-store\r\nCache-Control: no-cache\r\n",
        "x-amz-meta-a: 1\r\nx-amz-meta-a: 2\r\n",
        "x-amz-checksum-crc32: AAAAAA==\r\nx-amz-checksum-crc32: AAAAAA==\r\n",
    ] {
        let answer = ask_with_lines(&server, "PUT", "/files/other", &[], line);
        check(&answer, 400, "InvalidRequest");
        check_untouched(&server);
    }
}

#[test]
fn a_request_is_signed_once() {
    let server = with_stone();
    server.store.set_bucket_public(&BucketName::new("files").unwrap(), true).unwrap();
    let get = Signing::now("GET", "/files/stone", &[]);
    let basic = format!("Basic {}", BASE64.encode(format!("{ACCESS}:{SECRET}")));
    let of = |answer: Answer| answer.status;
    for wrong in [basic.as_str(), "AWS a:b", "nonsense"] {
        let line = format!("Authorization: {wrong}\r\n");
        check(&ask_with_lines(&server, "GET", "/files/stone", &[], &line), 400, "InvalidRequest");
        let presigned =
            server.request_as(None, "GET", &get.presigned(60), &[("Authorization", wrong)], b"");
        check(&presigned, 400, "InvalidArgument");
    }
    let url = get.presigned(60);
    assert_eq!(of(server.request_as(None, "GET", &url, &[], b"")), 200);
    let twice = format!("{url}&AWSAccessKeyId=a&Expires=9&Signature=s");
    check(&server.request_as(None, "GET", &twice, &[], b""), 400, "InvalidArgument");
    let twice = format!("{url}&X-Amz-Signature=0");
    check(&server.request_as(None, "GET", &twice, &[], b""), 400, "InvalidArgument");
    let (part, _) = url.rsplit_once("&X-Amz-Signature").unwrap();
    let part = server.request_as(None, "GET", part, &[], b"");
    check(&part, 400, "AuthorizationQueryParametersError");
    // Plain HTTP has passwords and tokens: of two, neither.
    let plain = |second: &str| {
        let headers = [("Authorization", basic.as_str()), ("Authorization", second)];
        of(server.request_as(None, "GET", "/_/files/files/stone", &headers, b""))
    };
    assert_eq!(plain("Bearer x.y"), 401);
    assert_eq!(plain(&basic), 401);
}

#[test]
fn every_refusal_says_what_is_wrong() {
    let server = with_stone();
    let mut sent = Signing::now("GET", "/files/stone", &[]).headers();
    let (_, authorization) = sent.iter_mut().find(|(name, _)| name == "authorization").unwrap();
    *authorization = authorization.replace("Signature=", "Signature=0");
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = server.request_as(None, "GET", "/files/stone", &sent, b"");
    check(&answer, 403, "SignatureDoesNotMatch");
    for name in ["Files", "ab", "a..b", "-a-b", "xn--abc", "192.168.1.1"] {
        check(&ask(&server, "PUT", &format!("/{name}"), &[], b""), 400, "InvalidBucketName");
    }
    for document in ["<Delete><Object>", "<Other/>", "no document"] {
        check(
            &ask(&server, "POST", "/files?delete", &[], document.as_bytes()),
            400,
            "MalformedXML",
        );
    }
    check(&ask(&server, "POST", "/files?delete", &[], b""), 400, "MissingRequestBodyError");
    check(
        &ask(&server, "PUT", &format!("/files/{}", "k".repeat(1025)), &[], b""),
        400,
        "KeyTooLongError",
    );
    let answer = ask(&server, "PATCH", "/files/stone", &[], b"");
    check(&answer, 405, "MethodNotAllowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT, DELETE"));
    assert!(answer.header("x-drystone-condition").is_none());
}

#[test]
fn a_condition_that_does_not_hold_is_named() {
    let server = with_stone();
    let copy = ("x-amz-copy-source", "files/stone");
    let past = "Thu, 01 Jan 2015 00:00:00 GMT";
    for (method, headers, name) in [
        ("PUT", &[("if-none-match", "*")][..], "If-None-Match"),
        ("PUT", &[("if-match", "\"x\"")], "If-Match"),
        ("PUT", &[("if-match", "*"), ("if-none-match", "*")], "If-None-Match"),
        ("GET", &[("if-match", "\"x\"")], "If-Match"),
        ("GET", &[("if-unmodified-since", past)], "If-Unmodified-Since"),
        ("DELETE", &[("if-match", "\"x\"")], "If-Match"),
        ("DELETE", &[("x-amz-if-match-size", "6")], "x-amz-if-match-size"),
        (
            "DELETE",
            &[("x-amz-if-match-last-modified-time", past)],
            "x-amz-if-match-last-modified-time",
        ),
        ("PUT", &[copy, ("x-amz-copy-source-if-match", "\"x\"")], "x-amz-copy-source-if-match"),
        (
            "PUT",
            &[copy, ("x-amz-copy-source-if-none-match", "*")],
            "x-amz-copy-source-if-none-match",
        ),
    ] {
        let path = if headers.contains(&copy) { "/files/other" } else { "/files/stone" };
        let answer =
            ask(&server, method, path, headers, if method == "PUT" { b"other" } else { b"" });
        check(&answer, 412, "PreconditionFailed");
        let expected = format!("<Condition>{name}</Condition><RequestId>");
        assert!(answer.text().contains(&expected), "{}", answer.text());
        assert!(answer.header("x-drystone-condition").is_none());
        check_untouched(&server);
    }
}

#[test]
fn a_copy_has_the_checksum_that_was_asked_for_or_is_refused() {
    let server = with_stone();
    let sum = crc32(b"stone");
    let headers = [("x-amz-checksum-crc32", sum.as_str()), ("x-amz-meta-a", "b")];
    assert_eq!(ask(&server, "PUT", "/files/stone", &headers, b"stone").status, 200);
    let copy = |algorithm| {
        let headers =
            [("x-amz-copy-source", "files/stone"), ("x-amz-checksum-algorithm", algorithm)];
        ask(&server, "PUT", "/files/other", &headers, b"")
    };
    check(&copy("SHA256"), 501, "NotImplemented");
    check_untouched(&server);
    let copied = copy("CRC32");
    assert!(copied.text().contains(&sum), "{}", copied.text());
}

#[test]
fn checksums_are_told_to_those_who_ask_in_small_letters() {
    let server = with_stone();
    let sum = crc32(b"stone");
    assert_eq!(
        ask(&server, "PUT", "/files/stone", &[("x-amz-checksum-crc32", &sum)], b"stone").status,
        200
    );
    for mode in ["ENABLED", "enabled"] {
        let got = ask(&server, "GET", "/files/stone", &[("x-amz-checksum-mode", mode)], b"");
        assert_eq!(
            (got.status, got.header("x-amz-checksum-crc32")),
            (200, Some(sum.as_str())),
            "{mode}"
        );
    }
}
