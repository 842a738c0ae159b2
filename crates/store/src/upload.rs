//! One upload: chunks arrive from the workers in any order and become a manifest in order.

use std::collections::BTreeMap;

use drystone_chunker::ChunkId;
use drystone_pool::{Landed, Slice};
use drystone_sync::{Arc, Condvar, Mutex, PlainArc, bound};

use crate::commit::{CommitTicket, Committer, Step};
use crate::ids::ContentHasher;
use crate::segments::Placed;
use crate::store::Inner;
use crate::stream::{CutSoFar, ROOM_ASKED_EVERY};
use crate::write::{Name, Writer};
use crate::{
    Complete, ContentHash, Entry, Epoch, Ingest, ManifestEntry, ManifestId, Result, Session,
    SessionId, Source, StoreError, Target, UploadSession,
};

/// Manifest entries that are written as one pending step of a large object: about a gigabyte's
/// worth by default, and about 200 KiB of memory.
pub(crate) const STEP_CHUNKS_MAX: usize = 1024;

/// Chunks that may be done before one that is not: about a megabyte of memory.
const EARLY_CHUNKS_MAX: u64 = bound(4096, 4) as u64;

/// A committed object or part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its length in bytes.
    pub size: u64,
    /// What it contains.
    pub content: ContentHash,
    /// Its chunks.
    pub manifest: ManifestId,
    /// Bytes of it that the store did not have before.
    pub new_bytes: u64,
}

/// A chunk of an upload, on its way to a worker. A piece that is dropped undone, because its job
/// panicked or was never run, fails its upload. So no thread waits for a chunk that will not come.
pub(crate) struct Piece {
    upload: Arc<UploadState>,
    /// Counts the upload's chunks from 0.
    number: u64,
    offset: u64,
    /// Its name, when the cutter has hashed it already.
    pub(crate) id: Option<ChunkId>,
    /// `None` once done.
    bytes: Option<Slice>,
}

impl Piece {
    pub(crate) fn new(
        upload: Arc<UploadState>,
        number: u64,
        offset: u64,
        id: Option<ChunkId>,
        bytes: Slice,
    ) -> Self {
        Self { upload, number, offset, id, bytes: Some(bytes) }
    }

    pub(crate) fn upload(&self) -> &UploadState {
        &self.upload
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// Hands the piece's fate to its upload. The buffer goes back first, so that reading goes on
    /// while a commit that may follow runs.
    pub(crate) fn done(mut self, done: Done) {
        drop(self.bytes.take());
        self.upload.piece_done(self.number, self.offset, done);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.bytes.take().is_some() {
            self.upload.fail(StoreError::Abandoned("a worker died"));
        }
    }
}

/// A piece that has been dealt with.
pub(crate) struct Done {
    pub(crate) id: ChunkId,
    pub(crate) len: u32,
    pub(crate) source: Source,
    pub(crate) written: Option<Landed<Name, Placed>>,
    /// Whether this very piece was appended, rather than found.
    pub(crate) appended: bool,
}

/// The state of one upload, shared between its cutter, the workers and the thread that waits
/// for it.
pub(crate) struct UploadState {
    pub(crate) session: SessionId,
    /// In which the session began.
    pub(crate) epoch: Epoch,
    committer: Committer,
    step_chunks_max: usize,
    /// Taken before the group commit's locks; a step is submitted under it, so that steps keep
    /// their order.
    state: Mutex<State>,
    /// Signalled when `outcome` or `cut` is set, and when `next` moves while the cutter waits.
    decided: Condvar,
}

struct State {
    /// Set when the last byte has come. The last step takes it.
    target: Option<Target>,
    /// Boxed, because a hasher has 2 KB and thousands of finished uploads may wait for their
    /// commit; `None` once finished.
    content: Option<Box<ContentHasher>>,
    /// Chunks before this one are in `pending` or in an earlier step.
    next: u64,
    /// Chunks that came before their predecessors; at most `EARLY_CHUNKS_MAX` and what is in
    /// flight, because the cutter waits.
    early: BTreeMap<u64, (u64, Done)>,
    pending: Vec<ManifestEntry>,
    written: Vec<Landed<Name, Placed>>,
    size: u64,
    new_bytes: u64,
    /// How many chunks there are, once the cutter has seen the end.
    chunks: Option<u64>,
    manifest: Option<ManifestId>,
    /// The last pending step, not yet known to be committed.
    step: Option<CommitTicket>,
    outcome: Option<Result<Submitted>>,
    finished: bool,
    /// The cutter waits for `next` to move.
    cutter_waits: bool,
    /// Where the cutter has let it go, until that is taken.
    cut: Option<CutSoFar>,
}

/// An upload whose last step is in a group's queue.
struct Submitted {
    ticket: CommitTicket,
    size: u64,
    content: ContentHash,
    new_bytes: u64,
}

impl UploadState {
    pub(crate) fn new(session: Session, committer: Committer, step_chunks_max: usize) -> Self {
        let state = State {
            target: None,
            content: Some(Box::new(ContentHasher::new())),
            next: 0,
            early: BTreeMap::new(),
            pending: Vec::new(),
            written: Vec::new(),
            size: 0,
            new_bytes: 0,
            chunks: None,
            manifest: None,
            step: None,
            outcome: None,
            finished: false,
            cutter_waits: false,
            cut: None,
        };
        Self {
            session: session.id,
            epoch: session.epoch,
            committer,
            step_chunks_max,
            state: Mutex::new(state),
            decided: Condvar::new(),
        }
    }

