//! The S3 face, over a real socket and without a client: who has no key, and what no client would
//! send.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use common::{Answer, Running, config, head, noise};
use drystone_store::BucketName;

/// A request without a key.
fn ask(
    server: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    server.request_as(None, method, path, headers, body)
}

/// A server with a public bucket that has one object.
fn public() -> (Running, Vec<u8>) {
    let server = Running::start(config());
    let bytes = noise(100_000, 7);
    let put =
        server.request("PUT", "/_/files/files/page.html", &[("Content-Type", "text/html")], &bytes);
    assert_eq!(put.status, 201, "{}", put.text());
    server.store.set_bucket_public(&BucketName::new("files").unwrap(), true).unwrap();
    (server, bytes)
}

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
}

#[test]
fn anybody_may_read_what_is_public_and_nothing_else() {
    let (server, bytes) = public();
    let got = ask(&server, "GET", "/files/page.html", &[], b"");
    assert_eq!(got.status, 200);
    assert!(got.body == bytes);
    assert_eq!(got.header("content-type"), Some("text/html"));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(got.header("content-security-policy"), Some("sandbox"));
    assert_eq!(
        ask(&server, "GET", "/files/page.html", &[("Range", "bytes=5-9")], b"").body,
        &bytes[5..10]
    );
    assert_eq!(
        ask(&server, "GET", "/files/page.html", &[("Range", "bytes=0-1,4-5")], b"").status,
        200
    );
    check(&ask(&server, "GET", "/files/none", &[], b""), 404, "NoSuchKey");
    for path in
        ["/", "/files", "/files?list-type=2", "/files/page.html?acl", "/files/page.html?attributes"]
    {
        check(&ask(&server, "GET", path, &[], b""), 403, "AccessDenied");
    }
    check(
        &ask(&server, "GET", "/files/page.html?response-content-type=a/b", &[], b""),
        400,
        "InvalidRequest",
    );
    for (method, path) in [
        ("PUT", "/files/new"),
        ("DELETE", "/files/page.html"),
        ("DELETE", "/files"),
        ("PUT", "/fresh"),
    ] {
        check(&ask(&server, method, path, &[], b""), 403, "AccessDenied");
    }
    check(&ask(&server, "POST", "/files?delete", &[], b"<Delete/>"), 403, "AccessDenied");
    server.store.set_bucket_public(&BucketName::new("files").unwrap(), false).unwrap();
    check(&ask(&server, "GET", "/files/page.html", &[], b""), 403, "AccessDenied");
}

#[test]
fn an_answer_before_its_body_ends_the_connection() {
    let (server, _) = public();
    // A client that waits to be told to go on is not told, and gets its answer at once.
    let waiting = [("Expect", "100-continue")];
    let answer = server.say(
        head(None, "PUT", "/files/new", &waiting, Some(1 << 30))
            .replace("close", "keep-alive")
            .as_bytes(),
    );
    check(&answer, 403, "AccessDenied");
    assert_eq!(answer.header("connection"), Some("close"));
    // A client that sends its body at once gets the answer after it, and may go on.
    let mut bytes = head(None, "PUT", "/files/new", &[], Some(200_000))
        .replace("close", "keep-alive")
        .into_bytes();
    bytes.extend(noise(200_000, 1));
    let answer = server.say(&bytes);
    check(&answer, 403, "AccessDenied");
    assert_eq!(answer.header("connection"), None);
}

#[test]
fn a_form_and_a_path_that_is_no_text_are_refused() {
    let (server, _) = public();
    let form = [("Content-Type", "Multipart/Form-Data; boundary=x")];
    check(&ask(&server, "POST", "/files", &form, b"--x--"), 400, "MalformedPOSTRequest");
    for path in ["/files/%ff%fe", "/Files/x", "/files/%00", "/files/a/../b", "/%2e%2e%2fx"] {
        let answer = ask(&server, "GET", path, &[], b"");
        assert!((400..500).contains(&answer.status), "{path} {}", answer.text());
    }
    let long = format!("/files/{}", "k".repeat(1025));
    check(&ask(&server, "GET", &long, &[], b""), 400, "KeyTooLongError");
}
