//! What a scrub and a check need of the records.
//!
//! Every list is a page: rows in their order, those behind `after`, at most `limit`.

use std::ops::Range;

use drystone_chunker::ChunkId;

use super::{Owner, PlacedChunk, ScrubAsk, ScrubNote, ScrubPlace, ScrubRound, SliceOf};
use crate::{BucketName, ChunkRef, Key, ManifestId, Result, SegmentId, UploadId};

/// Chunks in the order of their bytes, which of them are damaged, and what they are in.
pub trait ScrubRecords: Send + Sync {
    /// Begins a scrub, or goes on with one that was interrupted; see
    /// [`rules::scrub::begin`](crate::rules::scrub::begin).
    fn begin_scrub(&self, ask: &ScrubAsk) -> Result<ScrubRound>;

    /// Chunks that a scrub reads, by their places.
    fn chunks_to_scrub(
        &self,
        since_ms: Option<u64>,
        after: ScrubPlace,
        limit: usize,
    ) -> Result<Vec<PlacedChunk>>;

    /// Keeps what a scrub has found out and where it is; see
    /// [`rules::scrub::note`](crate::rules::scrub::note).
    fn note_scrub(&self, round: u64, note: &ScrubNote) -> Result<()>;

    /// A chunk by its row.
    fn placed_chunk(&self, chunk: ChunkRef) -> Result<Option<PlacedChunk>>;

    /// A chunk by its name.
    fn placed_chunk_of(&self, id: &ChunkId) -> Result<Option<PlacedChunk>>;

    /// Chunks that are marked as damaged, by their rows.
    fn damaged_chunks(&self, after: ChunkRef, limit: usize) -> Result<Vec<PlacedChunk>>;

    /// Sum of the chunks' lengths, in bytes; reads a row for each segment.
    fn chunk_bytes(&self) -> Result<u64>;

    /// Plain manifests that a chunk is in, each once.
    fn manifests_of(
        &self,
        chunk: ChunkRef,
        after: Option<ManifestId>,
        limit: usize,
    ) -> Result<Vec<ManifestId>>;

    /// The first place of a chunk in a plain manifest that begins inside `range`.
    fn place_in(
        &self,
        chunk: ChunkRef,
        manifest: ManifestId,
        range: Range<u64>,
    ) -> Result<Option<u64>>;

    /// Slices that composites have of a manifest, by composite and offset.
    fn slices_of(
        &self,
        part: ManifestId,
        after: Option<(ManifestId, u64)>,
        limit: usize,
    ) -> Result<Vec<SliceOf>>;

    /// Objects that a manifest belongs to, by bucket and key.
    fn objects_of(
        &self,
        manifest: ManifestId,
        after: Option<(&BucketName, &Key)>,
        limit: usize,
    ) -> Result<Vec<Owner>>;

    /// Parts of unfinished uploads that a manifest belongs to, by upload and number. Those of a
    /// bucket that is gone are left out.
    fn parts_of(
        &self,
        manifest: ManifestId,
        after: Option<(UploadId, u32)>,
        limit: usize,
    ) -> Result<Vec<Owner>>;
}

/// A segment's row beside what the rows of its chunks come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The segment.
    pub segment: SegmentId,
    /// Its committed length, in bytes.
    pub bytes: u64,
    /// What its row says that its chunks' lengths come to.
    pub live: i64,
    /// What they come to.
    pub sum: i64,
    /// Where the last of them ends; 0 without any.
    pub end: i64,
    /// The lowest of their offsets and lengths; 0 or less is wrong, but where there are none.
    pub least: i64,
}

/// What contradicts itself in the records.
pub trait CheckRecords: Send + Sync {
    /// Segments by their ids.
    fn segment_facts(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentFacts>>;

    /// Whether there is a row for each of these segments.
    fn has_segments(&self, segments: &[SegmentId]) -> Result<Vec<bool>>;

    /// Segments that rows of chunks name and that have no row themselves, by their ids.
    fn segments_without_row(
        &self,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentId>>;

    /// A bucket's objects by key, and whether each one's manifest is there. None of a bucket that
    /// is gone.
    fn objects_to_check(
        &self,
        bucket: &BucketName,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, bool)>>;

    /// Parts of unfinished uploads by upload and number, and whether each one's manifest is there.
    fn parts_to_check(
        &self,
        after: Option<(UploadId, u32)>,
        limit: usize,
    ) -> Result<Vec<(UploadId, u32, bool)>>;
}
