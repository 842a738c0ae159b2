//! Bytes that a seed and a length determine, and the random numbers of a run.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result};

/// The bytes of an object. They are made again for each comparison, so nothing large is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) seed: u64,
    pub(super) bytes: u64,
}

impl Content {
    pub(super) fn make(self) -> Vec<u8> {
        let mut made = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        self.reader().read_to_end(&mut made).expect("made bytes can always be read");
        made
    }

    fn reader(self) -> impl Read {
        Noise { random: Random::new(self.seed), word: [0; 8], used: 8 }.take(self.bytes)
    }

    /// Writes a file of these bytes, and the folders above it.
    pub(super) fn write(self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
        }
        let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut reader = BufReader::with_capacity(BLOCK_BYTES, self.reader());
        io::copy(&mut reader, &mut file).with_context(|| format!("write {}", path.display()))?;
        Ok(())
    }

    /// Whether a file holds exactly these bytes. A file that is not there does not.
    pub(super) fn is_in(self, path: &Path) -> bool {
        File::open(path).and_then(|file| self.equals(file)).unwrap_or(false)
    }

    fn equals(self, mut found: impl Read) -> io::Result<bool> {
        let mut expected = self.reader();
        let (mut left, mut right) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
        loop {
            let len = fill(&mut expected, &mut left)?;
            if fill(&mut found, &mut right)? != len || left[..len] != right[..len] {
                return Ok(false);
            }
            if len == 0 {
                return Ok(true);
            }
        }
    }
}

const BLOCK_BYTES: usize = 256 << 10;

/// Reads until `into` is full or the input ends.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match from.read(&mut into[len..])? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}

/// Endless random bytes. They do not depend on the sizes of the reads.
struct Noise {
    random: Random,
    word: [u8; 8],
    used: usize,
}

impl Read for Noise {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut rest = &mut into[..];
        while !rest.is_empty() {
            if self.used == 8 {
                (self.word, self.used) = (self.random.next().to_le_bytes(), 0);
            }
            let len = rest.len().min(8 - self.used);
            rest[..len].copy_from_slice(&self.word[self.used..self.used + len]);
            self.used += len;
            rest = &mut rest[len..];
        }
        Ok(into.len())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and any seed will do.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `from..to`.
    pub(super) fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        for bytes in [0, 1, 7, 8, 9, 1000] {
            let content = Content { seed: 3, bytes };
            assert_eq!(content.make().len() as u64, bytes);
            assert_eq!(content.make(), content.make());
        }
        assert_ne!(Content { seed: 3, bytes: 9 }.make(), Content { seed: 4, bytes: 9 }.make());
    }

    #[test]
    fn a_file_of_other_bytes_or_another_length_is_recognised() {
        let content = Content { seed: 3, bytes: BLOCK_BYTES as u64 + 3 };
        let mut bytes = content.make();
        assert!(content.equals(&bytes[..]).is_ok_and(|equal| equal));
        assert!(content.equals(&bytes[..bytes.len() - 1]).is_ok_and(|equal| !equal));
        bytes.push(0);
        assert!(content.equals(&bytes[..]).is_ok_and(|equal| !equal));
        bytes.pop();
        bytes[BLOCK_BYTES + 1] ^= 1;
        assert!(content.equals(&bytes[..]).is_ok_and(|equal| !equal));
        assert!(!content.is_in(Path::new("no/such/file")));
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| (5..9).contains(&random.within(5, 9))));
        assert_eq!(random.within(5, 5), 5);
    }
}
