//! Requests that are badly framed, or that never come to an end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::io::Write as _;
use std::time::Duration;

use common::{ACCESS, Answer, Running, SECRET, config, head, noise};
use drystone_server::{Deadlines, ServerConfig};

const OBJECT: &str = "/_/files/files/object";
/// Longer than any deadline under test, and than any test here waits.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_body_whose_end_is_in_doubt_ends_the_connection() {
    let server = Running::start(config());
    let key = head(Some((ACCESS, SECRET)), "GET", OBJECT, &[], None);
    let auth = key.lines().find(|line| line.starts_with("Authorization")).unwrap().to_owned();
    let put = format!("PUT {OBJECT} HTTP/1.1\r\nHost: x\r\n{auth}\r\n");
    let hidden = format!("DELETE /_/files/files/kept HTTP/1.1\r\nHost: x\r\n{auth}\r\n\r\n");
    assert_eq!(server.request("PUT", "/_/files/files/kept", &[], b"kept").status, 201);
    let len = hidden.len();
    for framing in [
        format!("Content-Length: 4\r\nContent-Length: {len}\r\n"),
        format!("Content-Length: 4, {len}\r\n"),
        format!("Content-Length: +{len}\r\n"),
        format!("Content-Length: {len} \u{b}\r\n"),
        format!("Content-Length: -{len}\r\n"),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        format!("Transfer-Encoding: identity\r\nContent-Length: {len}\r\n"),
        format!("Transfer-Encoding: chunked, gzip\r\nContent-Length: {len}\r\n"),
        format!("Transfer-Encoding : chunked\r\nContent-Length: {len}\r\n"),
        format!("Content-Length : {len}\r\n"),
    ] {
        let answer = server.say(format!("{put}{framing}\r\n{hidden}").as_bytes());
        assert!([0, 400, 501].contains(&answer.status), "{framing:?} {}", answer.status);
        assert_eq!(
            server.request("GET", "/_/files/files/kept", &[], b"").status,
            200,
            "{framing:?}"
        );
    }
    for chunks in [
        "4\nabcd\r\n0\r\n\r\n",
        "4;a\nb\r\nabcd\r\n0\r\n\r\n",
        "4\r\nabcd\n0\r\n\r\n",
        "-4\r\nabcd\r\n0\r\n\r\n",
        "0x4\r\nabcd\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nabcd",
        "FFFFFFFFFFFFFFFF1\r\nabcd",
    ] {
        let mut socket = server.connect();
        let text = format!("{put}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        let _ = socket.write_all(text.as_bytes());
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let status = Answer::read(&mut socket).status;
        assert!([0, 400].contains(&status), "{chunks:?} {status}");
    }
    assert_eq!(server.request("GET", OBJECT, &[], b"").status, 404, "something was stored");
}

#[test]
fn two_ways_to_say_where_a_body_ends_do_not_hide_a_request() {
    let server = Running::start(config());
    let key = head(Some((ACCESS, SECRET)), "GET", OBJECT, &[], None);
    let auth = key.lines().find(|line| line.starts_with("Authorization")).unwrap().to_owned();
    assert_eq!(server.request("PUT", "/_/files/files/kept", &[], b"kept").status, 201);
    let hidden = format!("DELETE /_/files/files/kept HTTP/1.1\r\nHost: x\r\n{auth}\r\n\r\n");
    let body = format!("0\r\n\r\n{hidden}");
    let len = body.len();
    // What stands in front may read all of it as one body, and a line that ends with LF alone as a
    // part of the line before.
    for framing in [
        format!("Content-Length: {len}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {len}\r\n"),
        format!("Content-Length: {len}\nTransfer-Encoding: chunked\r\n"),
        format!("Content-Length: {len}\r\nA: b\nTransfer-Encoding: chunked\r\n"),
    ] {
        let mut socket = server.connect();
        let text = format!("PUT {OBJECT} HTTP/1.1\r\nHost: x\r\n{auth}\r\n{framing}\r\n{body}");
        socket.write_all(text.as_bytes()).unwrap();
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut said = String::new();
        let _ = std::io::Read::read_to_string(&mut socket, &mut said);
        assert_eq!(
            server.request("GET", "/_/files/files/kept", &[], b"").status,
            200,
            "{framing:?} {said}"
        );
        assert!(
            said.matches("HTTP/1.1").count() <= 1 && !said.starts_with("HTTP/1.1 204"),
            "{framing:?} {said}"
        );
    }
}

