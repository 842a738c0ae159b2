//! The name of a chunk.

use std::fmt;
use std::str::FromStr;

/// The BLAKE3-256 hash of a chunk's bytes. Prints and parses as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub [u8; 32]);

/// Not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk id is 64 lower-case hexadecimal digits")]
pub struct ParseChunkIdError;

impl ChunkId {
    /// Names `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkId({self})")
    }
}

impl FromStr for ChunkId {
    type Err = ParseChunkIdError;

    fn from_str(text: &str) -> Result<Self, ParseChunkIdError> {
        // A name has only one spelling; `from_hex` alone would take capitals, too.
        if text.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return Err(ParseChunkIdError);
        }
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| ParseChunkIdError)
    }
}

/// Names a chunk whose bytes arrive in pieces.
#[derive(Clone, Debug, Default)]
pub struct ChunkHasher(blake3::Hasher);

impl ChunkHasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name of everything added.
    pub fn finish(&self) -> ChunkId {
        ChunkId(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_name_of_the_whole() {
        let mut hasher = ChunkHasher::new();
        assert_eq!(hasher.finish(), ChunkId::of(b""));
        for piece in [&b"dry stone"[..], b"", b" wall"] {
            hasher.update(piece);
        }
        assert_eq!(hasher.finish(), ChunkId::of(b"dry stone wall"));
    }

    #[test]
    fn a_name_reads_back_and_nothing_else_does() {
        let id = ChunkId::of(b"wall");
        let text = id.to_string();
        assert_eq!((text.len(), text.parse()), (64, Ok(id)));
        let upper = text.to_uppercase();
        for bad in ["", &text[1..], &format!("{text}0"), &text.replace(&text[..1], "g"), &upper] {
            assert_eq!(bad.parse::<ChunkId>(), Err(ParseChunkIdError), "{bad}");
        }
    }
}
