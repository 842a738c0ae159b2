//! What a group commit is made of: steps of uploads, and how long the segments have become.

use drystone_chunker::ChunkId;

use crate::{
    BucketName, ChunkRef, ContentHash, Key, Location, ManifestId, ObjectMeta, ObjectRow,
    ObjectVersion, PartTarget, SegmentId, SessionId, StoreError,
};

/// How a chunk of an upload came to be in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The records had it.
    Known(ChunkRef),
    /// It was appended here. The row may be new, or another upload may have made it first.
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
    /// The object at the key is this very one, not another that contains the same.
    IfVersion(ObjectVersion),
}

impl Condition {
    /// Whether the condition holds for the object that is at the key, if there is one. A backend
    /// asks inside the transaction that depends on the answer.
    pub fn holds(self, present: Option<&ObjectRow>) -> bool {
        match self {
            Self::Always => true,
            Self::IfAbsent => present.is_none(),
            Self::IfVersion(expected) => present.is_some_and(|object| object.version() == expected),
        }
    }
}

/// An object to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutTarget {
    /// The bucket, which must exist.
    pub bucket: BucketName,
    /// The object's name.
    pub key: Key,
    /// Everything else about it.
    pub meta: ObjectMeta,
    /// When it may be stored.
    pub condition: Condition,
}

/// What an upload becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An object.
    Object(PutTarget),
    /// A part of a multipart upload.
    Part(PartTarget),
}

impl From<PutTarget> for Target {
    fn from(target: PutTarget) -> Self {
        Self::Object(target)
    }
}

impl From<PartTarget> for Target {
    fn from(target: PartTarget) -> Self {
        Self::Part(target)
    }
}

/// The last step of an upload. It makes the object visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// As what.
    pub target: Target,
    /// Its length in bytes.
    pub size: u64,
    /// What it contains.
    pub content: ContentHash,
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
    /// Whether all chunks that the session has been told of so far are in its manifests once this
    /// step is. Then the session moves to the current epoch, and a collector that waits for older
    /// ones need not wait for the end of a long upload.
    pub advance: bool,
}

/// The length of a segment up to which its bytes can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLen {
    /// The segment.
    pub segment: SegmentId,
    /// Where the last of its bytes that anything names ends. They are written (and synced, where
    /// the policy says so).
    pub bytes: u64,
    /// Nothing will be appended any more.
    pub sealed: bool,
}

/// What one transaction is to do.
pub struct CommitBatch<'a> {
    /// Steps of any number of uploads.
    pub entries: Vec<&'a Entry>,
    /// Segments that the entries name new bytes of, or that are sealed.
    pub segments: &'a [SegmentLen],
}

/// What became of an entry: its manifest, or why it was refused while the others went through.
pub type CommitResult = std::result::Result<ManifestId, StoreError>;
