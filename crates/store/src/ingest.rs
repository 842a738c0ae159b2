//! The reading side of puts: passes leased buffers, which a [`Writing`] fills, to a cutter thread.
//!
//! Files follow one another in a buffer, so a folder of small files costs few buffers and few
//! hand-overs. A buffer that continues an upload begins with *headroom*, into which the cutter
//! moves the unfinished chunk; so reading never waits for cutting.
//!
//! Why two buffers for each ingest are enough: an ingest waits for a buffer only after it has sent
//! on everything it has read. From then on all it holds is the unfinished chunk, in one buffer. The
//! store admits only as many ingests as it has pairs of buffers, and readers never wait for a
//! buffer while they hold one.

use std::io::{self, Read};

use drystone_chunker::Cutter;
use drystone_pool::{BufferOwner, Lease, Permit, Queue};
use drystone_sync::{Arc, PlainArc, bound, thread};

use crate::parked::{Parked, Resumed};
use crate::store::Inner;
use crate::stream::{Message, Stream};
use crate::upload::UploadState;
use crate::{PendingPut, Result, StoreError, Stored, Target, UploadSession, Writing};

/// Bytes after which what was read is passed on. Large enough that a hand-over costs nothing, small
/// enough that cutting begins early and finds the bytes in the cache.
pub(crate) const SEND_BYTES: usize = 1 << 20;
/// Messages after which a batch is passed on, for very small files.
const SEND_MESSAGES_MAX: usize = bound(128, 4);
/// Batches between the reading side and the cutter.
const QUEUE_BATCHES: usize = 2;

/// Why an upload ended before its last byte was read.
#[derive(Debug, thiserror::Error)]
pub enum PutFailure {
    /// The reader failed; the store is well.
    #[error("cannot read the source")]
    Source(#[source] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts objects one after the other without waiting for each to be committed. Not shared between
/// threads; a store admits as many at a time as
/// [`StoreConfig::ingests`](crate::StoreConfig::ingests) says.
pub struct Ingest {
    pub(crate) inner: PlainArc<Inner>,
    session: PlainArc<UploadSession>,
    owner: BufferOwner,
    queue: Queue<Vec<Message>>,
    cutter: Option<thread::JoinHandle<()>>,
    /// What is left of the buffer that is being filled.
    pub(crate) lease: Option<Lease>,
    /// What the cutter has not been told yet.
    pub(crate) unsent: Vec<Message>,
    pub(crate) unsent_bytes: usize,
    _permit: Permit,
}

impl Ingest {
    pub(crate) fn start(inner: PlainArc<Inner>, lease_ms: u64) -> Result<Self> {
        // The session's lease runs from its beginning, so not while waiting for the permit.
        let permit = inner.ingests.acquire()?;
        let begin = || {
            let (records, writer) =
                (PlainArc::clone(&inner.records), PlainArc::clone(&inner.writer));
            UploadSession::begin(records, writer, lease_ms)
        };
        let session = PlainArc::new(inner.writer.with_room(begin)?);
        let queue = Queue::new(QUEUE_BATCHES);
        let stream = Stream::new(
            Cutter::new(inner.config.chunking),
            PlainArc::clone(&inner.workers),
            PlainArc::clone(&inner.writer),
        );
        let messages = queue.clone();
        let cutter = thread::spawn("drystone-cutter", move || {
            // Closed also when the cutter panics, so that the reading side ends instead of waiting.
            let guard = CloseOnDrop(messages);
            stream.run(&guard.0);
        })
        .map_err(|error| StoreError::storage("cannot start a cutter thread", error))?;
        Ok(Self {
            owner: inner.buffers.owner(),
            inner,
            session,
            queue,
            cutter: Some(cutter),
            lease: None,
            unsent: Vec::new(),
            unsent_bytes: 0,
            _permit: permit,
        })
    }

    /// The session that uploads belong to which begin in this ingest. It lives until the last of
    /// these has ended, too.
    pub fn session(&self) -> &PlainArc<UploadSession> {
        &self.session
    }

    /// Whether it can still put. Once its cutter has died, every upload fails: drop it and begin
    /// another.
    pub fn is_usable(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Ends its cutter, as if that had panicked: for tests of what comes then.
    #[doc(hidden)]
    pub fn lose_cutter(&self) {
        self.queue.close();
    }

    /// Begins an object whose bytes are given piece by piece. `size_hint` is the expected length in
    /// bytes, if known; it only helps to place small objects.
    pub fn begin(&mut self, size_hint: Option<u64>) -> Writing<'_> {
        let (committer, step_chunks_max) =
            (self.inner.committer.clone(), self.inner.step_chunks_max);
        let upload = Arc::new(UploadState::new(self.session.begun(), committer, step_chunks_max));
        let session = PlainArc::clone(&self.session);
        Writing::begin(self, upload, session, size_hint)
    }

    /// Goes on with a parked upload. The bytes of its tail come first, then those that follow.
    ///
    /// # Panics
    /// When it is another store's.
    pub fn resume(&mut self, parked: Parked) -> Writing<'_> {
        assert!(parked.is_of(&self.inner), "an upload goes on in the store where it began");
        let Resumed { upload, session, number, offset } = parked.resume();
        self.unsent.push(Message::Resume { number, offset });
        Writing::begin(self, upload, session, None)
    }

    /// Reads `source` to its end and puts it at `target`. Returns when the bytes are read; the
    /// object is stored when [`PendingPut::wait`] says so. `size_hint` as for
    /// [`begin`](Self::begin).
    ///
    /// # Errors
    /// When the source cannot be read to its end, or the store failed meanwhile. Nothing of the
    /// object is visible then.
    pub fn put(
        &mut self,
        target: impl Into<Target>,
        size_hint: Option<u64>,
        source: &mut dyn Read,
    ) -> std::result::Result<PendingPut, PutFailure> {
        let mut writing = self.begin(size_hint);
        writing.push_all(source)?;
        Ok(writing.finish(target)?)
    }

    /// Reads and puts one object and waits until it is stored.
    ///
    /// # Errors
    /// Those of [`put`](Self::put) and [`PendingPut::wait`].
    pub fn put_now(
        &mut self,
        target: impl Into<Target>,
        source: &mut dyn Read,
    ) -> std::result::Result<Stored, PutFailure> {
        let pending = self.put(target, None, source)?;
        Ok(pending.wait(self)?)
    }

    /// Passes on what was read so far. Small objects are passed on together; before another thread
    /// may rely on [`PendingPut::join`], or when nothing more comes for a while, this sends
    /// them on their way.
    ///
    /// # Errors
    /// When the ingest is of no more use.
    pub fn flush(&mut self) -> Result<()> {
        self.unsent_bytes = 0;
        if self.unsent.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.unsent);
        self.queue.push(batch).map_err(|_| StoreError::Abandoned("its cutter died"))
    }

