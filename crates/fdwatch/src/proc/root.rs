//! `/proc` itself, or a tree that looks like it.

use std::io;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, PROC_SUPER_MAGIC, fstatfs, readlinkat, statat};

use super::Process;
use super::files::open_root;
use super::parse::number;
use crate::Error;

/// An open `/proc`.
#[derive(Debug)]
pub(crate) struct ProcRoot {
    dir: OwnedFd,
    /// The size of a folder `fd` is the number of descriptors: since Linux 6.2.
    pub(super) has_sizes: bool,
    /// Numbers of processes mean here what they mean to system calls of ours.
    pub(super) is_ours: bool,
    own_pid: Option<u32>,
}

impl ProcRoot {
    /// Opens it, and finds out by looking at ourselves what this kernel tells.
    ///
    /// We have descriptors, `dir` at the least, so a size of 0 means that sizes say nothing. In a
    /// tree of ordinary folders, which is what tests use, they say something else: only those
    /// of a real `/proc` are trusted.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let dir = open_root(path).map_err(|errno| Error::Read {
            what: path.display().to_string(),
            source: io::Error::from(errno),
        })?;
        let is_procfs = fstatfs(&dir).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC);
        let size =
            || statat(&dir, "thread-self/fd", AtFlags::empty()).map_or(0, |found| found.st_size);
        let own_pid = readlinkat(&dir, "self", Vec::new()).ok();
        let own_pid = own_pid.and_then(|link| u32::try_from(number(link.to_bytes())?).ok());
        let has_sizes = is_procfs && size() > 0;
        let is_ours = is_procfs && own_pid == Some(std::process::id());
        Ok(Self { dir, has_sizes, is_ours, own_pid })
    }

    /// Whether that is us.
    pub(crate) fn is_own(&self, process: &Process) -> bool {
        self.is_ours && self.own_pid == Some(process.pid())
    }

    /// Our own pid as seen there; `None` if we are not.
    pub(crate) fn own_pid(&self) -> Option<u32> {
        self.own_pid
    }
}

impl AsFd for ProcRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}
