//! What a worker does with pieces: hash, ask whether they are known, append the ones that are not.

use drystone_chunker::ChunkId;
use drystone_pool::{Claim, Flight, Landed, SingleFlight, Waiting};
use drystone_sync::{Mutex, PlainArc, bound};

use crate::commit::Committer;
use crate::upload::{Done, Piece};
use crate::{
    Appending, Location, ManifestId, Records, Result, SegmentStorage, SegmentWriter, SessionId,
    Source, StoreError,
};

/// Unsealed segments that are looked at: more than those of ours that stand in front, one for each
/// worker.
const CANDIDATES_MAX: usize = 96;

/// Rows of a failed upload that one transaction takes back: about as many as one of its steps
/// wrote.
const TAKE_BACK_ROWS: usize = bound(1024, 1);
/// Such transactions for one upload. The caller waits for them, so that there has to be an end; it
/// comes at uploads of about 64 GiB.
const TAKE_BACKS_MAX: usize = 64;

/// Counts of what went through the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteStats {
    pub(crate) bytes: u64,
    pub(crate) chunks: u64,
    pub(crate) new_bytes: u64,
    pub(crate) new_chunks: u64,
}

/// The deduplicating writer of a store; called by its worker threads.
pub(crate) struct Writer {
    records: PlainArc<dyn Records>,
    segments: PlainArc<dyn SegmentStorage>,
    committer: Committer,
    /// Chunks being written, and chunks written whose rows are not committed yet.
    flights: SingleFlight<ChunkId, Location>,
    /// Segments nobody is appending to. A leaf lock; at most one writer for each worker exists.
    idle: Mutex<Vec<Box<dyn SegmentWriter>>>,
    /// Writers of segments that could not be synced. Kept, and so locked, until the end: a commit
    /// under way may still name what was synced of them before. One for each failed sync.
    broken: Mutex<Vec<Box<dyn SegmentWriter>>>,
    stats: Mutex<WriteStats>,
}

/// A piece between hashing and its end.
enum State {
    Claimed(Flight<ChunkId, Location>),
    Elsewhere(Waiting<ChunkId, Location>),
    Done(Done),
}

impl Writer {
    pub(crate) fn new(
        records: PlainArc<dyn Records>,
        segments: PlainArc<dyn SegmentStorage>,
        committer: Committer,
    ) -> Self {
        Self {
            records,
            segments,
            committer,
            flights: SingleFlight::new(),
            idle: Mutex::new(Vec::new()),
            broken: Mutex::new(Vec::new()),
            stats: Mutex::new(WriteStats::default()),
        }
    }

    pub(crate) fn stats(&self) -> WriteStats {
        *self.stats.lock()
    }

    /// Deals with pieces that lie one behind the other, mostly. Every piece's upload is told how it
    /// went.
    pub(crate) fn write(&self, pieces: Vec<Piece>) {
        let pieces: Vec<Piece> =
            pieces.into_iter().filter(|piece| !piece.upload().is_over()).collect();
        let ids: Vec<ChunkId> = pieces
            .iter()
            .map(|piece| piece.id.unwrap_or_else(|| ChunkId::of(piece.bytes())))
            .collect();
        match self.settle(&pieces, &ids) {
            Ok(dones) => {
                let mut stats = self.stats.lock();
                for done in &dones {
                    stats.chunks += 1;
                    stats.bytes += u64::from(done.len);
                    stats.new_chunks += u64::from(done.appended);
                    stats.new_bytes += if done.appended { u64::from(done.len) } else { 0 };
                }
                drop(stats);
                for (piece, done) in pieces.into_iter().zip(dones) {
                    piece.done(done);
                }
            }
            Err(error) => pieces.iter().for_each(|piece| piece.upload().fail(error.clone())),
        }
    }

    fn settle(&self, pieces: &[Piece], ids: &[ChunkId]) -> Result<Vec<Done>> {
        let mut states: Vec<State> = pieces
            .iter()
            .zip(ids)
            .map(|(piece, id)| match self.flights.claim(*id) {
                Claim::Mine(flight) => State::Claimed(flight),
                Claim::Theirs(waiting) => State::Elsewhere(waiting),
                Claim::Landed(landed) => State::Done(found(piece, *id, landed)),
            })
            .collect();
        // Our own flights end here, one way or the other, before we wait for anybody else's: a
        // piece may even be waiting for its twin in this very batch.
        self.fly(pieces, ids, &mut states)?;
        let mut dones = Vec::with_capacity(pieces.len());
        for ((piece, id), state) in pieces.iter().zip(ids).zip(states) {
            dones.push(match state {
                State::Done(done) => done,
                State::Claimed(_) => {
                    return Err(StoreError::Inconsistent("a claimed chunk was left behind".into()));
                }
                State::Elsewhere(waiting) => self.await_other(piece, *id, waiting)?,
            });
        }
        Ok(dones)
    }

