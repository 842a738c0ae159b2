//! Clients that take their time over long answers and documents: they hold a slot of a file, and
//! nothing that others need.
//!
//! A hundred slow readers of one list had made a server with a plan of 256 MiB use 862, because
//! each answer was kept in memory until it was read; and two clients that stopped in the middle of
//! a document kept those of all others from being read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use common::{ACCESS, Running, SECRET, config};
use drystone_server::ServerConfig;
use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget};

const CLIENTS: usize = 24;

/// A reading of one resource, as an operator sees it: how much of it is in use.
fn in_use(server: &Running, name: &str) -> u64 {
    let answer = server.request("GET", "/_/limits?format=json", &[], &[]);
    let limits: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let resources = limits["resources"].as_array().unwrap();
    let found = resources.iter().find(|resource| resource["name"] == name);
    found.unwrap_or_else(|| panic!("there is no resource {name}"))["now"].as_u64().unwrap()
}

/// Waits until so much of a resource is in use.
fn wait_for(server: &Running, name: &str, expected: u64) {
    let begun = std::time::Instant::now();
    loop {
        let now = in_use(server, name);
        if now == expected {
            return;
        }
        assert!(begun.elapsed().as_secs() < 60, "{now} of {name} are in use instead of {expected}");
        std::thread::yield_now();
    }
}

fn with_long_names(server: &Running) {
    let bucket = BucketName::new("files").unwrap();
    let mut ingest = server.store.ingest(60_000).unwrap();
    for number in 0..400 {
        let key = Key::new(format!("{number:04}{}", "<&'\">".repeat(190))).unwrap();
        let (meta, condition) = (ObjectMeta::default(), Condition::Always);
        let target = PutTarget { bucket: bucket.clone(), key, meta, condition };
        ingest.put_now(target, &mut &b"x"[..]).unwrap();
    }
}

fn ask(server: &Running, request: &str) -> TcpStream {
    let mut socket = server.connect();
    socket.write_all(request.as_bytes()).unwrap();
    socket
}

#[test]
fn slow_readers_of_a_list_hold_no_turn_and_get_all_of_it() {
    // A quarter of them may wait for their lists.
    let server = Running::start(ServerConfig { connections: 5 * CLIENTS, ..config() });
    with_long_names(&server);
    let key = Some((ACCESS, SECRET));
    let request = common::head(key, "GET", "/_/files/files/", &[("Accept", "text/html")], None);
    let body = |mut socket: TcpStream| {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        bytes.split_off(head + 4)
    };
    let whole = body(ask(&server, &request));
    // More than the system takes for a client that does not read.
    assert!(whole.len() > 1 << 20, "{} bytes", whole.len());
    let slow: Vec<TcpStream> = (0..CLIENTS).map(|_| ask(&server, &request)).collect();
    // All have been answered, as far as memory goes.
    wait_for(&server, "spool", CLIENTS as u64);
    wait_for(&server, "documents", 1);
    assert_eq!(server.request("PUT", "/_/files/files/other", &[], b"other").status, 201);
    for socket in slow {
        assert!(body(socket) == whole, "a slow reader got something else");
    }
    wait_for(&server, "spool", 0);
}

#[test]
fn documents_that_stop_in_the_middle_keep_no_other_out() {
    let server = Running::start(ServerConfig { connections: 64, ..config() });
    // More than what is kept with the connection.
    let begun =
        "POST /files?delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n<Delete>"
            .to_owned()
            + &" ".repeat(20_000);
    let stopped: Vec<TcpStream> = (0..CLIENTS).map(|_| ask(&server, &begun)).collect();
    wait_for(&server, "spool", CLIENTS as u64);
    // The limits page is itself an answer that has its turn.
    wait_for(&server, "documents", 1);
    assert_eq!(server.request("GET", "/_/files/files/", &[], &[]).status, 200);
    drop(stopped);
    wait_for(&server, "spool", 0);
}
