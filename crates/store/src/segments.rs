//! The bulky half of a store: append-only runs of bytes.

use crate::{Location, Result, SegmentId};

/// Where segments live. Shared between threads.
pub trait SegmentStorage: Send + Sync {
    /// Makes an empty segment and owns it. `id` is new in the records.
    fn create(&self, id: SegmentId) -> Result<Box<dyn SegmentWriter>>;

    /// Takes over an unsealed segment; `None` when another process owns it or it is gone. The
    /// writer's position is meaningless until [`SegmentWriter::rewind`] was called with the
    /// committed length *read after this call*: until the segment is owned, its last owner may
    /// still be committing.
    fn adopt(&self, id: SegmentId) -> Result<Option<Box<dyn SegmentWriter>>>;

    /// Fills `into` (of `at.len` bytes) with a chunk's bytes.
    ///
    /// # Errors
    /// [`StoreError::Storage`](crate::StoreError::Storage), with `UnexpectedEof` when the segment
    /// is too short and `NotFound` when it is gone, and `InvalidData` when what is there cannot
    /// be a segment.
    fn read(&self, at: Location, into: &mut [u8]) -> Result<()>;

    /// Makes everything appended to the segment so far durable. May run while its writer appends. A
    /// failed sync is final for the segment: what it held un-synced counts as lost.
    fn sync(&self, id: SegmentId) -> Result<()>;
}

/// The one appender of a segment. Dropping it releases the segment for another process to adopt.
pub trait SegmentWriter: Send {
    /// The segment.
    fn id(&self) -> SegmentId;

    /// Its length in bytes: where the next append goes.
    fn len(&self) -> u64;

    /// Whether it has no bytes beyond its header.
    fn is_empty(&self) -> bool;

    /// Forgets what lies beyond `bytes`: the committed length, or more up to its own, and what was
    /// reserved.
    fn rewind(&mut self, bytes: u64) -> Result<()>;

    /// Appends the parts one after the other; returns the offset of the first. A failed append
    /// leaves the length as it was.
    fn append(&mut self, parts: &[&[u8]]) -> Result<u64>;

    /// Whether `bytes` more would pass the segment's size limit, so that a fresh segment should be
    /// used. An empty segment is never full.
    fn is_full(&self, bytes: u64) -> bool;
}
