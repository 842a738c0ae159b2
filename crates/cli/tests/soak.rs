//! The server under load, watched by `drystone fdwatch run`: its descriptors stay below what `plan`
//! prints, and do not grow.
//!
//! Ten seconds; DRYSTONE_SOAK_SECONDS says otherwise, and `cargo xtask verify --full` says sixty.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use served::{DRYSTONE, PATIENCE, Served, drystone};

const SECONDS_DEFAULT: u64 = 10;
/// Fewer counts say nothing of a trend.
const COUNTS_MIN: usize = 60;
const CLIENTS: usize = 4;
const SMALL: &[u8] = &[7; 64 << 10];
const LARGE_BYTES: usize = 4 << 20;
/// `alice:first-secret`, in base64.
const BASIC: &str = "YWxpY2U6Zmlyc3Qtc2VjcmV0";

#[test]
fn descriptors_stay_level_and_below_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let plan = drystone(&store, &["--json", "plan", "--serve"]).stdout;
    let planned =
        serde_json::from_slice::<Value>(&plan).unwrap()["descriptors_total"].as_u64().unwrap();

    let seen = folder.path().join("seen.json");
    let mut command = Command::new(DRYSTONE);
    command.args(["fdwatch", "run", "--check", "--interval", "100ms", "--warm-up", "2s"]);
    command.arg(format!("--fail-over={planned}")).arg(format!("--json={}", seen.display()));
    command.args(["--", DRYSTONE, "serve", "--listen", "127.0.0.1:0"]).arg(&store);
    command.env("DRYSTONE_ACCESS_KEY", "alice").env("DRYSTONE_SECRET_KEY", "first-secret");
    // A line for each request would fill the pipe, and the server would wait until it is read.
    command.env("DRYSTONE_LOG", "warn");
    let mut server = Served::listening(&mut command);

    assert_eq!(Client::of(&server.address).put("large", &vec![9; LARGE_BYTES]), 201);
    let seconds: Option<u64> =
        std::env::var("DRYSTONE_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS_DEFAULT));
    let rounds: Vec<u64> = std::thread::scope(|scope| {
        let address = &server.address[..];
        let clients = (0..CLIENTS).map(|client| scope.spawn(move || soak(address, client, until)));
        clients.collect::<Vec<_>>().into_iter().map(|client| client.join().unwrap()).collect()
    });
    server.signal(Signal::TERM);
    let code = server.ends_in(PATIENCE);

    let seen = std::fs::read_to_string(seen).unwrap();
    let seen: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = seen.last().unwrap();
    let (verdict, process) = (last["verdict"].as_str().unwrap(), &last["processes"][0]);
    let most = process["high_water"].as_u64().unwrap();
    println!(
        "{rounds:?} rounds, {} counts, {most} descriptors at most, {planned} planned",
        seen.len()
    );
    assert!(rounds.iter().all(|rounds| *rounds > 0), "{rounds:?}");
    assert!(seen.len() >= COUNTS_MIN, "only {} counts", seen.len());
    // Ten seconds are too short to be certain of the trend.
    let expected: &[&str] = if seconds.is_some() { &["steady"] } else { &["steady", "warming"] };
    assert!(code == Some(0) && expected.contains(&verdict), "{code:?}, {verdict}: {process}");
    assert!(most <= planned, "{most} descriptors at most, {planned} planned");
    assert_eq!(last["children"]["count"], 0);
}

/// Stores and reads, lists, and goes away in mid-transfer; says how often.
fn soak(address: &str, client: usize, until: Instant) -> u64 {
    let mut rounds = 0;
    while Instant::now() < until {
        let name = format!("small-{client}-{}", rounds % 8);
        assert_eq!(Client::of(address).put(&name, SMALL), 201);
        let mut get = Client::of(address);
        get.ask("GET", &name, 0);
        assert!(get.whole().ends_with(SMALL), "other bytes came back");
        Client::of(address).give_up_a_put(&format!("broken-{client}"));
        Client::of(address).give_up_a_get();
        let mut list = Client::of(address);
        list.ask("GET", "", 0);
        assert!(list.whole().starts_with(b"HTTP/1.1 200"));
        rounds += 1;
    }
    rounds
}

/// One request over a connection of its own.
struct Client(TcpStream);

impl Client {
    fn of(address: &str) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn ask(&mut self, method: &str, name: &str, body_bytes: usize) {
        let path = format!("/_/files/default/{name}");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Basic {BASIC}\r\nContent-Length: {body_bytes}\r\n\r\n"
        );
        self.0.write_all(head.as_bytes()).unwrap();
    }

    fn put(mut self, name: &str, body: &[u8]) -> u16 {
        self.ask("PUT", name, body.len());
        self.0.write_all(body).unwrap();
        let answer = self.whole();
        std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap()
    }

    fn whole(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).unwrap();
        answer
    }

    fn give_up_a_put(mut self, name: &str) {
        self.ask("PUT", name, LARGE_BYTES);
        self.0.write_all(SMALL).unwrap();
    }

    fn give_up_a_get(mut self) {
        self.ask("GET", "large", 0);
        self.0.read_exact(&mut [0; 1024]).unwrap();
    }
}
