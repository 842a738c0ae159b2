//! A store so small that every boundary is near.

use drystone_chunker::{Chunking, Cut, Cutter};
use drystone_store::StoreConfig;

use super::Anchor;

/// How the store under test is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub struct Setup {
    /// Which of a few chunkings.
    pub cut: CutBy,
    /// Two workers instead of one. One makes runs repeat exactly; two find more.
    pub two_workers: bool,
    /// A commit queue that a single step fills, so that each step waits for the one before.
    pub tiny_queue: bool,
}

/// A few chunkings, with few bytes to each boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum CutBy {
    /// `fixed:16`.
    Fixed16,
    /// `fixed:100`.
    Fixed100,
    /// `cdc:64,256,1024`.
    Content,
    /// `fixed:4096`: objects of more than 256 KiB are cheap.
    Fixed4096,
}

impl Setup {
    /// How the store cuts.
    pub fn chunking(&self) -> Chunking {
        let chunking = match self.cut {
            CutBy::Fixed16 => Chunking::fixed(16),
            CutBy::Fixed100 => Chunking::fixed(100),
            CutBy::Content => Chunking::fast_cdc(64, 256, 1024),
            CutBy::Fixed4096 => Chunking::fixed(4096),
        };
        chunking.expect("the sizes are in range")
    }

    /// Where a segment ends, in bytes.
    pub fn segment_bytes_max(&self) -> u64 {
        match self.cut {
            CutBy::Fixed16 => 200,
            CutBy::Fixed100 => 1000,
            CutBy::Content => 5000,
            CutBy::Fixed4096 => 40_000,
        }
    }

    /// The store's configuration.
    pub fn config(&self) -> StoreConfig {
        StoreConfig {
            chunking: self.chunking(),
            workers: if self.two_workers { 2 } else { 1 },
            buffers: 2,
            ingests: 1,
            buffer_bytes: self.buffer_bytes(),
            read_ahead_max: 2,
            commit_queue_bytes: if self.tiny_queue { 1 } else { 1 << 20 },
        }
    }

    fn buffer_bytes(&self) -> usize {
        match self.cut {
            CutBy::Fixed16 => 40,
            CutBy::Fixed100 => 250,
            CutBy::Content => 1500,
            CutBy::Fixed4096 => 10_000,
        }
    }

    /// The length of a boundary, in bytes.
    pub(super) fn anchor_bytes(&self, anchor: Anchor) -> usize {
        let chunk_max = self.chunking().chunk_bytes_max();
        let step = 1024 * chunk_max.min(100);
        match anchor {
            Anchor::Zero => 0,
            Anchor::ChunkMin => match self.chunking() {
                Chunking::FastCdc { min, .. } => min as usize,
                _ => chunk_max,
            },
            Anchor::ChunkMax => chunk_max,
            Anchor::Chunks => 3 * chunk_max,
            Anchor::Buffer => self.buffer_bytes(),
            Anchor::Buffers => 2 * self.buffer_bytes() - chunk_max,
            Anchor::Segment => self.segment_bytes_max() as usize,
            Anchor::Step => step,
            // With small chunks this would only be slow.
            Anchor::Inline if chunk_max < 4096 => step / 2,
            Anchor::Inline => 256 << 10,
        }
    }
}

/// The lengths of the chunks of `bytes`, cut from one slice.
pub fn cut_lens(cutter: &Cutter, bytes: &[u8]) -> Vec<usize> {
    let mut rest = bytes;
    let mut lens = Vec::new();
    while !rest.is_empty() {
        let len = match cutter.cut(rest, 0) {
            Cut::At(len) => len,
            Cut::None { .. } => rest.len(),
        };
        lens.push(len);
        rest = &rest[len..];
    }
    lens
}
