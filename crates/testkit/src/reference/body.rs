//! What is put: few contents, and sizes around every boundary.

use crate::noise::Noise;

use super::Setup;

/// A content and a length. Bodies of one flavour begin alike, so they share chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, arbitrary::Arbitrary)]
pub struct Body {
    /// What it is made of.
    pub flavour: Flavour,
    /// How long it is.
    pub size: Size,
}

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, arbitrary::Arbitrary)]
pub enum Flavour {
    /// Zeros: one chunk, many times.
    Zeros,
    /// Bytes that repeat nothing.
    Noise,
    /// Others of that kind.
    OtherNoise,
    /// [`Noise`](Self::Noise) behind ten other bytes: the same chunks at other offsets, when cut by
    /// content.
    Shifted,
}

/// A length next to a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, arbitrary::Arbitrary)]
pub struct Size {
    /// The boundary.
    pub anchor: Anchor,
    /// On which side of it.
    pub delta: Delta,
}

/// Lengths at which something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, arbitrary::Arbitrary)]
pub enum Anchor {
    /// Nothing.
    Zero,
    /// The smallest chunk.
    ChunkMin,
    /// The largest chunk.
    ChunkMax,
    /// Three of the largest.
    Chunks,
    /// A buffer.
    Buffer,
    /// Two buffers less one chunk of headroom.
    Buffers,
    /// A segment is full.
    Segment,
    /// A step of a pending manifest is full.
    Step,
    /// The largest object that a reader reads in its own thread.
    Inline,
}

/// One less, exactly, one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, arbitrary::Arbitrary)]
pub enum Delta {
    /// One byte less.
    Below,
    /// Exactly.
    At,
    /// One byte more.
    Above,
}

impl Size {
    /// The length in bytes, in a store that is set up like this.
    pub fn bytes(self, setup: &Setup) -> usize {
        let anchor = setup.anchor_bytes(self.anchor);
        match self.delta {
            Delta::Below => anchor.saturating_sub(1),
            Delta::At => anchor,
            Delta::Above => anchor + 1,
        }
    }
}

impl Body {
    /// The bytes, in a store that is set up like this.
    pub fn bytes(self, setup: &Setup) -> Vec<u8> {
        let len = self.size.bytes(setup);
        match self.flavour {
            Flavour::Zeros => vec![0; len],
            Flavour::Noise => Noise::new(1).bytes(len),
            Flavour::OtherNoise => Noise::new(2).bytes(len),
            Flavour::Shifted => {
                let mut bytes = Noise::new(3).bytes(10);
                bytes.extend(Noise::new(1).bytes(len.saturating_sub(10)));
                bytes.truncate(len);
                bytes
            }
        }
    }
}
