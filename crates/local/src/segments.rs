//! The segment files of a store: made, adopted, read and synced.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use drystone_store::{Location, Result, SegmentId, SegmentStorage, SegmentWriter, StoreError, SyncPolicy};
use drystone_sync::{Mutex, PlainArc};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock};

use crate::LocalConfig;
use crate::segment_file::{SegmentFile, header, write_all_at};

/// Segment files below one folder.
pub struct SegmentFiles {
    folder: PathBuf,
    sync: SyncPolicy,
    segment_bytes_max: u64,
    open: PlainArc<OpenWriters>,
    readers: Readers,
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
        let file = PlainArc::new(file);
        self.open.files.lock().insert(id, PlainArc::clone(&file));
        let open = PlainArc::clone(&self.open);
        Ok(Some(SegmentFile::new(id, path, file, self.segment_bytes_max, self.sync, open)))
    }

    fn make(&self, id: SegmentId, path: &Path) -> io::Result<SegmentFile> {
        let folder = path.parent().unwrap_or(&self.folder);
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Owned before it has its name: the records list the segment already, and whoever looks for one to adopt must not get
        // between the making and the lock.
        let unnamed = path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&unnamed)?;
        write_all_at(&file, &[&header(id)], 0)?;
        let owned = self.own(id, path, file)?;
        let owned = owned.ok_or_else(|| io::Error::other("a new segment is owned by somebody else"))?;
        // Never over an existing one: after an old database was put back, ids are handed out again.
        rustix::fs::renameat_with(CWD, &unnamed, CWD, path, RenameFlags::NOREPLACE)?;
        if self.sync == SyncPolicy::Commit {
            // The names must be as durable as the bytes that later syncs put below them; also the folder's, which somebody
            // else may have made a moment ago and not synced yet.
            File::open(folder)?.sync_all()?;
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(owned)
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
        let open = self.open.files.lock().get(&id).map(PlainArc::clone);
        let synced = match open {
            Some(file) => file.sync_data(),
            // Its writer has been dropped since; the kernel keeps an error for the next descriptor that asks.
            None => File::open(self.path(id)).and_then(|file| file.sync_data()),
        };
        synced.map_err(|error| self.failed("sync", id, error))
    }
}
