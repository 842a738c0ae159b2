//! Tags of objects over S3.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::collections::BTreeMap;

use common::{Answer, Running, config};
use drystone_store::{BucketName, Key, ObjectRow};
use sigv4::ask;

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    if !code.is_empty() {
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    }
}

fn document(tags: &[(&str, &str)]) -> String {
    let tag =
        |(key, value): &(&str, &str)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.iter().map(tag).collect::<String>())
}

fn put(server: &Running, key: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server, "PUT", &format!("/files/{key}"), headers, b"stone")
}

fn set(server: &Running, key: &str, tags: &[(&str, &str)]) -> Answer {
    ask(server, "PUT", &format!("/files/{key}?tagging"), &[], document(tags).as_bytes())
}

/// The tags that an object has, as the document says.
fn tags(server: &Running, key: &str) -> BTreeMap<String, String> {
    let answer = ask(server, "GET", &format!("/files/{key}?tagging"), &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let inside = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let pair = |tag: &str| Some((inside(tag, "Key")?, inside(tag, "Value").unwrap_or_default()));
    text.split("<Tag>").skip(1).map(|tag| pair(tag).unwrap()).collect()
}

fn map(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn count(answer: &Answer) -> Option<&str> {
    answer.header("x-amz-tagging-count")
}

fn stat(server: &Running, key: &str) -> ObjectRow {
    server.store.stat(&BucketName::new("files").unwrap(), &Key::new(key).unwrap()).unwrap()
}

#[test]
fn tags_are_put_got_and_deleted_and_nothing_else_changes() {
    let server = Running::start(config());
    check(
        &put(&server, "a", &[("x-amz-meta-colour", "grey"), ("cache-control", "no-store")]),
        200,
        "",
    );
    let before = stat(&server, "a");
    assert_eq!(tags(&server, "a"), map(&[]));
    check(&set(&server, "a", &[("team", "red team"), ("grün", "é+-=._:/@")]), 200, "");
    assert_eq!(tags(&server, "a"), map(&[("team", "red team"), ("grün", "é+-=._:/@")]));
    let after = stat(&server, "a");
    assert_eq!(after.version(), before.version());
    assert_eq!((after.content, &after.meta.user), (before.content, &before.meta.user));
    let got = ask(&server, "GET", "/files/a", &[], b"");
    assert_eq!((count(&got), got.header("cache-control")), (Some("2"), Some("no-store")));
    assert_eq!(count(&ask(&server, "HEAD", "/files/a", &[], b"")), Some("2"));
    check(&set(&server, "a", &[("team", "")]), 200, "");
    assert_eq!(tags(&server, "a"), map(&[("team", "")]));
    check(&ask(&server, "DELETE", "/files/a?tagging", &[], b""), 204, "");
    assert_eq!((tags(&server, "a"), stat(&server, "a")), (map(&[]), before.clone()));
    check(&set(&server, "a", &[]), 200, "");
    assert_eq!(stat(&server, "a"), before);
    assert_eq!(count(&ask(&server, "HEAD", "/files/a", &[], b"")), None);
    for answer in [
        set(&server, "none", &[("a", "b")]),
        ask(&server, "GET", "/files/none?tagging", &[], b""),
        ask(&server, "DELETE", "/files/none?tagging", &[], b""),
    ] {
        check(&answer, 404, "NoSuchKey");
    }
    check(&ask(&server, "PUT", "/files/a?tagging", &[], b""), 400, "");
}

#[test]
fn tags_come_with_the_object_and_go_with_it() {
    let server = Running::start(config());
    check(
        &put(&server, "a", &[("x-amz-tagging", "team=red%20team&gr%C3%BCn=a%2Bb+c&empty=&bare")]),
        200,
        "",
    );
    let expected = map(&[("team", "red team"), ("grün", "a+b c"), ("empty", ""), ("bare", "")]);
    assert_eq!(tags(&server, "a"), expected);
    check(&put(&server, "a", &[]), 200, "");
    assert_eq!(tags(&server, "a"), map(&[]), "what replaces it has tags of its own");
    // An upload has them from its beginning.
    let begun =
        ask(&server, "POST", "/files/parts?uploads", &[("x-amz-tagging", "a=b")], b"").text();
    let id =
        begun.split("<UploadId>").nth(1).and_then(|rest| rest.split("</UploadId>").next()).unwrap();
    let part =
        ask(&server, "PUT", &format!("/files/parts?partNumber=1&uploadId={id}"), &[], b"stone");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        part.header("etag").unwrap().replace('"', "&quot;")
    );
    check(
        &ask(&server, "POST", &format!("/files/parts?uploadId={id}"), &[], document.as_bytes()),
        200,
        "",
    );
    assert_eq!(tags(&server, "parts"), map(&[("a", "b")]));
}

#[test]
fn a_copy_has_the_tags_that_it_asks_for() {
    let server = Running::start(config());
    check(&put(&server, "a", &[("x-amz-tagging", "a=b")]), 200, "");
    let copy = |headers: &[(&str, &str)]| {
        let mut all = vec![("x-amz-copy-source", "files/a")];
        all.extend(headers);
        ask(&server, "PUT", "/files/copy", &all, b"")
    };
    let replace = ("x-amz-metadata-directive", "REPLACE");
    let of_tags = "x-amz-tagging-directive";
    for (headers, expected) in [
        (&[][..], map(&[("a", "b")])),
        (&[replace], map(&[("a", "b")])),
        (&[(of_tags, "COPY")], map(&[("a", "b")])),
        (&[("x-amz-tagging", "")], map(&[("a", "b")])),
        (&[(of_tags, "REPLACE"), ("x-amz-tagging", "c=d")], map(&[("c", "d")])),
        (&[(of_tags, "REPLACE"), replace], map(&[])),
    ] {
        check(&copy(headers), 200, "");
        assert_eq!(tags(&server, "copy"), expected, "{headers:?}");
    }
    check(&put(&server, "copy", &[]), 200, "");
    check(&copy(&[("x-amz-tagging", "c=d")]), 400, "InvalidArgument");
    check(&copy(&[(of_tags, "COPY"), ("x-amz-tagging", "c=d")]), 400, "InvalidArgument");
    check(&copy(&[(of_tags, "MERGE")]), 400, "InvalidArgument");
    assert_eq!(tags(&server, "copy"), map(&[]), "what is refused changes nothing");
}

#[test]
fn tags_are_bounded_as_in_s3() {
    let server = Running::start(config());
    check(&put(&server, "a", &[]), 200, "");
    let names: Vec<String> = (0..11).map(|number| format!("k{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    check(&set(&server, "a", &many[..10]), 200, "");
    let kept = tags(&server, "a");
    // Characters beyond the first plane count twice.
    let [long, longer, value, larger] =
        ["k".repeat(128), "k".repeat(129), "𝛼".repeat(128), "𝛼".repeat(129)];
    for bad in [
        &many[..],
        &[("a", "1"), ("a", "2")],
        &[("", "1")],
        &[("aws:team", "1")],
        &[("AWS:team", "1")],
        &[("a*", "1")],
        &[("a", "b&#10;c")],
        &[("a", "&lt;")],
        &[(&longer, "1")],
        &[("a", &larger)],
    ] {
        check(&set(&server, "a", bad), 400, "InvalidTag");
        assert_eq!(tags(&server, "a"), kept, "{bad:?}");
    }
    for bad in
        ["a=1&a=2", "=1", "aws%3Ateam=1", "a=%3C", "a=%zz", "a=%FF", "a%26b=c", &"k=v&".repeat(11)]
    {
        check(&put(&server, "b", &[("x-amz-tagging", bad)]), 400, "InvalidTag");
    }
    check(&ask(&server, "GET", "/files/b", &[], b""), 404, "NoSuchKey");
    check(&set(&server, "a", &[(&long, &value)]), 200, "");
    assert_eq!(tags(&server, "a"), map(&[(&long, &value)]));
    for bad in
        ["<Tagging><TagSet><Tag><Value>v</Value></Tag></TagSet></Tagging>", "<Tagging/>", "x"]
    {
        check(&ask(&server, "PUT", "/files/a?tagging", &[], bad.as_bytes()), 400, "MalformedXML");
    }
    // Where tags have no meaning they are not passed over.
    let part = ask(&server, "DELETE", "/files/a", &[("x-amz-tagging", "a=b")], b"");
    check(&part, 501, "NotImplemented");
    assert_eq!(tags(&server, "a").len(), 1);
    let of_bucket = ask(&server, "PUT", "/files?tagging", &[], document(&[("a", "b")]).as_bytes());
    check(&of_bucket, 501, "NotImplemented");
}

#[test]
fn tags_are_for_those_with_the_right() {
    let server = Running::start(config());
    check(&put(&server, "a", &[("x-amz-tagging", "a=b")]), 200, "");
    server.store.set_bucket_public(&BucketName::new("files").unwrap(), true).unwrap();
    let got = server.request_as(None, "GET", "/files/a", &[], b"");
    assert_eq!(
        (got.status, count(&got)),
        (200, None),
        "a client without a key is not told how many there are"
    );
    assert_eq!(server.request_as(None, "GET", "/files/a?tagging", &[], b"").status, 403);
    assert_eq!(
        server.request_as(None, "PUT", "/files/a?tagging", &[], document(&[]).as_bytes()).status,
        403
    );
    assert_eq!(server.request_as(None, "DELETE", "/files/a?tagging", &[], b"").status, 403);
    assert_eq!(tags(&server, "a"), map(&[("a", "b")]));
}

#[test]
fn a_put_and_a_change_of_tags_at_the_same_time_leave_one_whole_object() {
    let server = Running::start(config());
    for round in 0..20 {
        check(
            &put(&server, "a", &[("x-amz-meta-round", "old"), ("x-amz-tagging", "of=old")]),
            200,
            "",
        );
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                let headers = [("x-amz-meta-round", "new"), ("x-amz-tagging", "of=new")];
                check(&put(&server, "a", &headers), 200, "");
            });
            start.wait();
            check(&set(&server, "a", &[("of", "change")]), 200, "");
        });
        assert_eq!(stat(&server, "a").meta.user["round"], "new", "{round}");
        let found = tags(&server, "a");
        assert!(
            [map(&[("of", "new")]), map(&[("of", "change")])].contains(&found),
            "{round} {found:?}"
        );
    }
}

#[test]
fn damaged_tags_do_not_keep_an_object_from_being_read() {
    let server = Running::start(config());
    check(&put(&server, "a", &[("x-amz-tagging", "a=b")]), 200, "");
    let (bucket, key) = (BucketName::new("files").unwrap(), Key::new("a").unwrap());
    server.store.set_property(&bucket, &key, drystone_store::TAGS, Some("{")).unwrap();
    let got = ask(&server, "GET", "/files/a", &[], b"");
    assert_eq!((got.status, got.body.as_slice(), count(&got)), (200, &b"stone"[..], None));
    check(&ask(&server, "GET", "/files/a?tagging", &[], b""), 500, "InternalError");
    check(&set(&server, "a", &[("c", "d")]), 200, "");
    assert_eq!(tags(&server, "a"), map(&[("c", "d")]));
}
