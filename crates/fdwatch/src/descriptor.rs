//! What one descriptor is.

use serde::Serialize;

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A regular file that has a name.
    File,
    /// A regular file whose last name is gone (no links left), though it had one.
    DeletedFile,
    /// A directory.
    Directory,
    /// `memfd_create`.
    Memfd,
    /// A file that was opened with `O_TMPFILE` and never had a name.
    TmpFile,
    /// An anonymous pipe.
    Pipe,
    /// A named pipe.
    Fifo,
    /// A socket of any family.
    Socket,
    /// `eventfd`.
    EventFd,
    /// `epoll_create`.
    Epoll,
    /// `inotify_init`.
    Inotify,
    /// `timerfd_create`.
    TimerFd,
    /// `signalfd`.
    SignalFd,
    /// `pidfd_open`.
    PidFd,
    /// `io_uring_setup`.
    IoUring,
    /// A character or block device.
    Device,
    /// A namespace (`/proc/PID/ns/…`).
    Namespace,
    /// Something else that the kernel names.
    Other,
    /// It was there, but could not be looked at (gone by then, or not permitted).
    Unknown,
}

/// What is known about a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Socket {
    /// `tcp`, `tcp6`, `udp`, `udp6`, `unix`, `netlink`, `packet`, `raw`, `raw6`.
    pub family: &'static str,
    /// As the kernel's tables have it, in the words of `ss`: `established`, `close-wait`,
    /// `listen`, …
    pub state: &'static str,
    /// `127.0.0.1:80`, `[::1]:80`, a path, `@name`; empty if it has none.
    pub local: String,
    /// The other end, in the same form; empty if there is none.
    pub peer: String,
    /// Something listens at the port of `local`, so the other end has connected to this one,
    /// whichever port has the higher number.
    pub is_to_listener: bool,
}

/// One open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub fd: i32,
    /// What it refers to.
    pub kind: Kind,
    /// What the link in `/proc/PID/fd` says, as it is: any bytes.
    pub target: Vec<u8>,
    /// For sockets that the tables of the target's network namespace have.
    pub socket: Option<Socket>,
}

/// A new kind goes before `Unknown`, and then this fails.
const _: () = assert!(Kind::Unknown as usize + 1 == Kind::ALL.len());

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: &'static [Self] = &[
        Self::File,
        Self::DeletedFile,
        Self::Directory,
        Self::Memfd,
        Self::TmpFile,
        Self::Pipe,
        Self::Fifo,
        Self::Socket,
        Self::EventFd,
        Self::Epoll,
        Self::Inotify,
        Self::TimerFd,
        Self::SignalFd,
        Self::PidFd,
        Self::IoUring,
        Self::Device,
        Self::Namespace,
        Self::Other,
        Self::Unknown,
    ];

    /// One word, as in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::DeletedFile => "deleted-file",
            Self::Directory => "directory",
            Self::Memfd => "memfd",
            Self::TmpFile => "tmp-file",
            Self::Pipe => "pipe",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::EventFd => "event-fd",
            Self::Epoll => "epoll",
            Self::Inotify => "inotify",
            Self::TimerFd => "timer-fd",
            Self::SignalFd => "signal-fd",
            Self::PidFd => "pid-fd",
            Self::IoUring => "io-uring",
            Self::Device => "device",
            Self::Namespace => "namespace",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}
