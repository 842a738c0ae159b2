//! A full disk is reported as full. It costs no object that was stored, and the store goes on when
//! there is room again.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;
mod support;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use drystone_testkit::noise::Noise;
use rustix::process::Signal;
use served::Served;
use support::{Sandbox, args, assert_nothing_temporary_below};

/// A small file system of its own, gone with the guard.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        Self::mount_with(at, "size=24m")
    }

    fn mount_with(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "drystone-test"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            support::skipped("a full disk needs root and mount");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    /// Takes the last byte that others may have.
    fn fill(&self) {
        let mut filler = std::fs::OpenOptions::new();
        let mut filler = filler.create(true).append(true).open(self.0.join("filler")).unwrap();
        for bytes in [1 << 20, 4096] {
            while filler.write_all(&vec![7; bytes]).is_ok() {}
        }
    }

    /// Takes the last name that others may have.
    fn use_up_names(&self) {
        let is_made =
            |number: u32| std::fs::File::create(self.0.join(format!("name-{number}"))).is_ok();
        assert!((0..100_000).any(|number| !is_made(number)), "there are more names than that");
    }
}

/// A store on the disk, cut so small that a few megabytes are many chunks.
fn store_on(sandbox: &Sandbox) {
    std::os::unix::fs::symlink(sandbox.path("disk/store"), sandbox.store()).unwrap();
    std::fs::create_dir(sandbox.path("disk/store")).unwrap();
    sandbox.ok(args!["init", "--chunk", "cdc:1KiB,4KiB,16KiB"]);
}

/// What must work, however full the disk is: one after the other, and many at once.
fn check_deletes(sandbox: &Sandbox, single: &[&str], folder: &str) {
    for name in single {
        sandbox.ok(args!["rm", name]);
        sandbox.fails(4, args!["stat", name]);
    }
    sandbox.ok(args!["rm", "--recursive", folder]);
    sandbox.fails(4, args!["rm", "--recursive", folder]);
}

fn put_small_ones(sandbox: &Sandbox) {
    for name in ["a", "b", "c", "kept"] {
        sandbox.put_bytes(name, name.as_bytes());
    }
    let folder = sandbox.path("many");
    std::fs::create_dir(&folder).unwrap();
    (0..1200).for_each(|number| std::fs::write(folder.join(number.to_string()), [0, 1]).unwrap());
    sandbox.ok(args!["put", "many"]);
}

#[test]
fn a_large_put_of_many_chunks_that_does_not_fit_locks_nothing() {
    let sandbox = Sandbox::bare();
    let Some(disk) = SmallDisk::mount_with(&sandbox.path("disk"), "size=40m") else { return };
    store_on(&sandbox);
    put_small_ones(&sandbox);
    for round in 0..2 {
        let large = Noise::new(2 + round).bytes(60 << 20);
        assert_eq!(sandbox.feed(args!["put", "-", "--name", "large"], &large).code, Some(7));
        // The user has not freed any space by hand.
        sandbox.put_bytes("tiny", b"abc");
        sandbox.ok(args!["rm", "tiny"]);
    }
    disk.fill();
    assert_eq!(
        sandbox.feed(args!["put", "-", "--name", "large"], &Noise::new(9).bytes(1 << 20)).code,
        Some(7)
    );
    check_deletes(&sandbox, &["a", "b", "c"], "many");
    assert_eq!(sandbox.cat("kept"), b"kept");
    std::fs::remove_file(sandbox.path("disk/filler")).unwrap();
    sandbox.put_bytes("tiny", b"abc");
}

#[test]
fn deletes_work_beside_what_a_killed_put_has_left() {
    let sandbox = Sandbox::bare();
    let Some(disk) = SmallDisk::mount_with(&sandbox.path("disk"), "size=40m") else { return };
    store_on(&sandbox);
    put_small_ones(&sandbox);
    let mut put = sandbox.drystone(args!["put", "-", "--name", "large"]);
    let mut put = put.stdin(std::process::Stdio::piped()).spawn().unwrap();
    // More than the pipe and the buffers hold. So the first bytes of it have been written, and are
    // partly in the records.
    put.stdin.as_mut().unwrap().write_all(&Noise::new(3).bytes(30 << 20)).unwrap();
    put.kill().unwrap();
    put.wait().unwrap();
    disk.fill();
    check_deletes(&sandbox, &["a", "b", "c"], "many");
    assert_eq!(sandbox.cat("kept"), b"kept");
}

