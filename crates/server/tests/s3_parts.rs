//! What is remembered of the parts that an object was completed of.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{Answer, Running, config, noise};
use drystone_store::{BucketName, Completion, Key, NamedPart, ObjectMeta, PartTarget};
use sigv4::ask;

const PART: usize = 5 << 20;
const SHOWN: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");

fn sha256(bytes: &[u8]) -> String {
    BASE64.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

fn inside<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    text.split(start.as_str())
        .skip(1)
        .map(|piece| piece.split(end.as_str()).next().unwrap())
        .collect()
}

/// Completes an object of these parts, whose numbers have gaps.
fn complete(server: &Running, key: &str, parts: &[Vec<u8>], algorithm: Option<&str>) {
    let wanted = algorithm.map(|name| ("x-amz-checksum-algorithm", name));
    let headers: Vec<_> = wanted.into_iter().collect();
    let begun = ask(server, "POST", &format!("/files/{key}?uploads"), &headers, b"").text();
    let id = inside(&begun, "UploadId")[0].to_owned();
    let mut named = String::new();
    for (place, bytes) in parts.iter().enumerate() {
        let number = 2 * place + 1;
        let put = ask(
            server,
            "PUT",
            &format!("/files/{key}?partNumber={number}&uploadId={id}"),
            &[],
            bytes,
        );
        assert_eq!(put.status, 200, "{}", put.text());
        let etag = put.header("etag").unwrap().replace('"', "&quot;");
        named.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        ));
    }
    let document = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    let done =
        ask(server, "POST", &format!("/files/{key}?uploadId={id}"), &[], document.as_bytes());
    assert_eq!(done.status, 200, "{}", done.text());
}

fn part(server: &Running, method: &str, key: &str, number: usize) -> Answer {
    ask(server, method, &format!("/files/{key}?partNumber={number}"), &[SHOWN], b"")
}

