//! What an [`Appender`](crate::Appender) needs of its files: they grow, and one process at a time
//! owns each.

use drystone_store::{Location, Result, SegmentId};

/// Files of segments. Shared between threads.
pub trait OwnedFiles: Send + Sync {
    /// Makes an empty segment and owns it. `id` is new in the records.
    fn create(&self, id: SegmentId) -> Result<Box<dyn OwnedFile>>;

    /// Takes over an unsealed segment; `None` when it is owned already, by this process or another,
    /// or gone. The file's position is meaningless until [`OwnedFile::rewind`] was called with the
    /// committed length *read after this call*: until the segment is owned, its last owner may
    /// still be committing.
    fn adopt(&self, id: SegmentId) -> Result<Option<Box<dyn OwnedFile>>>;

    /// Bytes at the beginning of each that are not appended.
    fn header_bytes(&self) -> u64;

    /// Makes everything appended to the segment so far durable. May run while its owner appends. A
    /// failed sync is final for the segment: what it held un-synced counts as lost.
    fn sync(&self, id: SegmentId) -> Result<()>;

    /// As [`SegmentStorage::read`](drystone_store::SegmentStorage::read).
    fn read(&self, at: Location, into: &mut [u8]) -> Result<()>;

    /// As [`SegmentStorage::remove`](drystone_store::SegmentStorage::remove).
    fn remove(&self, id: SegmentId) -> Result<()>;

    /// As [`SegmentStorage::list`](drystone_store::SegmentStorage::list).
    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>>;
}

/// A segment that this process owns. Dropping it releases it for another process to adopt.
pub trait OwnedFile: Send {
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
