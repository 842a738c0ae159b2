//! The cut function: where does the chunk that begins at the first byte of a window end?
//!
//! The gear hash of FastCDC at a position depends on the 64 bytes before it and on nothing else
//! (each byte is shifted out of the 64-bit state after 64 more). So a scan that ran out of window
//! can be *resumed*: restart it 64 bytes before where it stopped, and from there on it sees what
//! one scan over everything would have seen. Only a hit inside the warm-up itself is not to be
//! trusted; then the chunk is scanned from its start. The test
//! `a_resumed_scan_cuts_like_a_whole_one` holds this against the plain function.
//!
//! For the same reason three places can be scanned at a time, each after a warm-up of its own. A
//! single scan has to wait for its own sum at each byte; three scans fill that time. The cuts are
//! those of the `fastcdc` crate. The test `cuts_equal_those_of_the_published_crate` and the fuzz
//! target `chunker` check that.

use std::ops::ControlFlow;

use fastcdc::v2020::{MASKS, get_gear_with_seed, logarithm2};

use crate::Chunking;

/// Bytes after which the gear hash has forgotten what came before.
const GEAR_WINDOW: usize = 64;

/// How many bytes each of the three scans covers before all three move on. Longer scans look at
/// more bytes in vain when there is a cut. A fuzzer's inputs are small, and must reach this code,
/// too.
const LANE_BYTES: usize = if cfg!(fuzzing) { 128 } else { 1024 };
const _: () = assert!(LANE_BYTES >= GEAR_WINDOW && LANE_BYTES.is_multiple_of(2));

/// What [`Cutter::cut`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The chunk is the first so many bytes of the window.
    At(usize),
    /// The chunk is longer than the window. Its first `scanned` bytes hold no cut and need not be
    /// scanned again.
    None {
        /// To be passed as `scanned` with the longer window.
        scanned: usize,
    },
}

/// Cuts by one [`Chunking`]. Pure: it keeps no state from one call to the next.
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

    /// Looks for the end of the chunk that begins at `window[0]`. `scanned` is 0, or what an
    /// earlier call with a shorter window of the same chunk returned. At the end of the stream
    /// the caller takes the rest as it is.
    pub fn cut(&self, window: &[u8], scanned: usize) -> Cut {
        match (self.chunking, &self.gear) {
            (Chunking::FastCdc { min, avg, max }, Some(gear)) => {
                gear.cut(window, scanned, min as usize, avg as usize, max as usize)
            }
            (chunking, _) => {
                let bytes = chunking.chunk_bytes_max();
                if window.len() >= bytes {
                    Cut::At(bytes)
                } else {
                    Cut::None { scanned: window.len() }
                }
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
        // Pairs of bytes are counted from the chunk's first byte, so a restart must be at an even
        // distance.
        let restart = scanned.saturating_sub(GEAR_WINDOW + 1) & !1;
        let end = if restart > min {
            let resumed = self.scan(&window[restart..], 0, avg.saturating_sub(restart));
            if resumed < GEAR_WINDOW { self.scan(window, min, avg) } else { restart + resumed }
        } else {
            self.scan(window, min, avg)
        };
        if end < window.len() || window.len() == max {
            Cut::At(end)
        } else {
            Cut::None { scanned: end }
        }
    }

    /// The first cut in `window`, or its length. From `avg` on a cut is four times as likely.
    fn scan(&self, window: &[u8], min: usize, avg: usize) -> usize {
        // Pairs of bytes: an odd minimum counts as the even one below it, and an odd last byte is
        // no cut.
        let pairs = |len: usize| len.min(window.len()) & !1;
        let (first, middle, last) = (pairs(min), pairs(avg).max(pairs(min)), pairs(window.len()));
        let mut hash = 0;
        for (from, to, mask) in [(first, middle, self.mask_small), (middle, last, self.mask_large)]
        {
            match self.hit(&window[from..to], hash, mask) {
                ControlFlow::Break(at) => return from + at,
                ControlFlow::Continue(so_far) => hash = so_far,
            }
        }
        window.len()
    }

    /// Where the hash first has no bit of `mask`. `hash` is its value before the first byte. If
    /// there is no such place, the answer is its value after the last byte.
    fn hit(&self, bytes: &[u8], mut hash: u64, mask: u64) -> ControlFlow<usize, u64> {
        let mut at = 0;
        for lanes in bytes.as_chunks::<{ 3 * LANE_BYTES }>().0 {
            match self.passes(lanes, hash, mask) {
                Some(end) => hash = end,
                None => break,
            }
            at += lanes.len();
        }
        let tables = self.tables();
        for (number, pair) in bytes[at..].as_chunks::<2>().0.iter().enumerate() {
            hash = tables.even(hash, *pair);
            if hash & (mask << 1) == 0 {
                return ControlFlow::Break(at + 2 * number);
            }
            hash = tables.odd(hash, *pair);
            if hash & mask == 0 {
                return ControlFlow::Break(at + 2 * number + 1);
            }
        }
        ControlFlow::Continue(hash)
    }

    /// The hash after three lanes without a hit; `None` if one of the lanes has a hit.
    //
    // Not inlined, and the type gives the size of the lanes. Only then does the compiler leave out
    // the bounds checks, and have enough registers for all three.
    #[inline(never)]
    fn passes(&self, lanes: &[u8; 3 * LANE_BYTES], hash: u64, mask: u64) -> Option<u64> {
        let tables = self.tables();
        let [first, second, third] = lanes.as_chunks::<2>().0.as_chunks::<{ LANE_BYTES / 2 }>().0
        else {
            return None;
        };
        let after = |lane: &[[u8; 2]; LANE_BYTES / 2]| {
            let warm_up = &lane[(LANE_BYTES - GEAR_WINDOW) / 2..];
            warm_up.iter().fold(0, |hash, pair| tables.odd(tables.even(hash, *pair), *pair))
        };
        let (mut x, mut y, mut z) = (hash, after(first), after(second));
        // By index: zipped iterators need more registers.
        for at in 0..LANE_BYTES / 2 {
            let (a, b, c) = (first[at], second[at], third[at]);
            (x, y, z) = (tables.even(x, a), tables.even(y, b), tables.even(z, c));
            if x & (mask << 1) == 0 || y & (mask << 1) == 0 || z & (mask << 1) == 0 {
                return None;
            }
            (x, y, z) = (tables.odd(x, a), tables.odd(y, b), tables.odd(z, c));
            if x & mask == 0 || y & mask == 0 || z & mask == 0 {
                return None;
            }
        }
        Some(z)
    }

    fn tables(&self) -> Tables<'_> {
        Tables { plain: &self.table, shifted: &self.table_shifted }
    }
}

