//! Identifiers and places, as types that cannot be swapped for one another.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A segment; handed out by the records, never reused.
    SegmentId
);
number!(
    /// An upload session.
    SessionId
);
number!(
    /// A manifest: the ordered chunks of one or more objects or parts. It never changes once it is committed.
    ManifestId
);
number!(
    /// A chunk's row in the records. A chunk that was swept and written again has another.
    ChunkRef
);
number!(
    /// A multipart upload; never used again.
    UploadId
);
number!(
    /// The collector's clock. What loses its last reference is stamped with it; it moves forward when a
    /// collect wants to sweep what was stamped so far.
    Epoch
);

/// Where a chunk's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The segment.
    pub segment: SegmentId,
    /// Bytes from the segment's first byte, its header included.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
}

/// What an object contains: the BLAKE3 hash, in key-derivation mode with the context
/// `drystone 2026 object content`, of its chunks' (id, length as 8 bytes little-endian) in order.
/// Equal content cut by the same chunking has the same hash, and no byte is hashed twice to know
/// it. That of an object that was put together from others is told by
/// [`Composite::content`](crate::Composite::content).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// That of a plain object, from its chunks and their lengths in bytes, in order.
    pub fn of_chunks(chunks: impl IntoIterator<Item = (drystone_chunker::ChunkId, u64)>) -> Self {
        let mut hasher = ContentHasher::new();
        chunks.into_iter().for_each(|(id, len)| hasher.chunk(&id, len));
        hasher.finish()
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Computes a [`ContentHash`] from chunks in order.
pub(crate) struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    pub(crate) fn new() -> Self {
        Self(blake3::Hasher::new_derive_key("drystone 2026 object content"))
    }

    pub(crate) fn chunk(&mut self, id: &drystone_chunker::ChunkId, len: u64) {
        self.0.update(&id.0).update(&len.to_le_bytes());
    }

    pub(crate) fn finish(&self) -> ContentHash {
        ContentHash(*self.0.finalize().as_bytes())
    }
}

/// For the [`ContentHash`] of what is put together from slices.
pub(crate) fn composite_hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key("drystone 2026 composite content")
}
