//! What a worker does with pieces: hash, ask whether they are known, append the ones that are not.

use std::collections::BTreeMap;

use drystone_chunker::ChunkId;
use drystone_pool::{Claim, Flight, Landed, SingleFlight, Waiting};
use drystone_sync::{Mutex, PlainArc, bound};

use crate::segments::Placed;
use crate::upload::{Done, Piece};
use crate::{
    Appended, ChunkRef, Epoch, KnownChunk, Location, ManifestId, Records, Result, SegmentStorage,
    SessionId, Source, StoreError,
};

/// Rows of a failed upload that one transaction takes back: about as many as one of its steps
/// wrote.
const TAKE_BACK_ROWS: usize = bound(1024, 1);
/// Such transactions for one upload. The caller waits for them, so their number is bounded. An
/// upload reaches the bound at about 64 GiB.
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
    /// Chunks being written, and chunks written whose rows are not committed yet.
    ///
    /// By epoch: a session keeps its bytes' segment from being removed, and one of a later epoch
    /// does not. So that one does not rely on these bytes.
    flights: SingleFlight<Name, Placed>,
    stats: Mutex<WriteStats>,
}

/// A chunk, as the sessions of one epoch know it.
pub(crate) type Name = (Epoch, ChunkId);

/// A piece between hashing and its end.
enum State {
    Claimed(Flight<Name, Placed>),
    Elsewhere(Waiting<Name, Placed>),
    Done(Done),
}

impl Writer {
    pub(crate) fn new(
        records: PlainArc<dyn Records>,
        segments: PlainArc<dyn SegmentStorage>,
    ) -> Self {
        Self {
            records,
            segments,
            flights: SingleFlight::new(),
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
            .map(|(piece, id)| match self.flights.claim((piece.upload().epoch, *id)) {
                Claim::Mine(flight) => State::Claimed(flight),
                Claim::Theirs(waiting) => State::Elsewhere(waiting),
                Claim::Landed(landed) => State::Done(found(piece, *id, landed)),
            })
            .collect();
        // The flights of this batch end here, in success or failure, before it waits for those of
        // others. A piece may even wait for an equal piece of this batch.
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
        let known = self.find(pieces, &claimed, &asked)?;
        let mut missing = Vec::with_capacity(claimed.len());
        for (&at, known) in claimed.iter().zip(known) {
            let piece = &pieces[at];
            match known {
                Some(chunk) => {
                    let (id, len, source) = (ids[at], chunk_len(piece), Source::Known(chunk));
                    // Replacing the claim drops the flight. A thread that waits for it then asks
                    // the records, as this one did.
                    states[at] =
                        State::Done(Done { id, len, source, written: None, appended: false });
                }
                None => missing.push(at),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let parts: Vec<&[u8]> = missing.iter().map(|&at| pieces[at].bytes()).collect();
        let Appended { segment, mut offset, hold } = self.segments.append(&parts)?;
        for &at in &missing {
            let len = chunk_len(&pieces[at]);
            let location = Location { segment, offset, len };
            offset += u64::from(len);
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
                let placed = Placed::new(location, PlainArc::clone(&hold));
                done.written = Some(flight.land(placed));
            }
        }
        Ok(())
    }

    /// The rows of chunks that the records have, and that no sweep takes while the pieces' sessions
    /// live.
    fn find(
        &self,
        pieces: &[Piece],
        claimed: &[usize],
        ids: &[ChunkId],
    ) -> Result<Vec<Option<ChunkRef>>> {
        let known = self.records.find_chunks(ids)?;
        // Of a chunk that is damaged the bytes are written again, which heals it.
        let sound = |known: &Option<KnownChunk>| known.filter(|row| !row.damaged);
        let mut found: Vec<_> =
            known.iter().map(|known| sound(known).map(|row| row.chunk)).collect();
        // Those that a collect may be about to sweep. Mostly there are none.
        let mut condemned: BTreeMap<SessionId, Vec<usize>> = BTreeMap::new();
        for (at, row) in known.iter().enumerate() {
            if found[at].is_some() && row.is_some_and(|row| row.condemned) {
                condemned.entry(pieces[claimed[at]].upload().session).or_default().push(at);
            }
        }
        for (session, places) in condemned {
            let chunks: Vec<_> = places.iter().filter_map(|at| found[*at]).collect();
            let revived = self.records.revive_chunks(session, &chunks)?;
            for (at, _) in places.iter().zip(revived).filter(|(_, revived)| !revived) {
                found[*at] = None;
            }
        }
        Ok(found)
    }

    /// Waits for another worker's flight. If that flight fails, this worker flies itself.
    fn await_other(
        &self,
        piece: &Piece,
        id: ChunkId,
        waiting: Waiting<Name, Placed>,
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

    /// Makes room if the disk was full.
    pub(crate) fn make_room(&self) {
        self.segments.make_room();
    }

    /// A transaction that may need room. On a full disk room is made, and then it is tried once
    /// more.
    pub(crate) fn with_room<T>(&self, transaction: impl Fn() -> Result<T>) -> Result<T> {
        let try_once = || {
            self.make_room();
            transaction().inspect_err(|error| {
                if error.is_full() {
                    self.segments.note_full();
                }
            })
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
}

fn chunk_len(piece: &Piece) -> u32 {
    u32::try_from(piece.bytes().len()).expect("a chunk is at most 1 GiB")
}

/// A chunk whose bytes are written but whose row may not be committed: this upload carries the row
/// along, so it does not depend on the other's success.
fn found(piece: &Piece, id: ChunkId, landed: Landed<Name, Placed>) -> Done {
    let source = Source::Written(landed.value().at);
    Done { id, len: chunk_len(piece), source, written: Some(landed), appended: false }
}
