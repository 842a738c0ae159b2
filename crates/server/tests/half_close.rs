//! Clients that send a whole request and then say that they will send no more, and clients that go
//! away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use common::{ACCESS, Answer, Running, SECRET, assert_quiet, config, head, noise};

const OBJECT: &str = "/_/files/files/object";
const KEY: Option<(&str, &str)> = Some((ACCESS, SECRET));

#[test]
fn a_client_that_has_said_all_is_answered() {
    let server = Running::start(config());
    let bytes = noise(300_000, 3);
    // The answer and the end of what the client sends race each other, so this is done more than
    // once.
    for round in 0..20 {
        for (method, body, status) in [("PUT", &bytes[..], 201), ("GET", b"", 200)] {
            let mut socket = server.connect();
            let head = head(KEY, method, OBJECT, &[], Some(body.len()));
            socket.write_all(&[head.as_bytes(), body].concat()).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            let answer = Answer::read(&mut socket);
            assert_eq!(answer.status, status, "{method} {round}");
            assert!(method == "PUT" || answer.body == bytes, "{round}");
        }
    }
    assert_quiet(&server);
}

#[test]
fn a_connection_that_can_bring_no_more_requests_is_closed() {
    let server = Running::start(config());
    let mut socket = server.connect();
    let two = "GET /_/health/live HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    socket.write_all(two.as_bytes()).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    // Without an end of the connection this would meet the deadline of the socket, as an error.
    socket.read_to_string(&mut said).unwrap();
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
}

#[test]
fn a_client_that_goes_away_under_a_download_gives_its_place_back() {
    let server = Running::start(config());
    assert_eq!(server.request("PUT", OBJECT, &[], &noise(20 << 20, 1)).status, 201);
    for _ in 0..4 {
        let mut socket = server.connect();
        socket.write_all(head(KEY, "GET", OBJECT, &[], None).as_bytes()).unwrap();
        socket.read_exact(&mut [0; 1000]).unwrap();
        drop(socket);
    }
    assert_quiet(&server);
}