    /// Sets what the upload becomes. To be called before its end is passed on.
    pub(crate) fn aim(&self, target: Target) {
        let mut state = self.state.lock();
        if !state.finished {
            state.target = Some(target);
        }
    }

    /// Whether the upload has failed, so that further work on it is wasted.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().finished
    }

    /// Ends the upload with an error, unless it is decided already. Nothing of it becomes visible.
    pub(crate) fn fail(&self, error: StoreError) {
        self.fail_locked(&mut self.state.lock(), error);
    }

    fn fail_locked(&self, state: &mut State, error: StoreError) {
        if state.finished {
            return;
        }
        state.finished = true;
        (state.target, state.content) = (None, None);
        state.early.clear();
        state.pending = Vec::new();
        state.written = Vec::new();
        state.cut = None;
        state.outcome = Some(Err(error));
        self.decided.notify_all();
    }

    /// Takes in a piece that a worker has dealt with.
    pub(crate) fn piece_done(&self, number: u64, offset: u64, done: Done) {
        let mut state = self.state.lock();
        if state.finished {
            return;
        }
        if number != state.next {
            state.early.insert(number, (offset, done));
            let early = state.early.len() as u64;
            assert!(early < EARLY_CHUNKS_MAX + ROOM_ASKED_EVERY, "the cutter waits for room");
            return;
        }
        state.take_in(offset, done);
        while let Some((offset, done)) = state.next_early() {
            state.take_in(offset, done);
        }
        if std::mem::take(&mut state.cutter_waits) {
            self.decided.notify_all();
        }
        self.advance(&mut state);
    }

    /// Blocks the cutter, which holds nothing back, while the workers are too far ahead of the
    /// oldest chunk under way.
    pub(crate) fn wait_for_room(&self, number: u64) {
        let mut state = self.state.lock();
        while !state.finished && number >= state.next + EARLY_CHUNKS_MAX {
            state.cutter_waits = true;
            state = self.decided.wait(state);
        }
    }

    /// The cutter has seen the end: the upload has `chunks` chunks and no more.
    pub(crate) fn cut_to_end(&self, chunks: u64) {
        let mut state = self.state.lock();
        state.chunks = Some(chunks);
        self.advance(&mut state);
    }

    /// The cutter lets it go.
    pub(crate) fn parked_at(&self, cut: CutSoFar) {
        let mut state = self.state.lock();
        if !state.finished {
            state.cut = Some(cut);
            self.decided.notify_all();
        }
    }

    /// Blocks until the cutter has let it go, or it has failed.
    pub(crate) fn wait_for_cut(&self) -> Result<CutSoFar> {
        let mut state = self.state.lock();
        loop {
            if let Some(cut) = state.cut.take() {
                return Ok(cut);
            }
            if let Some(Err(error)) = &state.outcome {
                return Err(error.clone());
            }
            state = self.decided.wait(state);
        }
    }

