//! SIGHUP: the configuration file is read again, through the binary.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use served::Served;

const KEY: [(&str, &str); 2] =
    [("DRYSTONE_ACCESS_KEY", "alice"), ("DRYSTONE_SECRET_KEY", "first-secret")];
/// The same pair, as a header carries it.
const BASIC: &str = "Basic YWxpY2U6Zmlyc3Qtc2VjcmV0";
const OBJECT: &str = "/_/files/default/object";

/// A server with a configuration file.
struct Configured {
    server: Served,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Configured {
    fn start(file: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, file).unwrap();
        // A fixed number, not that of the CPUs: workers have buffers, and this test looks at the
        // memory that is left for clients.
        let args = [&["--config", path.to_str().unwrap(), "--workers", "2"], args].concat();
        let server = Served::start(&folder.path().join("store"), &args, &KEY);
        Self { server, file: path, _folder: folder }
    }

    /// Changes the file and reloads; what the log said about it.
    fn reload(&self, file: &str) -> Vec<Value> {
        fs::write(&self.file, file).unwrap();
        self.server.signal(Signal::HUP);
        let ends = |line: &Value| {
            message(line).starts_with("reload done") || message(line).contains("refused")
        };
        let lines = self.server.log_until(ends);
        lines.into_iter().filter(|line| line["target"] != "drystone_server::route").collect()
    }

