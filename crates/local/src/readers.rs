//! The segment files that are open for reading: no more than a fixed number, those included that
//! are being read.

use std::fs::File;
use std::io;

use drystone_store::SegmentId;
use drystone_sync::{Condvar, Mutex, PlainArc};

/// Open files, the most recently used last.
pub(crate) struct Readers {
    /// A leaf lock.
    files: Mutex<Vec<Open>>,
    /// Signalled when the last read from a file has ended, or when there is room for one more file.
    freed: Condvar,
    len_max: usize,
}

struct Open {
    id: SegmentId,
    file: PlainArc<File>,
    /// Reads under way. A file that is being read is not closed, so another one has to wait rather
    /// than pass the ceiling.
    reads: usize,
    /// It has been removed: it is closed when it is not read any more, so that the disk gets its
    /// room back.
    is_removed: bool,
}

/// Leave to read from a file, until it is dropped. A thread that has it must not ask for another.
pub(crate) struct Reading<'a> {
    readers: &'a Readers,
    id: SegmentId,
    /// `None` only while it is dropped.
    file: Option<PlainArc<File>>,
}

impl Reading<'_> {
    pub(crate) fn file(&self) -> &File {
        self.file.as_ref().expect("it is there until this is dropped")
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut files = self.readers.files.lock();
        // Before the file counts as not being read: another thread may close it from then on, and
        // that has to free the descriptor.
        self.file = None;
        let Some(at) = files.iter().position(|open| open.id == self.id) else { return };
        let open = &mut files[at];
        open.reads -= 1;
        if open.reads == 0 {
            if open.is_removed {
                files.remove(at);
            }
            self.readers.freed.notify_one();
        }
    }
}

impl Readers {
    pub(crate) fn new(len_max: usize) -> Self {
        Self { files: Mutex::new(Vec::with_capacity(len_max)), freed: Condvar::new(), len_max }
    }

    /// Closes the file of a segment that has been removed, as soon as it is not read any more.
    pub(crate) fn forget(&self, id: SegmentId) {
        let mut files = self.files.lock();
        let Some(at) = files.iter().position(|open| open.id == id) else { return };
        if files[at].reads > 0 {
            files[at].is_removed = true;
        } else {
            files.remove(at);
            self.freed.notify_one();
        }
    }

    /// The segment's file, opened by `open` if it is not open. Waits while as many others are being
    /// read as may be open.
    pub(crate) fn read(
        &self,
        id: SegmentId,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Reading<'_>> {
        let mut files = self.files.lock();
        loop {
            if let Some(at) = files.iter().position(|open| open.id == id) {
                let mut known = files.remove(at);
                known.reads += 1;
                let file = PlainArc::clone(&known.file);
                files.push(known);
                return Ok(Reading { readers: self, id, file: Some(file) });
            }
            if files.len() < self.len_max {
                break;
            }
            if let Some(idle) = files.iter().position(|open| open.reads == 0) {
                files.remove(idle);
                break;
            }
            files = self.freed.wait(files);
        }
        // Opened under the lock: otherwise many readers at once would pass the ceiling of
        // descriptors.
        let opened = open().inspect_err(|_| self.freed.notify_one())?;
        let file = PlainArc::new(opened);
        files.push(Open { id, file: PlainArc::clone(&file), reads: 1, is_removed: false });
        Ok(Reading { readers: self, id, file: Some(file) })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Descriptors of this process that are open below a folder, as the system lists them.
    fn descriptors_below(folder: &Path) -> usize {
        let entries = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| target.starts_with(folder)).count()
    }

    #[test]
    fn no_more_files_are_open_than_may_be_whoever_reads() {
        const LEN_MAX: usize = 3;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let path = |id: u64| at.join(id.to_string());
        (0..20).for_each(|id| std::fs::write(path(id), id.to_string()).unwrap());
        let readers = Readers::new(LEN_MAX);
        let read = |id: u64| readers.read(SegmentId(id), || File::open(path(id)));
        let mut held: Vec<_> = (0..LEN_MAX as u64).map(|id| read(id).unwrap()).collect();
        held.push(read(0).unwrap());
        assert_eq!(descriptors_below(&at), LEN_MAX, "one that is open is shared");
        thread::scope(|scope| {
            let (say, heard) = mpsc::sync_channel(10);
            for id in 10..20 {
                let (say, read, at) = (say.clone(), &read, &at);
                scope.spawn(move || {
                    let reading = read(id).unwrap();
                    say.send(id).unwrap();
                    assert!(
                        descriptors_below(at) <= LEN_MAX,
                        "the ceiling is passed while all are read"
                    );
                    drop(reading);
                });
            }
            let is_missing = |number: usize| read(100 + number as u64).is_err();
            assert!(heard.try_recv().is_err() && descriptors_below(&at) == LEN_MAX);
            held.pop();
            assert!(heard.try_recv().is_err(), "file 0 is still being read");
            held.pop();
            let served: Vec<u64> = (0..10).map(|_| heard.recv().unwrap()).collect();
            assert_eq!(served.len(), 10);
            assert!((0..9).all(is_missing), "one that is missing costs the others no place");
        });
        drop(held);
        assert!((0..10).all(|id| read(id).is_ok()));
        assert_eq!(descriptors_below(&at), LEN_MAX);
    }
}
