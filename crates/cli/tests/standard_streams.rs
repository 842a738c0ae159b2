//! Standard input that is empty, and standard output that takes nothing: neither is a success.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod served;
mod support;

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use served::DRYSTONE;
use support::{Ran, Sandbox, args, spawn};

/// The binary with its standard streams as this text of a shell says.
fn redirected(sandbox: &Sandbox, redirection: &str, args: &[&std::ffi::OsStr]) -> Ran {
    let mut command = sandbox.clean("sh");
    // A server that should have refused to start would never end.
    command.arg("-c").arg(format!("exec timeout 60 \"$0\" \"$@\" {redirection}"));
    command.arg(DRYSTONE).arg("--store").arg(sandbox.store()).args(args);
    Ran::of(&mut command)
}

#[test]
fn an_empty_standard_input_replaces_nothing() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("db.sql", b"a good dump");
    fs::write(sandbox.path("empty"), "").unwrap();
    let put = args!["put", "-", "--name", "db.sql"];
    for (redirection, says) in [
        ("</dev/null", "standard input is empty"),
        ("<empty", "standard input is empty"),
        ("<&-", "standard input is closed"),
        ("</tmp", "cannot read it: Is a directory"),
        // It is open, and not for reading.
        ("0>other", "cannot read it: Bad file descriptor"),
    ] {
        let ran = redirected(&sandbox, redirection, put);
        assert_eq!(ran.code, Some(1), "{redirection}: {}", ran.err);
        ran.says(&["-: ", says]);
        assert_eq!(sandbox.cat("db.sql"), b"a good dump", "{redirection}");
    }
    let failed = sandbox.feed(put, b"");
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    failed.says(&["standard input is empty", "--allow-empty"]);
    let json = sandbox.feed(args!["--json", "put", "-", "--name", "new"], b"");
    assert_eq!((json.code, json.summary("objects"), json.summary("failed")), (Some(1), 0, 1));
    assert_eq!(sandbox.ok(args!["ls"]).text(), "db.sql\n");
    // A closed standard input is not an empty one: `--allow-empty` does not allow it.
    let closed = redirected(&sandbox, "<&-", &[put, args!["--allow-empty"]].concat());
    assert_eq!(closed.code, Some(1), "{}", closed.err);
    assert_eq!(sandbox.cat("db.sql"), b"a good dump");
}

#[test]
fn an_empty_standard_input_is_stored_where_it_is_meant() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"old");
    let put = sandbox.feed(args!["put", "-", "--name", "k", "--allow-empty"], b"");
    assert_eq!(put.code, Some(0), "{}", put.err);
    assert_eq!(sandbox.cat("k"), b"");
    fs::write(sandbox.path("f"), "").unwrap();
    sandbox.ok(args!["put", "f"]);
    sandbox
        .fails(2, args!["put", "f", "--allow-empty"])
        .says(&["--allow-empty is for standard input"]);
}

/// Memory of this process from so many bytes before the end of its stack on; behind that end there
/// is none to be read.
fn memory_up_to_its_end(bytes: u64) -> File {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let stack = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
    let end = stack.split(['-', ' ']).nth(1).unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    memory.seek(SeekFrom::Start(u64::from_str_radix(end, 16).unwrap() - bytes)).unwrap();
    memory
}

#[test]
fn an_input_that_fails_replaces_nothing() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"old");
    // At once, and after more bytes than are read before it is decided that the input is not empty.
    for bytes in [0, 100_000] {
        let mut command = sandbox.drystone(args!["put", "-", "--name", "k"]);
        let ran = Ran::of(command.stdin(memory_up_to_its_end(bytes)));
        assert_eq!(ran.code, Some(1), "{bytes}: {}", ran.err);
        ran.says(&["cannot read it: Input/output error"]);
        assert_eq!(sandbox.cat("k"), b"old", "{bytes}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_of_every_command() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"bytes");
    fs::write(sandbox.path("f"), "bytes").unwrap();
    fs::write(sandbox.path("read-only"), "").unwrap();
    let folder = sandbox.path("into");
    let commands = [
        args!["--help"],
        args!["help", "put"],
        args!["--version"],
        args!["completions", "bash"],
        args!["plan"],
        args!["--json", "plan"],
        args!["cat", "k"],
        args!["ls"],
        args!["--json", "ls"],
        args!["ls", "--buckets"],
        args!["stat"],
        args!["stat", "k"],
        args!["--json", "stat", "k"],
        args!["--json", "put", "f"],
        args!["--json", "get", "k", folder],
        args!["--json", "rm", "nothing"],
        args!["bucket", "list"],
        args!["--json", "bucket", "list"],
        args!["--json", "bucket", "set", "default", "--private"],
        args!["bench", "--size", "1MiB", "--rounds", "1", "--only", "none"],
    ];
    for command in commands {
        for (redirection, says) in [
            (">/dev/full", "No space left on device"),
            (">&-", "it is closed"),
            ("1<read-only", "Bad file descriptor"),
        ] {
            let ran = redirected(&sandbox, redirection, command);
            assert_eq!(ran.code, Some(1), "{command:?} {redirection}: {}", ran.err);
            ran.says(&["cannot write to standard output", says]);
            let _ = fs::remove_dir_all(&folder);
        }
    }
    // Nothing has to be written, and there is no place to write it to.
    sandbox.put_bytes("empty", b"");
    for command in [args!["cat", "empty"], args!["ls", "nothing"], args!["key", "list"]] {
        assert_eq!(redirected(&sandbox, ">&-", command).code, Some(1), "{command:?}");
        assert_eq!(redirected(&sandbox, ">/dev/null", command).code, Some(0), "{command:?}");
    }
}

#[test]
fn commands_that_write_nothing_need_no_standard_output() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("f"), "bytes").unwrap();
    for command in [
        args!["put", "f"],
        args!["get", "f", "g"],
        args!["rm", "f"],
        args!["bucket", "create", "b-1"],
    ] {
        let ran = redirected(&sandbox, "<&- >&-", command);
        assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.err);
    }
}