fn attributes(server: &Running, key: &str, headers: &[(&str, &str)]) -> String {
    let mut all = vec![("x-amz-object-attributes", "ObjectParts,Checksum")];
    all.extend(headers);
    let answer = ask(server, "GET", &format!("/files/{key}?attributes"), &all, b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[test]
fn each_part_has_its_checksum_after_completion() {
    let server = Running::start(config());
    let parts = [noise(PART, 1), noise(PART + 7, 2), noise(1000, 3)];
    complete(&server, "a", &parts, Some("SHA256"));
    let copy = [("x-amz-copy-source", "files/a"), ("x-amz-metadata-directive", "REPLACE")];
    assert_eq!(ask(&server, "PUT", "/files/copy", &copy, b"").status, 200);
    for key in ["a", "copy"] {
        let mut offset = 0;
        for (place, bytes) in parts.iter().enumerate() {
            let sum = sha256(bytes);
            let (got, head) =
                (part(&server, "GET", key, place + 1), part(&server, "HEAD", key, place + 1));
            assert_eq!((got.status, head.status), (206, 206));
            assert!(got.body == *bytes, "part {place} of {key}");
            let range = format!("bytes {offset}-{}/{}", offset + bytes.len() - 1, 2 * PART + 1007);
            for answer in [&got, &head] {
                assert_eq!(answer.header("x-amz-checksum-sha256"), Some(sum.as_str()));
                assert_eq!(answer.header("x-amz-checksum-type"), Some("COMPOSITE"));
                assert_eq!(answer.header("x-amz-mp-parts-count"), Some("3"));
                assert_eq!(answer.header("content-range"), Some(range.as_str()));
            }
            offset += bytes.len();
        }
        let unasked = ask(&server, "HEAD", &format!("/files/{key}?partNumber=1"), &[], b"");
        assert_eq!(unasked.header("x-amz-checksum-sha256"), None);
        for number in [0, 4, 10_000] {
            assert_eq!(part(&server, "HEAD", key, number).status, 416, "{number}");
        }
        let text = attributes(&server, key, &[]);
        let sums: Vec<String> = parts.iter().map(|bytes| sha256(bytes)).collect();
        assert_eq!(inside(&text, "ChecksumSHA256")[1..], sums, "{text}");
        assert_eq!(
            inside(&text, "Size"),
            [PART.to_string(), (PART + 7).to_string(), "1000".into()]
        );
    }
    let whole = ask(&server, "HEAD", "/files/a", &[SHOWN], b"");
    assert!(whole.header("x-amz-checksum-sha256").unwrap().ends_with("-3"));
}

#[test]
fn the_parts_come_in_pages() {
    let server = Running::start(config());
    complete(&server, "a", &[noise(PART, 1), noise(PART, 2), noise(10, 3)], Some("CRC32"));
    let page = |marker: &str, limit: &str| {
        let headers = [("x-amz-part-number-marker", marker), ("x-amz-max-parts", limit)];
        let text = attributes(&server, "a", &headers);
        let numbers: Vec<String> =
            inside(&text, "PartNumber").iter().map(|number| (*number).to_owned()).collect();
        assert_eq!(inside(&text, "PartsCount"), ["3"], "{text}");
        assert_eq!(inside(&text, "ChecksumCRC32").len(), numbers.len() + 1, "{text}");
        let next = inside(&text, "NextPartNumberMarker").first().map(|next| (*next).to_owned());
        assert_eq!(
            inside(&text, "IsTruncated"),
            [if next.is_some() { "true" } else { "false" }],
            "{text}"
        );
        (numbers, next)
    };
    let numbers =
        |numbers: &[&str]| numbers.iter().map(|number| (*number).to_owned()).collect::<Vec<_>>();
    assert_eq!(page("0", "1000"), (numbers(&["1", "2", "3"]), None));
    assert_eq!(page("0", "2"), (numbers(&["1", "2"]), Some("2".into())));
    assert_eq!(page("2", "2"), (numbers(&["3"]), None));
    assert_eq!(page("3", "2"), (numbers(&[]), None));
    assert_eq!(page("2147483647", "2"), (numbers(&[]), None));
}

#[test]
fn parts_of_many_sizes_are_remembered() {
    let server = Running::start(config());
    // More than fit into a few words, put in through the library: over S3 each would have 5 MiB.
    let (bucket, key) = (BucketName::new("files").unwrap(), Key::new("a").unwrap());
    let upload = server.store.create_upload(&bucket, &key, &ObjectMeta::default()).unwrap();
    let mut ingest = server.store.ingest(60_000).unwrap();
    for number in 1..=400u32 {
        let mut writing = ingest.begin(None);
        writing.push(&noise(number as usize, number.into())).unwrap();
        let target = PartTarget { upload: upload.id, number, system: Default::default() };
        let pending = writing.finish(target).unwrap();
        ingest.rest().unwrap();
        pending.join().unwrap();
    }
    drop(ingest);
    let parts = (1..=400).map(|number| NamedPart { number, ..NamedPart::default() }).collect();
    let system = [("parts-of".to_owned(), format!("{:016x}", upload.id.0))].into();
    server
        .store
        .complete_upload(upload.id, &Completion { parts, system, ..Completion::default() })
        .unwrap();
    let last = part(&server, "GET", "a", 400);
    assert_eq!((last.status, last.header("x-amz-mp-parts-count")), (206, Some("400")));
    assert!(last.body == noise(400, 400));
    assert!(part(&server, "GET", "a", 77).body == noise(77, 77));
}

#[test]
fn an_object_that_was_put_whole_is_its_only_part() {
    let server = Running::start(config());
    let bytes = noise(1000, 1);
    let sum = sha256(&bytes);
    assert_eq!(
        ask(&server, "PUT", "/files/a", &[("x-amz-checksum-sha256", &sum)], &bytes).status,
        200
    );
    let got = part(&server, "GET", "a", 1);
    assert_eq!((got.status, got.header("x-amz-checksum-sha256")), (206, Some(sum.as_str())));
    assert_eq!((got.header("x-amz-mp-parts-count"), got.body == bytes), (None, true));
    assert_eq!(part(&server, "GET", "a", 2).status, 416);
    assert!(!attributes(&server, "a", &[]).contains("ObjectParts"));
}

/// What was completed before parts were remembered has their sizes in a few words.
#[test]
fn an_earlier_version_has_remembered_the_sizes() {
    let server = Running::start(config());
    let (bucket, key) = (BucketName::new("files").unwrap(), Key::new("a").unwrap());
    let system = [("part-sizes".to_owned(), "3*2,1".to_owned())].into();
    let target = drystone_store::PutTarget {
        bucket,
        key,
        meta: ObjectMeta { system, ..ObjectMeta::default() },
        condition: drystone_store::Condition::Always,
    };
    server.store.ingest(60_000).unwrap().put_now(target, &mut &b"abcdefg"[..]).unwrap();
    let got = part(&server, "GET", "a", 2);
    assert_eq!((got.status, got.body.as_slice()), (206, &b"def"[..]));
    assert_eq!(
        (got.header("x-amz-mp-parts-count"), got.header("x-amz-checksum-sha256")),
        (Some("3"), None)
    );
    assert_eq!(part(&server, "GET", "a", 4).status, 416);
    let text =
        attributes(&server, "a", &[("x-amz-part-number-marker", "1"), ("x-amz-max-parts", "1")]);
    assert_eq!(
        (inside(&text, "Size"), inside(&text, "NextPartNumberMarker")),
        (vec!["3"], vec!["2"])
    );
}
