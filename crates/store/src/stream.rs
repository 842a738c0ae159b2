//! The cutter's side of an ingest: joins the bytes of one upload across buffers, cuts them, and
//! hands runs of chunks to the workers.

use drystone_chunker::{ChunkHasher, Chunking, Cut, Cutter};
use drystone_pool::{Lease, Queue, Slice, WorkerPool};
use drystone_sync::{Arc, PlainArc, bound};

use crate::StoreError;
use crate::upload::{Piece, UploadState};
use crate::write::Writer;

/// Chunks that one job takes at the most. Small chunks are worth a job only together; the bound
/// keeps a job short.
const RUN_CHUNKS_MAX: usize = 64;
/// Bytes after which a run of chunks is handed on.
const RUN_BYTES: usize = 1 << 20;

/// Chunks after which the cutter sees to it that the workers are not too far ahead of the slowest
/// of them.
pub(crate) const ROOM_ASKED_EVERY: u64 = bound(1024, 3) as u64;

/// What the reading side tells the cutter.
pub(crate) enum Message {
    /// The next bytes of an upload.
    Data {
        /// Whose they are.
        upload: Arc<UploadState>,
        /// The part of the buffer just before `bytes`, when they are in another buffer than the
        /// upload's bytes before them.
        headroom: Option<Lease>,
        /// The bytes.
        bytes: Slice,
    },
    /// An upload has no more bytes.
    End(End),
    /// An upload has no more bytes for now, and may go on at another cutter.
    Park(End),
    /// An upload goes on with this chunk, where its whole chunks end.
    Resume {
        /// How many chunks come before it.
        number: u64,
        /// Where in the upload it begins.
        offset: u64,
    },
}

/// The end of an upload, or of its stay at a cutter. If it is dropped before it is delivered, the
/// cutter is gone, and the upload fails.
pub(crate) struct End(Option<Arc<UploadState>>);

impl End {
    pub(crate) fn of(upload: Arc<UploadState>) -> Self {
        Self(Some(upload))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take() {
            upload.fail(StoreError::Abandoned("its cutter died"));
        }
    }
}

/// How far a cutter has come with an upload that is parked.
pub(crate) struct CutSoFar {
    /// Whole chunks.
    pub(crate) number: u64,
    /// Bytes in them.
    pub(crate) offset: u64,
    /// The unfinished chunk after them.
    pub(crate) tail: Option<Slice>,
}

/// Cuts the uploads of one ingest, one after the other.
pub(crate) struct Stream {
    cutter: Cutter,
    workers: PlainArc<WorkerPool>,
    writer: PlainArc<Writer>,
    /// The unfinished chunk of the current upload.
    tail: Option<Slice>,
    /// How much of the tail is known to hold no cut.
    scanned: usize,
    /// The unfinished chunk's hash so far. With fixed sizes cutting costs nothing, so this thread
    /// has time to hash, and it sees the bytes when they have just been read: a chunk of many
    /// megabytes would have left the cache before a worker gets it. Content-defined cutting
    /// keeps this thread busy, and its chunks are smaller; there the workers hash.
    hasher: Option<ChunkHasher>,
    offset: u64,
    number: u64,
    run: Vec<Piece>,
    run_bytes: usize,
}

impl Stream {
    pub(crate) fn new(
        cutter: Cutter,
        workers: PlainArc<WorkerPool>,
        writer: PlainArc<Writer>,
    ) -> Self {
        let hasher = matches!(cutter.chunking(), Chunking::Fixed(_)).then(ChunkHasher::new);
        Self {
            hasher,
            cutter,
            workers,
            writer,
            tail: None,
            scanned: 0,
            offset: 0,
            number: 0,
            run: Vec::new(),
            run_bytes: 0,
        }
    }

