//! The rules of a scrub: when it begins anew, which marks are set and taken away, and when a chunk
//! that is written again takes the place of a damaged one.

use crate::{
    ChunkRef, PlacedChunk, Result, ScrubAsk, ScrubCounts, ScrubNote, ScrubPlace, ScrubRound,
    SegmentId,
};

/// The tables as one transaction of a scrub sees and changes them.
pub trait ScrubTables {
    /// Why the transaction is not committed.
    type Halt;

    /// The database's clock, in milliseconds since 1970 UTC.
    fn now_ms(&mut self) -> Result<u64, Self::Halt>;

    /// The newest chunk's row; 0 if there never was one.
    fn last_chunk(&mut self) -> Result<ChunkRef, Self::Halt>;

    /// The newest scrub.
    fn round(&mut self) -> Result<Option<ScrubRound>, Self::Halt>;

    /// Keeps a scrub in the place of every earlier one. The number of a new one is 0; returns the
    /// number that it has got.
    fn put_round(&mut self, round: &ScrubRound) -> Result<u64, Self::Halt>;

    /// A chunk by its row.
    fn placed(&mut self, chunk: ChunkRef) -> Result<Option<PlacedChunk>, Self::Halt>;

    /// Marks a chunk as damaged now, or takes the mark away. One that is marked keeps its time.
    fn mark(&mut self, chunk: ChunkRef, damaged: bool) -> Result<(), Self::Halt>;

    /// When everything in a segment up to which chunk was verified.
    fn verified(&mut self, segment: SegmentId) -> Result<Option<(u64, ChunkRef)>, Self::Halt>;

    /// Notes that everything in a segment up to a chunk was verified at a time or later.
    fn set_verified(
        &mut self,
        segment: SegmentId,
        at_ms: u64,
        last: ChunkRef,
    ) -> Result<(), Self::Halt>;
}

/// Whether a chunk that has been written again takes the place of what its row names.
///
/// Only if the row is marked. And not at the same place: an upload may carry along what was written
/// for an upload before it. If that was found damaged since, the row names just these bytes.
pub fn heals(is_marked: bool, is_same_place: bool) -> bool {
    is_marked && !is_same_place
}

/// Whether a scrub that leaves out what was verified at `since_ms` or later reads a chunk, of whose
/// segment everything up to a chunk was `verified` at a time. A marked one is always read.
pub fn reads(
    since_ms: Option<u64>,
    chunk: &PlacedChunk,
    verified: Option<(u64, ChunkRef)>,
) -> bool {
    let (Some(since_ms), Some((at_ms, last))) = (since_ms, verified) else { return true };
    chunk.damaged || at_ms < since_ms || chunk.chunk > last
}

/// Begins a scrub, or goes on with the one before if it did not come to its end.
///
/// A scrub of everything does not go on with one that leaves chunks out. The other way round it
/// does: more is read than was asked for.
///
/// # Errors
/// The database's.
pub fn begin<T: ScrubTables>(tables: &mut T, ask: &ScrubAsk) -> Result<ScrubRound, T::Halt> {
    if let Some(round) = tables.round()?
        && !round.is_over
        && !ask.restart
        && (round.since_ms.is_none() || ask.since_ms.is_some())
    {
        return Ok(round);
    }
    let now_ms = tables.now_ms()?;
    let round = ScrubRound {
        id: 0,
        began_ms: now_ms,
        since_ms: ask.since_ms.map(|age| now_ms.saturating_sub(age)),
        last_chunk: tables.last_chunk()?,
        at: ScrubPlace::default(),
        is_over: false,
        counts: ScrubCounts::default(),
    };
    let id = tables.put_round(&round)?;
    Ok(ScrubRound { id, ..round })
}

/// Keeps what a scrub has found out.
///
/// What it says of a chunk counts only while the row names the place that was read: a put may have
/// healed the chunk meanwhile, or a collect moved it. If another scrub was begun in its place, this
/// one's position means nothing any more; what it found does.
///
/// # Errors
/// The database's.
pub fn note<T: ScrubTables>(tables: &mut T, id: u64, note: &ScrubNote) -> Result<(), T::Halt> {
    let found = note.bad.iter().map(|chunk| (chunk, true));
    for (chunk, damaged) in found.chain(note.well.iter().map(|chunk| (chunk, false))) {
        let is_there = |now: &PlacedChunk| now.place() == chunk.place();
        if tables.placed(chunk.chunk)?.as_ref().is_some_and(is_there) {
            tables.mark(chunk.chunk, damaged)?;
        }
    }
    let Some(mut round) = tables.round()?.filter(|round| round.id == id) else { return Ok(()) };
    for segment in &note.passed {
        // Where it left chunks out, these were verified when they were, which is earlier.
        let at_ms = match (tables.verified(*segment)?, round.since_ms) {
            (Some((at_ms, _)), Some(since_ms)) if at_ms >= since_ms => at_ms,
            _ => round.began_ms,
        };
        tables.set_verified(*segment, at_ms, round.last_chunk)?;
    }
    // Of two processes that do the same scrub, one may be further on.
    round.at = round.at.max(note.at);
    round.is_over |= note.is_over;
    round.counts.add(&note.counts);
    tables.put_round(&round)?;
    Ok(())
}
