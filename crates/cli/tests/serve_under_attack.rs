//! A server of its own process among bad clients and out of descriptors: what it says of them, and
//! how it goes on.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use served::Served;

const KEY: [(&str, &str); 2] =
    [("DRYSTONE_ACCESS_KEY", "alice"), ("DRYSTONE_SECRET_KEY", "first-secret")];
/// The same pair, as a header carries it.
const BASIC: &str = "YWxpY2U6Zmlyc3Qtc2VjcmV0";
const OBJECT: &str = "/_/files/default/object";

/// Sends a request and reads what comes until the server closes.
fn say(server: &Served, head: &str, body: &[u8]) -> String {
    let mut socket = server.connect();
    // It may answer and close before it has read everything.
    let _ = socket
        .write_all(&[head.as_bytes(), b"Host: x\r\nConnection: close\r\n\r\n", body].concat());
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

fn put(server: &Served, path: &str, body: &[u8]) -> String {
    let len = body.len();
    let head =
        format!("PUT {path} HTTP/1.1\r\nAuthorization: Basic {BASIC}\r\nContent-Length: {len}\r\n");
    say(server, &head, body)
}

/// Stops the server from opening anything. Returns the limit that it had.
fn no_more_descriptors(server: &Served) -> Rlimit {
    // The server has raised its own limit to this one.
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(Some(server.pid()), Resource::Nofile, Rlimit { current: Some(3), maximum }).unwrap()
}

#[test]
fn who_a_client_says_that_it_is_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("store"), &[], &KEY);
    let spoofed = "203.0.113.7";
    let names = [
        "X-Forwarded-For",
        "X-Real-IP",
        "Forwarded",
        "X-Forwarded-Host",
        "X-Client-IP",
        "True-Client-IP",
    ];
    let headers: String = names.iter().map(|name| format!("{name}: {spoofed}\r\n")).collect();
    let answer = say(&server, &format!("GET /_/files/ HTTP/1.1\r\n{headers}"), b"");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let log = server.log_until(|line| line["path"] == "/_/files/");
    let last = log.last().unwrap();
    assert!(last["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{last}");
    assert!(log.iter().all(|line| !line.to_string().contains(spoofed)), "{log:?}");
}

#[test]
fn what_is_secret_is_not_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let envs = [KEY[0], KEY[1], ("DRYSTONE_LOG", "trace")];
    let mut server = Served::start(&folder.path().join("store"), &[], &envs);
    let secrets = [
        "first-secret",
        BASIC,
        "bearer-of-news",
        "5167e0f0dead",
        "0ddba115ecre7",
        "query-token-77",
    ];
    for (head, status) in [
        (format!("GET /_/files/ HTTP/1.1\r\nAuthorization: Basic {BASIC}\r\n"), "200"),
        (format!("GET /_/files/ HTTP/1.1\r\nAuthorization: Basic {BASIC}x\r\n"), "401"),
        (
            "GET /_/files/ HTTP/1.1\r\nAuthorization: Bearer alice.bearer-of-news\r\n".to_owned(),
            "401",
        ),
        (
            "GET /default/object?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=alice%2F20300101%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20300101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=5167e0f0dead HTTP/1.1\r\n"
                .to_owned(),
            "40",
        ),
        (
            "GET /default/object HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=alice/20300101/us-east-1/s3/aws4_request,\
             SignedHeaders=host;x-amz-date,Signature=0ddba115ecre7\r\n\
             X-Amz-Date: 20300101T000000Z\r\n"
                .to_owned(),
            "40",
        ),
        ("GET /_/files/?token=query-token-77 HTTP/1.1\r\n".to_owned(), "401"),
        // A head that is refused before it is parsed.
        (format!("GET /_/files/ HTTP/1.1\r\nAuthorization: Basic {BASIC}\r\nbroken\r\n"), "400"),
    ] {
        let answer = say(&server, &head, b"");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head} {answer}");
    }
    server.signal(Signal::TERM);
    assert_eq!(server.ends_in(served::PATIENCE), Some(0));
    let log = server.rest_of_log();
    assert!(log.iter().filter(|line| line.contains("/_/files/")).count() >= 3, "{log:?}");
    for secret in secrets {
        let told: Vec<_> = log.iter().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{secret}: {told:?}");
    }
}

#[test]
fn a_server_without_a_descriptor_left_waits_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("store"), &[], &KEY);
    let bytes: Vec<u8> = (0..1 << 20_u32).flat_map(u32::to_le_bytes).collect();
    assert!(put(&server, OBJECT, &bytes).starts_with("HTTP/1.1 201"));
    let before = no_more_descriptors(&server);
    // The server cannot accept these now, so they wait in the kernel's queue.
    let waiting: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
    for mut socket in &waiting {
        let head = format!(
            "GET {OBJECT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Basic {BASIC}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
    }
    let message =
        |line: &serde_json::Value| line["message"].as_str().unwrap_or_default().to_owned();
    server.log_until(|line| message(line) == "cannot accept a connection");
    prlimit(Some(server.pid()), Resource::Nofile, before).unwrap();
    for mut socket in waiting {
        let mut said = Vec::new();
        socket.read_to_end(&mut said).unwrap();
        assert!(
            said.starts_with(b"HTTP/1.1 200") && said.ends_with(&bytes),
            "{} bytes came",
            said.len()
        );
    }
}

#[test]
fn an_upload_that_gets_no_descriptor_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("store"), &[], &KEY);
    assert!(put(&server, "/_/files/default/before", b"before").starts_with("HTTP/1.1 201"));
    // The connection and half of the body have come. Nothing that the server still has to open can
    // be opened.
    let bytes: Vec<u8> = (0..1 << 20_u32).flat_map(u32::to_be_bytes).collect();
    let mut socket = server.connect();
    let head = format!(
        "PUT {OBJECT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {BASIC}\r\n\
         Content-Length: {}\r\n\r\n",
        bytes.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    server.get("/_/health/live", None);
    let before = no_more_descriptors(&server);
    let _ = socket.write_all(&bytes);
    let mut said = String::new();
    let _ = socket.read_to_string(&mut said);
    // A worker that has its segment open already needs no descriptor.
    assert!(
        ["HTTP/1.1 201", "HTTP/1.1 500"].iter().any(|status| said.starts_with(status)),
        "{said}"
    );
    prlimit(Some(server.pid()), Resource::Nofile, before).unwrap();
    let auth = format!("Basic {BASIC}");
    let there = say(&server, &format!("HEAD {OBJECT} HTTP/1.1\r\nAuthorization: {auth}\r\n"), b"");
    assert_eq!(said.starts_with("HTTP/1.1 201"), there.starts_with("HTTP/1.1 200"), "{said}");
    assert!(server.get("/_/files/default/before", Some(&auth)).ends_with("before"));
    assert!(put(&server, OBJECT, &bytes).starts_with("HTTP/1.1 201"));
}
