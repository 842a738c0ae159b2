//! Every route of both faces with the largest answer that it can give, and what that takes of
//! memory, beside its row of the plan.
//!
//! Lists had been made whole and kept until they were read; in no row, and 862 MiB with a plan of
//! 256. So what is in the tables of routes is walked here, and a route that was added and is not
//! walked fails the test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "largest/asks.rs"]
mod asks;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[path = "largest/contents.rs"]
mod contents;
#[path = "largest/peak.rs"]
mod peak;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use asks::{Ask, of_operation, of_route};
use common::{Running, config};
use drystone_limits::constants::CONNECTION_BYTES;
use drystone_server::{plain_routes, s3_operations};

#[global_allocator]
static COUNTING: peak::Counting = peak::Counting;

/// What other threads of the server and the counting itself are good for.
const NOISE_BYTES: u64 = 64 << 10;

/// More than the kernel takes of an answer whose client does not read.
const UNREAD_BYTES: usize = 4 << 20;
/// In this time the server has taken back what a client does not use.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks, and reads the answer without keeping it. Returns its status, its length, and the most that
/// was allocated.
fn measure(server: &Running, ask: &Ask) -> (u16, usize, u64) {
    let mut buffer = [0; 16 << 10];
    let before = peak::begin();
    let mut socket = server.connect();
    let _ = socket.write_all(&ask.bytes);
    let (mut status, mut len) = (0, 0);
    while let Ok(read @ 1..) = socket.read(&mut buffer) {
        if len == 0 && read >= 12 {
            status = std::str::from_utf8(&buffer[9..12]).unwrap().parse().unwrap();
            if !ask.status.contains(&status) {
                println!("{}", String::from_utf8_lossy(&buffer[..read]));
            }
        }
        len += read;
    }
    let _ = socket.shutdown(Shutdown::Both);
    (status, len, peak::most().saturating_sub(before) as u64)
}

/// What a client holds that has asked and does not read, once the server has taken back what others
/// could want.
fn held(server: &Running, ask: &Ask, may: u64) -> u64 {
    let (before, begun) = (peak::begin(), Instant::now());
    let mut socket = server.connect();
    let _ = socket.write_all(&ask.bytes);
    socket.read_exact(&mut [0; 12]).unwrap();
    loop {
        let held = peak::now().saturating_sub(before) as u64;
        if held <= may || begun.elapsed() > PATIENCE {
            return held;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_largest_answer_of_each_route_stays_within_its_row_of_the_plan() {
    let server = Running::start(config());
    let contents = contents::fill(&server.store);
    let mut walked: Vec<(String, Ask)> = Vec::new();
    for (path, methods) in plain_routes() {
        for method in methods.split(", ") {
            let name = format!("{method} {path}");
            walked.extend(of_route(path, method).into_iter().map(|ask| (name.clone(), ask)));
        }
    }
    // What completes the upload comes last.
    let mut names: Vec<_> = s3_operations().collect();
    names.sort_by_key(|name| *name == "CompleteMultipartUpload");
    for name in names {
        let asks = of_operation(name, &contents);
        walked.extend(asks.into_iter().map(|ask| (name.to_owned(), ask)));
    }
    let mut beyond = Vec::new();
    for (name, ask) in &walked {
        // What is made once for all that come is not the first one's.
        if ask.bytes.starts_with(b"GET") || ask.bytes.starts_with(b"HEAD") {
            measure(&server, ask);
        }
        let (status, len, most) = measure(&server, ask);
        let row = CONNECTION_BYTES + ask.pays.bytes() + NOISE_BYTES;
        // Longer than what the kernel takes of an answer that is not read.
        let may_hold = ask.pays.held_bytes(ask.bytes.len() > 32 << 10);
        let held = if len > UNREAD_BYTES { held(&server, ask, may_hold) } else { 0 };
        println!(
            "{name}: {status}, {len} bytes, took {} KiB, may take {} KiB ({:?}), unread {} KiB",
            most >> 10,
            row >> 10,
            ask.pays,
            held >> 10
        );
        if !ask.status.contains(&status) || most > row || held > may_hold {
            let first: Vec<u8> = ask.bytes.iter().copied().take(80).collect();
            beyond.push(format!(
                "{name}: {status}, {} KiB of {} ({:?}), unread {} KiB: {}",
                most >> 10,
                row >> 10,
                ask.pays,
                held >> 10,
                String::from_utf8_lossy(&first)
            ));
        }
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}