    /// Runs until the queue is closed and drained.
    pub(crate) fn run(mut self, messages: &Queue<Vec<Message>>) {
        while let Some(batch) = messages.pop() {
            for message in batch {
                match message {
                    Message::Data { upload, headroom, bytes } => {
                        self.data(&upload, headroom, &bytes);
                    }
                    Message::End(end) => self.end(end),
                    Message::Park(end) => self.park(end),
                    Message::Resume { number, offset } => {
                        (self.number, self.offset) = (number, offset);
                    }
                }
            }
            // The reading side sends a batch before it may have to wait for a buffer, and this side
            // then holds nothing back but the tail: that is what makes two buffers
            // enough.
            self.flush();
        }
    }

    fn data(&mut self, upload: &Arc<UploadState>, headroom: Option<Lease>, bytes: &Slice) {
        let mut window = match self.tail.take() {
            Some(tail) => joined(tail, headroom, bytes),
            None => bytes.clone(),
        };
        loop {
            match self.cutter.cut(&window, self.scanned) {
                Cut::At(len) => {
                    self.hash(&window, len);
                    self.scanned = 0;
                    let rest = window.part(len..window.len());
                    self.piece(upload, window.part(0..len));
                    window = rest;
                }
                Cut::None { scanned } => {
                    self.hash(&window, scanned);
                    self.scanned = scanned;
                    break;
                }
            }
        }
        self.tail = (!window.is_empty()).then_some(window);
    }

    fn end(&mut self, mut end: End) {
        let Some(upload) = end.0.take() else { return };
        if let Some(tail) = self.tail.take() {
            self.piece(&upload, tail);
        }
        upload.cut_to_end(self.number);
        (self.scanned, self.offset, self.number) = (0, 0, 0);
    }

    /// Lets the upload go where its whole chunks end. What follows is cut from the beginning of a
    /// chunk, and a cut depends on nothing before that: so the chunks are the same as without
    /// parking.
    fn park(&mut self, mut end: End) {
        // What is left of the run is not for the next upload to wait behind.
        self.flush();
        let Some(upload) = end.0.take() else { return };
        if let Some(hasher) = &mut self.hasher {
            *hasher = ChunkHasher::new();
        }
        self.scanned = 0;
        let (number, offset) = (std::mem::take(&mut self.number), std::mem::take(&mut self.offset));
        upload.parked_at(CutSoFar { number, offset, tail: self.tail.take() });
    }

    /// Hashes what was scanned since the last time, up to `end`. Only where there is a hasher: a
    /// cut by content may lie before the end of an earlier scan, which ran on to the end of its
    /// window.
    fn hash(&mut self, window: &[u8], end: usize) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&window[self.scanned..end]);
        }
    }

    fn piece(&mut self, upload: &Arc<UploadState>, bytes: Slice) {
        let len = bytes.len();
        let id = self.hasher.as_mut().map(|hasher| std::mem::take(hasher).finish());
        self.run.push(Piece::new(Arc::clone(upload), self.number, self.offset, id, bytes));
        self.number += 1;
        self.offset += len as u64;
        self.run_bytes += len;
        if self.run_bytes >= RUN_BYTES || self.run.len() >= RUN_CHUNKS_MAX {
            self.flush();
        }
        if self.number.is_multiple_of(ROOM_ASKED_EVERY) {
            self.flush();
            upload.wait_for_room(self.number);
        }
    }

    fn flush(&mut self) {
        if self.run.is_empty() {
            return;
        }
        self.run_bytes = 0;
        let run = std::mem::take(&mut self.run);
        let writer = PlainArc::clone(&self.writer);
        // A closed pool drops the run, which fails its uploads.
        let _ = self.workers.submit(move || writer.write(run));
    }
}

/// One view of the unfinished chunk and the bytes that follow it: they are neighbours, or the
/// chunk's beginning moves to the headroom in front of them. That is the only copy on the way in.
fn joined(tail: Slice, headroom: Option<Lease>, bytes: &Slice) -> Slice {
    let Some(mut headroom) = headroom else {
        return tail.join(bytes).expect("without headroom the bytes follow in the same buffer");
    };
    let _unused = headroom.split_to(headroom.len() - tail.len());
    headroom.copy_from_slice(&tail);
    headroom.freeze().join(bytes).expect("the headroom ends where the bytes begin")
}
