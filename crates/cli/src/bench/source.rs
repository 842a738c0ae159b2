//! The reader of the story, which gives one byte for ever, and a reader of data that does not
//! repeat.

use std::io::{self, Read};

use drystone_sync::PlainArc;

use crate::args::BenchData;

/// The noise repeats after this many bytes, apart from the stamps. A content-defined cutter sees
/// about a dozen chunks in them.
const NOISE_BYTES: usize = 16 << 20;
/// A running number stands at the beginning of each block of this size, so that no two chunks are
/// alike.
const STAMP_EVERY: usize = 4096;

/// Bytes that do not come from a disk: reading them costs one copy.
#[derive(Clone)]
pub(crate) struct BenchBytes {
    data: BenchData,
    noise: PlainArc<Vec<u8>>,
    at: u64,
    end: u64,
}

impl BenchBytes {
    pub(crate) fn new(data: BenchData, bytes: u64) -> Self {
        let mut noise = Vec::with_capacity(NOISE_BYTES);
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        while noise.len() < NOISE_BYTES {
            // xorshift64: fast noise; nothing here needs more.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend_from_slice(&state.to_le_bytes());
        }
        Self { data, noise: PlainArc::new(noise), at: 0, end: bytes }
    }

    /// How many bytes it gives in all.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    /// The part that begins at `from`.
    pub(crate) fn part(&self, from: u64, bytes: u64) -> Self {
        let at = from.min(self.end);
        Self { at, end: from.saturating_add(bytes).min(self.end), ..self.clone() }
    }

    fn noise(&mut self, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let at = (self.at % NOISE_BYTES as u64) as usize;
            let len = (into.len() - done).min(NOISE_BYTES - at);
            into[done..done + len].copy_from_slice(&self.noise[at..at + len]);
            let first = at.next_multiple_of(STAMP_EVERY) - at;
            for stamp in (first..len.saturating_sub(7)).step_by(STAMP_EVERY) {
                let number = (self.at + stamp as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                into[done + stamp..done + stamp + 8].copy_from_slice(&number.to_le_bytes());
            }
            self.at += len as u64;
            done += len;
        }
    }
}

impl Read for BenchBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(into.len());
        match self.data {
            BenchData::Unique => self.noise(&mut into[..len]),
            BenchData::Constant => {
                into[..len].fill(b'A');
                self.at += len as u64;
            }
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_give_the_same_bytes_as_the_whole() {
        let source = BenchBytes::new(BenchData::Unique, (NOISE_BYTES + 20_000) as u64);
        let mut whole = Vec::new();
        source.clone().read_to_end(&mut whole).unwrap();
        assert_eq!(whole.len() as u64, source.len());
        let from = NOISE_BYTES - 8192;
        let mut part = Vec::new();
        source.part(from as u64, 16_384).read_to_end(&mut part).unwrap();
        assert!(part == whole[from..from + 16_384]);
        assert_ne!(
            whole[..4096],
            whole[NOISE_BYTES..NOISE_BYTES + 4096],
            "repeated noise must not deduplicate"
        );
    }
}
