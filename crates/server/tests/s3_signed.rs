//! The S3 face for requests with a key: conditions, and details that clients look at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::sync::Barrier;

use common::{Answer, Running, config, noise};
use drystone_store::{BucketName, Key};
use sigv4::{Signing, ask};

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    if !code.is_empty() {
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    }
}

/// Puts an object and returns its entity tag, with quotes.
fn put(server: &Running, path: &str, bytes: &[u8]) -> String {
    let answer = ask(server, "PUT", path, &[], bytes);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("etag").unwrap().to_owned()
}

fn is_there(server: &Running, key: &str) -> bool {
    server.store.stat(&BucketName::new("files").unwrap(), &Key::new(key).unwrap()).is_ok()
}

#[test]
fn a_read_is_held_against_each_tag_of_a_list() {
    let server = Running::start(config());
    let tag = put(&server, "/files/a", b"stone");
    let list = format!("\"x\", {tag}");
    let weak = format!("W/\"x\", W/{tag}");
    let get = |headers: &[(&str, &str)]| ask(&server, "GET", "/files/a", headers, b"").status;
    assert_eq!(get(&[("if-none-match", &list)]), 304);
    assert_eq!(get(&[("if-none-match", &weak)]), 304);
    assert_eq!(get(&[("if-none-match", "\"x\", \"y\"")]), 200);
    assert_eq!(get(&[("if-match", &list)]), 200);
    assert_eq!(get(&[("if-match", &weak)]), 412);
    assert_eq!(get(&[("if-match", "\"x\", \"y\"")]), 412);
    assert_eq!(ask(&server, "HEAD", "/files/a", &[("if-none-match", &list)], b"").status, 304);
    let copy = |tags: &str| {
        let headers = [("x-amz-copy-source", "files/a"), ("x-amz-copy-source-if-match", tags)];
        ask(&server, "PUT", "/files/b", &headers, b"").status
    };
    assert_eq!(copy("\"x\", \"y\""), 412);
    assert_eq!(copy(&list), 200);
}

#[test]
fn a_put_holds_its_conditions() {
    let server = Running::start(config());
    let put_if = |name, value: &str| ask(&server, "PUT", "/files/a", &[(name, value)], b"stone");
    check(&put_if("if-match", "*"), 404, "NoSuchKey");
    let tag = put(&server, "/files/a", b"stone");
    check(&put_if("if-none-match", "*"), 412, "PreconditionFailed");
    check(&put_if("if-none-match", &format!("\"x\", {tag}")), 412, "PreconditionFailed");
    check(&put_if("if-match", "\"x\""), 412, "PreconditionFailed");
    check(&put_if("if-none-match", "\"x\""), 200, "");
    check(&put_if("if-match", &format!("\"x\", {tag}")), 200, "");
}

#[test]
fn a_delete_holds_its_conditions() {
    let server = Running::start(config());
    let delete = |headers: &[(&str, &str)]| ask(&server, "DELETE", "/files/a", headers, b"");
    let tag = put(&server, "/files/a", b"stone");
    check(&delete(&[("if-match", "\"x\"")]), 412, "PreconditionFailed");
    check(&delete(&[("x-amz-if-match-size", "6")]), 412, "PreconditionFailed");
    let past = "Thu, 01 Jan 2015 00:00:00 GMT";
    check(&delete(&[("x-amz-if-match-last-modified-time", past)]), 412, "PreconditionFailed");
    check(&delete(&[("if-match", &tag), ("x-amz-if-match-size", "6")]), 412, "PreconditionFailed");
    assert!(is_there(&server, "a"));
    let modified =
        ask(&server, "HEAD", "/files/a", &[], b"").header("last-modified").unwrap().to_owned();
    let all = [
        ("if-match", tag.as_str()),
        ("x-amz-if-match-last-modified-time", &modified),
        ("x-amz-if-match-size", "5"),
    ];
    check(&delete(&all), 204, "");
    assert!(!is_there(&server, "a"));
    // There is nothing that could match; but a size and a time are those of what was to go, and it
    // is gone.
    check(&delete(&[("if-match", &tag)]), 404, "NoSuchKey");
    check(&delete(&[("if-match", "*")]), 404, "NoSuchKey");
    check(&delete(&[("x-amz-if-match-size", "5")]), 204, "");
    check(&delete(&[]), 204, "");
    put(&server, "/files/a", b"stone");
    check(&delete(&[("if-match", "*")]), 204, "");
}

#[test]
fn each_of_many_is_deleted_on_its_own_condition() {
    let server = Running::start(config());
    let tag = put(&server, "/files/a", b"stone");
    put(&server, "/files/b", b"stone");
    put(&server, "/files/c", b"stone");
    let tag = tag.trim_matches('"');
    let document = format!(
        "<Delete><Object><Key>a</Key><ETag>{tag}</ETag></Object><Object><Key>b</Key><ETag>x</ETag></Object>\
         <Object><Key>c</Key><Size>6</Size></Object></Delete>"
    );
    let answer = ask(&server, "POST", "/files?delete", &[], document.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.text().matches("<Code>PreconditionFailed</Code>").count(),
        2,
        "{}",
        answer.text()
    );
    assert!(!is_there(&server, "a") && is_there(&server, "b") && is_there(&server, "c"));
}

