//! `serve` and `key`, through the binary.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use served::{DRYSTONE, Served, drystone};

#[test]
fn the_first_start_makes_a_store_and_a_key_and_the_second_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut server = Served::start(&store, &[], &[]);
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
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.ends_in(served::PATIENCE), Some(0), "a stop is a success");
    drop(server);
    let again = Served::start(&store, &[], &[]);
    assert!(again.said.is_empty(), "the key is shown once: {:?}", again.said);
    assert!(again.get("/_/files/", Some(&format!("Bearer {token}"))).starts_with("HTTP/1.1 200"));
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert!(drystone(&store, &["init"]).status.success());
    let made = drystone(
        &store,
        &["--json", "key", "create", "--name", "alice", "--bucket", "photos", "--read"],
    );
    assert!(made.status.success());
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let (access, secret) =
        (made["access_key"].as_str().unwrap(), made["secret_key"].as_str().unwrap());
    let listed = String::from_utf8(drystone(&store, &["key", "list"]).stdout).unwrap();
    assert!(
        listed.contains(access) && listed.contains("alice") && listed.contains("photos: read"),
        "{listed}"
    );
    assert!(!listed.contains(secret), "{listed}");
    let taken =
        ["key", "create", "--name", "b", "--access-key", access, "--secret-key", "12345678"];
    let taken = drystone(&store, &taken);
    assert_eq!(taken.status.code(), Some(1), "{taken:?}");
    let short = drystone(
        &store,
        &["key", "create", "--name", "b", "--access-key", "abc", "--secret-key", "short"],
    );
    assert_eq!(short.status.code(), Some(2));
    assert!(
        !String::from_utf8_lossy(&short.stderr).contains("short"),
        "a secret is never repeated"
    );
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
    let server = Served::start(&store, &[], &pair("first-secret"));
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
fn a_store_that_init_made_has_somewhere_to_put_things() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert!(drystone(&store, &["init"]).status.success());
    let server = Served::start(
        &store,
        &[],
        &[("DRYSTONE_ACCESS_KEY", "alice"), ("DRYSTONE_SECRET_KEY", "first-secret")],
    );
    let listed = server.get("/_/files/default/", Some("Basic YWxpY2U6Zmlyc3Qtc2VjcmV0"));
    assert!(listed.starts_with("HTTP/1.1 200"), "{listed}");
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

#[test]
fn a_key_is_shown_only_by_a_server_that_listens() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for _ in 0..2 {
        let failed = drystone(&store, &["serve", "--listen", &address]);
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        assert!(
            String::from_utf8_lossy(&failed.stderr)
                .contains(&format!("cannot listen on {address}"))
        );
        assert!(failed.stdout.is_empty(), "a key of no use was shown: {failed:?}");
    }
    assert!(drystone(&store, &["key", "list"]).stdout.is_empty(), "and kept");
    drop(taken);
    let server = Served::start(&store, &[], &[]);
    assert!(server.said.iter().any(|line| line.starts_with("secret key")), "{:?}", server.said);
}

/// Another program holds the records for longer than the server waits. So a call of the server
/// takes for ever, like a call to a dead disk.
#[test]
fn a_call_that_hangs_in_the_disk_does_not_keep_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (store, config) = (folder.path().join("store"), folder.path().join("config.toml"));
    std::fs::write(&config, "drain_seconds = 1\n").unwrap();
    assert!(drystone(&store, &["init"]).status.success());
    assert!(drystone(&store, &["put", config.to_str().unwrap()]).status.success());
    let key = [("DRYSTONE_ACCESS_KEY", "alice"), ("DRYSTONE_SECRET_KEY", "first-secret")];
    let mut server = Served::start(&store, &["--config", config.to_str().unwrap()], &key);
    let records = rusqlite::Connection::open(store.join("records.db")).unwrap();
    records.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut socket = server.connect();
    let basic = "Basic YWxpY2U6Zmlyc3Qtc2VjcmV0";
    let head = format!(
        "PUT /_/files/default/large HTTP/1.1\r\nHost: x\r\nAuthorization: {basic}\r\n\
         Content-Length: 1000000\r\n\r\n"
    );
    socket.write_all(&[head.as_bytes(), &[7; 200_000]].concat()).unwrap();
    let limits = || server.get("/_/limits?format=json", Some(basic));
    let is_under_way = |limits: &str| {
        let limits: serde_json::Value =
            serde_json::from_str(limits.split_once("\r\n\r\n").unwrap().1).unwrap();
        let rows = limits["resources"].as_array().unwrap();
        rows.iter().any(|row| row["name"] == "transfers" && row["now"] == 1)
    };
    let begun = Instant::now();
    while !is_under_way(&limits()) {
        assert!(begun.elapsed() < served::PATIENCE, "no download is under way");
    }
    server.signal(rustix::process::Signal::TERM);
    let stopped = |line: &serde_json::Value| {
        line["message"].as_str().unwrap_or_default().contains("do not return")
    };
    let log = server.log_until(stopped);
    let last = log.last().unwrap();
    assert_eq!((&last["transfers"], &last["uploads"]), (&1.into(), &1.into()), "{last}");
    assert_eq!(server.ends_in(served::PATIENCE), Some(8));
    drop(records);
}

/// An allocator that maps and unmaps each buffer costs a page fault every 4 KiB.
#[cfg(target_env = "gnu")]
#[test]
fn buffers_of_uploads_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let keys =
        [("DRYSTONE_ACCESS_KEY", "AKIDEXAMPLE"), ("DRYSTONE_SECRET_KEY", "a-secret-of-the-test")];
    let server = Served::start(&folder.path().join("store"), &[], &keys);
    let bytes = drystone_testkit::noise::Noise::new(1).bytes(64 << 20);
    let upload = |name: &str| {
        let mut socket = server.connect();
        let basic = "QUtJREVYQU1QTEU6YS1zZWNyZXQtb2YtdGhlLXRlc3Q=";
        write!(
            socket,
            "PUT /_/files/default/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Basic {basic}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        )
        .unwrap();
        socket.write_all(&bytes).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    };
    let faults = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid().as_raw_nonzero()))
            .unwrap();
        // Field 10, counted from behind the name.
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(7).unwrap().parse::<u64>().unwrap()
    };
    upload("warm-up");
    let faulted = || {
        let before = faults();
        upload("large");
        faults() - before
    };
    // The least of several: a thread that works for the first time, or memory that the system took
    // back, adds faults that do not belong to this.
    let faulted = (0..5).map(|_| faulted()).min().unwrap();
    assert!(faulted < 16_384 / 8, "{faulted} page faults for 16,384 pages");
}
