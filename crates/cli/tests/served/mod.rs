//! A server in a process of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const DRYSTONE: &str = env!("CARGO_BIN_EXE_drystone");
/// A wait that takes longer is taken for one that never ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How many unread lines of the log are kept. A server that logs more waits until the test reads.
const LINES_MAX: usize = 10_000;

/// A running server, killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    /// What it said before it listened.
    pub(crate) said: Vec<String>,
    log: Receiver<String>,
}

impl Served {
    pub(crate) fn start(store: &Path, args: &[&str], envs: &[(&str, &str)]) -> Self {
        let mut command = clean();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "json"]).args(args).arg(store);
        command.envs(envs.iter().copied());
        Self::listening(&mut command)
    }

    /// The server that this command starts, or is.
    pub(crate) fn listening(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, log) = sync_channel(LINES_MAX);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // This thread ends with the child, because it reads the child's standard error.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let address = line.strip_prefix("listening on http");
            if let Some(address) =
                address.and_then(|rest| rest.trim_start_matches('s').strip_prefix("://"))
            {
                return Self { child, address: address.to_owned(), said, log };
            }
            said.push(line);
        }
        let ended = child.wait().unwrap();
        panic!(
            "it ended without listening ({ended}): {said:?} {:?}",
            log.iter().collect::<Vec<_>>()
        );
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub(crate) fn get(&self, path: &str, authorization: Option<&str>) -> String {
        let mut socket = self.connect();
        let authorization =
            authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n"
        )
        .unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    }

    /// Our own child, which has not been waited for. So no other process can have this pid.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The lines of the log that the test has not read, of a server that has ended.
    pub(crate) fn rest_of_log(&self) -> Vec<String> {
        self.log.iter().collect()
    }

    /// The lines of the log up to the first that `is_last`.
    pub(crate) fn log_until(&self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error}; so far the log said {seen:?}"));
            // The plan comes before the log, as a table.
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            seen.push(line);
            if seen.last().is_some_and(&is_last) {
                return seen;
            }
        }
    }

    pub(crate) fn ends_in(&mut self, patience: Duration) -> Option<i32> {
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

/// The binary with nothing of the user's own settings.
fn clean() -> Command {
    let mut command = Command::new(DRYSTONE);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DRYSTONE_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", "/nowhere").env("HOME", "/nowhere");
    command
}

pub(crate) fn drystone(store: &Path, args: &[&str]) -> std::process::Output {
    let mut command = clean();
    command.arg("--store").arg(store).args(args).output().unwrap()
}