/// As daemons and programs give it to their children: it is open, so it is no error.
#[test]
fn dev_null_for_reading_and_writing_is_an_output() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"bytes");
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let mut command = sandbox.drystone(args!["cat", "k"]);
    let status = command.stdin(null.try_clone().unwrap()).stdout(null).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// The first descriptor that is opened has the lowest number that is free: a message must not go
/// into a file of the store.
#[test]
fn no_file_of_a_store_stands_in_for_a_standard_stream_that_is_closed() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("f"), "bytes").unwrap();
    let messages = "drystone: missing: cannot read it";
    for round in 0..3 {
        let ran = redirected(&sandbox, "<&- >&- 2>&-", args!["--json", "put", "f", "missing"]);
        assert_eq!(ran.code, Some(1), "{round}");
    }
    assert_eq!(redirected(&sandbox, "<&- >&- 2>&-", args!["put", "f", "missing"]).code, Some(3));
    assert_eq!(sandbox.cat("f"), b"bytes");
    for file in support::files_below(&sandbox.store()).into_iter().filter(|path| path.is_file()) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(messages.len()).any(|window| window == messages.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

fn keys(store: &Path) -> String {
    String::from_utf8(served::drystone(store, &["key", "list"]).stdout).unwrap()
}

#[test]
fn a_key_that_could_not_be_shown_is_not_kept() {
    let sandbox = Sandbox::new();
    for json in ["--quiet", "--json"] {
        for redirection in [">/dev/full", ">&-", "1</dev/null"] {
            let create = args![json, "key", "create", "--name", "me"];
            let ran = redirected(&sandbox, redirection, create);
            assert_eq!(ran.code, Some(1), "{redirection}: {}", ran.err);
            ran.says(&["the key was not made, because it could not be shown"]);
            assert_eq!(keys(&sandbox.store()), "", "{redirection}");
        }
        // When the reader has left, the user has not seen the key either.
        let mut child = spawn(
            sandbox.drystone(args![json, "key", "create", "--name", "me"]).stdin(Stdio::null()),
        );
        drop(child.stdout.take());
        let ran = Ran::new(child.wait_with_output().unwrap());
        assert_eq!((ran.code, keys(&sandbox.store())), (Some(1), String::new()), "{}", ran.err);
    }
    sandbox.ok(args!["key", "create", "--name", "me"]);
    assert_eq!(keys(&sandbox.store()).lines().count(), 1);
}

#[test]
fn a_server_does_not_keep_a_first_key_that_it_could_not_show() {
    let sandbox = Sandbox::bare();
    for redirection in [">/dev/full", ">&-"] {
        let serve = args!["serve", "--listen", "127.0.0.1:0"];
        let ran = redirected(&sandbox, redirection, serve);
        assert_eq!(ran.code, Some(1), "{redirection}: {}", ran.err);
        ran.says(&["the key was not made"]);
        assert_eq!(keys(&sandbox.store()), "", "{redirection}");
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>/dev/full", DRYSTONE]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "json"]).arg(&store);
    command.env("DRYSTONE_ACCESS_KEY", "alice").env("DRYSTONE_SECRET_KEY", "first-secret");
    let mut server = served::Served::listening(&mut command);
    for _ in 0..3 {
        // Each request is a line of the log.
        assert!(server.get("/_/files/", None).starts_with("HTTP/1.1 401"));
    }
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.ends_in(served::PATIENCE), Some(0));
}

#[test]
fn a_terminal_is_named_before_it_is_read() {
    let sandbox = Sandbox::new();
    // `script` gives the command a terminal, and ends its input.
    let mut command = sandbox.clean("script");
    let line = format!("{DRYSTONE} --store {} put - --name typed", sandbox.store().display());
    command.args(["-qec", &line, "/dev/null"]);
    let mut child = match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(_) => return support::skipped("a terminal needs `script`"),
    };
    child.stdin.take().unwrap().write_all(b"words\n\x04").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("is read from the terminal; Ctrl-D"),
        "{said}"
    );
    assert_eq!(sandbox.cat("typed"), b"words\n");
}
