//! What a request's head must be like, whichever face it is for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use common::{ACCESS, Answer, Running, SECRET, config, head};
use drystone_store::BucketName;

const PLAIN: &str = "/_/files/files/object";
const S3: &str = "/files/object";

/// The line of the key with all rights.
fn auth() -> String {
    let key = head(Some((ACCESS, SECRET)), "GET", PLAIN, &[], None);
    key.lines().find(|line| line.starts_with("Authorization")).unwrap().to_owned()
}

/// A server whose bucket is public and has the object `object`.
fn start() -> Running {
    let server = Running::start(config());
    assert_eq!(server.request("PUT", PLAIN, &[], b"as it was").status, 201);
    server.store.set_bucket_public(&BucketName::new("files").unwrap(), true).unwrap();
    server
}

/// A request with these lines and no others, but for the key on the plain face.
fn say(server: &Running, first: &str, lines: &str, body: &str) -> Answer {
    let key = if first.contains("/_/") { format!("{}\r\n", auth()) } else { String::new() };
    server.say(format!("{first}\r\n{key}{lines}Connection: close\r\n\r\n{body}").as_bytes())
}

/// The answer has the form of its face: XML with a code for S3, text on the plain face.
#[track_caller]
fn check_form(answer: &Answer, path: &str, what: &str) {
    let text = answer.text();
    if path == S3 {
        assert_eq!(answer.header("content-type"), Some("application/xml"), "{what}: {text}");
        assert!(text.contains("<Code>") && text.contains("<Message>"), "{what}: {text}");
        assert!(!text.contains("<Code>AccessDenied"), "{what}: {text}");
    } else {
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8"),
            "{what}: {text}"
        );
    }
}

#[track_caller]
fn check_untouched(server: &Running) {
    assert_eq!(server.request("GET", PLAIN, &[], b"").body, b"as it was");
}

#[test]
fn a_request_names_one_host() {
    let server = start();
    for path in [PLAIN, S3] {
        for lines in [
            "",
            "Host:\r\n",
            "Host: \r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nHost: b\r\n",
            "Host: a, b\r\n",
            "Host: a b\r\n",
            "Host: a/b\r\n",
            "Host: user@a\r\n",
            "Host: http://a\r\n",
            "Host: a:b\r\n",
            "Host: a:+1\r\n",
            "Host: a:65536\r\n",
            "Host: a:1:2\r\n",
            "Host: :80\r\n",
            "Host: \u{e9}\r\n",
            "Host: [::1\r\n",
            "Host: [x]\r\n",
            "Host: [::1]a\r\n",
            "Host: %zz\r\n",
        ] {
            let answer = say(&server, &format!("GET {path} HTTP/1.1"), lines, "");
            assert_eq!(answer.status, 400, "{path} {lines:?} {}", answer.text());
            check_form(&answer, path, lines);
        }
        for host in ["a", "A-b.c_d", "a:80", "a:", "127.0.0.1:65535", "[::1]:7080", "[2001:DB8::1]"]
        {
            let answer =
                say(&server, &format!("GET {path} HTTP/1.1"), &format!("Host: {host}\r\n"), "");
            assert_eq!(answer.status, 200, "{path} {host} {}", answer.text());
        }
        // Before HTTP/1.1 a request need not have one, but may not have two.
        assert_eq!(say(&server, &format!("GET {path} HTTP/1.0"), "", "").status, 200);
        let two = say(&server, &format!("GET {path} HTTP/1.0"), "Host: a\r\nHost: b\r\n", "");
        assert_eq!(two.status, 400);
    }
}

#[test]
fn the_host_of_a_whole_address_is_the_one_that_counts() {
    let server = start();
    for path in [PLAIN, S3] {
        let get = |address: &str, lines: &str| {
            say(&server, &format!("GET {address}{path} HTTP/1.1"), lines, "").status
        };
        assert_eq!(get("http://one", "Host: one\r\n"), 200);
        assert_eq!(get("https://one:8443", "Host: two\r\n"), 200);
        assert_eq!(get("http://one", ""), 400);
        assert_eq!(get("http://one", "Host: a b\r\n"), 400);
        assert_eq!(get("ftp://one", "Host: one\r\n"), 400);
        assert_eq!(get("http://user@one", "Host: one\r\n"), 400);
        assert_eq!(get("http://one:b", "Host: one\r\n"), 400);
    }
    let put = |origin: &str| {
        let lines = format!("Host: two\r\nOrigin: http://{origin}\r\nContent-Length: 3\r\n");
        say(&server, &format!("PUT http://one{PLAIN} HTTP/1.1"), &lines, "new").status
    };
    assert_eq!(put("two"), 403, "it was sent to one");
    assert_eq!(put("one"), 201);
}

