//! What the rules ask of a database.

use std::ops::Range;

use crate::{
    BucketName, ChunkMove, ChunkRef, Composite, ContentHash, Entry, Epoch, Key, ManifestId,
    NamedPart, ObjectRow, PartRow, PartTarget, PlainSlice, Result, SessionId, StoreError,
    SweepFrom, UploadId, UploadRow,
};

/// The tables as one transaction sees and changes them. Each method is a look-up or a write and
/// decides nothing.
pub trait Tables {
    /// Why the transaction is not committed: a refusal, or a failure of the database.
    type Halt: From<StoreError>;
    /// What the database names a bucket by.
    type Bucket;

    /// Whether the session is there and not dead.
    fn is_alive(&mut self, session: SessionId) -> Result<bool, Self::Halt>;

    /// Whether there is such a row.
    fn has_chunk(&mut self, chunk: ChunkRef) -> Result<bool, Self::Halt>;

    /// A bucket by its name.
    fn bucket(&mut self, name: &BucketName) -> Result<Option<Self::Bucket>, Self::Halt>;

    /// Whether there are objects in the bucket.
    fn has_objects(&mut self, bucket: &Self::Bucket) -> Result<bool, Self::Halt>;

    /// An object.
    fn object(&mut self, bucket: &Self::Bucket, key: &Key)
    -> Result<Option<ObjectRow>, Self::Halt>;

    /// Whether there is such an upload, in a bucket that is there.
    fn has_upload(&mut self, upload: UploadId) -> Result<bool, Self::Halt>;

    /// An upload in a bucket that is there.
    fn upload(&mut self, upload: UploadId)
    -> Result<Option<(Self::Bucket, UploadRow)>, Self::Halt>;

    /// A part of an upload.
    fn part(&mut self, upload: UploadId, number: u32) -> Result<Option<PartRow>, Self::Halt>;

    /// Calls `each` with the slices of a committed manifest that `range` touches, in order and with
    /// their offsets. A plain manifest is one slice, of all of itself. Returns whether the manifest
    /// is there.
    fn slices(
        &mut self,
        manifest: ManifestId,
        range: &Range<u64>,
        each: &mut dyn FnMut(u64, PlainSlice) -> Result<()>,
    ) -> Result<bool, Self::Halt>;

    /// Adds an entry's chunks to its manifest, or to a new one, which stays pending in the entry's
    /// session unless the entry completes it. The first row of a chunk stays: one that is there
    /// already is taken back from a collector. It moves if the new place [heals](super::scrub::heals)
    /// it.
    fn add_to_manifest(&mut self, entry: &Entry) -> Result<ManifestId, Self::Halt>;

    /// Moves a session to the current epoch.
    fn advance_session(&mut self, session: SessionId) -> Result<(), Self::Halt>;

    /// Writes an object over an earlier one of its key.
    fn put_object(&mut self, bucket: &Self::Bucket, row: &ObjectRow) -> Result<(), Self::Halt>;

    /// Removes an object's row. Returns its manifest, if there was one.
    fn remove_object(
        &mut self,
        bucket: &Self::Bucket,
        key: &Key,
    ) -> Result<Option<ManifestId>, Self::Halt>;

    /// The manifest of an object.
    fn manifest_of(
        &mut self,
        bucket: &Self::Bucket,
        key: &Key,
    ) -> Result<Option<ManifestId>, Self::Halt>;

    /// Writes a part over an earlier one of its number.
    fn put_part(
        &mut self,
        target: &PartTarget,
        size: u64,
        content: ContentHash,
        manifest: ManifestId,
    ) -> Result<PartRow, Self::Halt>;

    /// Makes a manifest of a composite.
    fn put_composite(&mut self, composite: &Composite) -> Result<ManifestId, Self::Halt>;

    /// Remembers with a manifest which parts of an upload it was put together from, while the
    /// upload is still there.
    fn remember_parts(
        &mut self,
        manifest: ManifestId,
        upload: UploadId,
        parts: &[NamedPart],
    ) -> Result<(), Self::Halt>;