    /// Submits a step if there is one to submit.
    fn advance(&self, state: &mut State) {
        if state.finished {
            return;
        }
        let last = state.chunks == Some(state.next);
        if !last && state.pending.len() < self.step_chunks_max {
            return;
        }
        // The manifest gets its id in the first step. Waiting here is the back-pressure of the
        // records on one large upload: it is never more than one step ahead.
        if let Some(step) = state.step.take() {
            match step.wait() {
                Ok(manifest) => state.manifest = Some(manifest),
                Err(error) => return self.fail_locked(state, error),
            }
        }
        let complete = if last { state.complete() } else { None };
        let content = complete.as_ref().map(|complete| complete.content);
        let chunks = std::mem::take(&mut state.pending);
        // Later chunks may have been looked up already, and are in no manifest.
        let (session, manifest, advance) = (self.session, state.manifest, false);
        let entry = Entry { session, manifest, chunks, complete, advance };
        let step = Step { entry, written: std::mem::take(&mut state.written) };
        let ticket = self.committer.submit(step);
        if let Some(content) = content {
            state.finished = true;
            let (size, new_bytes) = (state.size, state.new_bytes);
            state.outcome = Some(Ok(Submitted { ticket, size, content, new_bytes }));
            self.decided.notify_all();
        } else {
            state.step = Some(ticket);
        }
    }

    /// Why the upload failed, if it has.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.state.lock().outcome.as_ref().and_then(|outcome| outcome.as_ref().err().cloned())
    }

    /// Takes back what the upload left in the records. To be called after it has failed, when no
    /// step of it is to come.
    pub(crate) fn clean_up(&self, writer: &Writer) {
        let (step, mut manifest) = {
            let mut state = self.state.lock();
            (state.step.take(), state.manifest)
        };
        // Waited for without the lock: a worker that brings a piece need not wait as well.
        if let Some(Ok(begun)) = step.map(CommitTicket::wait) {
            manifest = Some(begun);
        }
        if let Some(manifest) = manifest {
            writer.clean_up(self.session, Some(manifest));
        } else {
            writer.make_room();
        }
    }

    /// Blocks until the last step is submitted.
    fn outcome(&self) -> Result<Submitted> {
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            state = self.decided.wait(state);
        }
    }
}

impl State {
    fn next_early(&mut self) -> Option<(u64, Done)> {
        self.early.remove(&self.next)
    }

    fn take_in(&mut self, offset: u64, done: Done) {
        assert_eq!(offset, self.size, "chunks of an upload have no gaps");
        if let Some(content) = &mut self.content {
            content.chunk(&done.id, u64::from(done.len));
        }
        self.size += u64::from(done.len);
        if done.appended {
            self.new_bytes += u64::from(done.len);
        }
        // Most uploads have one chunk; a vector would make room for four.
        if self.pending.is_empty() {
            self.pending.reserve_exact(1);
            self.written.reserve_exact(1);
        }
        self.pending.push(ManifestEntry { offset, id: done.id, source: done.source });
        self.written.extend(done.written);
        self.next += 1;
    }

    fn complete(&mut self) -> Option<Complete> {
        let (target, content) = (self.target.take()?, self.content.take()?.finish());
        Some(Complete { target, size: self.size, content })
    }
}

/// An upload whose bytes have been read and that is being hashed, written and committed.
#[must_use = "an upload is acknowledged only by `wait`"]
pub struct PendingPut {
    pub(crate) inner: PlainArc<Inner>,
    pub(crate) upload: Arc<UploadState>,
    /// Last, so that it lives until the upload is committed or taken back.
    pub(crate) _session: PlainArc<UploadSession>,
}

impl PendingPut {
    /// Whether [`wait`](Self::wait) has no more to wait for than the group commit.
    pub fn is_written(&self) -> bool {
        self.upload.is_over()
    }

    /// Whether [`wait`](Self::wait) returns at once.
    pub fn is_committed(&self) -> bool {
        match self.upload.state.lock().outcome.as_ref() {
            Some(Ok(submitted)) => submitted.ticket.is_decided(),
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// Blocks until the object is committed: durable as the store's policy says, and visible.
    /// `ingest` must be the one that read the object. What it has read and not passed on yet is
    /// sent first.
    ///
    /// # Errors
    /// Why it was not stored; then nothing of it is visible.
    pub fn wait(self, ingest: &mut Ingest) -> Result<Stored> {
        if !self.is_written() {
            ingest.flush()?;
        }
        self.join()
    }

    /// [`wait`](Self::wait) without the ingest, from any thread. Ends only after the ingest was
    /// [flushed](Ingest::flush), or has passed on by itself what it read of this object.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn join(self) -> Result<Stored> {
        let stored = self.upload.outcome().and_then(|submitted| {
            let Submitted { ticket, size, content, new_bytes } = submitted;
            Ok(Stored { size, content, manifest: ticket.wait()?, new_bytes })
        });
        stored.inspect_err(|_| self.upload.clean_up(&self.inner.writer))
    }
}