    /// Settles every claimed piece.
    fn fly(&self, pieces: &[Piece], ids: &[ChunkId], states: &mut [State]) -> Result<()> {
        let claimed: Vec<usize> =
            (0..states.len()).filter(|&at| matches!(states[at], State::Claimed(_))).collect();
        if claimed.is_empty() {
            return Ok(());
        }
        let asked: Vec<ChunkId> = claimed.iter().map(|&at| ids[at]).collect();
        let known = self.records.find_chunks(&asked)?;
        let mut missing = Vec::with_capacity(claimed.len());
        for (&at, known) in claimed.iter().zip(known) {
            let piece = &pieces[at];
            match known {
                Some(row)
                    if !row.condemned
                        || self.records.revive_chunk(piece.upload().session, row.chunk)? =>
                {
                    let (id, len, source) = (ids[at], chunk_len(piece), Source::Known(row.chunk));
                    // Replacing the claim drops the flight: whoever waits for it asks the records,
                    // as we did.
                    states[at] =
                        State::Done(Done { id, len, source, written: None, appended: false });
                }
                _ => missing.push(at),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let parts: Vec<&[u8]> = missing.iter().map(|&at| pieces[at].bytes()).collect();
        // The segment is kept until the flights have landed: before, nothing says that these bytes
        // are wanted.
        let (mut at_location, _writer) = self.append(&parts)?;
        for &at in &missing {
            let len = chunk_len(&pieces[at]);
            let location = Location { len, ..at_location };
            at_location.offset += u64::from(len);
            let State::Claimed(flight) = std::mem::replace(
                &mut states[at],
                State::Done(Done {
                    id: ids[at],
                    len,
                    source: Source::Written(location),
                    written: None,
                    appended: true,
                }),
            ) else {
                continue;
            };
            if let State::Done(done) = &mut states[at] {
                done.written = Some(flight.land(location));
            }
        }
        Ok(())
    }

    /// Waits for another worker's flight; when that one failed, flies ourselves.
    fn await_other(
        &self,
        piece: &Piece,
        id: ChunkId,
        waiting: Waiting<ChunkId, Location>,
    ) -> Result<Done> {
        let mut claim = waiting.wait();
        loop {
            match claim {
                Claim::Landed(landed) => return Ok(found(piece, id, landed)),
                Claim::Theirs(waiting) => claim = waiting.wait(),
                Claim::Mine(flight) => {
                    let mut states = [State::Claimed(flight)];
                    self.fly(std::slice::from_ref(piece), &[id], &mut states)?;
                    let [State::Done(done)] = states else {
                        return Err(StoreError::Inconsistent(
                            "a claimed chunk was left behind".into(),
                        ));
                    };
                    return Ok(done);
                }
            }
        }
    }

    /// Appends to a segment of ours; the location is the first part's, its length that of all
    /// parts.
    fn append(&self, parts: &[&[u8]]) -> Result<(Location, Taken<'_>)> {
        let try_once =
            || self.try_append(parts).inspect_err(|error| self.committer.note_failure(error));
        // On a full disk room is made before the second time.
        try_once().or_else(|error| if error.is_full() { try_once() } else { Err(error) })
    }

    fn try_append(&self, parts: &[&[u8]]) -> Result<(Location, Taken<'_>)> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut taken = self.take(bytes)?;
        let writer = taken.writer();
        let offset = writer.append(parts)?;
        Ok((Location { segment: writer.id(), offset, len: 0 }, taken))
    }

    /// Makes room if the disk was full.
    pub(crate) fn make_room(&self) {
        drop(self.committer.room().enter(|| self.cut_tails()));
    }

    /// A transaction that may need room. On a full disk room is made, and then it is tried once
    /// more.
    pub(crate) fn with_room<T>(&self, transaction: impl Fn() -> Result<T>) -> Result<T> {
        let try_once = || {
            self.make_room();
            transaction().inspect_err(|error| self.committer.note_failure(error))
        };
        try_once().or_else(|error| if error.is_full() { try_once() } else { Err(error) })
    }

    /// Takes back what a failed upload, or all those of a session that has ended, left pending; and
    /// makes room if the disk was full. What cannot be taken back is a collect's.
    pub(crate) fn clean_up(&self, session: SessionId, manifest: Option<ManifestId>) {
        self.make_room();
        for _ in 0..TAKE_BACKS_MAX {
            match self.records.take_back(session, manifest, TAKE_BACK_ROWS) {
                Ok(true) | Err(_) => return,
                Ok(false) => {}
            }
        }
    }

    /// Cuts what failed uploads have left at the ends of segments that nobody writes to, and what
    /// was reserved behind.
    fn cut_tails(&self) {
        let mut taken = Taken::new(&self.idle);
        taken.writers = std::mem::take(&mut *self.idle.lock());
        for writer in &mut taken.writers {
            // One that cannot be cut is as it was.
            let _ = self.cut(&mut **writer);
        }
        drop(taken);
        // Those of processes that have ended, which nobody may come to adopt.
        for id in self.records.unsealed_segments(CANDIDATES_MAX).unwrap_or_default() {
            if let Ok(Some(mut writer)) = self.segments.adopt(id)
                && let Ok(Some(len)) = self.records.segment_len(id)
                && !len.sealed
            {
                let _ = writer.rewind(len.bytes);
            }
        }
    }

    fn cut(&self, writer: &mut dyn SegmentWriter) -> Result<()> {
        let segment = writer.id();
        // At least what is reserved is given back.
        writer.rewind(writer.len())?;
        if self.committer.is_broken(segment) {
            return Ok(());
        }
        // We own the segment, so what lands from here on lies elsewhere. What is not here has been
        // committed by now, or never is.
        let landed = self.flights.landed().into_iter().filter(|at| at.segment == segment);
        let wanted = landed.map(|at| at.offset + u64::from(at.len)).max();
        // Not from the records, if it can be helped: on a full disk they may not answer.
        let committed = match self.committer.end(segment) {
            Some(end) => end,
            None => match self.records.segment_len(segment)? {
                Some(len) if !len.sealed => len.bytes,
                _ => return Ok(()),
            },
        };
        writer.rewind(committed.max(wanted.unwrap_or(0)))?;
        if wanted.is_none() {
            self.committer.note_end(segment, committed);
        }
        Ok(())
    }

    /// Leave to append `bytes`, and a segment with room for them that nobody else appends to.
    fn take(&self, bytes: u64) -> Result<Taken<'_>> {
        let mut taken = Taken::new(&self.idle);
        taken.leave = Some(self.committer.room().enter(|| self.cut_tails()));
        loop {
            let idle = self.idle.lock().pop();
            let Some(writer) = idle else { break };
            if self.committer.is_broken(writer.id()) {
                self.broken.lock().push(writer);
                continue;
            }
            taken.writers.push(writer);
            if !taken.writer().is_full(bytes) {
                return Ok(taken);
            }
            self.let_go(&mut taken)?;
        }
        self.adopt(bytes, &mut taken)?;
        Ok(taken)
    }

    /// Lets go of a full segment. It is sealed in the records first: an unsealed segment without an
    /// owner is anybody's to adopt, and adopting cuts off what is not committed. If that fails,
    /// it stays ours.
    fn let_go(&self, taken: &mut Taken<'_>) -> Result<()> {
        self.committer.seal(&**taken.writer())?;
        taken.writers.clear();
        Ok(())
    }

    /// Takes over a segment that an earlier process left open, or makes one.
    fn adopt(&self, bytes: u64, taken: &mut Taken<'_>) -> Result<()> {
        for id in self.records.unsealed_segments(CANDIDATES_MAX)? {
            // A segment that cannot be taken over (damaged, say) is no reason to refuse a put: its
            // reads will say so.
            let Ok(Some(mut writer)) = self.segments.adopt(id) else { continue };
            // Its last owner may have committed until the moment we became the owner, so the length
            // is read now.
            let Some(len) = self.records.segment_len(id)?.filter(|len| !len.sealed) else {
                continue;
            };
            if writer.rewind(len.bytes).is_err() {
                continue;
            }
            self.committer.note_end(id, len.bytes);
            taken.writers.push(writer);
            if !taken.writer().is_full(bytes) {
                return Ok(());
            }
            // Nothing as large as this will fit any more; sealed, it is not tried again and again.
            // One that cannot be sealed is kept: let go of, it would be adopted again
            // for something smaller, and it may be broken now.
            self.let_go(taken)?;
        }
        let id = self.records.create_segment()?;
        let made = self.segments.create(id).inspect_err(|_| {
            // A row without a file would be looked at by every later put. If it stays, it costs no
            // more than that.
            let _ = self.records.forget_segment(id);
        })?;
        self.committer.note_end(id, 0);
        taken.writers.push(made);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Nothing is under way any more. A process that comes next, and may need this room to
        // begin, need not know of it.
        if self.committer.room().was_full() {
            self.cut_tails();
        }
    }
}

/// Writers that go back to the idle ones, whatever happens, and then the leave to append: of a
/// worker there is one at most.
struct Taken<'a> {
    writers: Vec<Box<dyn SegmentWriter>>,
    idle: &'a Mutex<Vec<Box<dyn SegmentWriter>>>,
    leave: Option<Appending<'a>>,
}

impl<'a> Taken<'a> {
    fn new(idle: &'a Mutex<Vec<Box<dyn SegmentWriter>>>) -> Self {
        Self { writers: Vec::new(), idle, leave: None }
    }

    fn writer(&mut self) -> &mut Box<dyn SegmentWriter> {
        self.writers.last_mut().expect("one has been taken")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.idle.lock().append(&mut self.writers);
    }
}

fn chunk_len(piece: &Piece) -> u32 {
    u32::try_from(piece.bytes().len()).expect("a chunk is at most 1 GiB")
}

/// A chunk whose bytes are written but whose row may not be committed: this upload carries the row
/// along, so it does not depend on the other's success.
fn found(piece: &Piece, id: ChunkId, landed: Landed<ChunkId, Location>) -> Done {
    let source = Source::Written(*landed.value());
    Done { id, len: chunk_len(piece), source, written: Some(landed), appended: false }
}