    /// Removes an upload and its parts, wherever its bucket is. Returns the parts' manifests.
    fn remove_upload(&mut self, upload: UploadId) -> Result<Vec<ManifestId>, Self::Halt>;

    /// The current epoch.
    fn epoch(&mut self) -> Result<Epoch, Self::Halt>;

    /// Whether a manifest is an object's or a part's, has slices in another one, or is pending in a
    /// live session.
    fn is_manifest_named(&mut self, manifest: ManifestId) -> Result<bool, Self::Halt>;

    /// Whether readers hold a manifest, in a live session.
    fn is_manifest_pinned(&mut self, manifest: ManifestId) -> Result<bool, Self::Halt>;

    /// Whether a manifest names a chunk, whatever manifest that is.
    fn is_chunk_named(&mut self, chunk: ChunkRef) -> Result<bool, Self::Halt>;

    /// Stamps a manifest, or takes its stamp away.
    fn stamp_manifest(
        &mut self,
        manifest: ManifestId,
        stamp: Option<Epoch>,
    ) -> Result<(), Self::Halt>;

    /// Stamps a chunk, or takes its stamp away. Returns whether there is such a row.
    fn stamp_chunk(&mut self, chunk: ChunkRef, stamp: Option<Epoch>) -> Result<bool, Self::Halt>;

    /// Up to `limit` manifests with stamps up to `upto`, behind `after`, in order.
    fn condemned_manifests(
        &mut self,
        upto: Epoch,
        after: SweepFrom,
        limit: usize,
    ) -> Result<Vec<SweepFrom>, Self::Halt>;

    /// The same for chunks.
    fn condemned_chunks(
        &mut self,
        upto: Epoch,
        after: SweepFrom,
        limit: usize,
    ) -> Result<Vec<SweepFrom>, Self::Halt>;

    /// Up to `limit` manifests without a stamp, behind `after`, in the order of their ids.
    fn manifests_after(
        &mut self,
        after: ManifestId,
        limit: usize,
    ) -> Result<Vec<ManifestId>, Self::Halt>;

    /// The same for chunks.
    fn chunks_after(&mut self, after: ChunkRef, limit: usize) -> Result<Vec<ChunkRef>, Self::Halt>;

    /// Up to `limit` manifests without a stamp that are pending in a session which is not live.
    fn left_pending(&mut self, limit: usize) -> Result<Vec<ManifestId>, Self::Halt>;

    /// An upload whose bucket is gone.
    fn upload_without_bucket(&mut self) -> Result<Option<UploadId>, Self::Halt>;

    /// A manifest that a session has pending: the one asked for, or any.
    fn pending(
        &mut self,
        session: SessionId,
        wanted: Option<ManifestId>,
    ) -> Result<Option<ManifestId>, Self::Halt>;

    /// Removes up to `limit` of a plain manifest's rows, the last ones first. Returns the chunks
    /// that they named. What cannot be read is left as it is.
    fn take_rows(
        &mut self,
        manifest: ManifestId,
        limit: usize,
    ) -> Result<Vec<ChunkRef>, Self::Halt>;

    /// Removes up to `limit` of a composite manifest's slices. Returns the manifests that they are
    /// of. What cannot be read is left as it is.
    fn take_slices(
        &mut self,
        manifest: ManifestId,
        limit: usize,
    ) -> Result<Vec<ManifestId>, Self::Halt>;

    /// Removes a manifest without rows and slices, and the parts that are remembered with it.
    fn remove_manifest(&mut self, manifest: ManifestId) -> Result<(), Self::Halt>;

    /// Removes a chunk's row. Returns its length in bytes.
    fn remove_chunk(&mut self, chunk: ChunkRef) -> Result<u32, Self::Halt>;

    /// Says that a chunk is in another place, if it still is where it was. Returns whether it was.
    fn move_chunk(&mut self, moved: &ChunkMove) -> Result<bool, Self::Halt>;

    /// Whether a single row could not be read, while the database is well.
    fn is_unreadable(halt: &Self::Halt) -> bool;
}
