//! The cut function: where does the chunk that begins at the first byte of a window end?
//!
//! The gear hash of FastCDC at a position depends on the 64 bytes before it and on nothing else (each byte is
//! shifted out of the 64-bit state after 64 more). So a scan that ran out of window can be *resumed*: restart it
//! 64 bytes before where it stopped, and from there on it sees what one scan over everything would have seen.
//! Only a hit inside the warm-up itself is not to be trusted; then the chunk is scanned from its start. The test
//! `a_resumed_scan_cuts_like_a_whole_one` holds this against the plain function.

use fastcdc::v2020::{MASKS, cut_gear, get_gear_with_seed, logarithm2};

use crate::Chunking;

/// Bytes after which the gear hash has forgotten what came before.
const GEAR_WINDOW: usize = 64;

/// What [`Cutter::cut`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The chunk is the first so many bytes of the window.
    At(usize),
    /// The chunk is longer than the window; its first so many bytes hold no cut and need not be looked at again.
    None {
        /// To be passed as `scanned` with the longer window.
        scanned: usize,
    },
}

/// Cuts by one [`Chunking`]. Pure: no state from one call to the next.
#[derive(Clone)]
pub struct Cutter {
    chunking: Chunking,
    gear: Option<Gear>,
}

#[derive(Clone)]
struct Gear {
    table: Box<[u64; 256]>,
    table_shifted: Box<[u64; 256]>,
    mask_small: u64,
    mask_large: u64,
}

impl Cutter {
    /// A cutter for `chunking`.
    pub fn new(chunking: Chunking) -> Self {
        let gear = match chunking {
            Chunking::Fixed(_) => None,
            Chunking::FastCdc { avg, .. } => Some(Gear::new(avg)),
        };
        Self { chunking, gear }
    }

    /// What this cutter cuts by.
    pub fn chunking(&self) -> Chunking {
        self.chunking
    }

    /// Looks for the end of the chunk that begins at `window[0]`. `scanned` is 0, or what an earlier call with a
    /// shorter window of the same chunk returned. At the end of the stream the caller takes the rest as it is.
    pub fn cut(&self, window: &[u8], scanned: usize) -> Cut {
        match (self.chunking, &self.gear) {
            (Chunking::FastCdc { min, avg, max }, Some(gear)) => {
                gear.cut(window, scanned, min as usize, avg as usize, max as usize)
            }
            (chunking, _) => {
                let bytes = chunking.chunk_bytes_max();
                if window.len() >= bytes { Cut::At(bytes) } else { Cut::None { scanned: window.len() } }
            }
        }
    }
}

impl Gear {
    fn new(avg: u32) -> Self {
        let (table, table_shifted) = get_gear_with_seed(0);
        // Normalisation level 1: one bit more before the average size, one bit fewer after it.
        let bits = logarithm2(avg) as usize;
        Self { table, table_shifted, mask_small: MASKS[bits + 1], mask_large: MASKS[bits - 1] }
    }

    fn cut(&self, window: &[u8], scanned: usize, min: usize, avg: usize, max: usize) -> Cut {
        let window = &window[..window.len().min(max)];
        // Pairs of bytes are counted from the chunk's first byte, so a restart must be at an even distance.
        let restart = scanned.saturating_sub(GEAR_WINDOW + 1) & !1;
        let end = if restart > min {
            let resumed = self.scan(&window[restart..], 0, avg.saturating_sub(restart));
            if resumed < GEAR_WINDOW { self.scan(window, min, avg) } else { restart + resumed }
        } else {
            self.scan(window, min, avg)
        };
        if end < window.len() || window.len() == max { Cut::At(end) } else { Cut::None { scanned: end } }
    }

    /// The first cut in `window`, or its length.
    fn scan(&self, window: &[u8], min: usize, avg: usize) -> usize {
        cut_gear(
            window,
            min,
            avg,
            usize::MAX,
            self.mask_small,
            self.mask_large,
            self.mask_small << 1,
            self.mask_large << 1,
            &self.table,
            &self.table_shifted,
        )
        .1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a 64-bit xorshift generator; the same for ever, because golden tests hang on them.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    const GOLDEN: [usize; 10] =
        [532150, 2088921, 1361465, 604807, 1071987, 2119792, 1188501, 1871958, 1205351, 537980];

    fn cut_whole(cutter: &Cutter, mut data: &[u8]) -> Vec<usize> {
        let mut lens = Vec::new();
        while !data.is_empty() {
            let len = match cutter.cut(data, 0) {
                Cut::At(len) => len,
                Cut::None { .. } => data.len(),
            };
            lens.push(len);
            data = &data[len..];
        }
        lens
    }

    #[test]
    fn cuts_equal_those_of_the_published_crate() {
        let data = noise(3 << 20);
        for (min, avg, max) in
            [(64, 256, 1024), (2048, 8192, 65536), (4097, 10_000, 30_001), (256 << 10, 1 << 20, 4 << 20)]
        {
            let ours = cut_whole(&Cutter::new(Chunking::fast_cdc(min, avg, max).unwrap()), &data);
            let theirs: Vec<usize> = fastcdc::v2020::FastCDC::new(&data, min as u32, avg as u32, max as u32)
                .map(|c| c.length)
                .collect();
            assert_eq!(ours, theirs, "{min},{avg},{max}");
        }
    }

    #[test]
    fn default_boundaries_are_frozen() {
        let lens = cut_whole(&Cutter::new(Chunking::default()), &noise(12 << 20));
        assert_eq!(lens, GOLDEN, "boundaries changed: every store would stop deduplicating against its past");
    }

    #[test]
    fn a_resumed_scan_cuts_like_a_whole_one() {
        let data = noise(300_000);
        for (min, avg, max) in [(64, 256, 1024), (65, 300, 5000), (2048, 8192, 65536)] {
            let cutter = Cutter::new(Chunking::fast_cdc(min, avg, max).unwrap());
            let mut at = 0;
            for whole in cut_whole(&cutter, &data) {
                for step in [1, 7, 63, 64, 65, 1000] {
                    let (mut len, mut scanned) = (0, 0);
                    let found = loop {
                        len = (len + step).min(data.len() - at);
                        match cutter.cut(&data[at..at + len], scanned) {
                            Cut::At(found) => break found,
                            Cut::None { scanned: _ } if at + len == data.len() => break len,
                            Cut::None { scanned: so_far } => scanned = so_far,
                        }
                    };
                    assert_eq!(found, whole, "at {at}, {min},{avg},{max}, growing by {step}");
                }
                at += whole;
                if at > 60_000 {
                    break;
                }
            }
        }
    }
}
