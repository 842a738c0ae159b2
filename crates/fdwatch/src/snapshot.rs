//! One look at a process, without watching it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use rustix::fd::{AsFd as _, AsRawFd as _};
use rustix::fs::{AtFlags, CWD, statat};

use crate::proc::{
    Position, ProcRoot, Process, Tables, Wanted, each_entry, find_sockets, open_folder, scan,
};
use crate::{Descriptor, Error, Kind, ProcessKey};

/// In one [`Snapshot`].
const DESCRIPTORS_MAX: usize = 1 << 20;
/// Directories that are open while a process is looked at.
const LOOKING: u64 = 3;
/// Of the tables of sockets.
const TABLES_BYTES_MAX: u64 = 64 << 20;

/// How many descriptors a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Open ones, in all tables.
    pub descriptors: u64,
    /// 1, and one for each thread that has a table of its own.
    pub tables: usize,
    /// The soft RLIMIT_NOFILE; `None` if it is unlimited or not told.
    pub limit: Option<u64>,
    /// It is a zombie: it has ended, and its parent has not asked yet. Then there are no
    /// descriptors.
    pub is_zombie: bool,
}

/// All descriptors of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which process.
    pub key: ProcessKey,
    /// By number within each table; a number comes twice if a thread has a table of its own.
    pub descriptors: Vec<Descriptor>,
    /// There were more than a million, or the tables of sockets were longer than 64 MiB.
    pub is_cut: bool,
}

/// How many descriptors process `pid` has. Some ten system calls, however many there are (before
/// Linux 6.2, one for every few hundred).
///
/// ```
/// let own = fdwatch::count(std::process::id())?;
/// assert!(own.descriptors >= 1 && own.tables == 1);
/// # Ok::<(), fdwatch::Error>(())
/// ```
///
/// # Errors
/// [`Error::Gone`] if there is no such process; [`Error::NotPermitted`] if the kernel does not
/// tell.
pub fn count(pid: u32) -> Result<Count, Error> {
    let root = ProcRoot::open(Path::new("/proc"))?;
    let process = Process::open(&root, pid)?;
    let mut tables = Tables::default();
    let counted = tables.count(&root, &process)?;
    Ok(Count {
        descriptors: counted.descriptors,
        tables: tables.len(),
        limit: process.open_files().and_then(|limits| limits.soft),
        is_zombie: counted.has_ended,
    })
}

/// All descriptors of process `pid`, with what they refer to. Two or three system calls for each.
///
/// Of this process itself, without the three that the look takes.
///
/// ```
/// let file = std::fs::File::open("Cargo.toml").unwrap();
/// let own = fdwatch::snapshot(std::process::id())?;
/// assert!(own.descriptors.iter().any(|open| open.target.ends_with(b"/Cargo.toml")));
/// # Ok::<(), fdwatch::Error>(())
/// ```
///
/// # Errors
/// Like [`count`], but the targets of other users' processes are seldom told.
pub fn snapshot(pid: u32) -> Result<Snapshot, Error> {
    let root = ProcRoot::open(Path::new("/proc"))?;
    of_process(&root, &Process::open(&root, pid)?, DESCRIPTORS_MAX)
}

pub(crate) fn of_process(
    root: &ProcRoot,
    process: &Process,
    fds_max: usize,
) -> Result<Snapshot, Error> {
    let mut tables = Tables::default();
    tables.count(root, process)?;
    let (mut descriptors, mut sockets) = (Vec::new(), Vec::new());
    let held =
        root.is_own(process).then(|| [root.as_fd().as_raw_fd(), process.as_fd().as_raw_fd()]);
    let next = scan(process, &tables, Position::default(), fds_max, |seen| {
        // In another thread's table, the same number may be something else; it is hardly a folder
        // of `/proc`.
        let is_of_look = held.is_some_and(|held| held.contains(&seen.fd) || seen.fd == seen.folder);
        if is_of_look && seen.kind == Kind::Directory && seen.target.starts_with(b"/proc") {
            return;
        }
        if let Some(inode) = seen.inode {
            let tag =
                u32::try_from(descriptors.len()).expect("they are fewer than DESCRIPTORS_MAX");
            sockets.push(Wanted { inode, fd: seen.fd, is_first_table: seen.is_first_table, tag });
        }
        let target = seen.target.to_vec();
        descriptors.push(Descriptor { fd: seen.fd, kind: seen.kind, target, socket: None });
    })?;
    let searched = find_sockets(process, &mut sockets, TABLES_BYTES_MAX, |wanted, socket| {
        descriptors[wanted.tag as usize].socket = socket;
    });
    Ok(Snapshot { key: process.key(), descriptors, is_cut: next.is_some() || searched.is_cut })
}

/// How many descriptors this process has open. One system call since Linux 6.2.
///
/// Of a thread with a table of its own, those of that table.
///
/// # Errors
/// [`Error::Read`] if there is no `/proc`.
pub fn own() -> Result<u64, Error> {
    own_below(Path::new("/proc/thread-self/fd"))
}

/// What this process has open, by kind, most first: of its first `fds_max` descriptors. Two or
/// three system calls for each, and no table of sockets is read.
///
/// # Errors
/// [`Error::Read`] if there is no `/proc`.
pub fn own_kinds(fds_max: usize) -> Result<Vec<(Kind, u64)>, Error> {
    let root = ProcRoot::open(Path::new("/proc"))?;
    let process = Process::open(&root, std::process::id())?;
    let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
    scan(&process, &Tables::default(), Position::default(), fds_max, |seen| {
        *kinds.entry(seen.kind).or_default() += 1;
    })?;
    // `/proc`, our folder in there and the one in that are open only for this.
    if let Some(directories) = kinds.get_mut(&Kind::Directory) {
        *directories = directories.saturating_sub(LOOKING);
    }
    let mut kinds: Vec<_> = kinds.into_iter().filter(|&(_, count)| count > 0).collect();
    kinds.sort_by_key(|&(_, count)| Reverse(count));
    Ok(kinds)
}

fn own_below(folder: &Path) -> Result<u64, Error> {
    let error = |errno: rustix::io::Errno| Error::Read {
        what: folder.display().to_string(),
        source: errno.into(),
    };
    let size = statat(CWD, folder, AtFlags::empty()).map_err(error)?.st_size;
    if let Ok(descriptors @ 1..) = u64::try_from(size) {
        return Ok(descriptors);
    }
    let mut descriptors: u64 = 0;
    let opened = open_folder(CWD, folder).map_err(error)?;
    each_entry(opened, |_, _| {
        descriptors += 1;
        ControlFlow::Continue(())
    })
    .map_err(error)?;
    // The folder that was read is one of them.
    Ok(descriptors.saturating_sub(1))
}
