//! Documents are read as XML says, or refused before anything is done.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{Answer, Running, config, head};
use drystone_store::{BucketName, Key};
use sigv4::{Signing, ask};

fn is_there(server: &Running, key: &str) -> bool {
    server.store.stat(&BucketName::new("files").unwrap(), &Key::new(key).unwrap()).is_ok()
}

fn put(server: &Running, keys: &[&str]) {
    for key in keys {
        assert_eq!(ask(server, "PUT", &format!("/files/{key}"), &[], b"x").status, 200, "{key}");
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
    assert!(text.contains("<Message>the document"), "{text}");
}

#[test]
fn a_delete_with_text_that_would_be_lost_deletes_nothing() {
    let server = Running::start(config());
    let keys = ["a", "ac", "abc", "ab"];
    put(&server, &keys);
    for inside in [
        "<Object><Key>a<![CDATA[b]]>c</Key></Object>",
        "<Object><Key>ac</Key></Object><![CDATA[<Quiet>true</Quiet>]]>",
        "<Object><Key>a<?b?>c</Key></Object>",
        "<Object>abc<Key>ac</Key></Object>",
        "<Object><Key>ac</Key></Object>abc",
        "<Object><Key>a</Key><Key>ac</Key></Object>",
        "<Object><Key>a<b/>c</Key></Object>",
        "<Object><Key>ac</Key><Unless>abc</Unless></Object>",
        "<Object><Key>ac</Key></Object><Dry>true</Dry>",
        "<Object><Key unless='abc'>ac</Key></Object>",
        "<Object><Key>ac&#13</Key></Object>",
        "<Object><Key>ac&#x1f600;</Key></Object>",
        "<Object><Key>a\rc</Key></Object><Object><Key>ac</Key></Object>",
        "<Object><Key>a\u{1}</Key></Object><Object><Key>ac</Key></Object>",
    ] {
        let document = format!("<Delete>{inside}</Delete>");
        let answer = ask(&server, "POST", "/files?delete", &[], document.as_bytes());
        refused(&answer, 400, "MalformedXML");
    }
    for document in [
        "<!DOCTYPE a [<!ENTITY b 'ac'>]><Delete><Object><Key>ac</Key></Object></Delete>",
        "<?xml version='1.0' encoding='utf-16'?><Delete><Object><Key>ac</Key></Object></Delete>",
        "<Delete xmlns='http://example.com/'><Object><Key>ac</Key></Object></Delete>",
        "<Delete><Object><Key>ac</Key></Object></Delete><Delete/>",
        "<Delete><Object><Key>ac</Key></Object></Delete>ac",
    ] {
        let answer = ask(&server, "POST", "/files?delete", &[], document.as_bytes());
        refused(&answer, 400, "MalformedXML");
    }
    for key in keys {
        assert!(is_there(&server, key), "{key}");
    }
}

#[test]
fn entities_and_comments_are_read_as_xml_says() {
    let server = Running::start(config());
    put(&server, &["a%26c", "abc", "a%0Dc", "ac", "a%0Ac"]);
    let namespace = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Delete {namespace}>\r\n\
         <Object><Key>a&amp;c</Key></Object><Object><Key>a<!-- not this -->b&#x63;</Key></Object>\
         <Object><Key>a&#13;c</Key></Object></Delete>"
    );
    let answer = ask(&server, "POST", "/files?delete", &[], document.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (key, stays) in
        [("a&c", false), ("abc", false), ("a\rc", false), ("ac", true), ("a\nc", true)]
    {
        assert_eq!(is_there(&server, key), stays, "{key:?}");
    }
}

#[test]
fn an_upload_is_not_completed_by_a_document_that_is_not_understood() {
    let server = Running::start(config());
    let begun = ask(&server, "POST", "/files/k?uploads", &[], b"").text();
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let part = ask(&server, "PUT", &format!("/files/k?partNumber=1&uploadId={id}"), &[], b"part");
    let tag = part.header("etag").unwrap().to_owned();
    let complete = |inside: &str| {
        let document = format!("<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>");
        ask(&server, "POST", &format!("/files/k?uploadId={id}"), &[], document.as_bytes())
    };
    let good = format!("<PartNumber>1</PartNumber><ETag>{tag}</ETag>");
    for inside in [
        format!("<Part>{good}<Checksum>x</Checksum></Part>"),
        format!("<Part>{good}</Part><Part><![CDATA[2]]></Part>"),
        format!("<Part><PartNumber>1<![CDATA[0]]></PartNumber><ETag>{tag}</ETag></Part>"),
        format!("<Part>{good}</Part><Unless>x</Unless>"),
        format!("<Part>{good}{good}</Part>"),
    ] {
        refused(&complete(&inside), 400, "MalformedXML");
        assert!(!is_there(&server, "k"), "{inside}");
    }
    let done = complete(&format!("<Part>{good}</Part>"));
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(is_there(&server, "k"));
}

#[test]
fn a_bucket_is_not_made_from_a_document_that_is_not_understood() {
    let server = Running::start(config());
    for (inside, status, code) in [
        ("<LocationConstraint>eu<![CDATA[-west-1]]></LocationConstraint>", 400, "MalformedXML"),
        ("<ObjectLock>true</ObjectLock>", 400, "MalformedXML"),
        ("<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags>", 501, "NotImplemented"),
    ] {
        let document = format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>");
        let answer = ask(&server, "PUT", "/another", &[], document.as_bytes());
        refused(&answer, status, code);
        assert_eq!(ask(&server, "HEAD", "/another", &[], b"").status, 404, "{inside}");
    }
    let document = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint>\
                    </CreateBucketConfiguration>";
    assert_eq!(ask(&server, "PUT", "/another", &[], document.as_bytes()).status, 200);
}

#[test]
fn a_document_in_frames_is_refused() {
    let server = Running::start(config());
    put(&server, &["a"]);
    let document = "<Delete><Object><Key>a</Key></Object></Delete>";
    let body =
        format!("{:x}\r\n{document}\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", document.len());
    let len = document.len().to_string();
    let extra =
        [("x-amz-decoded-content-length", len.as_str()), ("x-amz-trailer", "x-amz-checksum-crc32")];
    let mut signing = Signing::now("POST", "/files?delete", &extra);
    signing.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let sent = signing.headers();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let head = head(None, "POST", "/files?delete", &sent, Some(body.len()));
    let answer = server.say(&[head.as_bytes(), body.as_bytes()].concat());
    // By its headers, or by what comes.
    assert!([400, 501].contains(&answer.status), "{}", answer.text());
    assert!(answer.text().contains("<Message>"), "{}", answer.text());
    assert!(is_there(&server, "a"));
}