#[test]
fn a_head_with_a_line_that_makes_no_sense_is_refused() {
    let server = Running::start(config());
    for line in [
        "B\rC: d",
        "B: c\rD: e",
        // A folded line, which some join with the one before and others do not.
        "B: c\r\n d",
        "B: c\0d",
        "B : c",
        "B",
        ": c",
        "B\u{e9}: c",
    ] {
        let text = format!("GET /_/health/live HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
        let status = server.say(text.as_bytes()).status;
        assert!([0, 400].contains(&status), "{line:?} {status}");
    }
    for begin in [
        "GET  /_/health/live HTTP/1.1",
        "GET /_/health/live",
        "GET /_/health/live HTTP/1.2x",
        "\u{1}GET / HTTP/1.1",
    ] {
        let status = server.say(format!("{begin}\r\nHost: x\r\n\r\n").as_bytes()).status;
        assert!([0, 400].contains(&status), "{begin:?} {status}");
    }
    assert_eq!(server.request("GET", "/_/health/live", &[], b"").status, 200);
}

/// Opens a connection, says `begin`, and goes on with `more` until the server closes; what it said
/// last.
fn drip(server: &Running, begin: &str, more: &[u8]) -> u16 {
    let mut socket = server.connect();
    socket.write_all(begin.as_bytes()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begun = std::time::Instant::now();
    let mut said = Vec::new();
    loop {
        let mut some = [0; 1000];
        match std::io::Read::read(&mut socket, &mut some) {
            Ok(0) => break,
            Ok(len) => said.extend_from_slice(&some[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still open");
        let _ = socket.write_all(more);
    }
    let text = String::from_utf8_lossy(&said);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn a_client_that_does_not_come_to_the_point_is_closed() {
    let second = Duration::from_secs(1);
    let slow =
        Deadlines { head: LONG, idle: LONG, body: LONG, unread: LONG, turn: LONG, drain: second };
    let with = |deadlines: Deadlines| Running::start(ServerConfig { deadlines, ..config() });
    let refused = |status: u16| assert!([0, 400, 408].contains(&status), "{status}");
    // Not a byte; a byte at a time, of the line, of a header, between two.
    let server = with(Deadlines { head: second, ..slow });
    refused(drip(&server, "", b""));
    refused(drip(&server, "", b"G"));
    refused(drip(&server, "GET / HTTP/1.1\r\nA: ", b"a"));
    refused(drip(&server, "GET / HTTP/1.1\r\n", b"A: b\r\n"));
    // Empty lines in front of a request are passed over, but not for ever.
    refused(drip(&server, "", b"\r\n"));
    // A body that says nothing more, and an object's chunk that never comes.
    let server = with(Deadlines { body: second, ..slow });
    let put = head(Some((ACCESS, SECRET)), "PUT", OBJECT, &[], Some(1 << 20));
    assert_eq!(drip(&server, &put, b""), 408);
    let chunked =
        head(Some((ACCESS, SECRET)), "PUT", OBJECT, &[("Transfer-Encoding", "chunked")], None);
    assert_eq!(drip(&server, &chunked, b""), 408);
    assert_eq!(drip(&server, &format!("{chunked}4\r\nab"), b""), 408);
    // Between two requests.
    let server = with(Deadlines { idle: second, ..slow });
    let alive = "GET /_/health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(drip(&server, alive, b""), 200);
    // An answer that is not read: its connection is closed, although its client is still there.
    let server = with(Deadlines { unread: second, ..slow });
    assert_eq!(server.request("PUT", OBJECT, &[], &noise(20 << 20, 1)).status, 201);
    let mut socket = server.connect();
    socket.write_all(head(Some((ACCESS, SECRET)), "GET", OBJECT, &[], None).as_bytes()).unwrap();
    let gone = || {
        let metrics = server.request("GET", "/_/metrics", &[], b"").text();
        metrics.contains("drystone_resource_now{resource=\"transfers\"} 0\n")
            && metrics.contains("drystone_resource_now{resource=\"connections\"} 1\n")
    };
    let begun = std::time::Instant::now();
    while !gone() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still served");
        std::thread::sleep(Duration::from_millis(20));
    }
}
