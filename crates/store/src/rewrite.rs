//! The live chunks of a segment with many dead bytes are copied to another segment.
//!
//! A copy is verified, settled, and only then named. What is left behind is a segment that no chunk
//! is in.

use std::collections::BTreeSet;

use drystone_chunker::ChunkId;
use drystone_pool::Lease;
use drystone_sync::{PlainArc, bound};

use crate::collect::{Collect, CollectStage, Ended};
use crate::{
    ChunkMove, CommitOutcome, Location, Result, SegmentId, SegmentLen, SegmentRow, Settled,
    StoreError, StoredChunk, UploadSession,
};

/// Segments that are asked for at a time.
const SEGMENTS_PAGE: usize = bound(256, 2);
/// Chunks that are asked for at a time, and that one transaction moves.
const CHUNKS_PAGE: usize = bound(256, 2);
/// After so many transactions the session's lease is renewed.
const BEAT_EVERY: u64 = 16;

pub(crate) struct Rewrite<'a, 'run> {
    run: &'a mut Collect<'run>,
    /// Makes sure that nothing removes the segments which copies go to, before they are named.
    session: Option<UploadSession>,
    transactions: u64,
    /// Segments that this run will not try again.
    skipped: BTreeSet<SegmentId>,
    /// Dead bytes of the segments that stay.
    dead_bytes: u64,
}

impl<'a, 'run> Rewrite<'a, 'run> {
    pub(crate) fn new(run: &'a mut Collect<'run>) -> Self {
        Self { run, session: None, transactions: 0, skipped: BTreeSet::new(), dead_bytes: 0 }
    }

    /// What a full disk leaves undone is left to the next run.
    pub(crate) fn run(mut self) -> Result<(), Ended> {
        match self.run_all() {
            Err(Ended::Failed(error)) if error.is_full() => {
                self.run.done.is_full = true;
                self.run.done.is_partial = true;
                Ok(())
            }
            ended => ended,
        }
    }

    fn run_all(&mut self) -> Result<(), Ended> {
        let header_bytes = self.run.inner.segments.header_bytes();
        // Without those that wait to be removed: no chunk is in them.
        self.run.count_bytes()?;
        self.dead_bytes = self.run.done.dead_bytes;
        loop {
            let page = self.run.inner.records.wasteful_segments(header_bytes, SEGMENTS_PAGE)?;
            let fresh = page.into_iter().filter(|row| !self.skipped.contains(&row.segment));
            let fresh: Vec<SegmentRow> = fresh.collect();
            if fresh.is_empty() || self.skipped.len() >= SEGMENTS_PAGE {
                return Ok(());
            }
            for row in fresh {
                if row.live > 0 && !self.is_worth_it() {
                    return Ok(());
                }
                self.skipped.insert(row.segment);
                // Whatever comes of it: what this run cannot give back is no reason to copy more.
                self.dead_bytes = self.dead_bytes.saturating_sub(row.dead());
                if !row.sealed && !self.seal(row.segment)? {
                    continue;
                }
                if self.copy_all(row.segment)? {
                    self.skipped.remove(&row.segment);
                    self.run.done.rewritten += u64::from(row.live > 0);
                }
            }
        }
    }

