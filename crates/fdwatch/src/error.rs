//! What can go wrong, by what a caller can do about it.

use std::io;

use rustix::io::Errno;

/// Why a process could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such process, or no longer.
    #[error("there is no process {pid}, or no longer")]
    Gone {
        /// Which.
        pid: u32,
    },
    /// The kernel does not show it to this user.
    #[error(
        "the kernel does not show the descriptors of process {pid}: run as its user or as root"
    )]
    NotPermitted {
        /// Which.
        pid: u32,
    },
    /// Something in `/proc` could not be read.
    #[error("{what} cannot be read")]
    Read {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Of a call that looked at a file of a process.
    pub(crate) fn of_process(pid: u32, errno: Errno) -> Self {
        match errno {
            // A process that ends takes its files with it; through a held folder the kernel says
            // ESRCH.
            Errno::NOENT | Errno::SRCH => Self::Gone { pid },
            Errno::ACCESS | Errno::PERM => Self::NotPermitted { pid },
            _ => Self::Read { what: format!("process {pid}"), source: errno.into() },
        }
    }

    /// Whether this process itself, or the system, has no descriptors left.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        let Self::Read { source, .. } = self else { return false };
        let errno = source.raw_os_error();
        errno == Some(Errno::MFILE.raw_os_error()) || errno == Some(Errno::NFILE.raw_os_error())
    }
}
