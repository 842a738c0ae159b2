//! The bulky half of a store: bytes that are appended once and never changed.

use drystone_sync::PlainArc;

use crate::{Location, Result, SegmentId, SegmentLen};

/// Where segments live. Shared between threads.
///
/// The storage chooses the segment that bytes are appended to, and registers each new segment in
/// the records before it makes it. Nothing here says that a segment is a file, or that it can be
/// appended to twice: a backend may write each one whole, and never again.
pub trait SegmentStorage: Send + Sync {
    /// Appends the parts, one behind the other, to some segment. The bytes may be read, and named
    /// in a commit, when the segment has been [settled](Self::settle) after this.
    ///
    /// # Errors
    /// None of the bytes will be named by anything.
    fn append(&self, parts: &[&[u8]]) -> Result<Appended>;

    /// Makes everything that was appended to these segments so far readable for every process, and
    /// durable as the storage's [policy](crate::SyncPolicy) asks. The answer has the same order and
    /// length. May run while others append.
    ///
    /// # Errors
    /// Final for the segment: what had been appended to it and not settled counts as lost, and no
    /// later call for it goes well.
    fn settle(&self, segments: &[SegmentId]) -> Vec<Result<Settled>>;

    /// What became of a transaction that told the records where the committed bytes of these
    /// segments end. Called before anything is let go of that [holds](Appended::hold) such bytes.
    fn note_commit(&self, told: &[SegmentLen], outcome: CommitOutcome) {
        let _ = (told, outcome);
    }

    /// A transaction of the records has failed because the disk is full.
    fn note_full(&self) {}

    /// Gives back what was appended and will not be committed any more, if anything has failed
    /// for want of room since this was done last.
    fn make_room(&self) {}

    /// Fills `into` (of `at.len` bytes) with a chunk's bytes.
    ///
    /// # Errors
    /// [`StoreError::Storage`](crate::StoreError::Storage), with `UnexpectedEof` when the segment
    /// is too short and `NotFound` when it is gone, and `InvalidData` when what is there cannot
    /// be a segment.
    fn read(&self, at: Location, into: &mut [u8]) -> Result<()>;

    /// Seals a segment that nothing is appended to at the moment, so that a collect may empty it.
    /// Returns whether it is sealed now: not, if another process may still append to it, or if this
    /// storage seals none.
    fn seal(&self, segment: SegmentId) -> Result<bool> {
        let _ = segment;
        Ok(false)
    }

    /// Gives back what failed uploads have left at the ends of segments.
    fn trim(&self) {}

    /// Bytes of each segment that are no chunk's even if all that was appended is.
    fn header_bytes(&self) -> u64 {
        0
    }

    /// Removes a segment; one that is gone already is fine. The caller knows that it is sealed and
    /// that no chunk is in it any more. A read under way ends well, or with `NotFound`.
    ///
    /// # Errors
    /// [`StoreError::Storage`](crate::StoreError::Storage), with `ResourceBusy` while some process
    /// appends to it.
    fn remove(&self, segment: SegmentId) -> Result<()>;

    /// Up to `limit` segments that are there, also those that no record tells of, in the order of
    /// their ids: those after `after`. What has been appended and not settled may be left out.
    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>>;
}

/// Bytes that were appended.
#[must_use = "bytes that nothing holds may be cut off again"]
pub struct Appended {
    /// Where they are.
    pub segment: SegmentId,
    /// Where the first of them is, in bytes from the segment's first byte.
    pub offset: u64,
    /// To be kept for as long as the bytes may still be named by a commit.
    pub hold: PlainArc<dyn Hold>,
}

/// Keeps appended bytes from being [given back](SegmentStorage::make_room) until it is dropped.
/// Dropping it is cheap: it does no I/O and takes no lock but leaf locks.
pub trait Hold: Send + Sync {}

/// A segment that has been settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// More may be appended to it.
    Open,
    /// It is whole: nothing is appended to it any more.
    Whole,
}

/// What is known of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It has taken place.
    Committed,
    /// It failed. It may have taken place all the same, or be found in the database's log after a
    /// crash.
    Doubtful,
}

/// Where a chunk was written. Its bytes stay there while some upload may still commit them.
#[derive(Clone)]
pub(crate) struct Placed {
    pub(crate) at: Location,
    _hold: PlainArc<dyn Hold>,
}

impl Placed {
    pub(crate) fn new(at: Location, hold: PlainArc<dyn Hold>) -> Self {
        Self { at, _hold: hold }
    }
}