#[test]
fn a_target_is_a_path_or_a_whole_address() {
    let server = start();
    for first in ["GET files", "PUT *", "GET *", "CONNECT files:80", "GET files:80"] {
        let answer =
            say(&server, &format!("{first} HTTP/1.1"), "Host: a\r\nContent-Length: 0\r\n", "");
        assert_eq!(answer.status, 400, "{first} {}", answer.text());
    }
}

#[test]
fn a_body_that_is_coded_twice_is_refused() {
    let server = start();
    for path in [PLAIN, S3] {
        for lines in [
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity, chunked\r\n",
            "Transfer-Encoding: , chunked\r\n",
            "Transfer-Encoding: \"x\", chunked\r\n",
        ] {
            let body = "5\r\nstone\r\n0\r\n\r\n";
            let lines = format!("Host: a\r\n{lines}");
            let answer = say(&server, &format!("PUT {path} HTTP/1.1"), &lines, body);
            assert!(
                [400, 501].contains(&answer.status),
                "{lines:?} {} {}",
                answer.status,
                answer.text()
            );
            assert_eq!(answer.header("connection"), Some("close"), "{lines:?}");
            check_form(&answer, path, &lines);
            check_untouched(&server);
        }
    }
    let lines = "Host: a\r\nTransfer-Encoding: Chunked\r\n";
    assert_eq!(
        say(&server, &format!("PUT {PLAIN} HTTP/1.1"), lines, "3\r\nnew\r\n0\r\n\r\n").status,
        201
    );
    assert_eq!(server.request("GET", PLAIN, &[], b"").body, b"new");
}

#[test]
fn what_is_expected_and_cannot_be_met_is_refused() {
    let server = start();
    for path in [PLAIN, S3] {
        for lines in [
            "Expect: 200-ok\r\n",
            "Expect: 100-continue, x\r\n",
            "Expect: 100-continue=1\r\n",
            "Expect: 100-continue\r\nExpect: 100-continue\r\n",
            "Expect:\r\n",
            "Expect: \u{e9}\r\n",
        ] {
            let lines = format!("Host: a\r\n{lines}Content-Length: 3\r\n");
            let answer = say(&server, &format!("PUT {path} HTTP/1.1"), &lines, "new");
            assert_eq!(answer.status, 417, "{lines:?} {}", answer.text());
            check_form(&answer, path, &lines);
            check_untouched(&server);
        }
    }
    let lines = "Host: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\nConnection: close\r\n";
    let mut socket = server.connect();
    let put = format!("PUT {PLAIN} HTTP/1.1\r\n{}\r\n{lines}\r\nnew", auth());
    std::io::Write::write_all(&mut socket, put.as_bytes()).unwrap();
    assert!([100, 201].contains(&Answer::read(&mut socket).status));
}

#[test]
fn a_part_of_an_object_does_not_become_all_of_it() {
    let server = start();
    for path in [PLAIN, S3] {
        for value in ["bytes 0-2/9", "bytes */9", "", "items 0-1/2", "\u{e9}"] {
            let lines = format!("Host: a\r\nContent-Range: {value}\r\nContent-Length: 3\r\n");
            let answer = say(&server, &format!("PUT {path} HTTP/1.1"), &lines, "new");
            assert_eq!(answer.status, 400, "{path} {value} {}", answer.text());
            check_form(&answer, path, value);
            check_untouched(&server);
        }
    }
}

#[test]
fn another_method_in_a_header_is_refused() {
    let server = start();
    for path in [PLAIN, S3] {
        for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
            let lines = format!("Host: a\r\n{name}: DELETE\r\n");
            let answer = say(&server, &format!("GET {path} HTTP/1.1"), &lines, "");
            assert_eq!(answer.status, 400, "{path} {name} {}", answer.text());
        }
    }
}