    /// Whether a segment is sealed now. One that is damaged is no reason to leave the others.
    fn seal(&mut self, segment: SegmentId) -> Result<bool> {
        match self.run.inner.segments.seal(segment) {
            Ok(true) => Ok(true),
            Ok(false) => {
                self.run.done.busy += 1;
                Ok(false)
            }
            Err(error @ StoreError::Storage { .. }) if !error.is_full() => {
                self.run.done.unreadable += 1;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether there are more dead bytes than may stay.
    fn is_worth_it(&self) -> bool {
        let allowed =
            u128::from(self.run.done.live_bytes) * u128::from(self.run.options.dead_percent_max);
        u128::from(self.dead_bytes) * 100 > allowed
    }

    /// Copies every chunk of a segment. Returns whether none is left in it.
    fn copy_all(&mut self, segment: SegmentId) -> Result<bool, Ended> {
        let (mut after, mut is_whole) = (None, true);
        // Before the places are read: nothing removes the segment from then on.
        self.keep_session()?;
        loop {
            let page = self.run.inner.records.chunks_in(segment, after, CHUNKS_PAGE)?;
            let Some(last) = page.last() else { return Ok(is_whole) };
            after = Some(last.chunk);
            let mut rest = &page[..];
            while !rest.is_empty() {
                let (taken, is_read) = self.copy_some(rest)?;
                rest = &rest[taken..];
                is_whole &= is_read;
                self.run.pause(CollectStage::Rewrite)?;
            }
        }
    }

    /// Copies as many chunks as a buffer holds. Returns how many these were, and whether all of
    /// them could be read.
    fn copy_some(&mut self, chunks: &[StoredChunk]) -> Result<(usize, bool), Ended> {
        // Before its bytes are there, so that nothing removes the segment that they go to.
        self.keep_session()?;
        let lease = self.run.inner.buffers.owner().acquire();
        let mut buffer = lease.map_err(StoreError::from)?;
        let (mut copies, mut filled, mut taken) = (Vec::new(), 0, 0);
        let mut is_read = true;
        for chunk in chunks {
            let len = chunk.at.len as usize;
            let Some(room) = buffer.get_mut(filled..).and_then(|room| room.get_mut(..len)) else {
                break;
            };
            taken += 1;
            if self.read(chunk, room)? {
                copies.push((*chunk, filled));
                filled += len;
            } else {
                self.run.done.unreadable += 1;
                is_read = false;
            }
        }
        if taken == 0 {
            // A row that says so is damaged: there are no chunks as long as this.
            self.run.done.unreadable += 1;
            return Ok((1, false));
        }
        if !copies.is_empty() {
            self.write(&copies, &buffer)?;
        }
        Ok((taken, is_read))
    }

    /// Whether a chunk is what its name says. A copy of anything else would hide the damage.
    fn read(&self, chunk: &StoredChunk, into: &mut [u8]) -> Result<bool> {
        match self.run.inner.segments.read(chunk.at, into) {
            Ok(()) => Ok(ChunkId::of(into) == chunk.id),
            Err(StoreError::Storage { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, copies: &[(StoredChunk, usize)], buffer: &Lease) -> Result<()> {
        let inner = self.run.inner;
        let parts: Vec<&[u8]> =
            copies.iter().map(|(chunk, from)| &buffer[*from..][..chunk.at.len as usize]).collect();
        let appended = inner.segments.append(&parts)?;
        let mut end = appended.offset;
        let mut moves = Vec::with_capacity(copies.len());
        for (chunk, _) in copies {
            let to = Location { segment: appended.segment, offset: end, len: chunk.at.len };
            end += u64::from(chunk.at.len);
            moves.push(ChunkMove { chunk: chunk.chunk, from: chunk.at, to });
        }
        let mut settled = inner.segments.settle(&[appended.segment]);
        let settled = settled.pop().unwrap_or_else(|| {
            let detail = format!("segment {} was left unsettled", appended.segment);
            Err(StoreError::Inconsistent(detail))
        })?;
        let sealed = settled == Settled::Whole;
        let told = [SegmentLen { segment: appended.segment, bytes: end, sealed }];
        let session = self.session.as_ref().map(UploadSession::id).unwrap_or_default();
        let moved = inner.records.move_chunks(session, &moves, &told);
        let outcome = match &moved {
            Ok(_) => CommitOutcome::Committed,
            Err(error) => {
                if error.is_full() {
                    inner.segments.note_full();
                }
                CommitOutcome::Doubtful
            }
        };
        inner.segments.note_commit(&told, outcome);
        moved?;
        drop(appended);
        self.run.done.copied_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }

    fn keep_session(&mut self) -> Result<()> {
        let inner = self.run.inner;
        self.transactions += 1;
        match &self.session {
            None => {
                let (records, writer) =
                    (PlainArc::clone(&inner.records), PlainArc::clone(&inner.writer));
                let lease_ms = self.run.options.lease_ms;
                self.session = Some(UploadSession::begin(records, writer, lease_ms)?);
                Ok(())
            }
            Some(session) if self.transactions.is_multiple_of(BEAT_EVERY) => {
                session.handle().extend()
            }
            Some(_) => Ok(()),
        }
    }
}
