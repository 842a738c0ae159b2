//! A key that is revoked while what it was shown for is still under way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::io::Write as _;
use std::time::Duration;

use common::{ACCESS, Answer, Running, SECRET, assert_quiet, config, head, noise, put_key};
use drystone_store::{BucketName, Grant, Key, UploadId};
use sigv4::{Signing, ask};

const ALL: Grant = Grant { bucket: None, read: true, write: true, list: true, admin: true };

fn names(key: &str) -> (BucketName, Key) {
    (BucketName::new("files").unwrap(), Key::new(key).unwrap())
}

fn is_there(server: &Running, key: &str) -> bool {
    let (bucket, key) = names(key);
    server.store.stat(&bucket, &key).is_ok()
}

/// Sends half of a request, lets `change` happen, waits until the server knows of it, and sends the
/// rest.
fn meanwhile(server: &Running, request: &[u8], change: impl FnOnce(&Running)) -> Answer {
    meanwhile_after(server, request, is_let_in, change)
}

fn meanwhile_after(
    server: &Running,
    request: &[u8],
    is_so_far: impl Fn(&Running) -> bool,
    change: impl FnOnce(&Running),
) -> Answer {
    let mut socket = server.connect();
    let (first, rest) = request.split_at(request.len() - request.len() / 4);
    socket.write_all(first).unwrap();
    // The request has been let in when it waits for its body: that is when a place is taken or a
    // document begun. A key of a request that came after the change would be refused for another
    // reason, so the head must have been read before.
    while !is_so_far(server) {
        std::thread::sleep(Duration::from_millis(5));
    }
    change(server);
    // Until the change is known, which is soon, and no sooner than what the server remembers has an
    // end.
    while server.request("GET", "/_/files/files/?format=json", &[], b"").status == 200 {
        std::thread::sleep(Duration::from_millis(20));
    }
    socket.write_all(rest).unwrap();
    Answer::read(&mut socket)
}

/// Whether a request is under way that has more than its head.
fn is_let_in(server: &Running) -> bool {
    let key = Some(("watcher", SECRET));
    let metrics = server.request_as(key, "GET", "/_/metrics", &[], b"").text();
    let now = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.is_some_and(|now| now.trim() != "0")
    };
    now("drystone_resource_now{resource=\"transfers\"}")
        || now("drystone_resource_now{resource=\"documents\"}")
}

/// A server with a key that looks on.
fn start() -> Running {
    let server = Running::start(config());
    put_key(&server.store, "watcher", vec![ALL]);
    server
}

fn revoke(server: &Running) {
    assert!(server.store.revoke_key(ACCESS).unwrap());
}

/// The key stays, and may only look at metrics.
fn restrict(server: &Running) {
    revoke(server);
    put_key(
        &server.store,
        ACCESS,
        vec![Grant {
            bucket: names("x").0.into(),
            read: true,
            write: false,
            list: false,
            admin: false,
        }],
    );
}

fn give_back(server: &Running) {
    server.store.revoke_key(ACCESS).unwrap();
    put_key(&server.store, ACCESS, vec![ALL]);
    while server.request("GET", "/_/files/files/?format=json", &[], b"").status != 200 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signed(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let headers = Signing::now(method, path, &[]).headers();
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    [head(None, method, path, &headers, Some(body.len())).as_bytes(), body].concat()
}

#[test]
fn a_running_upload_ends_with_its_key() {
    let server = start();
    let bytes = noise(400_000, 9);
    let plain = |key: &str| {
        let head = head(
            Some((ACCESS, SECRET)),
            "PUT",
            &format!("/_/files/files/{key}"),
            &[],
            Some(bytes.len()),
        );
        [head.as_bytes(), &bytes].concat()
    };
    for change in [revoke, restrict] {
        let answer = meanwhile(&server, &plain("plain"), change);
        assert_eq!(answer.status, 403, "{}", answer.text());
        give_back(&server);
        let answer = meanwhile(&server, &signed("PUT", "/files/s3", &bytes), change);
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("<Code>AccessDenied</Code>"), "{}", answer.text());
        give_back(&server);
        assert!(!is_there(&server, "plain") && !is_there(&server, "s3"));
    }
    // The same without a change.
    assert_eq!(server.say(&plain("plain")).status, 201);
    assert_eq!(server.say(&signed("PUT", "/files/s3", &bytes)).status, 200);
    assert_quiet(&server);
}

#[test]
fn a_running_form_ends_with_its_key() {
    let server = start();
    let file = |name: &str, len: usize| {
        let head =
            format!("--XX\r\nContent-Disposition: form-data; name=f; filename={name}\r\n\r\n");
        [head.as_bytes(), &noise(len, 3), b"\r\n"].concat()
    };
    let body = [file("one", 1000), file("two", 400_000), b"--XX--\r\n".to_vec()].concat();
    let kind = [("Content-Type", "multipart/form-data; boundary=XX")];
    let head = head(Some((ACCESS, SECRET)), "POST", "/_/files/files/in/", &kind, Some(body.len()));
    let request = [head.as_bytes(), &body].concat();
    let answer = meanwhile_after(&server, &request, |server| is_there(server, "in/one"), revoke);
    // What was stored before is there, and said to be.
    assert_eq!(answer.status, 207, "{}", answer.text());
    assert!(answer.text().contains("was revoked"), "{}", answer.text());
    assert!(is_there(&server, "in/one") && !is_there(&server, "in/two"));
}

#[test]
fn a_running_part_and_documents_end_with_their_key() {
    let server = start();
    let begun = ask(&server, "POST", "/files/object?uploads", &[], b"").text();
    let id =
        begun.split("<UploadId>").nth(1).unwrap().split("</UploadId>").next().unwrap().to_owned();
    let upload = UploadId(u64::from_str_radix(&id, 16).unwrap());
    let part = format!("/files/object?partNumber=1&uploadId={id}");
    let bytes = noise(400_000, 9);
    let answer = meanwhile(&server, &signed("PUT", &part, &bytes), revoke);
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(server.store.parts(upload, 0, 9).unwrap().is_empty());
    give_back(&server);
    let stored = server.say(&signed("PUT", &part, &bytes));
    assert_eq!(stored.status, 200, "{}", stored.text());
    let etag = stored.header("etag").unwrap();
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>{}",
        " ".repeat(200)
    );
    let delete = format!("<Delete><Object><Key>kept</Key></Object></Delete>{}", " ".repeat(200));
    let delete = signed("POST", "/files?delete", delete.as_bytes());
    let make = format!("<CreateBucketConfiguration/>{}", " ".repeat(200));
    let make = signed("PUT", "/fresh", make.as_bytes());
    assert_eq!(server.request("PUT", "/_/files/files/kept", &[], b"kept").status, 201);
    let complete = signed("POST", &format!("/files/object?uploadId={id}"), document.as_bytes());
    for slow in [&complete, &delete, &make] {
        let answer = meanwhile(&server, slow, revoke);
        assert_eq!(answer.status, 403, "{}", answer.text());
        give_back(&server);
    }
    assert!(is_there(&server, "kept"));
    assert!(server.store.bucket(&BucketName::new("fresh").unwrap()).unwrap().is_none());
    assert!(!is_there(&server, "object"));
    assert_eq!(server.store.parts(upload, 0, 9).unwrap().len(), 1, "the upload is as it was");
    let answer = server.say(&complete);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(is_there(&server, "object"));
}