#[test]
fn deletes_work_when_no_file_can_be_made() {
    let sandbox = Sandbox::bare();
    let Some(disk) = SmallDisk::mount_with(&sandbox.path("disk"), "size=40m,nr_inodes=400") else {
        return;
    };
    store_on(&sandbox);
    put_small_ones(&sandbox);
    // This file has its name before the last name is used up.
    std::fs::write(sandbox.path("disk/filler"), "").unwrap();
    disk.use_up_names();
    check_deletes(&sandbox, &["a", "b"], "many");
    disk.fill();
    sandbox.ok(args!["rm", "c"]);
    assert_eq!(sandbox.cat("kept"), b"kept");
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_put_says_that_the_disk_is_full_and_loses_nothing() {
    let sandbox = Sandbox::bare();
    let Some(_disk) = SmallDisk::mount(&sandbox.path("disk")) else { return };
    std::os::unix::fs::symlink(sandbox.path("disk/store"), sandbox.store()).unwrap();
    std::fs::create_dir(sandbox.path("disk/store")).unwrap();
    sandbox.ok(args!["init"]);
    let early = Noise::new(1).bytes(5 << 20);
    sandbox.put_bytes("early", &early);
    for round in 0..3 {
        let large = Noise::new(2 + round).bytes(40 << 20);
        let ran = sandbox.feed(args!["put", "-", "--name", "large"], &large);
        assert_eq!(ran.code, Some(7), "{}", ran.err);
        ran.says(&["the disk is full: `large`", "free some space and put again"]);
        sandbox.fails(4, args!["stat", "large"]);
        assert!(sandbox.cat("early") == early);
    }
    // The user has not freed any space by hand: the next put cuts off what the failed ones wrote.
    let small = Noise::new(9).bytes(2 << 20);
    sandbox.put_bytes("small", &small);
    assert!(sandbox.cat("small") == small && sandbox.cat("early") == early);
}

#[test]
fn a_get_says_that_the_disk_is_full_and_leaves_no_half_file() {
    let sandbox = Sandbox::new();
    let Some(_disk) = SmallDisk::mount(&sandbox.path("disk")) else { return };
    sandbox.put_bytes("s/large", &Noise::new(1).bytes(40 << 20));
    sandbox.put_bytes("s/small", b"small");
    sandbox
        .fails(7, args!["get", "s", "disk"])
        .says(&["s/large: cannot write the file: No space left"]);
    assert!(!sandbox.path("disk/s/large").exists());
    assert_nothing_temporary_below(&sandbox.path("disk"));
    assert_eq!(std::fs::read(sandbox.path("disk/s/small")).unwrap(), b"small");
}

#[test]
fn a_server_says_that_the_disk_is_full_and_goes_on() {
    let sandbox = Sandbox::bare();
    let Some(disk) = SmallDisk::mount(&sandbox.path("disk")) else { return };
    let key = [("DRYSTONE_ACCESS_KEY", "alice"), ("DRYSTONE_SECRET_KEY", "first-secret")];
    let basic = "Basic YWxpY2U6Zmlyc3Qtc2VjcmV0";
    let mut server = Served::start(&sandbox.path("disk/store"), &[], &key);
    let put = |server: &Served, name: &str, bytes: &[u8]| {
        let mut socket = server.connect();
        let head = format!(
            "PUT /_/files/default/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: {basic}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        // It answers before it has read everything, and may close.
        let _ = socket.write_all(&[head.as_bytes(), bytes].concat());
        let mut said = String::new();
        let _ = socket.read_to_string(&mut said);
        said
    };
    let early = Noise::new(1).bytes(5 << 20);
    assert!(put(&server, "early", &early).starts_with("HTTP/1.1 201"));
    for round in 0..3 {
        let said = put(&server, "large", &Noise::new(2 + round).bytes(40 << 20));
        // The last part of the answer may be lost if the client still sends when the server closes.
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 507"), "{said}");
        server.log_until(|line| line["path"] == "/_/files/default/large" && line["status"] == 507);
        assert!(server.get("/_/files/default/large", Some(basic)).starts_with("HTTP/1.1 404"));
    }
    let was_read = |server: &Served| {
        let mut socket = server.connect();
        let head = format!(
            "GET /_/files/default/early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: {basic}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut said = Vec::new();
        socket.read_to_end(&mut said).unwrap();
        said.starts_with(b"HTTP/1.1 200") && said.ends_with(&early)
    };
    assert!(was_read(&server));
    assert!(server.get("/_/health/ready", None).starts_with("HTTP/1.1 200"));
    // The next put cuts off what the failed ones wrote.
    let said = put(&server, "small", &Noise::new(9).bytes(2 << 20));
    assert!(said.starts_with("HTTP/1.1 201"), "{said}");
    assert!(was_read(&server));
    // Now the log has grown, and not one byte is left.
    (0..200).for_each(|number| drop(put(&server, &format!("small-{number}"), &[0, 1])));
    disk.fill();
    let delete = |server: &Served, name: &str| {
        let mut socket = server.connect();
        let head = format!(
            "DELETE /_/files/default/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: {basic}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        said
    };
    let large = put(&server, "large", &Noise::new(8).bytes(1 << 20));
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 507"), "{large}");
    for number in 0..200 {
        let said = delete(&server, &format!("small-{number}"));
        assert!(said.starts_with("HTTP/1.1 204"), "{number}: {said}");
        disk.fill();
    }
    assert!(was_read(&server));
    server.signal(Signal::TERM);
    assert_eq!(server.ends_in(Duration::from_secs(60)), Some(0));
    let server = Served::start(&sandbox.path("disk/store"), &[], &key);
    assert!(was_read(&server));
}
