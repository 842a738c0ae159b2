//! What the records answer with.

use std::collections::BTreeMap;

use drystone_chunker::ChunkId;

use crate::{BucketName, ChunkRef, ContentHash, Epoch, Key, Location, ManifestId, SessionId};

/// What is known of an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The media type, as the client gave it.
    pub media_type: Option<String>,
    /// The user's own names and values.
    pub user: BTreeMap<String, String>,
    /// Names to which the protocol in front gives a meaning: `etag`, `cache-control`,
    /// `checksum-crc32c`. To the store they are as opaque as the user's.
    pub system: BTreeMap<String, String>,
    /// Modification time, in nanoseconds since 1970 UTC.
    pub modified_ns: i64,
    /// Unix permission bits, when the object was a file.
    pub mode: Option<u32>,
}

/// The name of the one [system property](ObjectMeta::system) that lists leave out, of objects and
/// of uploads: it may be longer than everything else about an object together. S3's tags of an
/// object.
pub const TAGS: &str = "tags";

/// A bucket to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBucket {
    /// Its name.
    pub name: BucketName,
    /// As for [`BucketRow::region`].
    pub region: Option<String>,
    /// As for [`BucketRow::public`].
    pub public: bool,
}

impl NewBucket {
    /// A bucket that is not public, and of which nothing else is said.
    pub fn named(name: BucketName) -> Self {
        Self { name, region: None, public: false }
    }
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketRow {
    /// Its name.
    pub name: BucketName,
    /// When it was made, in milliseconds since 1970 UTC by the database's clock.
    pub created_ms: u64,
    /// Every client, also one without a key, may read its objects. The store itself does not check
    /// permissions.
    pub public: bool,
    /// Where it is said to be: kept for clients, and nothing follows from it.
    pub region: Option<String>,
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

/// What tells an object from every other that has been, or will be, under its key. Each put makes a
/// manifest of its own; a copy onto itself keeps the manifest, and is told by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Its chunks.
    pub manifest: ManifestId,
    /// As for [`ObjectMeta::modified_ns`].
    pub modified_ns: i64,
}

impl ObjectRow {
    /// What a [`Condition`](crate::Condition) can hold on to.
    pub fn version(&self) -> ObjectVersion {
        ObjectVersion { manifest: self.manifest, modified_ns: self.meta.modified_ns }
    }
}

/// One run of a manifest: a chunk, or a part of one, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Offset in the object, in bytes.
    pub offset: u64,
    /// The chunk.
    pub chunk: ChunkId,
    /// Where its bytes are: all of them, because only a whole chunk can be verified.
    pub at: Location,
    /// Bytes of the chunk before the object's.
    pub skip: u32,
    /// Bytes of the chunk that are the object's; never 0.
    pub len: u32,
    /// It is a composite manifest's, whose content hash is made from its slices and says nothing
    /// of single chunks.
    pub of_composite: bool,
}

impl ManifestRow {
    /// A whole chunk.
    pub fn whole(offset: u64, chunk: ChunkId, at: Location) -> Self {
        Self { offset, chunk, at, skip: 0, len: at.len, of_composite: false }
    }

    /// Offset behind it in the object, in bytes. A damaged row may say anything, but not make this
    /// overflow.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.len))
    }
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
    /// A scrub found its bytes damaged. It counts as missing: whoever has the bytes writes them
    /// again.
    pub damaged: bool,
}

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
