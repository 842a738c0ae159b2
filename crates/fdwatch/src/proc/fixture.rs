//! A tree that looks like `/proc` of some kernel.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::ProcRoot;

/// It is removed at the end.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
}

/// A process to be put there.
pub(crate) struct FakeProcess<'a> {
    pub(crate) pid: u32,
    pub(crate) comm: &'a [u8],
    pub(crate) state: u8,
    pub(crate) parent: u32,
    pub(crate) flags: u32,
    pub(crate) threads: u32,
    pub(crate) start_ticks: u64,
    pub(crate) targets: &'a [&'a [u8]],
}

impl Default for FakeProcess<'_> {
    fn default() -> Self {
        Self {
            pid: 100,
            comm: b"fake",
            state: b'S',
            parent: 1,
            flags: 0,
            threads: 1,
            start_ticks: 5000,
            targets: &[],
        }
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn root(&self) -> ProcRoot {
        ProcRoot::open(self.path()).unwrap()
    }

    pub(crate) fn of(&self, pid: u32) -> PathBuf {
        self.path().join(pid.to_string())
    }

    /// Adds a process, or puts it in the place of the one that has its pid.
    pub(crate) fn put(&self, process: &FakeProcess<'_>) {
        let _ = fs::remove_dir_all(self.of(process.pid));
        fs::create_dir_all(self.of(process.pid).join("fd")).unwrap();
        self.write(process.pid, "stat", &process.stat());
        self.link(process.pid, 0, process.targets);
    }

    /// Adds descriptors.
    pub(crate) fn link(&self, pid: u32, first: usize, targets: &[&[u8]]) {
        for (fd, target) in targets.iter().enumerate() {
            let fd = self.of(pid).join("fd").join((first + fd).to_string());
            symlink(OsStr::from_bytes(target), fd).unwrap();
        }
    }

    pub(crate) fn write(&self, pid: u32, name: &str, text: &[u8]) {
        let path = self.of(pid).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.of(pid)).unwrap();
    }
}

impl FakeProcess<'_> {
    pub(crate) fn stat(&self) -> Vec<u8> {
        let (state, parent, flags) = (char::from(self.state), self.parent, self.flags);
        let tail = format!(
            ") {state} {parent} 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {} 0 {} 0 0\n",
            self.threads, self.start_ticks
        );
        [format!("{} (", self.pid).as_bytes(), self.comm, tail.as_bytes()].concat()
    }
}
