//! The segment files of a store: made, adopted, read and synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use drystone_store::{Location, Result, SegmentId, SegmentStorage, SegmentWriter, StoreError, SyncPolicy};
use drystone_sync::{Mutex, PlainArc};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock};

use crate::LocalConfig;
use crate::segment_file::{SegmentFile, header, sync_name, write_all_at};

/// Segment files below one folder.
pub struct SegmentFiles {
    folder: PathBuf,
    sync: SyncPolicy,
    segment_bytes_max: u64,
    open: PlainArc<OpenWriters>,
    readers: Readers,
    /// Segments whose sync failed. Locked for as long as one is synced: the kernel reports a write-back error once for each open file,
    /// so of two syncs side by side, or of one after the other, one would believe that all is well. The group commit is not the only
    /// one that asks.
    failed_syncs: Mutex<BTreeSet<SegmentId>>,
}

/// The files that this process appends to, so that a sync finds their descriptors.
#[derive(Default)]
pub(crate) struct OpenWriters {
    /// A leaf lock.
    files: Mutex<BTreeMap<SegmentId, PlainArc<File>>>,
}

impl OpenWriters {
    pub(crate) fn remove(&self, id: SegmentId) {
        self.files.lock().remove(&id);
    }
}

/// Files open for reading, the most recently used last.
struct Readers {
    /// A leaf lock.
    files: Mutex<Vec<(SegmentId, PlainArc<File>)>>,
    len_max: usize,
}

impl SegmentFiles {
    pub(crate) fn new(folder: PathBuf, config: &LocalConfig) -> Self {
        let len_max = config.segment_readers.max(1);
        Self {
            folder,
            sync: config.sync,
            segment_bytes_max: config.segment_bytes_max,
            open: PlainArc::default(),
            readers: Readers { files: Mutex::new(Vec::with_capacity(len_max)), len_max },
            failed_syncs: Mutex::default(),
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
        match fs::create_dir(path.parent().unwrap_or(&self.folder)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Owned before it has its name: the records list the segment already, and whoever looks for one to adopt must not get
        // between the making and the lock.
        let unnamed = path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&unnamed)?;
        let mut owned =
            self.name(id, path, &unnamed, file).inspect_err(|_| drop(fs::remove_file(&unnamed)))?;
        // Given up while it is owned, or somebody could adopt what a power cut takes away.
        owned.sync_name().inspect_err(|_| drop(fs::remove_file(path)))?;
        Ok(owned)
    }

    fn name(&self, id: SegmentId, path: &Path, unnamed: &Path, file: File) -> io::Result<SegmentFile> {
        write_all_at(&file, &[&header(id)], 0)?;
        let owned = self.own(id, path, file)?;
        let owned = owned.ok_or_else(|| io::Error::other("a new segment is owned by somebody else"))?;
        // Never over an existing one: after an old database was put back, ids are handed out again.
        rustix::fs::renameat_with(CWD, unnamed, CWD, path, RenameFlags::NOREPLACE)?;
        Ok(owned)
    }

    /// As durable as if it had been made and written with [`SyncPolicy::Commit`].
    pub(crate) fn sync_with_names(&self, id: SegmentId) -> Result<()> {
        self.sync_once(id, || {
            sync_name(&self.path(id)).map_err(|error| self.failed("sync the name of", id, error))
        })
    }

    /// `first` is done before it, one at a time, too.
    fn sync_once(&self, id: SegmentId, first: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut failed_syncs = self.failed_syncs.lock();
        if failed_syncs.contains(&id) {
            return Err(self.failed("sync", id, io::Error::other("an earlier sync of it failed")));
        }
        first()?;
        let open = self.open.files.lock().get(&id).map(PlainArc::clone);
        let file = match open {
            Some(file) => Ok(file),
            // Its writer has been dropped since; the kernel keeps an error for the next descriptor that asks.
            None => File::open(self.path(id)).map(PlainArc::new),
        };
        let file = file.map_err(|error| self.failed("sync", id, error))?;
        file.sync_data().map_err(|error| {
            failed_syncs.insert(id);
            self.failed("sync", id, error)
        })
    }

    fn reader(&self, id: SegmentId) -> io::Result<PlainArc<File>> {
        let mut files = self.readers.files.lock();
        if let Some(at) = files.iter().position(|(open, _)| *open == id) {
            let entry = files.remove(at);
            let file = PlainArc::clone(&entry.1);
            files.push(entry);
            return Ok(file);
        }
        // Opened under the lock: otherwise many readers at once would pass the ceiling of descriptors.
        if files.len() == self.readers.len_max {
            files.remove(0);
        }
        let file = PlainArc::new(File::open(self.path(id))?);
        files.push((id, PlainArc::clone(&file)));
        Ok(file)
    }

    fn failed(&self, what: &str, id: SegmentId, source: io::Error) -> StoreError {
        StoreError::storage(format!("cannot {what} segment {}", self.path(id).display()), source)
    }
}

impl SegmentStorage for SegmentFiles {
    fn create(&self, id: SegmentId) -> Result<Box<dyn SegmentWriter>> {
        let made = self.make(id, &self.path(id)).map_err(|error| self.failed("create", id, error))?;
        Ok(Box::new(made))
    }

    fn adopt(&self, id: SegmentId) -> Result<Option<Box<dyn SegmentWriter>>> {
        let path = self.path(id);
        let adopted = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => self.own(id, &path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let adopted = adopted.map_err(|error| self.failed("open", id, error))?;
        Ok(adopted.map(|file| Box::new(file) as Box<dyn SegmentWriter>))
    }

    fn read(&self, at: Location, into: &mut [u8]) -> Result<()> {
        let read = self.reader(at.segment).and_then(|file| file.read_exact_at(into, at.offset));
        read.map_err(|error| self.failed("read", at.segment, error))
    }

    fn sync(&self, id: SegmentId) -> Result<()> {
        self.sync_once(id, || Ok(()))
    }
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
    fn one_that_cannot_be_made_leaves_nothing_and_takes_nothing_away() {
        let (_folder, files) = segments();
        let (id, path) = (SegmentId(7), files.path(SegmentId(7)));
        drop(files.make(id, &path).unwrap());
        fs::write(&path, "somebody else's").unwrap();
        let error = files.make(id, &path).err().expect("there is one");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
        let left: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [path]);
    }
}
