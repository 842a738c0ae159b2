//! The transactional half of a store: what exists, and which bytes it is made of.

use std::collections::BTreeMap;

use drystone_chunker::ChunkId;

use crate::{
    BucketName, ChunkRef, ContentHash, Epoch, Key, Location, ManifestId, Result, SegmentId, SessionId,
    StoreError,
};

/// What is known of an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The media type, as the client gave it.
    pub media_type: Option<String>,
    /// The user's own names and values.
    pub user: BTreeMap<String, String>,
    /// Modification time, in nanoseconds since 1970 UTC.
    pub modified_ns: i64,
    /// Unix permission bits, when the object was a file.
    pub mode: Option<u32>,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    /// Its name.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// What it contains.
    pub content: ContentHash,
    /// Everything else.
    pub meta: ObjectMeta,
    /// Its chunks.
    pub manifest: ManifestId,
}

/// One chunk of a manifest, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Offset in the object, in bytes.
    pub offset: u64,
    /// The chunk.
    pub chunk: ChunkId,
    /// Where its bytes are.
    pub at: Location,
}

/// An upload session, as begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The epoch it began in: what was unreferenced then is not swept while the session lives.
    pub epoch: Epoch,
}

/// A chunk that the records know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownChunk {
    /// Its row.
    pub chunk: ChunkRef,
    /// A collector found it unreferenced; it must be revived before it counts as known.
    pub condemned: bool,
}

/// How a chunk of an upload came to be in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The records had it.
    Known(ChunkRef),
    /// It was appended here; the row may be new, or somebody else's by now.
    Written(Location),
}

/// A chunk on its way into a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Offset in the object, in bytes.
    pub offset: u64,
    /// The chunk.
    pub id: ChunkId,
    /// Where it is.
    pub source: Source,
}

/// What must be true of the key when an object is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// No object has the key.
    IfAbsent,
    /// The object at the key has this content.
    IfContent(ContentHash),
}

/// The last step of an upload: the object appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Its bucket, which must exist.
    pub bucket: BucketName,
    /// Its name.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// What it contains.
    pub content: ContentHash,
    /// Everything else.
    pub meta: ObjectMeta,
    /// When it may be stored.
    pub condition: Condition,
}

/// One step of one upload; it takes effect whole or not at all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The session, which must be alive.
    pub session: SessionId,
    /// The pending manifest, from the second step on.
    pub manifest: Option<ManifestId>,
    /// Chunks to add to the manifest.
    pub chunks: Vec<ManifestEntry>,
    /// `Some` on the last step.
    pub complete: Option<Complete>,
}

/// How long a segment is, as far as anybody may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLen {
    /// The segment.
    pub segment: SegmentId,
    /// Bytes that have been written (and synced, where the policy says so).
    pub bytes: u64,
    /// Nothing will be appended any more.
    pub sealed: bool,
}

/// What one transaction is to do.
pub struct CommitBatch<'a> {
    /// Steps of any number of uploads.
    pub entries: Vec<&'a Entry>,
    /// Segments that grew since they were last told.
    pub segments: &'a [SegmentLen],
}

/// What became of an entry: its manifest, or why it was refused while the others went through.
pub type CommitResult = std::result::Result<ManifestId, StoreError>;

/// Counts over the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Objects.
    pub objects: u64,
    /// Sum of the objects' sizes, in bytes.
    pub object_bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Sum of the chunks' lengths, in bytes.
    pub chunk_bytes: u64,
}

/// The database of a store. Every method is one short transaction; none grows with an object's size. Implementations
/// are shared between threads and, through the database, between processes.
pub trait Records: Send + Sync {
    /// Begins an upload session in the current epoch, with a lease of `lease_ms` milliseconds by the database's clock.
    fn begin_session(&self, lease_ms: u64) -> Result<Session>;

    /// Extends a live session's lease to `lease_ms` from now. A session once expired stays so.
    ///
    /// # Errors
    /// [`StoreError::SessionExpired`].
    fn extend_session(&self, session: SessionId, lease_ms: u64) -> Result<()>;

    /// Ends a session; what it left pending is garbage. Ending an ended session is fine.
    fn end_session(&self, session: SessionId) -> Result<()>;

    /// Makes every session whose lease ran out dead, for ever. Returns how many.
    fn expire_sessions(&self) -> Result<u64>;

    /// Looks chunks up; the answer has the same order and length.
    fn find_chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<KnownChunk>>>;

    /// Takes a chunk back from the collector, for a live session. `false` when its row is gone.
    ///
    /// # Errors
    /// [`StoreError::SessionExpired`].
    fn revive_chunk(&self, session: SessionId, chunk: ChunkRef) -> Result<bool>;

    /// Applies a batch in one transaction. The outer result is the transaction's; an inner one is an entry's own.
    fn commit(&self, batch: &CommitBatch<'_>) -> Result<Vec<CommitResult>>;

    /// Registers a new, empty segment.
    fn create_segment(&self) -> Result<SegmentId>;

    /// Up to `limit` segments that are not sealed, the fullest first.
    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>>;

    /// A segment's committed length, and whether it is sealed, for a caller that owns the segment. Final: no commit that is not
    /// in the answer may come to light later, also not after a crash.
    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>>;

    /// Makes a bucket; fine if it exists. Returns whether it is new.
    fn create_bucket(&self, bucket: &BucketName) -> Result<bool>;

    /// Buckets by name, those after `after`, at most `limit`.
    fn buckets(&self, after: Option<&BucketName>, limit: usize) -> Result<Vec<BucketName>>;

    /// An object.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>>;

    /// Objects in the order of their keys' bytes: those that begin with `prefix` and come after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>>;

    /// Up to `limit` rows of a manifest in order, beginning with the chunk that holds byte `from`.
    fn manifest_page(&self, manifest: ManifestId, from: u64, limit: usize) -> Result<Vec<ManifestRow>>;

    /// Removes an object's row; its manifest and chunks stay until a collect. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    fn delete(&self, bucket: &BucketName, key: &Key) -> Result<bool>;

    /// Counts; reads every row of two tables.
    fn totals(&self) -> Result<Totals>;
}
