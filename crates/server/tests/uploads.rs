//! Uploads whose clients take their time: each holds its connection, and nothing that others need.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use common::{ACCESS, Answer, Running, SECRET, assert_quiet, config, head, noise};
use drystone_server::ServerConfig;
use drystone_sync::PlainArc;

const SMALL: &str = "/_/files/files/small";
/// Longer than a buffer, and no multiple of anything.
const LEN: usize = 300_007;
const HALF: usize = 150_001;

fn path(number: u64) -> String {
    format!("/_/files/files/slow{number}")
}

/// A client that sends a part of its body and stops.
fn begun(server: &Running, number: u64, len: usize) -> TcpStream {
    let mut socket = server.connect();
    let head = head(Some((ACCESS, SECRET)), "PUT", &path(number), &[], Some(LEN));
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&noise(LEN, number)[..len]).unwrap();
    socket
}

/// It sends the rest.
fn finish(server: &Running, number: u64, mut socket: TcpStream, from: usize) {
    let bytes = noise(LEN, number);
    socket.write_all(&bytes[from..]).unwrap();
    assert_eq!(Answer::read(&mut socket).status, 201, "upload {number}");
    assert!(
        server.request("GET", &path(number), &[], b"").body == bytes,
        "upload {number} is another object"
    );
}

fn now(server: &Running, resource: &str) -> u64 {
    let metrics = server.request("GET", "/_/metrics", &[], b"").text();
    let name = format!("drystone_resource_now{{resource=\"{resource}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{resource} is not in the metrics")).trim().parse().unwrap()
}

fn wait_for(server: &Running, resource: &str, count: u64) {
    // A minute, which no machine is too busy for.
    for _ in 0..3000 {
        if now(server, resource) == count {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("there are {} {resource}, not {count}", now(server, resource));
}

fn put_small(server: &Running) {
    let small = noise(4 << 10, 77);
    assert_eq!(server.request("PUT", SMALL, &[], &small).status, 201);
    assert!(server.request("GET", SMALL, &[], b"").body == small);
}

/// An upload that had an ingest slot, and has stopped: another wanted that, so it has none, and its
/// unfinished chunk is in the spool.
fn parked(server: &Running, number: u64) -> TcpStream {
    let socket = begun(server, number, HALF);
    wait_for(server, "uploads", 1);
    // On a busy machine the first one may come before what was sent, and then it has its ingest
    // slot again.
    for _ in 0..3000 {
        put_small(server);
        if (now(server, "uploads"), now(server, "spool")) == (0, 1) {
            return socket;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!(
        "an upload that has stopped keeps its ingest slot, or was parked without its unfinished chunk"
    );
}

fn one_ingest_slot() -> ServerConfig {
    ServerConfig { ingests: 1, ..config() }
}

#[test]
fn many_more_uploads_than_ingest_slots_stop_half_way_and_end() {
    let server = Running::start(ServerConfig { connections: 64, ..config() });
    let slow: Vec<_> =
        (0..40).map(|number| begun(&server, number, HALF + number as usize)).collect();
    for _ in 0..5 {
        put_small(&server);
    }
    let large = noise(3_000_000, 99);
    assert_eq!(server.request("PUT", "/_/files/files/large", &[], &large).status, 201);
    for (number, socket) in slow.into_iter().enumerate() {
        finish(&server, number as u64, socket, HALF + number);
    }
    assert_quiet(&server);
    wait_for(&server, "spool", 0);
}

#[test]
fn uploads_that_send_in_turns_all_end() {
    let server = Running::start(ServerConfig { connections: 64, ..config() });
    let bodies: Vec<_> = (0..12).map(|number| noise(LEN, number)).collect();
    let mut sockets: Vec<_> = (0..12).map(|number| begun(&server, number, 0)).collect();
    // Each is as good as silent while the others send.
    for at in (0..LEN).step_by(20_000) {
        for (socket, body) in sockets.iter_mut().zip(&bodies) {
            socket.write_all(&body[at..LEN.min(at + 20_000)]).unwrap();
        }
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        finish(&server, number as u64, socket, LEN);
    }
    assert_quiet(&server);
}

#[test]
fn an_upload_that_pauses_gives_its_ingest_slot_to_another() {
    let server = Running::start(one_ingest_slot());
    let slow = parked(&server, 1);
    finish(&server, 1, slow, HALF);
    assert_quiet(&server);
    wait_for(&server, "spool", 0);
}

/// The checksum is of all bytes, those that went by the spool and those that did not, in their
/// order.
#[test]
fn an_upload_that_was_parked_has_the_same_tag() {
    let server = Running::start(one_ingest_slot());
    let whole = server.request("PUT", "/_/files/files/whole", &[], &noise(LEN, 1));
    let mut slow = parked(&server, 1);
    slow.write_all(&noise(LEN, 1)[HALF..]).unwrap();
    let parked = Answer::read(&mut slow);
    assert_eq!(parked.status, 201);
    assert!(whole.header("etag").is_some());
    assert_eq!(parked.header("etag"), whole.header("etag"));
}

#[test]
fn an_upload_for_which_the_spool_has_no_room_is_refused_and_leaves_nothing() {
    // Every write to it finds the disk full.
    let full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
    let server = Running::start(ServerConfig { spool: PlainArc::new(full), ..one_ingest_slot() });
    let mut slow = begun(&server, 1, HALF);
    wait_for(&server, "uploads", 1);
    put_small(&server);
    // It need not send more to be told.
    assert_eq!(Answer::read(&mut slow).status, 507);
    assert_eq!(server.request("GET", &path(1), &[], b"").status, 404);
    assert_quiet(&server);
    assert_eq!(now(&server, "spool"), 0);
}

#[test]
fn a_client_that_goes_away_while_its_upload_is_parked_leaves_nothing() {
    let server = Running::start(one_ingest_slot());
    drop(parked(&server, 1));
    wait_for(&server, "spool", 0);
    assert_eq!(server.request("GET", &path(1), &[], b"").status, 404);
    put_small(&server);
    assert_quiet(&server);
}

/// No other upload waits: the client may take its time, and what it sends does not go to the spool.
#[test]
fn an_upload_that_is_alone_keeps_its_ingest_slot() {
    let server = Running::start(one_ingest_slot());
    let slow = begun(&server, 1, HALF);
    wait_for(&server, "uploads", 1);
    assert_eq!(now(&server, "spool"), 0);
    finish(&server, 1, slow, HALF);
}
