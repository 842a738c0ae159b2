//! Scrub: reads every chunk, verifies it against its name, and remembers which are damaged.
//!
//! Chunks are read in the order of their bytes, many neighbours with one request, by the workers.
//! [`Scrub::step`] does a bounded piece of it, so that its caller can show progress, keep to a rate
//! or stop: the store has no clock. Where a scrub is, is kept in the records now and then, and an
//! interrupted one goes on there.
//!
//! A bad chunk is marked in its row, and then no put relies on it: one that brings the same bytes
//! writes them again, and its commit moves the row there ([`rules::scrub::heals`]). What a bad chunk
//! is in, `affected.rs` says; `repair.rs` heals from a file or another store.
//!
//! [`rules::scrub::heals`]: crate::rules::scrub::heals

mod affected;
mod check;
mod repair;
mod roles;
mod rows;
mod verify;

use std::collections::VecDeque;

use drystone_pool::BufferOwner;
use drystone_sync::{Arc, PlainArc, bound};

pub use check::{Check, Finding};
pub use repair::Healer;
pub use roles::{CheckRecords, ScrubRecords, SegmentFacts};
pub use rows::{
    Affected, Owner, PlacedChunk, ScrubAsk, ScrubCounts, ScrubNote, ScrubPlace, ScrubRound, SliceOf,
};

use crate::store::Inner;
use crate::{Result, SegmentId, Store};
use verify::{Run, Slot, Verdict, Verifier};

/// Rows that are read at a time, and chunks of one step at most.
const PAGE_ROWS: usize = bound(1024, 3);
/// Bytes of one step, but for its last run: a step ends soon enough for whoever waits to stop.
const STEP_BYTES: u64 = bound(32 << 20, 24) as u64;

/// A chunk that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadChunk {
    /// Its row.
    pub chunk: PlacedChunk,
    /// What is wrong with it.
    pub detail: String,
}

/// A scrub under way. [`save`](Self::save) it before it is dropped, or the next one does the last
/// part again.
pub struct Scrub {
    inner: PlainArc<Inner>,
    verifier: Verifier,
    owner: BufferOwner,
    round: ScrubRound,
    rows: VecDeque<PlacedChunk>,
    /// The last row that was read from the records.
    read_to: ScrubPlace,
    has_more: bool,
    /// What the records have not been told.
    note: ScrubNote,
}

impl Store {
    /// Begins a scrub, or goes on with the one before.
    ///
    /// # Errors
    /// The records'.
    pub fn scrub(&self, ask: &ScrubAsk) -> Result<Scrub> {
        let inner = PlainArc::clone(&self.inner);
        let round = inner.writer.with_room(|| inner.records.begin_scrub(ask))?;
        let verifier = Verifier {
            records: PlainArc::clone(&inner.records),
            segments: PlainArc::clone(&inner.segments),
        };
        Ok(Scrub {
            verifier,
            owner: inner.buffers.owner(),
            rows: VecDeque::new(),
            read_to: round.at,
            has_more: true,
            note: ScrubNote { at: round.at, ..ScrubNote::default() },
            round,
            inner,
        })
    }

    /// Chunks that are marked as damaged, by their rows: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The records'.
    pub fn damaged(&self, after: crate::ChunkRef, limit: usize) -> Result<Vec<PlacedChunk>> {
        self.inner.records.damaged_chunks(after, limit)
    }

    /// Sum of the lengths of all chunks, in bytes: what a scrub of everything reads.
    ///
    /// # Errors
    /// The records'.
    pub fn chunk_bytes(&self) -> Result<u64> {
        self.inner.records.chunk_bytes()
    }
}

impl Scrub {
    /// The scrub, with what earlier processes have done of it.
    pub fn round(&self) -> &ScrubRound {
        &self.round
    }