#[test]
fn what_was_seen_is_deleted_once() {
    let server = Running::start(config());
    for _ in 0..40 {
        let tag = put(&server, "/files/a", b"stone");
        let start = Barrier::new(6);
        let delete = || {
            start.wait();
            ask(&server, "DELETE", "/files/a", &[("if-match", &tag)], b"").status
        };
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(delete)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // The others find nothing, or that it is gone by the time of their turn.
        assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [204, 404, 412].contains(status)), "{statuses:?}");
    }
}

#[test]
fn the_attributes_of_an_object_are_as_clients_read_them() {
    let server = Running::start(config());
    let tag = put(&server, "/files/a", b"stone");
    let wanted = [("x-amz-object-attributes", "ETag,ObjectSize,ObjectParts")];
    let text = ask(&server, "GET", "/files/a?attributes", &wanted, b"").text();
    assert!(text.contains(&format!("<ETag>{}</ETag>", tag.trim_matches('"'))), "{text}");
    assert!(text.contains("<ObjectSize>5</ObjectSize>") && !text.contains("ObjectParts"), "{text}");
    let begun = ask(&server, "POST", "/files/parts?uploads", &[], b"").text();
    let id =
        begun.split("<UploadId>").nth(1).and_then(|rest| rest.split("</UploadId>").next()).unwrap();
    let bytes = noise(70_000, 3);
    let put = ask(&server, "PUT", &format!("/files/parts?partNumber=1&uploadId={id}"), &[], &bytes);
    assert_eq!(put.status, 200, "{}", put.text());
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        put.header("etag").unwrap().replace('"', "&quot;")
    );
    let completed =
        ask(&server, "POST", &format!("/files/parts?uploadId={id}"), &[], document.as_bytes());
    assert_eq!(completed.status, 200, "{}", completed.text());
    let text = ask(&server, "GET", "/files/parts?attributes", &wanted, b"").text();
    for expected in [
        "<IsTruncated>false</IsTruncated>",
        "<MaxParts>1000</MaxParts>",
        "<PartNumber>1</PartNumber>",
        "<Size>70000</Size>",
    ] {
        assert!(text.contains(expected), "{expected} {text}");
    }
}

#[test]
fn a_refusal_names_its_request() {
    let server = Running::start(config());
    for answer in [
        ask(&server, "GET", "/files/none", &[], b""),
        server.request_as(None, "GET", "/files/none", &[("Authorization", "AWS a:b")], b""),
        server.request_as(None, "GET", "/files/none", &[], b""),
    ] {
        let id = answer.header("x-amz-request-id").unwrap();
        assert_eq!(answer.header("x-request-id"), Some(id));
        assert!(
            answer.text().contains(&format!("<RequestId>{id}</RequestId></Error>")),
            "{}",
            answer.text()
        );
    }
    let id = ask(&server, "GET", "/files", &[], b"").header("x-amz-request-id").map(str::len);
    assert_eq!(id, Some(16));
}

#[test]
fn a_checksum_that_is_none_is_not_the_bodys() {
    let server = Running::start(config());
    let put = |name| ask(&server, "PUT", "/files/a", &[(name, "none")], b"stone");
    check(&put("x-amz-checksum-sha256"), 400, "BadDigest");
    check(&put("content-md5"), 400, "InvalidDigest");
}

#[test]
fn encodings_of_the_object_stay_as_they_were_written() {
    let server = Running::start(config());
    for (sent, kept) in [
        ("deflate, gzip", Some("deflate, gzip")),
        ("gzip, aws-chunked", Some("gzip")),
        ("aws-chunked", None),
    ] {
        let put = if sent.contains("aws-chunked") {
            let extra = [
                ("content-encoding", sent),
                ("x-amz-decoded-content-length", "5"),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
            ];
            let mut signing = Signing::now("PUT", "/files/a", &extra);
            signing.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
            let headers = signing.headers();
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let frames = b"5\r\nstone\r\n0\r\nx-amz-checksum-crc32:GSAFKg==\r\n\r\n";
            server.request_as(None, "PUT", "/files/a", &headers, frames)
        } else {
            ask(&server, "PUT", "/files/a", &[("content-encoding", sent)], b"stone")
        };
        assert_eq!(put.status, 200, "{}", put.text());
        let head = ask(&server, "HEAD", "/files/a", &[], b"");
        assert_eq!(head.header("content-encoding"), kept, "{sent}");
    }
}

#[test]
fn what_is_empty_in_a_list_is_as_if_it_were_not_there() {
    let server = Running::start(config());
    put(&server, "/files/a", b"stone");
    let text = ask(&server, "GET", "/files?delimiter=", &[], b"").text();
    assert!(text.contains("<Key>a</Key>") && !text.contains("Delimiter"), "{text}");
    let text = ask(&server, "GET", "/files?continuation-token=&list-type=2", &[], b"").text();
    assert!(text.contains("<Key>a</Key>"), "{text}");
    let refused = ask(&server, "GET", "/files?continuation-token=x&list-type=2", &[], b"");
    check(&refused, 400, "InvalidArgument");
}
