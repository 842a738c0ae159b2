//! Starts `examples/run_probe.rs` and listens to it.

#![allow(dead_code, reason = "each file of tests needs a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Probe {
    process: Child,
    said: BufReader<ChildStderr>,
    heard: String,
}

impl Probe {
    pub(crate) fn start(options: &[&str], command: &[&str]) -> Self {
        Self::start_under(&[], options, command)
    }

    /// `above` is a command that ends with executing its arguments.
    pub(crate) fn start_under(above: &[&str], options: &[&str], command: &[&str]) -> Self {
        // A signal that the tests were started with as ignored (`nohup`, a background job) would
        // stay ignored.
        let mut words: Vec<String> =
            ["env", "--default-signal"].iter().chain(above).map(|&word| word.to_owned()).collect();
        words.push(example("run_probe").to_str().unwrap().to_owned());
        words.extend(options.iter().map(|&word| word.to_owned()));
        words.push("--".to_owned());
        words.extend(command.iter().map(|&word| word.to_owned()));
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        Self { process, said, heard: String::new() }
    }

    /// Reads on until it has said `text` and ended that line; all that was said so far.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_lines(text, 1)
    }

    /// The same, until it has said it so often.
    pub(crate) fn wait_for_lines(&mut self, text: &str, lines: usize) -> String {
        while self.heard.matches(text).count() < lines {
            let mut line = String::new();
            assert!(
                self.said.read_line(&mut line).unwrap() > 0,
                "ended without {text:?}: {}",
                self.heard
            );
            self.heard.push_str(&line);
        }
        self.heard.clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    pub(crate) fn give(&mut self, text: &str) {
        self.process.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Ends the input of the command, too.
    pub(crate) fn end_input(mut self) -> (Option<i32>, String) {
        drop(self.process.stdin.take());
        self.end()
    }

    /// Its code, and all that was said up to its end. What it left running may hold stderr open: so
    /// its end is not awaited.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + DEADLINE;
        let code = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status.code();
            }
            // Reading keeps the pipe from filling up.
            self.read_what_is_there();
            if Instant::now() > deadline {
                let _ = self.process.kill();
                panic!("does not end: {}", self.heard);
            }
        };
        self.read_what_is_there();
        (code, self.heard)
    }

    fn read_what_is_there(&mut self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let short = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        loop {
            let buffered = !self.said.buffer().is_empty();
            let mut ready = [PollFd::new(self.said.get_ref(), PollFlags::IN)];
            if !buffered && poll(&mut ready, Some(&short)).unwrap() == 0 {
                return;
            }
            let mut bytes = [0; 4096];
            match self.said.read(&mut bytes).unwrap() {
                0 => return,
                count => self.heard.push_str(&String::from_utf8_lossy(&bytes[..count])),
            }
        }
    }
}

/// Beside the folder of the test binaries; `cargo test` builds examples, `cargo test --test run`
/// does not.
pub(crate) fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", name]);
    assert!(path.exists(), "{} is not there: cargo build -p fdwatch --examples", path.display());
    path
}

/// Polls with a deadline.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `R`, `S`, `T`, `Z`, …
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

pub(crate) fn signal(pid: u32, name: &str) {
    // The shell's own: a program of that name is not everywhere.
    let done = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(done.success());
}

pub(crate) fn kill(pid: u32) {
    signal(pid, "KILL");
}

/// The word that follows `text`.
pub(crate) fn word_after<'a>(said: &'a str, text: &str) -> &'a str {
    let from = said.find(text).unwrap_or_else(|| panic!("no {text:?} in {said}")) + text.len();
    said[from..].split_whitespace().next().unwrap()
}
