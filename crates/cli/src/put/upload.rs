//! From one source to one object: read, wait for the commit, and tell what failed.

use std::io::{self, Read};
use std::path::Path;

use drystone_store::{Condition, Key, ObjectMeta, PutFailure, PutTarget, StoreError};
use serde::Serialize;

use super::Put;
use crate::exit::Interrupted;
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Objects that have been read and wait for their commit. It is more than a full commit queue
/// holds. So the queue fills and commits in large groups, and does not wait for this thread.
const UNACKNOWLEDGED_MAX: usize = 16_384;

impl Put<'_> {
    /// Reads one source. A failure of the source is counted; a failure of the store ends the
    /// command.
    pub(super) fn object(
        &mut self,
        key: &str,
        meta: ObjectMeta,
        size_hint: Option<u64>,
        source: &mut dyn Read,
    ) -> anyhow::Result<()> {
        let target = match Key::new(key) {
            Ok(key) => {
                PutTarget { bucket: self.bucket.clone(), key, meta, condition: Condition::Always }
            }
            Err(error) => return self.failed(Path::new(key), StoreError::Name(error)),
        };
        while self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
            self.acknowledge_oldest()?;
        }
        let mut source =
            Watched { source, interrupt: &self.interrupt, progress: &self.progress, read: 0 };
        let put = self.ingest.put(target, size_hint, &mut source);
        let read = source.read;
        match put {
            Ok(pending) => self.unacknowledged.push_back((key.to_owned(), pending)),
            Err(PutFailure::Source(error)) => {
                self.interrupt.check()?;
                return self
                    .failed(Path::new(key), anyhow::Error::new(error).context("cannot read it"));
            }
            Err(PutFailure::Store(error)) => return Err(self.store_failed(key, error)),
        }
        self.summary.bytes += read;
        if !self.progress.is_hidden() {
            let stats = self.store.put_stats();
            self.progress.saved(stats.bytes - stats.new_bytes);
        }
        // Objects that are committed already need not stay in the queue.
        while self.unacknowledged.front().is_some_and(|(_, pending)| pending.is_committed()) {
            self.acknowledge_oldest()?;
        }
        Ok(())
    }

    pub(super) fn acknowledge_oldest(&mut self) -> anyhow::Result<()> {
        self.interrupt.check()?;
        let Some((key, pending)) = self.unacknowledged.pop_front() else { return Ok(()) };
        let stored =
            pending.wait(&mut self.ingest).map_err(|error| self.store_failed(&key, error))?;
        // The key of a file ends with the file's name, so only a folder's key ends with a slash.
        let is_folder = key.ends_with('/') && stored.size == 0;
        *(if is_folder { &mut self.summary.folders } else { &mut self.summary.objects }) += 1;
        if self.output.json {
            #[derive(Serialize)]
            struct Line<'a> {
                key: &'a str,
                size: u64,
                new_bytes: u64,
                content: String,
            }
            let content = stored.content.to_string();
            let line = Line { key: &key, size: stored.size, new_bytes: stored.new_bytes, content };
            self.output.report(&line)?;
        }
        Ok(())
    }

    /// Counts a source that could not be stored. The other sources go on.
    pub(super) fn failed(
        &mut self,
        path: &Path,
        error: impl Into<anyhow::Error>,
    ) -> anyhow::Result<()> {
        let error = error.into();
        self.interrupt.check()?;
        self.summary.failed += 1;
        self.progress.suspend(|| self.output.problem(Some(&path.to_string_lossy()), &error));
        Ok(())
    }

    fn store_failed(&self, key: &str, error: StoreError) -> anyhow::Error {
        let stored = self.summary.objects;
        let hint = if error.is_full() {
            format!(
                "the disk is full: `{key}` and what came after it were not stored ({stored} \
                 objects were); free some space and put again, what is stored already costs nothing"
            )
        } else {
            format!("cannot store `{key}`")
        };
        anyhow::Error::new(error).context(hint)
    }
}

/// A source that notices interrupts and moves the progress bar.
struct Watched<'a> {
    source: &'a mut dyn Read,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
    read: u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check().map_err(|Interrupted| io::Error::other("interrupted"))?;
        let len = self.source.read(into)?;
        self.read += len as u64;
        self.progress.advance(len as u64);
        Ok(len)
    }
}
