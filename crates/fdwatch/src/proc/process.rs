//! A handle of one process.

use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat, readlinkat};
use rustix::path::DecInt;

use super::ProcRoot;
use super::files::read_file;
use super::parse::{self, OpenFiles, Stat};
use crate::{Error, ProcessKey};

/// Room for `/proc/PID/stat`: 52 numbers and a name.
pub(crate) const STAT_BYTES: usize = 2048;
/// Of a command line, only its beginning matters.
const ARGUMENT_BYTES_MAX: usize = 4096;

/// The folder of a process, held open. Once the process is gone, everything in there is: its number
/// may have been taken up, but not by this folder.
#[derive(Debug)]
pub(crate) struct Process {
    key: ProcessKey,
    dir: OwnedFd,
}

impl Process {
    /// The process that has this pid now.
    pub(crate) fn open(root: &ProcRoot, pid: u32) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(root, DecInt::new(pid), flags, Mode::empty())
            .map_err(|errno| Error::of_process(pid, errno))?;
        let mut process = Self { key: ProcessKey { pid, start_ticks: 0 }, dir };
        process.key.start_ticks = process.stat(&mut [0; STAT_BYTES])?.start_ticks;
        Ok(process)
    }

    /// The very process; [`Error::Gone`] if another one has its pid.
    pub(crate) fn open_known(root: &ProcRoot, key: ProcessKey) -> Result<Self, Error> {
        let process = Self::open(root, key.pid)?;
        if process.key == key { Ok(process) } else { Err(Error::Gone { pid: key.pid }) }
    }

    pub(crate) fn key(&self) -> ProcessKey {
        self.key
    }

    pub(crate) fn pid(&self) -> u32 {
        self.key.pid
    }

    pub(crate) fn stat<'b>(&self, buffer: &'b mut [u8; STAT_BYTES]) -> Result<Stat<'b>, Error> {
        let file = read_file(&self.dir, "stat", buffer).map_err(|errno| self.error(errno))?;
        parse::stat(file).ok_or_else(|| Error::Read {
            what: format!("process {}", self.pid()),
            source: io::Error::new(io::ErrorKind::InvalidData, "its stat is malformed"),
        })
    }

    /// RLIMIT_NOFILE; `None` where it is not told.
    pub(crate) fn open_files(&self) -> Option<OpenFiles> {
        let mut buffer = [0; 4096];
        parse::open_files(read_file(&self.dir, "limits", &mut buffer).ok()?)
    }

    /// Whether a name other than its comm is `name`: that of its executable, or what it was called
    /// by.
    ///
    /// The comm is cut at 15 bytes and can be changed; the executable is told only to those who may
    /// trace the process.
    pub(crate) fn is_called(&self, name: &[u8]) -> bool {
        let executable = readlinkat(&self.dir, "exe", Vec::new()).unwrap_or_default();
        let executable = base_name(executable.to_bytes());
        // A program that was replaced while it runs.
        if executable == name || executable.strip_suffix(b" (deleted)") == Some(name) {
            return true;
        }
        let mut buffer = [0; ARGUMENT_BYTES_MAX];
        let file = read_file(&self.dir, "cmdline", &mut buffer).unwrap_or_default();
        let argument = parse::first_argument(file);
        // Some write what they do there: `nginx: worker process`; a login shell begins with a dash.
        let title = argument.split(|b| *b == b':').next().unwrap_or_default();
        let called = base_name(argument);
        called == name || base_name(title) == name || called.strip_prefix(b"-") == Some(name)
    }

    /// Its arguments joined by spaces, as much as fits; empty where it is not told.
    pub(super) fn command_line(&self, bytes_max: usize) -> Vec<u8> {
        let mut line = vec![0; bytes_max];
        let len = read_file(&self.dir, "cmdline", &mut line).map_or(0, <[u8]>::len);
        line.truncate(len);
        let end = line.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        line.truncate(end);
        line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        line
    }

    pub(super) fn error(&self, errno: rustix::io::Errno) -> Error {
        Error::of_process(self.pid(), errno)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}
