//! `fdwatch PID --stacks`: which functions open what a process opens from then on, and that the
//! process is left as it was.

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "run/probe.rs"]
mod probe;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use probe::{signal, state, until};

/// A process that opens a file whenever it is told to. Killed at the end.
struct Opener {
    process: Child,
    said: BufReader<ChildStderr>,
}

impl Opener {
    fn start() -> Self {
        let mut process = Command::new(probe::example("named_opener"))
            .arg("told")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { process, said }
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it answers.
    fn open(&mut self, how: &str) -> String {
        writeln!(self.process.stdin.as_mut().unwrap(), "{how}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert!(line.starts_with("opened "), "{line}");
        line
    }

    /// Whether it runs on, and nothing traces any thread of it.
    fn is_let_go(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        tasks.flatten().all(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            status.contains("TracerPid:\t0\n")
                && !status.contains("State:\tt")
                && !status.contains("State:\tT")
        })
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Not left behind by a test that fails, nor left stopped.
struct Killed(Option<Child>);

impl Killed {
    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(mut process) = self.0.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// A watch that has attached.
struct Watch {
    process: Killed,
    said: BufReader<ChildStderr>,
    seen: PathBuf,
    _folder: tempfile::TempDir,
}

impl Watch {
    fn start(pid: u32, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        // A signal that the tests were started with as ignored would stay ignored.
        let mut process = Command::new("env")
            .args(["--default-signal", env!("CARGO_BIN_EXE_fdwatch"), &pid.to_string(), "--stacks"])
            .args(["--interval", "10ms", &format!("--json={}", seen.display())])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("fdwatch: attached to 1 process"), "{line}");
        Self { process: Killed(Some(process)), said, seen, _folder: folder }
    }

    /// The second count from now on begins after all that was done until now.
    fn count_again(&self) {
        let counts = || lines(&self.seen);
        let before = counts();
        until("it is counted", || counts() >= before + 3);
    }

    fn end_by(mut self, name: &str) -> (Option<i32>, String, String) {
        signal(self.process.id(), name);
        let mut errors = String::new();
        self.said.read_to_string(&mut errors).unwrap();
        let Output { status, stdout, .. } =
            self.process.0.take().unwrap().wait_with_output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), errors)
    }
}

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[test]
fn what_is_opened_from_then_on_is_known_by_its_function() {
    let mut opener = Opener::start();
    opener.open("before");
    let watch = Watch::start(opener.pid(), &[]);
    for how in ["main", "thread", "main", "thread", "main"] {
        opener.open(how);
    }
    watch.count_again();
    let (code, report, errors) = watch.end_by("INT");
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        report.contains("3 opened by") && report.contains("named_opener::opens_a_file+"),
        "{report}"
    );
    assert!(
        report.contains("2 opened by") && report.contains("named_opener::opens_in_a_thread+"),
        "{report}"
    );
    assert!(opener.is_let_go());
    opener.open("after");
}

#[test]
fn every_end_of_the_watch_leaves_the_process_running() {
    let mut opener = Opener::start();
    for name in ["INT", "TERM", "HUP", "QUIT", "KILL", "ABRT"] {
        let watch = Watch::start(opener.pid(), &[]);
        opener.open("main");
        assert!(!opener.is_let_go(), "it is traced");
        watch.end_by(name);
        until("it is let go", || opener.is_let_go());
        opener.open("main");
    }
}

#[test]
fn job_control_goes_through_and_a_stopped_process_stays_stopped() {
    let mut opener = Opener::start();
    let watch = Watch::start(opener.pid(), &[]);
    signal(opener.pid(), "STOP");
    until("it is stopped", || matches!(state(opener.pid()), Some('T' | 't')));
    signal(opener.pid(), "CONT");
    opener.open("main");
    signal(opener.pid(), "STOP");
    until("it is stopped again", || matches!(state(opener.pid()), Some('T' | 't')));
    watch.end_by("INT");
    until("it is stopped, and not by a tracer", || state(opener.pid()) == Some('T'));
    signal(opener.pid(), "CONT");
    opener.open("main");
    assert!(opener.is_let_go());
}

#[test]
fn a_watch_that_is_sent_a_stop_goes_on() {
    let mut opener = Opener::start();
    let watch = Watch::start(opener.pid(), &[]);
    signal(watch.process.id(), "TSTP");
    watch.count_again();
    opener.open("main");
    assert_eq!(watch.end_by("INT").0, Some(0));
}

/// Were the watch to wait for its reader, the process must not wait with it.
#[test]
fn a_watch_whose_output_is_not_read_does_not_stop_the_process() {
    let mut opener = Opener::start();
    let mut watch = Command::new(env!("CARGO_BIN_EXE_fdwatch"))
        .args([&opener.pid().to_string(), "--stacks", "--json", "--interval", "10ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(watch.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let pid = watch.id();
    let is_waiting = || {
        std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|at| at.contains("pipe"))
    };
    until("its output is full", is_waiting);
    for _ in 0..20 {
        opener.open("main");
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    opener.open("main");
}

#[test]
fn where_it_is_not_permitted_it_says_why_and_ends() {
    let opener = Opener::start();
    let pid = opener.pid().to_string();
    let refused = Command::new(probe::example("named_opener"))
        .args(["without", "ptrace", env!("CARGO_BIN_EXE_fdwatch"), &pid, "--stacks", "--no-live"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("trace process {pid}")), "{said}");
    // Another tracer has it already.
    let first = Watch::start(opener.pid(), &[]);
    let second =
        Command::new(env!("CARGO_BIN_EXE_fdwatch")).args([&pid, "--stacks"]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(4), "{said}");
    assert!(said.contains("is traced already"), "{said}");
    assert_eq!(first.end_by("INT").0, Some(0));
    assert!(opener.is_let_go());
}
