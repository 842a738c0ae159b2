//! Room that is kept on the disk for transactions that must work when it is full.
//!
//! A few files of a bounded size. Whatever makes room (a delete, say) and finds the disk full gives
//! them up, does its work, and takes them again. SQLite needs blocks to delete, for its log; and to
//! be opened it needs two names, which may be used up as well: so it is several files. Their bytes
//! mean nothing. A process that finds no such file works as well, except on a full disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use drystone_sync::atomic::{AtomicBool, Ordering};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::plain_file;

/// Files of the reserve.
const FILES: u64 = 4;
/// What each of them takes, in bytes, and less on a small disk: a delete of one object needs some
/// 100 KiB, one of a multipart upload with as many parts as there may be less than 3 MiB.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The whole reserve is at most one part in so many of the disk.
const DISK_SHARE: u64 = 32;
const BLOCK_BYTES: u64 = 4096;

/// The room that is kept. When it is dropped, what was given up of it is taken again.
pub(crate) struct Reserve {
    folder: PathBuf,
    /// Set when some of it was given up, or could not be taken. A hint: read and written without
    /// an order.
    is_short: AtomicBool,
}

impl Reserve {
    /// Nothing is taken yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, is_short: AtomicBool::new(false) }
    }

    /// Takes what is missing of it. Returns whether it is whole.
    pub(crate) fn take(&self) -> bool {
        let taken = self.take_all();
        self.is_short.store(taken.is_err(), Ordering::Relaxed);
        taken.is_ok()
    }

    /// The same if it is known to be short.
    pub(crate) fn take_again(&self) -> bool {
        !self.is_short.load(Ordering::Relaxed) || self.take()
    }

    /// Gives up all of it. Returns whether there was any.
    pub(crate) fn give_up(&self) -> bool {
        self.is_short.store(true, Ordering::Relaxed);
        if !self.is_folder() {
            return false;
        }
        (0..FILES).filter(|number| fs::remove_file(self.file(*number)).is_ok()).count() > 0
    }

    /// A link in its place leads to files that are not the store's.
    fn is_folder(&self) -> bool {
        self.folder.symlink_metadata().is_ok_and(|found| found.is_dir())
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }

    fn take_all(&self) -> io::Result<()> {
        let bytes = file_bytes(self.folder.parent().unwrap_or(&self.folder))?;
        // A file system that does not say how large it is keeps none: `fallocate` refuses no bytes.
        if bytes == 0 {
            return Ok(());
        }
        let store = self.folder.parent();
        plain_file::make_folder(&self.folder, store)?;
        if !self.is_folder() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        for number in 0..FILES {
            let path = self.file(number);
            let is_there = path
                .symlink_metadata()
                .is_ok_and(|found| found.is_file() && found.blocks() * 512 >= bytes);
            if !is_there {
                self.take_one(&path, bytes)?;
            }
        }
        Ok(())
    }

    fn take_one(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let store = self.folder.parent();
        let file = plain_file::open(path, OpenOptions::new().write(true).create(true))?;
        plain_file::give_to_owner(&file, store);
        // A part of a file would take up room on the disk and be of no use.
        fill(&file, bytes).inspect_err(|_| drop(fs::remove_file(path)))
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.take_again();
    }
}

fn file_bytes(disk: &Path) -> io::Result<u64> {
    let disk = statvfs(disk)?;
    let share = disk.f_blocks.saturating_mul(disk.f_frsize) / DISK_SHARE / FILES;
    Ok(share.min(FILE_BYTES_MAX).next_multiple_of(BLOCK_BYTES))
}

fn fill(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let block = [0xd5; BLOCK_BYTES as usize];
            let blocks = 0..bytes / BLOCK_BYTES;
            let written =
                blocks.into_iter().try_for_each(|_| io::Write::write_all(&mut &*file, &block));
            written.and_then(|()| file.sync_all())
        }
        filled => Ok(filled?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (at, other) = (folder.path().join("reserve"), folder.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::write(other.join("1"), "not the store's").unwrap();
        std::os::unix::fs::symlink(&other, &at).unwrap();
        let reserve = Reserve::new(at);
        assert!(!reserve.take() && !reserve.give_up());
        drop(reserve);
        assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
        assert_eq!(fs::read(other.join("1")).unwrap(), b"not the store's");
    }

    #[test]
    fn it_is_taken_given_up_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("reserve");
        let reserve = Reserve::new(at.clone());
        let taken = || {
            fs::read_dir(&at).unwrap().map(|file| file.unwrap().metadata().unwrap().blocks()).sum()
        };
        assert!(reserve.take() && reserve.take_again());
        let bytes = FILES * file_bytes(folder.path()).unwrap();
        let blocks: u64 = taken();
        assert!(blocks * 512 >= bytes, "{blocks} blocks for {bytes} bytes");
        assert!(reserve.give_up() && !reserve.give_up());
        assert_eq!(taken(), 0);
        drop(reserve);
        assert_eq!(taken(), blocks);
        fs::write(at.join("1"), b"a process was killed as it took it").unwrap();
        assert!(Reserve::new(at.clone()).take());
        assert_eq!(taken(), blocks);
    }
}
