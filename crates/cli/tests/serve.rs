//! `serve` and `key`, through the binary.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DRYSTONE: &str = env!("CARGO_BIN_EXE_drystone");

/// A running server, killed when dropped.
struct Served {
    child: Child,
    address: String,
    /// What it said before it listened.
    said: Vec<String>,
}

impl Served {
    fn start(store: &Path, envs: &[(&str, &str)]) -> Self {
        let mut command = Command::new(DRYSTONE);
        command.args(["serve", "--listen", "127.0.0.1:0"]).arg(store).envs(envs.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(address) = line.strip_prefix("listening on http://") {
                return Self { child, address: address.to_owned(), said };
            }
            said.push(line);
        }
        let ended = child.wait().unwrap();
        panic!("it ended without listening ({ended}): {said:?}");
    }

    fn get(&self, path: &str, authorization: Option<&str>) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let authorization =
            authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
        write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    }

    fn ends_in(&mut self, patience: Duration) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drystone(store: &Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::new(DRYSTONE);
    command.arg("--store").arg(store).args(args).output().unwrap()
}

#[test]
fn the_first_start_makes_a_store_and_a_key_and_the_second_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut server = Served::start(&store, &[]);
    let token = server
        .said
        .iter()
        .find_map(|line| line.strip_prefix("bearer token  "))
        .expect("a key is shown")
        .to_owned();
    assert!(server.get("/_/health/ready", None).starts_with("HTTP/1.1 200"));
    assert!(server.get("/_/files/", None).starts_with("HTTP/1.1 401"));
    let listed = server.get("/_/files/", Some(&format!("Bearer {token}")));
    assert!(listed.starts_with("HTTP/1.1 200") && listed.contains("\"default\""), "{listed}");
    // Our own child, not waited for yet: the pid is nobody else's.
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(server.ends_in(Duration::from_secs(20)), Some(0), "a stop is a success");
    drop(server);
    let again = Served::start(&store, &[]);
    assert!(again.said.is_empty(), "the key is shown once: {:?}", again.said);
    assert!(again.get("/_/files/", Some(&format!("Bearer {token}"))).starts_with("HTTP/1.1 200"));
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert!(drystone(&store, &["init"]).status.success());
    let made =
        drystone(&store, &["--json", "key", "create", "--name", "alice", "--bucket", "photos", "--read"]);
    assert!(made.status.success());
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let (access, secret) = (made["access_key"].as_str().unwrap(), made["secret_key"].as_str().unwrap());
    let listed = String::from_utf8(drystone(&store, &["key", "list"]).stdout).unwrap();
    assert!(
        listed.contains(access) && listed.contains("alice") && listed.contains("photos: read"),
        "{listed}"
    );
    assert!(!listed.contains(secret), "{listed}");
    let taken = ["key", "create", "--name", "b", "--access-key", access, "--secret-key", "12345678"];
    let taken = drystone(&store, &taken);
    assert_eq!(taken.status.code(), Some(1), "{taken:?}");
    let short =
        drystone(&store, &["key", "create", "--name", "b", "--access-key", "abc", "--secret-key", "short"]);
    assert_eq!(short.status.code(), Some(2));
    assert!(!String::from_utf8_lossy(&short.stderr).contains("short"), "a secret is never repeated");
    assert!(drystone(&store, &["key", "revoke", access]).status.success());
    assert_eq!(drystone(&store, &["key", "revoke", access]).status.code(), Some(4));
    assert!(drystone(&store, &["key", "list"]).stdout.is_empty());
}

#[test]
fn it_does_not_listen_elsewhere_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let refused = drystone(&store, &["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("key create"), "{refused:?}");
    let half = Command::new(DRYSTONE)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg(&store)
        .env("DRYSTONE_ACCESS_KEY", "alice")
        .output()
        .unwrap();
    assert_eq!(half.status.code(), Some(2));
}

#[test]
fn a_key_from_the_environment_works_and_is_not_changed_silently() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let pair = |secret| [("DRYSTONE_ACCESS_KEY", "alice"), ("DRYSTONE_SECRET_KEY", secret)];
    let server = Served::start(&store, &pair("first-secret"));
    assert!(server.said.is_empty(), "{:?}", server.said);
    // alice:first-secret
    let listed = server.get("/_/files/", Some("Basic YWxpY2U6Zmlyc3Qtc2VjcmV0"));
    assert!(listed.starts_with("HTTP/1.1 200"), "{listed}");
    drop(server);
    let other = Command::new(DRYSTONE)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg(&store)
        .envs(pair("second-secret"))
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(!String::from_utf8_lossy(&other.stderr).contains("second-secret"));
}

#[test]
fn a_certificate_that_cannot_be_used_is_noticed_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let alone = drystone(&store, &[&listen[..], &["--tls-cert", "absent.pem"]].concat());
    assert_eq!(alone.status.code(), Some(2));
    let absent = ["--tls-cert", "absent.pem", "--tls-key", "absent.pem"];
    let absent = drystone(&store, &[&listen[..], &absent].concat());
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("absent.pem"));
    assert!(alone.stdout.is_empty() && absent.stdout.is_empty(), "no key was made");
    assert!(!store.exists(), "no store was made");
}
