//! What a scrub is told by the records, and what it tells them.

use drystone_chunker::ChunkId;

use crate::{BucketName, ChunkRef, Key, Location, ManifestId, SegmentId, UploadId};

/// What a scrub is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubAsk {
    /// Leave out what was verified within so many milliseconds, by the database's clock.
    pub since_ms: Option<u64>,
    /// Begin at the first chunk, also if an earlier scrub was interrupted.
    pub restart: bool,
}

/// A place in the order of a scrub: by segment, by offset in it, and by row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScrubPlace {
    /// The segment's id.
    pub segment: u64,
    /// Bytes from the segment's first byte.
    pub offset: u64,
    /// The chunk's row.
    pub chunk: u64,
}

/// A scrub from its beginning to its end, which several processes may do a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubRound {
    /// Its number.
    pub id: u64,
    /// When it began, in milliseconds since 1970 UTC by the database's clock.
    pub began_ms: u64,
    /// What was verified at this time or later is left out. `None`: nothing is.
    pub since_ms: Option<u64>,
    /// The newest chunk when it began. Chunks that are newer may be left out.
    pub last_chunk: ChunkRef,
    /// Everything up to here, this place included, has been dealt with.
    pub at: ScrubPlace,
    /// Whether it has come to its end.
    pub is_over: bool,
    /// What has been done.
    pub counts: ScrubCounts,
}

/// What a scrub has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubCounts {
    /// Chunks read, those that are bad included.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks that are bad.
    pub bad: u64,
    /// Chunks that were marked as damaged and are whole.
    pub well_again: u64,
}

impl ScrubCounts {
    /// Adds what was done after this.
    pub fn add(&mut self, more: &Self) {
        self.chunks += more.chunks;
        self.bytes += more.bytes;
        self.bad += more.bad;
        self.well_again += more.well_again;
    }
}

/// A chunk's row and where it says that the bytes are. A damaged row may say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedChunk {
    /// Its row.
    pub chunk: ChunkRef,
    /// The segment.
    pub segment: SegmentId,
    /// Bytes from the segment's first byte.
    pub offset: u64,
    /// Its name and its length in bytes. `None` when the row does not hold such values.
    pub name: Option<(ChunkId, u32)>,
    /// Whether it is marked as damaged.
    pub damaged: bool,
}

impl PlacedChunk {
    /// Where it is in the order of a scrub.
    pub fn place(&self) -> ScrubPlace {
        ScrubPlace { segment: self.segment.0, offset: self.offset, chunk: self.chunk.0 }
    }

    /// Where its bytes are; empty for a row that does not say how long it is.
    pub fn at(&self) -> Location {
        let len = self.name.map_or(0, |(_, len)| len);
        Location { segment: self.segment, offset: self.offset, len }
    }

    /// Where its bytes end.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.at().len))
    }
}

/// What a scrub tells the records, now and then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubNote {
    /// Everything up to here has been dealt with.
    pub at: ScrubPlace,
    /// The scrub has come to its end.
    pub is_over: bool,
    /// What was done since the note before.
    pub counts: ScrubCounts,
    /// Chunks that are bad, each where it was read.
    pub bad: Vec<PlacedChunk>,
    /// Chunks that are marked and are whole, each where it was read.
    pub well: Vec<PlacedChunk>,
    /// Segments of which everything has been dealt with that the scrub does not leave out.
    pub passed: Vec<SegmentId>,
}

/// A slice that a composite manifest has of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceOf {
    /// The composite.
    pub composite: ManifestId,
    /// Where the slice begins in the composite, in bytes.
    pub offset: u64,
    /// Where the slice begins in the other manifest, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// What a manifest belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// It is not an object but a part of an unfinished upload, with this number.
    pub part: Option<(UploadId, u32)>,
}

/// An object, or a part of an unfinished upload, that a bad chunk is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// What it is.
    pub owner: Owner,
    /// The first byte of it that is bad. Of a part: in the part.
    pub offset: u64,
}
