//! The transactional half of a store: what exists, and which bytes it is made of.
//!
//! [`Records`] is the sum of its roles; code that needs one role asks for that one. What is refused
//! and why is the same for every backend and is written once, in [`rules`](crate::rules).

use std::ops::{Bound, Range};

use drystone_chunker::ChunkId;

use crate::{
    BucketName, BucketRow, CheckRecords, ChunkMove, ChunkRef, CommitBatch, CommitResult,
    Completion, CondemnedTotals, Condition, CopySource, CopyTarget, Epoch, Epochs, Key, KeyRow,
    KnownChunk, ManifestId, ManifestRow, NewBucket, NewKey, ObjectMeta, ObjectParts, ObjectRow,
    PartRow, PartTarget, PinRecords, Result, ScanFrom, ScrubRecords, SegmentId, SegmentLen,
    SegmentRow, Session, SessionId, StoredChunk, SweepFrom, Swept, Totals, UploadId, UploadRow,
};

/// Objects that one transaction deletes, at most.
pub const DELETES_MAX: usize = 1000;

/// The database of a store: all of its roles.
///
/// What makes room, or takes a right away, must work on a full disk too: deleting, aborting, taking
/// back, revoking, extending and ending a session, and asking for a segment's length. A backend
/// keeps room for these.
///
/// Every method is one short transaction; none grows with an object's size. Implementations
/// are shared between threads and, through the database, between processes.
pub trait Records:
    SessionRecords
    + ChunkRecords
    + SegmentRecords
    + BucketRecords
    + ObjectRecords
    + UploadRecords
    + KeyRecords
    + CollectRecords
    + ScrubRecords
    + CheckRecords
    + PinRecords
{
}

impl<T> Records for T where
    T: SessionRecords
        + ChunkRecords
        + SegmentRecords
        + BucketRecords
        + ObjectRecords
        + UploadRecords
        + KeyRecords
        + CollectRecords
        + ScrubRecords
        + CheckRecords
        + PinRecords
{
}

/// Upload sessions and what they commit.
pub trait SessionRecords: Send + Sync {
    /// Begins an upload session in the current epoch, with a lease of `lease_ms` milliseconds by
    /// the database's clock.
    ///
    /// # Errors
    /// [`LeaseTooLong`](crate::StoreError::LeaseTooLong) above
    /// [`LEASE_MS_MAX`](crate::LEASE_MS_MAX).
    fn begin_session(&self, lease_ms: u64) -> Result<Session>;

    /// Extends a live session's lease to `lease_ms` from now. A session once expired stays so.
    ///
    /// # Errors
    /// [`SessionExpired`](crate::StoreError::SessionExpired), and as for
    /// [`begin_session`](Self::begin_session).
    fn extend_session(&self, session: SessionId, lease_ms: u64) -> Result<()>;

    /// Ends a session; what it left pending is garbage. Ending an ended session is fine.
    fn end_session(&self, session: SessionId) -> Result<()>;

    /// Removes up to `limit` rows of what a session left pending, a manifest's last ones first: of
    /// `manifest`, or of any of its manifests for `None`. The caller knows that no step is to
    /// come that adds to it. The chunks stay until a collect, for another upload may have found
    /// them. Returns whether nothing is left.
    fn take_back(
        &self,
        session: SessionId,
        manifest: Option<ManifestId>,
        limit: usize,
    ) -> Result<bool>;

    /// Makes every session whose lease ran out dead, for ever. Returns how many.
    fn expire_sessions(&self) -> Result<u64>;

    /// Applies a batch in one transaction. The outer result is the transaction's; an inner one is
    /// an entry's own.
    fn commit(&self, batch: &CommitBatch<'_>) -> Result<Vec<CommitResult>>;
}

/// Chunks that are stored.
pub trait ChunkRecords: Send + Sync {
    /// Looks chunks up; the answer has the same order and length.
    fn find_chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<KnownChunk>>>;

    /// Promises condemned chunks to a live session: they are stamped anew, with the current epoch.
    /// So none is swept before the session has ended, or moved on because they are in its manifests.
    /// The answer has the same order and length; `false` where the row is gone.
    ///
    /// # Errors
    /// [`SessionExpired`](crate::StoreError::SessionExpired).
    fn revive_chunks(&self, session: SessionId, chunks: &[ChunkRef]) -> Result<Vec<bool>>;
}

/// Segments and how much of them is committed.
pub trait SegmentRecords: Send + Sync {
    /// Registers a new, empty segment.
    fn create_segment(&self) -> Result<SegmentId>;

    /// Removes the row of a segment that could not be made, for the caller that registered it:
    /// nothing was ever committed in it.
    fn forget_segment(&self, segment: SegmentId) -> Result<()>;

    /// Up to `limit` segments that are not sealed, the fullest first.
    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>>;

    /// A segment's committed length, and whether it is sealed, for a caller that owns the segment.
    /// Final: no commit that is not in the answer may come to light later, also not after a
    /// crash.
    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>>;
}

/// Buckets.
pub trait BucketRecords: Send + Sync {
    /// Makes a bucket; one that exists stays as it is. Returns whether it is new.
    fn create_bucket(&self, bucket: &NewBucket) -> Result<bool>;