    fn limits(&self) -> Value {
        let answer = self.server.get("/_/limits?format=json", Some(BASIC));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    fn resource(&self, name: &str) -> Value {
        let limits = self.limits();
        limits["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == name)
            .unwrap()
            .clone()
    }

    fn seconds(&self, setting: &str) -> f64 {
        let limits = self.limits();
        let mut rows = limits["deadlines"].as_array().unwrap().iter();
        rows.find(|row| row["setting"] == setting).unwrap()["seconds"].as_f64().unwrap()
    }

    /// Waits until a row of the usage has this number.
    fn wait_for(&self, resource: &str, what: &str, number: u64) {
        for _ in 0..3000 {
            if self.resource(resource)[what] == number {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} is not {number}: {}", self.resource(resource));
    }

    fn put(&self, bytes: &[u8]) {
        let mut socket = self.server.connect();
        let len = bytes.len();
        let head = format!(
            "PUT {OBJECT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {BASIC}\r\n"
        );
        socket.write_all(format!("{head}Content-Length: {len}\r\n\r\n").as_bytes()).unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    /// Asks for the object and reads none of it.
    fn begin(&self) -> TcpStream {
        begin(&self.server.address)
    }
}

fn begin(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(served::PATIENCE)).unwrap();
    let head = format!(
        "GET {OBJECT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {BASIC}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// Reads the object to its end.
fn finish(mut socket: TcpStream, expected: &[u8]) {
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer[..answer.len().min(500)])
    );
    assert!(answer.ends_with(expected), "{} bytes came, some of them others", answer.len());
}

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

/// What the log says of a setting.
fn said<'a>(log: &'a [Value], setting: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let line = log.iter().find(|line| line["setting"] == setting)?;
    Some((message(line), line["from"].as_str()?, line["to"].as_str()?))
}

#[test]
fn what_can_change_changes_and_what_cannot_is_named() {
    let server = Configured::start("connections = 64\ntransfers = 8\nmemory = \"256MiB\"\n", &[]);
    assert_eq!(server.resource("connections")["ceiling"], 64);
    assert_eq!(
        (server.resource("transfers")["ceiling"].clone(), server.seconds("idle_seconds")),
        (8.into(), 75.0)
    );
    let changed = "connections = 48\ntransfers = 24\nidle_seconds = 9\nmemory = \"300MiB\"\n";
    let log = server.reload(changed);
    assert_eq!(said(&log, "connections"), Some(("reloaded", "64", "48")), "{log:?}");
    assert_eq!(said(&log, "transfers"), Some(("reloaded", "8", "24")), "{log:?}");
    assert_eq!(said(&log, "idle_seconds"), Some(("reloaded", "75", "9")), "{log:?}");
    let (why, from, to) = said(&log, "memory").unwrap();
    assert!(why.contains("needs a restart"), "{log:?}");
    assert_eq!((from, to), ("256 MiB", "300 MiB"));
    assert_eq!(log.iter().filter(|line| line.get("setting").is_some()).count(), 4, "{log:?}");
    assert_eq!(server.resource("connections")["ceiling"], 48);
    assert_eq!(
        (server.resource("transfers")["ceiling"].clone(), server.seconds("idle_seconds")),
        (24.into(), 9.0)
    );
    let limits = server.limits();
    assert_eq!(limits["process"]["memory_ceiling_bytes"], 256 << 20);
    let rows = limits["spends"].as_array().unwrap();
    let row = rows.iter().find(|row| row["use"] == "answers that leave in large pieces").unwrap();
    assert_eq!(row["count"], 24, "the plan that is shown is the one that holds");
    // Nothing new, but what waits for a restart is not forgotten.
    let log = server.reload(changed);
    assert_eq!(log.iter().filter(|line| line.get("setting").is_some()).count(), 1, "{log:?}");
    assert!(said(&log, "memory").is_some());
    // When the line is gone, the default is in force again.
    let log = server.reload("memory = \"256MiB\"\n");
    assert_eq!(said(&log, "idle_seconds"), Some(("reloaded", "9", "75")), "{log:?}");
    assert_eq!(said(&log, "memory"), None, "{log:?}");
    assert_eq!(server.resource("connections")["ceiling"], 512);
}

#[test]
fn what_does_not_fit_or_cannot_be_read_changes_nothing() {
    let server = Configured::start("connections = 64\ntransfers = 8\nmemory = \"128MiB\"\n", &[]);
    let before = server.limits();
    let fits = "connections = 64\ntransfers = 8\nmemory = \"128MiB\"\n";
    for (file, why) in [
        ("idle_seconds = 9\nconnections = 16384\nmemory = \"128MiB\"\n", "set connections to"),
        (
            "idle_seconds = 9\nconnections = 64\ntransfers = 33\nmemory = \"128MiB\"\n",
            "set transfers to",
        ),
        ("idle_seconds = 9\nmemory = \"1MiB\"\n", "--memory"),
        (
            "idle_seconds = 9\nconnections = 0\n",
            "line 2: connections: must be between 16 and 16384",
        ),
        ("idle_seconds = 9\n= = =\n", "line 2: "),
    ] {
        let log = server.reload(file);
        let last = log.last().unwrap();
        assert!(message(last).starts_with("reload refused"), "{file}: {log:?}");
        assert!(last["error"].as_str().unwrap().contains(why), "{file}: {log:?}");
        assert_eq!(last["level"], "WARN");
        for unchanged in ["deadlines", "ceilings", "spends"] {
            assert_eq!(server.limits()[unchanged], before[unchanged], "{file}");
        }
    }
    fs::remove_file(&server.file).unwrap();
    server.server.signal(Signal::HUP);
    let log = server.server.log_until(|line| message(line).starts_with("reload"));
    assert!(
        message(log.last().unwrap()).starts_with("reload refused"),
        "a file that was named must be there"
    );
    let log = server.reload(fits);
    assert_eq!(message(log.last().unwrap()), "reload done");
}

#[test]
fn one_ceiling_is_not_raised_at_the_cost_of_the_other() {
    let server = Configured::start("memory = \"256MiB\"\n", &[]);
    let before = server.limits()["spends"].clone();
    for (file, setting) in
        [("transfers = 200\n", "transfers"), ("connections = 1000\n", "transfers")]
    {
        let log = server.reload(&format!("memory = \"256MiB\"\n{file}"));
        let error =
            log.last().unwrap()["error"].as_str().unwrap_or_else(|| panic!("{file}: {log:?}"));
        assert!(error.starts_with(&format!("{setting} = ")), "{file}: {log:?}");
        assert_eq!(server.limits()["spends"], before, "{file}");
    }
    // With fewer connections there are fewer transfers, and room for more of them.
    let log = server.reload("memory = \"256MiB\"\nconnections = 40\n");
    assert_eq!(said(&log, "transfers"), Some(("reloaded", "40", "20")), "{log:?}");
    let log = server.reload("memory = \"256MiB\"\nconnections = 128\ntransfers = 50\n");
    assert_eq!(said(&log, "transfers"), Some(("reloaded", "20", "50")), "{log:?}");
}

#[test]
fn a_flag_stays_stronger_than_the_file() {
    let server = Configured::start("connections = 64\n", &["--connections", "40"]);
    assert_eq!(server.resource("connections")["ceiling"], 40);
    let log = server.reload("connections = 80\n");
    let (why, from, to) = said(&log, "connections").unwrap();
    assert!(why.contains("flag") && (from, to) == ("64", "80"), "{log:?}");
    assert_eq!(server.resource("connections")["ceiling"], 40);
}

#[test]
fn those_under_way_end_when_a_ceiling_is_lowered_below_them() {
    let server = Configured::start("transfers = 12\n", &[]);
    // More than the sockets of both ends hold. So a client that does not read keeps its transfer.
    let bytes: Vec<u8> = (0..4 << 20_u32).flat_map(u32::to_le_bytes).collect();
    server.put(&bytes);
    let mut downloads: Vec<_> = (0..12).map(|_| server.begin()).collect();
    server.wait_for("large_answers", "now", 12);
    server.reload("transfers = 8\n");
    let large = server.resource("large_answers");
    assert_eq!((&large["now"], &large["ceiling"]), (&12.into(), &8.into()), "{large}");
    // One more client is still served, in small pieces.
    finish(server.begin(), &bytes);
    for left in [11, 10, 9, 8] {
        finish(downloads.pop().unwrap(), &bytes);
        server.wait_for("large_answers", "now", left);
    }
    downloads.into_iter().for_each(|download| finish(download, &bytes));
    server.wait_for("large_answers", "now", 0);
    assert_eq!(server.resource("large_answers")["high_water"], 12);
}

#[test]
fn idle_connections_go_when_their_ceiling_is_lowered() {
    let server = Configured::start("connections = 64\n", &[]);
    let idle: Vec<_> = (0..40).map(|_| server.server.connect()).collect();
    // The connection that asks is counted, too.
    server.wait_for("connections", "now", 41);
    server.reload("connections = 16\n");
    for _ in 0..3 {
        let now = server.resource("connections")["now"].as_u64().unwrap();
        assert!(now <= 17, "{now} connections; those that are idle make way");
    }
    drop(idle);
}

/// Twice as many clients as there are transfers read the object at once; the most threads that were
/// seen, and how many are planned.
fn threads_under_load(server: &Configured, bytes: &[u8]) -> (u64, u64) {
    let of_process = |what: &str| server.limits()["process"][what].as_u64().unwrap();
    let address = server.server.address.as_str();
    let mut most = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| (0..8).for_each(|_| finish(begin(address), bytes))))
            .collect();
        while clients.iter().any(|client| !client.is_finished()) {
            most = most.max(of_process("threads"));
        }
    });
    (most, of_process("threads_planned"))
}

