//! Bytes that neither compress nor repeat.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

const BLOCK_BYTES: usize = 1 << 20;

/// Writes a file of so many bytes. Another seed gives other bytes throughout, so that nothing
/// deduplicates.
pub(super) fn write(path: &Path, bytes: u64, seed: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut noise = Noise::new(seed);
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 {
        noise.fill(&mut block);
        let now = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        file.write_all(&block[..now]).with_context(|| format!("write {}", path.display()))?;
        left -= now as u64;
    }
    Ok(())
}

struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        // Neighbouring seeds give states that are far apart. The state is never zero, because zero
        // would stay zero.
        Self((0x2545_F491_4F6C_DD1D ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1)
    }

    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_file_has_the_length_asked_for_and_other_bytes_for_each_seed() {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let path = folder.path().join("noise");
        let mut words = BTreeSet::new();
        for (seed, bytes) in [(0, 4096), (1, 4096), (2, 4096), (3, (1 << 20) + 4096)] {
            write(&path, bytes, seed).expect("a file is written");
            let written = std::fs::read(&path).expect("the file");
            assert_eq!(written.len() as u64, bytes);
            words.extend(written.chunks_exact(8).map(<[u8]>::to_vec));
        }
        assert_eq!(words.len(), (3 * 4096 + (1 << 20) + 4096) / 8);
    }
}