    /// A bucket.
    fn bucket(&self, bucket: &BucketName) -> Result<Option<BucketRow>>;

    /// Buckets by name, those after `after`, at most `limit`.
    fn buckets(&self, after: Option<&BucketName>, limit: usize) -> Result<Vec<BucketRow>>;

    /// Says whether every client, also one without a key, may read the bucket's objects.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket).
    fn set_bucket_public(&self, bucket: &BucketName, public: bool) -> Result<()>;

    /// Removes a bucket without objects. Its multipart uploads are gone with it; what is left of
    /// them is a collect's.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket),
    /// [`BucketNotEmpty`](crate::StoreError::BucketNotEmpty).
    fn delete_bucket(&self, bucket: &BucketName) -> Result<()>;
}

/// Objects and their manifests.
pub trait ObjectRecords: Send + Sync {
    /// An object.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket).
    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>>;

    /// Changes one of an object's [system properties](ObjectMeta::system), or takes it away, and
    /// leaves everything else about it as it is: also its [version](ObjectRow::version). Whichever
    /// object has the key in that transaction is changed.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket),
    /// [`NotFound`](crate::StoreError::NotFound).
    fn set_property(
        &self,
        bucket: &BucketName,
        key: &Key,
        name: &str,
        value: Option<&str>,
    ) -> Result<()>;

    /// Objects in the order of their keys' bytes: those that begin with `prefix` and are not before
    /// `from`, at most `limit`. Without their [`TAGS`](crate::TAGS).
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket).
    fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>>;

    /// Up to `limit` rows of a manifest in order, beginning with the one that holds byte `from`, or
    /// with the last.
    fn manifest_page(
        &self,
        manifest: ManifestId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRow>>;

    /// An object together with the first rows of its manifest, at most `limit`. A small object is
    /// read with this. The default makes two requests of the records. A backend should make it one
    /// if each request is a round trip.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket).
    fn object_to_read(
        &self,
        bucket: &BucketName,
        key: &Key,
        limit: usize,
    ) -> Result<Option<(ObjectRow, Vec<ManifestRow>)>> {
        let Some(object) = self.object(bucket, key)? else { return Ok(None) };
        let rows = self.manifest_page(object.manifest, 0, limit)?;
        Ok(Some((object, rows)))
    }

    /// Removes an object's row, if the condition holds in the same transaction; its manifest and
    /// chunks stay until a collect. Returns whether there was one.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket),
    /// [`PreconditionFailed`](crate::StoreError::PreconditionFailed).
    fn delete(&self, bucket: &BucketName, key: &Key, condition: Condition) -> Result<bool>;

    /// [Deletes](Self::delete) objects of one bucket in one transaction, at most
    /// [`DELETES_MAX`](crate::DELETES_MAX) of them. The answer has the same order and length;
    /// an object that is refused leaves the others as they are.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket), and the transaction's; for a single
    /// object [`PreconditionFailed`](crate::StoreError::PreconditionFailed).
    fn delete_many(
        &self,
        bucket: &BucketName,
        objects: &[(Key, Condition)],
    ) -> Result<Vec<Result<bool>>>;

    /// Makes an object of another's manifest. See [`Store::copy`](crate::Store::copy).
    ///
    /// # Errors
    /// [`NotFound`](crate::StoreError::NotFound),
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket),
    /// [`PreconditionFailed`](crate::StoreError::PreconditionFailed).
    fn copy(&self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow>;

    /// Counts; reads every row of two tables.
    fn totals(&self) -> Result<Totals>;
}

/// Multipart uploads and their parts.
pub trait UploadRecords: Send + Sync {
    /// Begins a multipart upload.
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket).
    fn create_upload(&self, bucket: &BucketName, key: &Key, meta: &ObjectMeta)
    -> Result<UploadRow>;

    /// A multipart upload.
    fn upload(&self, upload: UploadId) -> Result<Option<UploadRow>>;

    /// Uploads of a bucket by key and id: those whose keys begin with `prefix` and that come after
    /// `after`, at most `limit`. Without their [`TAGS`](crate::TAGS).
    ///
    /// # Errors
    /// [`NoSuchBucket`](crate::StoreError::NoSuchBucket).
    fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Result<Vec<UploadRow>>;

    /// Parts of an upload by number, those above `after`, at most `limit`.
    ///
    /// # Errors
    /// [`NoSuchUpload`](crate::StoreError::NoSuchUpload).
    fn parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<PartRow>>;