#[test]
fn there_are_no_more_threads_than_planned_whatever_the_transfers_are() {
    let server = Configured::start("transfers = 12\n", &[]);
    let bytes: Vec<u8> = (0..1 << 20_u32).flat_map(u32::to_le_bytes).collect();
    server.put(&bytes);
    let (most, planned) = threads_under_load(&server, &bytes);
    assert!(most <= planned, "{most} threads, {planned} are planned");
    server.reload("transfers = 20\n");
    let (most, more) = threads_under_load(&server, &bytes);
    assert!(most <= more && more == planned + 8, "{most} threads, {more} are planned");
    server.reload("transfers = 8\n");
    let planned = server.limits()["process"]["threads_planned"].as_u64().unwrap();
    assert_eq!(planned, more - 12);
    // Surplus threads end when they have nothing to do.
    for _ in 0..3000 {
        if server.limits()["process"]["threads"].as_u64().unwrap() <= planned {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("more threads than planned stay: {}", server.limits()["process"]);
}

/// Room for more connections comes from having fewer transfers. It is not there before the
/// transfers under way have ended.
#[test]
fn a_ceiling_is_not_raised_into_the_room_of_those_under_way() {
    let server = Configured::start("memory = \"256MiB\"\nconnections = 100\ntransfers = 50\n", &[]);
    // More than the sockets of both ends hold. So a client that does not read keeps its transfer.
    let bytes: Vec<u8> = (0..2 << 20_u32).flat_map(u32::to_le_bytes).collect();
    server.put(&bytes);
    let downloads: Vec<_> = (0..50).map(|_| server.begin()).collect();
    server.wait_for("large_answers", "now", 50);
    let before = server.limits();
    let other = "memory = \"256MiB\"\nconnections = 800\ntransfers = 8\nidle_seconds = 9\n";
    let log = server.reload(other);
    let last = log.last().unwrap();
    assert!(message(last).starts_with("reload refused"), "{log:?}");
    assert!(last["error"].as_str().unwrap().contains("50 transfers are under way"), "{log:?}");
    for unchanged in ["deadlines", "ceilings", "spends"] {
        assert_eq!(server.limits()[unchanged], before[unchanged]);
    }
    assert_eq!(server.resource("transfers")["ceiling"], 50);
    // Lowering a ceiling disturbs no client.
    let log = server.reload("memory = \"256MiB\"\nconnections = 100\ntransfers = 8\n");
    assert_eq!(said(&log, "transfers"), Some(("reloaded", "50", "8")), "{log:?}");
    assert!(message(server.reload(other).last().unwrap()).starts_with("reload refused"));
    downloads.into_iter().for_each(|download| finish(download, &bytes));
    server.wait_for("large_answers", "now", 0);
    let log = server.reload(other);
    assert_eq!(said(&log, "connections"), Some(("reloaded", "100", "800")), "{log:?}");
    assert_eq!(server.resource("connections")["ceiling"], 800);
}
