//! The files of a store. Other users cannot look into them. Where something else is in a file's
//! place, that is damage and no command waits for it.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, Mode, mkfifoat};
use support::{Sandbox, args, files_below};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The store, and every folder and file below it.
fn everything(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut all = files_below(&sandbox.store());
    let folders: Vec<PathBuf> = all.iter().map(|file| file.parent().unwrap().to_owned()).collect();
    all.extend(folders);
    all.sort();
    all.dedup();
    all
}

#[track_caller]
fn check_closed(sandbox: &Sandbox) {
    for path in everything(sandbox) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[test]
fn other_users_cannot_look_into_a_store_whatever_the_mask() {
    for umask in ["000", "022", "077"] {
        let sandbox = Sandbox::bare();
        let script = "umask $0 && \"$1\" --store \"$2\" init && echo stone | \"$1\" --store \
                      \"$2\" put - --name a";
        let mut shell = sandbox.clean("sh");
        shell.args(["-c", script, umask, env!("CARGO_BIN_EXE_drystone")]).arg(sandbox.store());
        let ran = support::Ran::of(&mut shell);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(everything(&sandbox).len() > 6);
        check_closed(&sandbox);
    }
}

#[test]
fn a_store_that_was_open_to_others_is_closed_and_that_is_said_once() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("a", b"stone");
    for path in everything(&sandbox) {
        let is_folder = path.is_dir();
        fs::set_permissions(path, Permissions::from_mode(if is_folder { 0o755 } else { 0o644 }))
            .unwrap();
    }
    let told = "other users could read this store";
    let first = sandbox.ok(args!["cat", "a"]);
    first.says(&[told]);
    assert_eq!(first.out, b"stone");
    for path in
        [sandbox.store(), sandbox.store().join("segments"), sandbox.store().join("drystone.toml")]
    {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    assert_eq!(mode(&sandbox.store().join("records.db")), 0o600);
    assert_eq!(mode(&sandbox.segments()[0]), 0o600, "closed as it is opened");
    assert!(!sandbox.ok(args!["cat", "a"]).err.contains(told));
}

/// Puts something at a path.
type Put<'a> = &'a dyn Fn(&Path);

/// Puts something else in a file's place, and the file back.
fn in_place_of(path: &Path, put: impl Fn(&Path), check: impl Fn()) {
    let aside = path.with_extension("aside");
    fs::rename(path, &aside).unwrap();
    put(path);
    check();
    match fs::symlink_metadata(path).unwrap().is_dir() {
        true => fs::remove_dir(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
    fs::rename(&aside, path).unwrap();
}

#[test]
fn what_is_no_file_is_damage_and_keeps_nothing_waiting() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("a", &[7; 300_000]);
    let segment = sandbox.segments().remove(0);
    let pipe = |path: &Path| mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    let link = |path: &Path| symlink(path.with_extension("aside"), path).unwrap();
    let device = |path: &Path| symlink("/dev/zero", path).unwrap();
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let kinds: [(&str, Put<'_>); 5] = [
        ("a named pipe", &pipe),
        ("a symbolic link", &link),
        ("a symbolic link", &device),
        ("a folder", &folder),
        ("a socket", &socket),
    ];
    for (what, put) in kinds {
        let says = [what, "no regular file"];
        in_place_of(&segment, put, || {
            sandbox.fails(5, args!["cat", "a"]).says(&["object `a` is damaged"]).says(&says);
            // A new object goes into another segment.
            sandbox.put_bytes("b", what.as_bytes());
        });
        for name in ["drystone.toml", "records.db"] {
            in_place_of(&sandbox.store().join(name), put, || {
                sandbox.fails(5, args!["cat", "a"]).says(&[name]).says(&says);
            });
        }
    }
    assert_eq!(sandbox.cat("a").len(), 300_000);
    // Something else in place of the log: SQLite would take a pipe for the log.
    let log = sandbox.store().join("records.db-wal");
    pipe(&log);
    sandbox.fails(5, args!["ls"]).says(&["records.db-wal", "a named pipe"]);
    fs::remove_file(&log).unwrap();
    sandbox.ok(args!["ls"]);
}

#[test]
fn a_segment_that_cannot_be_made_leaves_no_row() {
    if !support::is_root() {
        return support::skipped("a folder that even root cannot write to needs chattr");
    }
    let sandbox = Sandbox::new();
    let segments = sandbox.store().join("segments");
    let immutable = |flag: &str| {
        Command::new("chattr").arg(flag).arg(&segments).status().is_ok_and(|s| s.success())
    };
    if !immutable("+i") {
        return support::skipped("chattr is not to be had here");
    }
    let rows = || {
        let db = rusqlite::Connection::open(sandbox.store().join("records.db")).unwrap();
        db.query_row("SELECT count(*) FROM segments", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    for _ in 0..8 {
        assert_eq!(sandbox.feed(args!["put", "-", "--name", "a"], b"stone").code, Some(1));
    }
    let left = rows();
    assert!(immutable("-i"));
    assert_eq!(left, 0);
    sandbox.put_bytes("a", b"stone");
    assert_eq!(rows(), 1);
}
