//! The segment files of a store: made, adopted, read and synced.

use std::collections::{BTreeMap, BinaryHeap};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use drystone_appender::{OwnedFile, OwnedFiles, Room};
use drystone_store::{Location, Result, SegmentId, StoreError, SyncPolicy};
use drystone_sync::{Mutex, PlainArc};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock};

use crate::readers::Readers;
use crate::segment_file::{HEADER_BYTES, SegmentFile, header, write_all_at};
use crate::syncs::Syncs;
use crate::{LocalConfig, plain_file};

/// Segment files below one folder.
pub struct SegmentFiles {
    folder: PathBuf,
    sync: SyncPolicy,
    segment_bytes_max: u64,
    open: PlainArc<OpenWriters>,
    readers: Readers,
}

/// The files that this process appends to, so that a sync finds their descriptors, and what they
/// have in common.
#[derive(Default)]
pub(crate) struct OpenWriters {
    /// A leaf lock.
    files: Mutex<BTreeMap<SegmentId, PlainArc<File>>>,
    pub(crate) syncs: Syncs,
    /// Keeps appends out while a transaction needs the room that is kept on the disk.
    pub(crate) room: Room,
}

impl OpenWriters {
    pub(crate) fn remove(&self, id: SegmentId) {
        self.files.lock().remove(&id);
    }
}

impl SegmentFiles {
    pub(crate) fn new(folder: PathBuf, config: &LocalConfig) -> Self {
        Self {
            folder,
            sync: config.sync,
            segment_bytes_max: config.segment_bytes_max,
            open: PlainArc::default(),
            readers: Readers::new(config.segment_readers.max(1)),
        }
    }

    /// `segments/NN/ID`: the last two and all sixteen hexadecimal digits of the id.
    fn path(&self, id: SegmentId) -> PathBuf {
        self.folder.join(format!("{:02x}", id.0 & 0xff)).join(format!("{:016x}", id.0))
    }

    fn own(&self, id: SegmentId, path: &Path, file: File) -> io::Result<Option<SegmentFile>> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Opened before its maker gave it up, and locked after.
        if file.metadata()?.nlink() == 0 {
            return Ok(None);
        }
        let file = PlainArc::new(file);
        self.open.files.lock().insert(id, PlainArc::clone(&file));
        let open = PlainArc::clone(&self.open);
        Ok(Some(SegmentFile::new(id, path, file, self.segment_bytes_max, self.sync, open)))
    }

    fn make(&self, id: SegmentId, path: &Path) -> io::Result<SegmentFile> {
        let folder = path.parent().unwrap_or(&self.folder);
        let store = self.folder.parent();
        plain_file::make_folder(folder, store)?;
        // Owned before it has its name. The records list the segment already, and a process that
        // looks for a segment to adopt must not find the file before it is locked.
        let unnamed = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = plain_file::open(&unnamed, options.read(true).write(true).create_new(true))?;
        plain_file::give_to_owner(&file, store);
        let owned =
            self.name(id, path, &unnamed, file).inspect_err(|_| drop(fs::remove_file(&unnamed)))?;
        // On failure, removed while it is owned. Otherwise another process could adopt a segment
        // that a power cut takes away.
        owned.sync_name().inspect_err(|_| drop(fs::remove_file(path)))?;
        Ok(owned)
    }

    fn name(
        &self,
        id: SegmentId,
        path: &Path,
        unnamed: &Path,
        file: File,
    ) -> io::Result<SegmentFile> {
        write_all_at(&file, &[&header(id)], 0)?;
        let owned = self.own(id, path, file)?;
        let owned =
            owned.ok_or_else(|| io::Error::other("a new segment is owned by another process"))?;
        // Never over an existing one: after an old database was put back, ids are handed out again.
        rustix::fs::renameat_with(CWD, unnamed, CWD, path, RenameFlags::NOREPLACE)?;
        Ok(owned)
    }

    /// Removes a segment that no process owns.
    fn unlink(&self, path: &Path) -> io::Result<()> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        };
        let file = match plain_file::open(path, OpenOptions::new().read(true).write(true)) {
            Ok(file) => file,
            Err(error) => return gone(error),
        };
        // Owned until it has no name any more. Otherwise another process could adopt it, or have it
        // open already, and append to bytes that go away.
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(error) => return Err(error.into()),
        }
        fs::remove_file(path).or_else(gone)
    }

    /// The `limit` lowest ids behind `after`. Looks at every segment's name, and remembers no more
    /// of them than it returns.
    fn ids(&self, after: Option<SegmentId>, limit: usize) -> io::Result<Vec<SegmentId>> {
        let mut lowest = BinaryHeap::new();
        for folder in 0..=0xff_u64 {
            let entries = match fs::read_dir(self.folder.join(format!("{folder:02x}"))) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let Some(id) = segment_named(&entry?.file_name()) else { continue };
                if id.0 & 0xff != folder || after.is_some_and(|after| id <= after) {
                    continue;
                }
                lowest.push(id);
                if lowest.len() > limit {
                    lowest.pop();
                }
            }
        }
        Ok(lowest.into_sorted_vec())
    }

    /// Runs `act` while nothing is appended in this process.
    pub(crate) fn without_appends<T>(&self, act: impl FnOnce() -> T) -> T {
        self.open.room.alone(act)
    }

    /// As durable as if it had been made and written with [`SyncPolicy::Commit`].
    pub(crate) fn sync_with_names(&self, id: SegmentId) -> Result<()> {
        self.sync_once(id, Some(&self.path(id)))
    }

    fn sync_once(&self, id: SegmentId, name: Option<&Path>) -> Result<()> {
        let open = || match self.open.files.lock().get(&id) {
            Some(file) => Ok(PlainArc::clone(file)),
            // Its writer has been dropped since; the kernel keeps an error for the next descriptor
            // that asks.
            None => plain_file::open_to_read(&self.path(id)).map(PlainArc::new),
        };
        self.open.syncs.segment(id, name, open).map_err(|error| self.failed("sync", id, error))
    }

    fn failed(&self, what: &str, id: SegmentId, source: io::Error) -> StoreError {
        StoreError::storage(format!("cannot {what} segment {}", self.path(id).display()), source)
    }
}