    /// Verifies some more chunks. Returns those that are bad, or `None` at the end. What was found
    /// is in the records when this returns; where the scrub is, only after [`save`](Self::save).
    ///
    /// # Errors
    /// The records'; and the storage's, where that is not the fault of single chunks. Then the scrub
    /// is of no more use.
    pub fn step(&mut self) -> Result<Option<Vec<BadChunk>>> {
        let mut bad = Vec::new();
        let (mut bytes, mut chunks) = (0, 0);
        let mut ahead: VecDeque<(PlacedChunk, Arc<Slot>)> = VecDeque::new();
        while bytes < STEP_BYTES && chunks < PAGE_ROWS {
            // The first lease is waited for only while none is held.
            let lease = match ahead.is_empty() {
                true => Some(self.owner.acquire()?),
                false if ahead.len() >= self.ahead_max() => None,
                false => self.owner.try_acquire()?,
            };
            let Some(mut lease) = lease else {
                self.receive(&mut ahead, &mut bad)?;
                continue;
            };
            let Some(run) = self.next_run(lease.len())? else { break };
            bytes += run.chunks.iter().map(|chunk| u64::from(chunk.at().len)).sum::<u64>();
            chunks += run.chunks.len();
            let Some(last) = run.chunks.last().copied() else { break };
            let (slot, delivery) = Slot::new();
            ahead.push_back((last, slot));
            let verifier = self.verifier.clone();
            // A closed pool drops the job, and with it the delivery, which says so.
            let _ = self.inner.workers.submit(move || {
                let verdicts = verifier.verify(&run, &mut lease);
                drop(lease);
                delivery.deliver(verdicts);
            });
        }
        while !ahead.is_empty() {
            self.receive(&mut ahead, &mut bad)?;
        }
        if chunks == 0 {
            self.pass(None);
            self.note.is_over = true;
            self.save()?;
            return Ok(None);
        }
        let has_found = !self.note.bad.is_empty() || !self.note.well.is_empty();
        if has_found || self.note.passed.len() >= PAGE_ROWS {
            self.save()?;
        }
        Ok(Some(bad))
    }

    /// Keeps in the records where the scrub is.
    ///
    /// # Errors
    /// The records'.
    pub fn save(&mut self) -> Result<()> {
        let (inner, round) = (&self.inner, self.round.id);
        inner.writer.with_room(|| inner.records.note_scrub(round, &self.note))?;
        self.note = ScrubNote { at: self.note.at, ..ScrubNote::default() };
        Ok(())
    }

    /// At most half of the buffers, so that uploads and readers have some.
    fn ahead_max(&self) -> usize {
        let config = &self.inner.config;
        (config.workers * 2).min(config.buffers / 2).max(1)
    }

    /// Chunks that are read with one request into a buffer of so many bytes.
    fn next_run(&mut self, buffer_bytes: usize) -> Result<Option<Run>> {
        if self.rows.is_empty() && self.has_more {
            let (since_ms, after) = (self.round.since_ms, self.read_to);
            let rows = self.inner.records.chunks_to_scrub(since_ms, after, PAGE_ROWS)?;
            self.has_more = rows.len() == PAGE_ROWS;
            self.read_to = rows.last().map_or(after, PlacedChunk::place);
            self.rows = rows.into();
        }
        let Some(first) = self.rows.pop_front() else { return Ok(None) };
        let mut run = Run { chunks: vec![first] };
        while let Some(next) = self.rows.front()
            && run.has_room_for(next, buffer_bytes)
        {
            run.chunks.extend(self.rows.pop_front());
        }
        Ok(Some(run))
    }

    /// Takes the outcome of the oldest run that is under way.
    fn receive(
        &mut self,
        ahead: &mut VecDeque<(PlacedChunk, Arc<Slot>)>,
        bad: &mut Vec<BadChunk>,
    ) -> Result<()> {
        let Some((last, slot)) = ahead.pop_front() else { return Ok(()) };
        let mut counts = ScrubCounts::default();
        for verdict in slot.take()? {
            let chunk = match verdict {
                Verdict::Gone => continue,
                Verdict::Well(chunk) => {
                    if chunk.damaged {
                        counts.well_again += 1;
                        self.note.well.push(chunk);
                    }
                    chunk
                }
                Verdict::Bad(chunk, detail) => {
                    counts.bad += 1;
                    self.note.bad.push(chunk);
                    bad.push(BadChunk { chunk, detail });
                    chunk
                }
            };
            counts.chunks += 1;
            counts.bytes += u64::from(chunk.at().len);
        }
        self.note.counts.add(&counts);
        self.round.counts.add(&counts);
        self.pass(Some(last.segment));
        (self.note.at, self.round.at) = (last.place(), last.place());
        Ok(())
    }

    /// Notes that the segment that was being read is done with, if another one follows or none.
    fn pass(&mut self, next: Option<SegmentId>) {
        let before = SegmentId(self.note.at.segment);
        if self.note.at != ScrubPlace::default() && next != Some(before) {
            self.note.passed.push(before);
        }
    }
}
