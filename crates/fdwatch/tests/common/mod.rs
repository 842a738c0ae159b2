//! What several tests of real processes need.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says that a test did nothing: also to `cargo xtask verify`, which counts it.
#[allow(dead_code, reason = "each file of tests uses a part of it")]
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(list) = std::env::var_os("DRYSTONE_SKIPPED") {
        let list = std::fs::OpenOptions::new().append(true).open(list);
        // In one write: other tests append to it at the same time.
        list.unwrap().write_all(format!("{why}\n").as_bytes()).unwrap();
    }
}

/// A child that ends with its test. It also ends when its standard input does, should the test be
/// killed.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    #[allow(dead_code, reason = "each file of tests uses a part of it")]
    pub(crate) fn start(command: &mut Command) -> Self {
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap())
    }

    /// Waits for its standard input to end; returned when it does, and opens nothing more.
    #[allow(dead_code, reason = "each file of tests uses a part of it")]
    pub(crate) fn idle() -> Self {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = cat.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }

    /// As the folder of its descriptors has it: those that we were started with are inherited.
    #[allow(dead_code, reason = "each file of tests uses a part of it")]
    pub(crate) fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count() as u64
    }

    #[allow(dead_code, reason = "each file of tests uses a part of it")]
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks until the answer is yes.
#[allow(dead_code, reason = "each file of tests uses a part of it")]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::yield_now();
    }
}
