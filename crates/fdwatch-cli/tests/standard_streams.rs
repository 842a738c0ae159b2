//! What cannot be written to standard output is no success, and standard error ends nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::Path;
use std::process::{Command, Stdio};

const FDWATCH: &str = env!("CARGO_BIN_EXE_fdwatch");

/// Something that could not be read or written.
const IO: Option<i32> = Some(74);

/// A recording, and a file that is open for reading only: `1<read-only`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let count = r#"{"schema":1,"elapsed_ms":1,"processes":[]}"#;
    std::fs::write(folder.path().join("count"), format!("{count}\n")).unwrap();
    std::fs::write(folder.path().join("read-only"), "").unwrap();
    folder
}

/// The exit code and what was said on standard error, where that was not redirected.
fn redirected(folder: &Path, redirection: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}"), FDWATCH]).args(arguments);
    let output = shell.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn commands(pid: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["--help"],
        vec!["run", "--help"],
        vec!["--version"],
        vec!["completions", "bash"],
        vec!["compare", "count", "count"],
        vec![pid, "--duration", "200ms"],
        vec![pid, "--duration", "200ms", "--json"],
        vec![pid, "--duration", "200ms", "--csv"],
    ]
}

#[test]
fn what_standard_output_does_not_take_is_an_error() {
    let (folder, pid) = (folder(), std::process::id().to_string());
    for command in commands(&pid) {
        for (redirection, says) in [
            (">/dev/full", "No space left on device"),
            (">&-", "it is closed"),
            ("1<read-only", "Bad file descriptor"),
        ] {
            let (code, said) = redirected(folder.path(), redirection, &command);
            assert_eq!(code, IO, "{command:?} {redirection}: {said}");
            assert!(said.contains("standard output cannot be written"), "{command:?}: {said}");
            assert!(said.contains(says), "{command:?} {redirection}: {said}");
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_a_success() {
    let (folder, pid) = (folder(), std::process::id().to_string());
    for command in commands(&pid) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut ours = Command::new(FDWATCH);
        let output =
            ours.args(&command).current_dir(folder.path()).stdin(Stdio::null()).stdout(writer);
        let output = output.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn what_standard_error_does_not_take_changes_no_exit_code() {
    let folder = folder();
    let wanted: [(&[&str], i32); 5] = [
        (&["--no-such-flag"], 64),
        (&["no-such-process-here"], 3),
        (&["compare", "count", "missing"], 74),
        (&["compare", "count", "count"], 0),
        (&["run", "--json", "--csv", "--", "true"], 64),
    ];
    for redirection in ["2>/dev/full", "2>&-", "2<read-only"] {
        for (command, code) in wanted {
            let ended = redirected(folder.path(), redirection, command).0;
            assert_eq!(ended, Some(code), "{command:?} {redirection}");
        }
    }
}

#[test]
fn a_command_that_is_run_needs_no_standard_output() {
    let folder = folder();
    let run = ["run", "--", "sh", "-c", "exit 7"];
    assert_eq!(redirected(folder.path(), ">&-", &run).0, Some(7));
}