#[derive(Clone, Copy)]
struct Tables<'a> {
    plain: &'a [u64; 256],
    shifted: &'a [u64; 256],
}

impl Tables<'_> {
    /// The hash after the first byte of a pair. It is shifted one bit further than the definition
    /// says, so that two bytes need only one shift.
    #[inline(always)]
    fn even(self, hash: u64, pair: [u8; 2]) -> u64 {
        (hash << 2).wrapping_add(self.shifted[usize::from(pair[0])])
    }

    /// The hash after the second byte.
    #[inline(always)]
    fn odd(self, hash: u64, pair: [u8; 2]) -> u64 {
        hash.wrapping_add(self.plain[usize::from(pair[1])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a 64-bit xorshift generator. They never change, because golden tests depend on
    /// them.
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
        for (min, avg, max) in [
            (64, 256, 1024),
            (64, 5000, 20_000),
            (2048, 8192, 65536),
            (4097, 10_000, 30_001),
            (256 << 10, 1 << 20, 4 << 20),
        ] {
            let ours = cut_whole(&Cutter::new(Chunking::fast_cdc(min, avg, max).unwrap()), &data);
            let theirs: Vec<usize> =
                fastcdc::v2020::FastCDC::new(&data, min as u32, avg as u32, max as u32)
                    .map(|c| c.length)
                    .collect();
            assert_eq!(ours, theirs, "{min},{avg},{max}");
        }
    }

    #[test]
    fn default_boundaries_are_frozen() {
        let lens = cut_whole(&Cutter::new(Chunking::default()), &noise(12 << 20));
        assert_eq!(
            lens, GOLDEN,
            "boundaries changed: every store would stop deduplicating against its past"
        );
    }

    #[test]
    fn a_resumed_scan_cuts_like_a_whole_one() {
        let data = noise(300_000);
        for (min, avg, max) in [(64, 256, 1024), (65, 300, 5000), (64, 20_000, 65536)] {
            let cutter = Cutter::new(Chunking::fast_cdc(min, avg, max).unwrap());
            let mut at = 0;
            for whole in cut_whole(&cutter, &data) {
                for step in [1, 7, 63, 64, 65, 1000, 7001] {
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
