//! What each descriptor is.
//!
//! Two system calls for a file, one for anything else; the link says most of it. A file without a
//! name is told by its number of links, since any file may be *called* `x (deleted)`, and one
//! opened with `O_TMPFILE` by its flags.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;

use rustix::fd::{AsFd, AsRawFd as _};
use rustix::fs::{AtFlags, FileType, SeekFrom, StatxFlags, readlinkat_raw, seek, statx};
use rustix::io::Errno;

use super::files::{each_entry, open_folder, read_file};
use super::parse::{self, Link};
use super::{Process, RemoteMounts, Tables};
use crate::{Error, Kind};

/// Longer targets are cut.
const TARGET_BYTES_MAX: usize = 4096;
/// `__O_TMPFILE` and `O_DIRECTORY` of the kernel, in the numbers of most machines.
const TMPFILE_FLAG: u32 = libc::O_TMPFILE as u32 & !(libc::O_DIRECTORY as u32);
const DIRECTORY_FLAG: u32 = libc::O_DIRECTORY as u32;

/// One descriptor, as long as it is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) fd: i32,
    /// What the table is read through: one of the descriptors in it, where the table is ours.
    pub(crate) folder: i32,
    /// It is in `/proc/PID/fd`.
    pub(crate) is_first_table: bool,
    pub(crate) kind: Kind,
    /// As the link says, with ` (deleted)` if it does.
    pub(crate) target: &'a [u8],
    /// Of a socket.
    pub(crate) inode: Option<u64>,
}

/// Where a scan goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    table: usize,
    /// Of the kernel, for its folder.
    cookie: u64,
}

/// Looks at up to `fds_max` descriptors from `from` on; says where to go on, or `None` at the end.
pub(crate) fn scan(
    process: &Process,
    tables: &Tables,
    from: Position,
    fds_max: usize,
    mut visit: impl FnMut(Seen<'_>),
) -> Result<Option<Position>, Error> {
    let remote = RemoteMounts::of(process);
    let (mut position, mut left) = (from, fds_max);
    while let Some((folder, infos)) = tables.folders(position.table) {
        let looked = TableScan { process, folder: &folder, infos: &infos, remote: &remote };
        match looked.run(&mut position, &mut left, &mut visit) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(position)),
            // Another thread with a table of its own has ended: so has its table.
            Err(Errno::NOENT | Errno::SRCH) if position.table > 0 => {}
            Err(errno) => return Err(process.error(errno)),
        }
        position = Position { table: position.table + 1, cookie: 0 };
    }
    Ok(None)
}

struct TableScan<'a> {
    process: &'a Process,
    folder: &'a str,
    infos: &'a str,
    remote: &'a RemoteMounts,
}

impl TableScan<'_> {
    /// `false` if there are more than may be looked at.
    fn run(
        &self,
        position: &mut Position,
        left: &mut usize,
        visit: &mut impl FnMut(Seen<'_>),
    ) -> Result<bool, Errno> {
        let folder = open_folder(self.process, self.folder)?;
        seek(&folder, SeekFrom::Start(position.cookie))?;
        let mut target = [MaybeUninit::uninit(); TARGET_BYTES_MAX];
        let mut is_whole = true;
        each_entry(&folder, |name, next| {
            if *left == 0 {
                is_whole = false;
                return ControlFlow::Break(());
            }
            *left -= 1;
            position.cookie = next;
            let fd = parse::number(name.to_bytes()).and_then(|fd| i32::try_from(fd).ok());
            if let Some(fd) = fd {
                self.look(&folder, name, &mut target, |kind, target, inode| {
                    let is_first_table = self.folder == "fd";
                    visit(Seen {
                        fd,
                        folder: folder.as_raw_fd(),
                        is_first_table,
                        kind,
                        target,
                        inode,
                    });
                });
            }
            ControlFlow::Continue(())
        })?;
        Ok(is_whole)
    }

    /// Calls `found` unless the descriptor has been closed in the meantime.
    fn look(
        &self,
        folder: impl AsFd,
        name: &CStr,
        buffer: &mut [MaybeUninit<u8>],
        found: impl FnOnce(Kind, &[u8], Option<u64>),
    ) {
        let target = match readlinkat_raw(&folder, name, buffer) {
            Ok((target, _)) => &*target,
            Err(Errno::NOENT | Errno::SRCH) => return,
            // A path so long that the kernel does not print it.
            Err(Errno::NAMETOOLONG) => b"/",
            Err(_) => return found(Kind::Unknown, b"", None),
        };
        match parse::link(target) {
            Link::Socket(inode) => found(Kind::Socket, target, Some(inode)),
            Link::Known(kind) => found(kind, target, None),
            Link::Path => match self.kind_of_path(folder, name, target) {
                Ok(kind) => found(kind, target, None),
                Err(Errno::NOENT | Errno::SRCH) => {}
                Err(_) => found(Kind::Unknown, target, None),
            },
        }
    }

    /// Of what has a path.
    ///
    /// The link is a magic one: it leads to the open file itself, also when its path leads
    /// elsewhere by now. `DONT_SYNC` keeps file systems that ask a server from doing so; those are
    /// not even asked where they are known.
    fn kind_of_path(&self, folder: impl AsFd, name: &CStr, target: &[u8]) -> Result<Kind, Errno> {
        if self.remote.hold(target) {
            let is_directory = self.flags(name).is_some_and(|flags| flags & DIRECTORY_FLAG != 0);
            return Ok(if is_directory { Kind::Directory } else { Kind::File });
        }
        let how = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let inode = statx(folder, name, how, StatxFlags::TYPE | StatxFlags::NLINK)?;
        let has_links = inode.stx_nlink > 0 || inode.stx_mask & StatxFlags::NLINK.bits() == 0;
        Ok(match FileType::from_raw_mode(inode.stx_mode.into()) {
            FileType::RegularFile if has_links => Kind::File,
            FileType::RegularFile if target.starts_with(b"/memfd:") => Kind::Memfd,
            FileType::RegularFile
                if self.flags(name).is_some_and(|flags| flags & TMPFILE_FLAG != 0) =>
            {
                Kind::TmpFile
            }
            FileType::RegularFile => Kind::DeletedFile,
            FileType::Directory => Kind::Directory,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice | FileType::BlockDevice => Kind::Device,
            _ => Kind::Other,
        })
    }

    /// What it was opened with.
    fn flags(&self, name: &CStr) -> Option<u32> {
        let path = format!("{}/{}", self.infos, name.to_str().ok()?);
        let mut buffer = [0; 512];
        parse::fd_flags(read_file(self.process, path, &mut buffer).ok()?)
    }
}
