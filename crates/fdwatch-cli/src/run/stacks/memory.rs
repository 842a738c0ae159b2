//! The stack of a tracee, read in pieces.

use super::ptrace::read_memory;

/// One piece: most walks need one or two.
const WINDOW_BYTES: usize = 4096;
/// A walk goes up, but looks a little below where it is.
const BELOW_BYTES: u64 = 64;
/// So many pieces are read for one walk, in case the memory is made to lead us about.
const WINDOWS_MAX: u32 = 128;

pub(super) struct StackMemory {
    tid: i32,
    start: u64,
    window: [u8; WINDOW_BYTES],
    len: usize,
    windows: u32,
}

impl StackMemory {
    pub(super) fn of(tid: i32) -> Self {
        Self { tid, start: 0, window: [0; WINDOW_BYTES], len: 0, windows: 0 }
    }

    /// The eight bytes there; `None` if they cannot be read.
    pub(super) fn word(&mut self, address: u64) -> Option<u64> {
        if let Some(word) = self.at(address) {
            return Some(word);
        }
        if self.windows >= WINDOWS_MAX {
            return None;
        }
        self.windows += 1;
        // What is just below may not be mapped: then from the place itself on.
        for start in [address.saturating_sub(BELOW_BYTES), address] {
            self.start = start;
            self.len = read_memory(self.tid, start, &mut self.window);
            if self.len > 0 {
                break;
            }
        }
        self.at(address)
    }

    /// The first bytes of an instruction there; not a part of the stack, so the piece that is held
    /// stays.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn code<const BYTES: usize>(&self, address: u64) -> Option<[u8; BYTES]> {
        let mut bytes = [0; BYTES];
        (read_memory(self.tid, address, &mut bytes) == BYTES).then_some(bytes)
    }

    fn at(&self, address: u64) -> Option<u64> {
        let from = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let bytes = self.window[..self.len].get(from..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_this_process_are_read() {
        let words: Vec<u64> = (0..4096).collect();
        let address = words.as_ptr() as u64;
        let mut memory = StackMemory::of(std::process::id().cast_signed());
        for at in [0, 1, 511, 512, 4095, 7] {
            assert_eq!(memory.word(address + 8 * at), Some(at));
        }
        assert_eq!(memory.word(8), None);
        assert_eq!(memory.word(u64::MAX), None);
    }

    #[test]
    fn a_walk_reads_only_so_much() {
        let words = vec![7_u64; 1024];
        let address = words.as_ptr() as u64;
        let mut memory = StackMemory::of(std::process::id().cast_signed());
        for _ in 0..WINDOWS_MAX / 2 {
            assert_eq!(memory.word(address), Some(7));
            assert_eq!(memory.word(16), None);
        }
        assert_eq!(memory.word(address), None);
    }
}