    /// [Flushes](Self::flush) and gives the buffer back in which the next object would have begun:
    /// for an ingest that has nothing to do, and should not hold what others wait for.
    ///
    /// # Errors
    /// When the ingest is of no more use.
    pub fn rest(&mut self) -> Result<()> {
        self.lease = None;
        self.flush()
    }

    /// Passes on what was read when it is enough to be worth it.
    pub(crate) fn flush_when_due(&mut self) -> Result<()> {
        if self.unsent_bytes >= SEND_BYTES || self.unsent.len() >= SEND_MESSAGES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Replaces the buffer by a fresh one; returns its headroom when it continues an upload.
    pub(crate) fn next_buffer(&mut self, continues: bool) -> Result<Option<Lease>> {
        self.lease = None;
        let mut lease = match self.owner.try_acquire()? {
            Some(lease) => lease,
            None => {
                // Whatever is unsent holds on to buffers, so send it before waiting for one.
                self.flush()?;
                self.owner.acquire()?
            }
        };
        let headroom =
            continues.then(|| lease.split_to(self.inner.config.chunking.chunk_bytes_max()));
        self.lease = Some(lease);
        Ok(headroom)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        let _ = self.flush();
        self.queue.close();
        if let Some(cutter) = self.cutter.take() {
            let _ = cutter.join();
        }
    }
}

struct CloseOnDrop<T>(Queue<T>);

impl<T> Drop for CloseOnDrop<T> {
    fn drop(&mut self) {
        self.0.close();
        // What is left inside holds buffers that the reading side may be waiting for.
        while self.0.pop().is_some() {}
    }
}
