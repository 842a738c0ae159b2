//! Clients that say nothing, send little, read nothing, or are refused half-way, and the others
//! beside them.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use common::{ACCESS, Answer, Running, SECRET, assert_quiet, config, head, noise};
use drystone_server::{Deadlines, ServerConfig};

const FILE: &str = "/_/files/files/folder/file.bin";

/// Clients send head and body apart, and the answer may be known by the head.
#[test]
fn who_is_refused_before_the_body_has_come_sees_the_answer_and_goes_on() {
    let server = Running::start(config());
    let us = "AWS4-HMAC-SHA256 Credential=admin/20260101/US/s3/aws4_request, SignedHeaders=host, Signature=00";
    for (path, authorization, status) in [
        (FILE, "Basic bm9ib2R5OndpdGhvdXQ=", 401),
        ("/files/x", us, 400),
        ("/files/x", "AWS x:y", 400),
    ] {
        let mut socket = server.connect();
        let head = |method: &str, path: &str, len: usize| {
            format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: {len}\r\n\r\n"
            )
        };
        for _ in 0..3 {
            socket.write_all(head("PUT", path, 100_000).as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            socket.write_all(&noise(100_000, 1)).unwrap();
            assert_eq!(Answer::read(&mut socket).status, status, "{path} {authorization}");
        }
        socket.write_all(head("GET", "/_/health/live", 0).as_bytes()).unwrap();
        assert_eq!(Answer::read(&mut socket).status, 200);
    }
    assert_quiet(&server);
}

/// With chunks a body does not know of its end before it is asked once more.
#[test]
fn who_was_told_to_go_on_and_did_may_go_on() {
    let server = Running::start(config());
    let head = head(Some((ACCESS, SECRET)), "PUT", FILE, &[("Expect", "100-continue")], None);
    let head = head.replace("Connection: close", "Transfer-Encoding: chunked");
    let mut socket = server.connect();
    for _ in 0..3 {
        socket.write_all(head.as_bytes()).unwrap();
        let mut go_on = [0; 25];
        socket.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        socket.write_all(b"3\r\nabc\r\n0\r\n\r\n").unwrap();
        let answer = Answer::read(&mut socket);
        assert_eq!((answer.status, answer.header("connection")), (201, None));
    }
}

#[test]
fn idle_connections_make_way() {
    let server = Running::start(config());
    // Many more than there are permits, and none of them says a word.
    let silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for _ in 0..5 {
        assert_eq!(server.request("GET", "/_/health/live", &[], b"").status, 200);
    }
    drop(silent);
}

#[test]
fn slow_uploads_do_not_keep_others_out() {
    let server = Running::start(config());
    // More than there are ingest slots and fewer than there are transfers; each has shown a little
    // and stays.
    let slow: Vec<_> = (0..6)
        .map(|number| {
            let mut socket = begun(&server, &format!("/_/files/files/slow{number}"));
            socket.write_all(&noise(1000, number)).unwrap();
            socket
        })
        .collect();
    for number in 0..20 {
        let bytes = noise(200_000, number);
        assert_eq!(server.request("PUT", FILE, &[], &bytes).status, 201);
        assert!(server.request("GET", FILE, &[], b"").body == bytes);
    }
    drop(slow);
    assert_quiet(&server);
}

/// Begins to upload: the server has read the head, and asks for the body.
fn begun(server: &Running, path: &str) -> std::net::TcpStream {
    let mut socket = server.connect();
    let head =
        head(Some((ACCESS, SECRET)), "PUT", path, &[("Expect", "100-continue")], Some(10_000_000));
    socket.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    socket.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket
}

/// Begins to upload, and goes on with next to nothing.
fn trickling(server: &Running, number: u64) -> std::net::TcpStream {
    let mut socket = begun(server, &format!("/_/files/files/trickle{number}"));
    socket.write_all(b"x").unwrap();
    socket
}

#[test]
fn a_slow_upload_makes_way_for_a_new_connection() {
    // It is not for its silence that one is closed.
    let deadlines = Deadlines { body: Duration::from_secs(600), ..Deadlines::default() };
    let server = Running::start(ServerConfig { connections: 1, deadlines, ..config() });
    // Before its head is read a connection is idle, and closed without a word.
    let mut slow = trickling(&server, 0);
    let bytes = noise(200_000, 3);
    assert_eq!(server.request("PUT", FILE, &[], &bytes).status, 201);
    assert!(server.request("GET", FILE, &[], b"").body == bytes);
    assert_eq!(Answer::read(&mut slow).status, 408, "it is told why");
}

#[test]
fn readers_that_stop_reading_do_not_keep_others_out() {
    let server = Running::start(config());
    let bytes = noise(20_000_000, 9);
    assert_eq!(server.request("PUT", FILE, &[], &bytes).status, 201);
    let stuck: Vec<_> = (0..6)
        .map(|_| {
            let mut socket = server.connect();
            socket
                .write_all(head(Some((ACCESS, SECRET)), "GET", FILE, &[], None).as_bytes())
                .unwrap();
            let mut some = [0; 1000];
            socket.read_exact(&mut some).unwrap();
            socket
        })
        .collect();
    for _ in 0..3 {
        assert!(server.request("GET", FILE, &[], b"").body == bytes);
    }
    // One that comes back gets the rest as it is.
    let mut back = stuck.into_iter().next().unwrap();
    let mut rest = Vec::new();
    back.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&bytes[bytes.len() - 1_000_000..]));
}