    /// Makes a part of a range of an object. See [`Store::copy_part`](crate::Store::copy_part).
    ///
    /// # Errors
    /// As there.
    fn copy_part(
        &self,
        source: &CopySource,
        range: Option<Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow>;

    /// Drops an upload and its parts. Returns whether there was one.
    fn abort_upload(&self, upload: UploadId) -> Result<bool>;

    /// Makes the object of an upload's parts, remembers them with its manifest, and drops the
    /// upload. Of several that complete or abort an upload, one does.
    ///
    /// # Errors
    /// See [`Store::complete_upload`](crate::Store::complete_upload); nothing has changed then.
    fn complete_upload(&self, upload: UploadId, completion: &Completion) -> Result<ObjectRow>;

    /// Parts that an upload put a manifest together from, those with numbers above `after`, at most
    /// `limit`. They are remembered as long as the manifest; none, where the upload put together
    /// another one.
    fn object_parts(
        &self,
        manifest: ManifestId,
        upload: UploadId,
        after: u32,
        limit: usize,
    ) -> Result<ObjectParts>;
}

/// Access keys.
pub trait KeyRecords: Send + Sync {
    /// Keeps a new access key.
    ///
    /// # Errors
    /// [`KeyExists`](crate::StoreError::KeyExists).
    fn put_key(&self, key: &NewKey) -> Result<()>;

    /// An access key by its public half.
    fn key(&self, access: &str) -> Result<Option<KeyRow>>;

    /// Access keys in the order of their public halves' bytes: those after `after`, at most
    /// `limit`.
    fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<KeyRow>>;

    /// Forgets an access key. Returns whether there was one.
    fn revoke_key(&self, access: &str) -> Result<bool>;
}

/// What a collector needs. Nothing in here decides what may go: that is in
/// [`rules`](crate::rules), as for every other role.
///
/// Whatever loses its last reference is *condemned* in that very transaction: it is stamped with
/// the epoch as the transaction reads it. What a stamp is older than every live session may be
/// swept, if nothing names it then.
pub trait CollectRecords: Send + Sync {
    /// Ends the current epoch. Returns the epoch that has ended.
    fn advance_epoch(&self) -> Result<Epoch>;

    /// The current epoch, and the oldest one that a live session is in.
    fn epochs(&self) -> Result<Epochs>;

    /// Condemns up to `limit` of the things that no transaction could condemn as they lost their
    /// references: manifests that dead sessions have left pending, and the parts of uploads whose
    /// bucket is gone. Returns whether nothing is left.
    fn condemn_left(&self, limit: usize) -> Result<bool>;

    /// Condemns what nothing names among the next `limit` rows, wherever a version before this one,
    /// or damage, may have left such: the first time over all rows. Returns where to go on, and
    /// `None` at the end.
    fn condemn_unreferenced(&self, from: ScanFrom, limit: usize) -> Result<Option<ScanFrom>>;

    /// Whether all rows have been [looked at](Self::condemn_unreferenced) once.
    fn is_scanned(&self) -> Result<bool>;

    /// Notes that all rows have been looked at.
    fn note_scanned(&self) -> Result<()>;

    /// What is condemned: all of it, also what may not be swept yet. Reads as many rows.
    fn condemned(&self) -> Result<CondemnedTotals>;

    /// Removes rows of manifests that were condemned in `upto` or before, up to `limit` of them.
    fn sweep_manifests(&self, upto: Epoch, after: SweepFrom, limit: usize) -> Result<Swept>;

    /// Removes the rows of up to `limit` chunks that were condemned in `upto` or before.
    fn sweep_chunks(&self, upto: Epoch, after: SweepFrom, limit: usize) -> Result<Swept>;

    /// Up to `limit` segments by id, those after `after`.
    fn segments(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentRow>>;

    /// Up to `limit` segments with more than `dead_bytes` dead bytes, those with the most for each
    /// live one first; without those that only wait to be removed, because no chunk is in them.
    fn wasteful_segments(&self, dead_bytes: u64, limit: usize) -> Result<Vec<SegmentRow>>;

    /// Up to `limit` chunks of a segment, those after `after`.
    fn chunks_in(
        &self,
        segment: SegmentId,
        after: Option<ChunkRef>,
        limit: usize,
    ) -> Result<Vec<StoredChunk>>;

    /// Says that chunks are in other places from now on, where they have been copied to: those that
    /// are still in their old places. Returns how many these were. `segments` as for
    /// [`CommitBatch::segments`].
    ///
    /// # Errors
    /// [`SessionExpired`](crate::StoreError::SessionExpired).
    fn move_chunks(
        &self,
        session: SessionId,
        moves: &[ChunkMove],
        segments: &[SegmentLen],
    ) -> Result<u64>;

    /// Condemns every sealed segment that no chunk is in. Returns how many these were.
    fn condemn_segments(&self) -> Result<u64>;

    /// Up to `limit` segments that were condemned in `upto` or before, those after `after`.
    fn condemned_segments(
        &self,
        upto: Epoch,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentRow>>;

    /// Removes the row of a segment that was condemned in `upto` or before, if no chunk is in it.
    /// Durable when it returns, whatever the backend's policy. Returns whether the row is gone.
    fn sweep_segment(&self, segment: SegmentId, upto: Epoch) -> Result<bool>;

    /// The highest id that a segment was ever registered under.
    fn last_segment(&self) -> Result<Option<SegmentId>>;
}