impl OwnedFiles for SegmentFiles {
    fn create(&self, id: SegmentId) -> Result<Box<dyn OwnedFile>> {
        let made =
            self.make(id, &self.path(id)).map_err(|error| self.failed("create", id, error))?;
        Ok(Box::new(made))
    }

    fn adopt(&self, id: SegmentId) -> Result<Option<Box<dyn OwnedFile>>> {
        let path = self.path(id);
        let opened = plain_file::open(&path, OpenOptions::new().read(true).write(true));
        let adopted = match opened {
            Ok(file) => self.own(id, &path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let adopted = adopted.map_err(|error| self.failed("open", id, error))?;
        if let Some(file) = &adopted {
            file.sync_name().map_err(|error| self.failed("sync the name of", id, error))?;
        }
        Ok(adopted.map(|file| Box::new(file) as Box<dyn OwnedFile>))
    }

    fn header_bytes(&self) -> u64 {
        HEADER_BYTES
    }

    fn read(&self, at: Location, into: &mut [u8]) -> Result<()> {
        let open = || plain_file::open_to_read(&self.path(at.segment));
        let reading = self.readers.read(at.segment, open);
        let read = reading.and_then(|reading| reading.file().read_exact_at(into, at.offset));
        read.map_err(|error| self.failed("read", at.segment, error))
    }

    fn sync(&self, id: SegmentId) -> Result<()> {
        self.sync_once(id, None)
    }

    fn remove(&self, id: SegmentId) -> Result<()> {
        self.unlink(&self.path(id)).map_err(|error| self.failed("remove", id, error))?;
        self.readers.forget(id);
        Ok(())
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>> {
        self.ids(after, limit).map_err(|error| {
            StoreError::storage(format!("cannot list {}", self.folder.display()), error)
        })
    }
}

/// The segment that a file is by its name: sixteen lower-case hexadecimal digits, and nothing else.
fn segment_named(name: &OsStr) -> Option<SegmentId> {
    let digits = name.to_str().filter(|name| name.len() == 16)?;
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    if !digits.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().map(SegmentId)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> (tempfile::TempDir, SegmentFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = SegmentFiles::new(folder.path().to_owned(), &LocalConfig::default());
        (folder, files)
    }

    #[test]
    fn one_that_its_maker_gave_up_is_not_adopted() {
        let (_folder, files) = segments();
        let (id, path) = (SegmentId(7), files.path(SegmentId(7)));
        let made = files.make(id, &path).unwrap();
        let opened = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        drop(made);
        assert!(files.own(id, &path, opened).unwrap().is_none(), "its name is gone");
        assert!(files.open.files.lock().is_empty());
    }

    #[test]
    fn only_names_of_segments_are_listed() {
        let (folder, files) = segments();
        for id in [7, 0x107, 0xff, u64::MAX] {
            let id = SegmentId(id);
            drop(files.make(id, &files.path(id)).unwrap());
        }
        let beside = folder.path().join("07");
        for name in ["0000000000000007.new", "000000000000000A", "+000000000000007", "0", "8"] {
            fs::write(beside.join(name), "").unwrap();
        }
        // Of another folder.
        fs::write(beside.join("0000000000000008"), "").unwrap();
        let ids = |after: Option<u64>, limit| {
            let listed = files.list(after.map(SegmentId), limit).unwrap();
            listed.into_iter().map(|id| id.0).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 9), [7, 0xff, 0x107, u64::MAX]);
        assert_eq!(ids(None, 2), [7, 0xff]);
        assert_eq!(ids(Some(7), 2), [0xff, 0x107]);
        assert_eq!(ids(Some(u64::MAX), 9), [0; 0]);
        assert_eq!(ids(None, 0), [0; 0]);
    }

    #[test]
    fn one_that_is_removed_takes_no_room_when_it_is_not_read_any_more() {
        let (folder, files) = segments();
        let id = SegmentId(7);
        drop(files.make(id, &files.path(id)).unwrap());
        let open = |at: &Path| {
            let entries = fs::read_dir("/proc/self/fd").unwrap();
            let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            targets.filter(|target| target.starts_with(at)).count()
        };
        let at = folder.path().canonicalize().unwrap();
        let byte = Location { segment: id, offset: 0, len: 1 };
        files.read(byte, &mut [0]).unwrap();
        let read = || plain_file::open_to_read(&files.path(id));
        let reading = files.readers.read(id, read).unwrap();
        assert_eq!(open(&at), 1, "one that is open is shared");
        files.remove(id).unwrap();
        files.read(byte, &mut [0]).unwrap();
        drop(reading);
        assert_eq!(open(&at), 0, "a removed segment stays open");
        assert!(files.read(byte, &mut [0]).is_err());
        files.remove(id).unwrap();
    }

    #[test]
    fn one_that_cannot_be_made_leaves_nothing_and_takes_nothing_away() {
        let (_folder, files) = segments();
        let (id, path) = (SegmentId(7), files.path(SegmentId(7)));
        drop(files.make(id, &path).unwrap());
        fs::write(&path, "of another process").unwrap();
        let error = files.make(id, &path).err().expect("there is one");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"of another process");
        let left: Vec<_> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, [path]);
    }
}
