//! What the records tell a collector, and what it tells them.

use drystone_chunker::ChunkId;

use crate::{ChunkRef, Epoch, Location, ManifestId, SegmentId};

/// The store's clock, and what holds it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// The current epoch: what is condemned now is stamped with it.
    pub current: Epoch,
    /// The oldest epoch that a live session is in.
    pub oldest: Option<Epoch>,
}

impl Epochs {
    /// The last epoch of which everything condemned may be swept: it has ended, and no live session
    /// has seen it or one before it. `None` if there is no such epoch.
    pub fn sweepable(&self) -> Option<Epoch> {
        let first_kept = self.oldest.map_or(self.current, |oldest| oldest.min(self.current));
        first_kept.0.checked_sub(1).map(Epoch)
    }
}

/// Where a [scan](crate::CollectRecords::condemn_unreferenced) goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFrom {
    /// At the manifests after this one.
    Manifest(ManifestId),
    /// At the chunks after this one.
    Chunk(ChunkRef),
}

impl ScanFrom {
    /// Where it begins.
    pub const BEGINNING: Self = Self::Manifest(ManifestId(0));
}

/// Behind which row a sweep goes on: rows are swept in the order of their stamps, and then of their
/// ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SweepFrom {
    /// The stamp.
    pub epoch: Epoch,
    /// The id.
    pub id: u64,
}

/// What one transaction of a sweep has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Manifests, or chunks, that are gone.
    pub gone: u64,
    /// Bytes of these chunks.
    pub bytes: u64,
    /// Those that turned out to be named by something, and stay.
    pub pardoned: u64,
    /// Manifests that readers hold. They stay condemned.
    pub pinned: u64,
    /// Those that could not be read, and stay.
    pub unreadable: u64,
    /// Where to go on; `None` when there are no more.
    pub next: Option<SweepFrom>,
}

/// What is condemned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CondemnedTotals {
    /// Manifests. Their chunks are condemned when they are swept.
    pub manifests: u64,
    /// Chunks.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// The youngest stamp of all of these.
    pub youngest: Option<Epoch>,
}

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its id.
    pub segment: SegmentId,
    /// How many of its bytes are committed.
    pub bytes: u64,
    /// How many of these are chunks'.
    pub live: u64,
    /// Nothing will be appended any more.
    pub sealed: bool,
}

impl SegmentRow {
    /// Committed bytes that are no chunk's.
    pub fn dead(&self) -> u64 {
        self.bytes.saturating_sub(self.live)
    }
}

/// A chunk, where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// Its row.
    pub chunk: ChunkRef,
    /// Its name.
    pub id: ChunkId,
    /// Its place.
    pub at: Location,
}

/// A chunk that has been copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMove {
    /// Its row.
    pub chunk: ChunkRef,
    /// Where it was.
    pub from: Location,
    /// Where the copy is. The copy's segment has been settled.
    pub to: Location,
}
