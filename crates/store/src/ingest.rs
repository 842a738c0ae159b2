//! The reading side of puts: fills leased buffers and passes them to a cutter thread.
//!
//! Files follow one another in a buffer, so a folder of small files costs few buffers and few hand-overs. A buffer that
//! continues an upload begins with *headroom*, into which the cutter moves the unfinished chunk; so reading never waits
//! for cutting.
//!
//! Why two buffers for each ingest are enough: an ingest waits for a buffer only after it has sent on everything it has
//! read. From then on all it holds is the unfinished chunk, in one buffer. The store admits only as many ingests as it has
//! pairs of buffers, and readers never wait for a buffer while they hold one.

use std::io::{self, Read};

use drystone_chunker::Cutter;
use drystone_pool::{BufferOwner, Lease, Permit, Queue, Slice};
use drystone_sync::{Arc, PlainArc, thread};

use crate::store::Inner;
use crate::stream::{End, Message, Stream};
use crate::upload::Upload;
use crate::{PendingPut, PutTarget, Result, StoreError, Stored, UploadSession};

/// Bytes after which what was read is passed on. Large enough that a hand-over costs nothing, small enough that cutting
/// begins early and finds the bytes in the cache.
const SEND_BYTES: usize = 1 << 20;
/// Messages after which a batch is passed on, for very small files.
const SEND_MESSAGES_MAX: usize = 128;
/// Batches between the reading side and the cutter.
const QUEUE_BATCHES: usize = 2;
/// A buffer with less room than this is not begun with a new upload.
const ROOM_BYTES_MIN: usize = 64 << 10;

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

/// Puts objects one after the other without waiting for each to be committed. Not shared between threads; a store admits
/// as many at a time as it has pairs of buffers.
pub struct Ingest {
    inner: PlainArc<Inner>,
    session: UploadSession,
    owner: BufferOwner,
    queue: Queue<Vec<Message>>,
    cutter: Option<thread::JoinHandle<()>>,
    lease: Option<Lease>,
    unsent: Vec<Message>,
    unsent_bytes: usize,
    _permit: Permit,
}

impl Ingest {
    pub(crate) fn start(inner: PlainArc<Inner>, lease_ms: u64) -> Result<Self> {
        // The session's lease runs from its beginning, so not while waiting for the permit.
        let permit = inner.ingests.acquire()?;
        let session = UploadSession::begin(PlainArc::clone(&inner.records), lease_ms)?;
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

    /// The session that this ingest's uploads belong to.
    pub fn session(&self) -> &UploadSession {
        &self.session
    }

    /// Reads `source` to its end and puts it at `target`. Returns when the bytes are read; the object is stored when
    /// [`PendingPut::wait`] says so. `size_hint` is the expected length in bytes, if known; it only helps to place small
    /// objects.
    ///
    /// # Errors
    /// When the source cannot be read to its end, or the store failed meanwhile. Nothing of the object is visible then.
    pub fn put(
        &mut self,
        target: PutTarget,
        size_hint: Option<u64>,
        source: &mut dyn Read,
    ) -> std::result::Result<PendingPut, PutFailure> {
        let upload = Arc::new(Upload::new(target, self.session.id(), self.inner.committer.clone()));
        match self.feed(&upload, size_hint, source) {
            Ok(()) => Ok(PendingPut { upload }),
            Err(failure) => {
                upload.fail(match &failure {
                    PutFailure::Store(error) => error.clone(),
                    PutFailure::Source(_) => StoreError::Cancelled,
                });
                // The cutter must still see an end, or it would add the next upload's bytes to this one's tail.
                self.unsent.push(Message::End(End::of(Arc::clone(&upload))));
                // When a worker ended the upload it knows why; the reading side only noticed.
                let cause = upload.failure().filter(|_| matches!(failure, PutFailure::Store(_)));
                Err(cause.map_or(failure, PutFailure::Store))
            }
        }
    }

    /// Reads and puts one object and waits until it is stored.
    ///
    /// # Errors
    /// Those of [`put`](Self::put) and [`PendingPut::wait`].
    pub fn put_now(
        &mut self,
        target: PutTarget,
        source: &mut dyn Read,
    ) -> std::result::Result<Stored, PutFailure> {
        let pending = self.put(target, None, source)?;
        Ok(pending.wait(self)?)
    }

    /// Passes on what was read so far.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.unsent_bytes = 0;
        if self.unsent.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.unsent);
        self.queue.push(batch).map_err(|_| StoreError::Abandoned("its cutter died"))
    }

    fn feed(
        &mut self,
        upload: &Arc<Upload>,
        size_hint: Option<u64>,
        source: &mut dyn Read,
    ) -> std::result::Result<(), PutFailure> {
        let mut begun = false;
        loop {
            let headroom = self.make_room(begun, size_hint)?;
            let (bytes, ended) = self.fill(source).map_err(PutFailure::Source)?;
            if let Some(bytes) = bytes {
                begun = true;
                self.unsent_bytes += bytes.len();
                self.unsent.push(Message::Data { upload: Arc::clone(upload), headroom, bytes });
            } else {
                // Nothing came into the new buffer: the tail stays where it is.
                drop(headroom);
            }
            if ended {
                self.unsent.push(Message::End(End::of(Arc::clone(upload))));
            }
            if self.unsent_bytes >= SEND_BYTES || self.unsent.len() >= SEND_MESSAGES_MAX {
                self.flush()?;
            }
            if ended {
                return Ok(());
            }
            if upload.is_over() {
                // Its outcome says why; reading on would be wasted.
                return Err(PutFailure::Store(StoreError::Cancelled));
            }
        }
    }

    /// Makes sure that there is a buffer with room; returns its headroom when it continues an upload.
    fn make_room(&mut self, begun: bool, size_hint: Option<u64>) -> Result<Option<Lease>> {
        let wanted = usize::try_from(size_hint.unwrap_or(0)).unwrap_or(usize::MAX).saturating_add(1);
        let room_min = if begun { 1 } else { wanted.clamp(1, ROOM_BYTES_MIN) };
        if self.lease.as_ref().is_some_and(|lease| lease.len() >= room_min) {
            return Ok(None);
        }
        self.lease = None;
        let mut lease = match self.owner.try_acquire()? {
            Some(lease) => lease,
            None => {
                // Whatever is unsent holds on to buffers, so send it before waiting for one.
                self.flush()?;
                self.owner.acquire()?
            }
        };
        let headroom = begun.then(|| lease.split_to(self.inner.config.chunking.chunk_bytes_max()));
        self.lease = Some(lease);
        Ok(headroom)
    }

    /// Reads until a batch is full, the buffer is full, or the source has ended.
    fn fill(&mut self, source: &mut dyn Read) -> io::Result<(Option<Slice>, bool)> {
        let Some(mut lease) = self.lease.take() else { return Ok((None, false)) };
        let want = lease.len().min(SEND_BYTES);
        let mut len = 0;
        let mut ended = false;
        let mut failed = None;
        while len < want && !ended {
            match source.read(&mut lease[len..want]) {
                Ok(0) => ended = true,
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let filled = lease.split_to(len);
        self.lease = Some(lease);
        match failed {
            Some(error) => Err(error),
            None => Ok(((len > 0).then(|| filled.freeze()), ended)),
        }
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
