//! Where bytes wait for a client: in a file, so that a client's pace never holds memory.
//!
//! What a slow client has sent so far, and what a slow client has not read yet, lies in a *slot* of
//! one file that has no name: it costs one descriptor, and the kernel writes its pages out when
//! memory is short. A slot belongs to one request. There are never more slots than requests under
//! way, which are never more than connections, and a slot is never longer than
//! [`Spool::slot_bytes`]; so the file has a largest size, too.
//!
//! All calls here block for as long as the disk does; the event loops make them on the threads for
//! short calls.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use drystone_sync::{Mutex, PlainArc};
use rustix::fs::{FallocateFlags, fallocate};

/// The file and its slots.
pub struct Spool {
    file: PlainArc<File>,
    slot_bytes: u64,
    /// A leaf.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Slots that were given back, with how much of each lies on the disk still.
    free: Vec<(u64, u64)>,
    /// Slots that there have ever been.
    made: u64,
    taken: usize,
    high_water: usize,
}

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolUsage {
    /// Slots that are taken.
    pub now: usize,
    /// The most that there have been.
    pub high_water: usize,
}

/// A part of the file that belongs to one request. Dropped, it is given back.
pub struct Slot {
    spool: PlainArc<Spool>,
    number: u64,
    /// How much of it may lie on the disk.
    used: u64,
}

impl Spool {
    /// Slots of `slot_bytes` in `file`, which is empty and belongs to nothing else.
    pub fn new(file: &PlainArc<File>, slot_bytes: u64) -> PlainArc<Self> {
        PlainArc::new(Self {
            file: PlainArc::clone(file),
            slot_bytes,
            state: Mutex::new(State::default()),
        })
    }

    /// How long a slot can be.
    pub fn slot_bytes(&self) -> u64 {
        self.slot_bytes
    }

    /// A slot for a request, which must hold its connection for longer than the slot. Neither waits
    /// nor touches the file.
    pub fn slot(self: &PlainArc<Self>) -> Slot {
        let mut state = self.state.lock();
        let (number, used) = state.free.pop().unwrap_or_else(|| {
            state.made += 1;
            (state.made - 1, 0)
        });
        state.taken += 1;
        state.high_water = state.high_water.max(state.taken);
        Slot { spool: PlainArc::clone(self), number, used }
    }

    /// Whether free slots hold some of the disk.
    pub fn is_dirty(&self) -> bool {
        self.state.lock().free.iter().any(|(_, used)| *used > 0)
    }

    /// Gives the disk back what free slots hold of it. Blocks.
    pub fn clean(&self) {
        // One at a time: nothing is locked while the disk works, and a slot that is being cleaned
        // cannot be taken.
        while let Some((number, used)) = self.next_to_clean() {
            // A file system that cannot do it keeps what it has until the server ends.
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&*self.file, hole, number * self.slot_bytes, used);
            self.state.lock().free.push((number, 0));
        }
    }

    fn next_to_clean(&self) -> Option<(u64, u64)> {
        let mut state = self.state.lock();
        let at = state.free.iter().position(|(_, used)| *used > 0)?;
        Some(state.free.swap_remove(at))
    }

    /// A reading.
    pub fn usage(&self) -> SpoolUsage {
        let state = self.state.lock();
        SpoolUsage { now: state.taken, high_water: state.high_water }
    }
}

impl Slot {
    /// Writes bytes at an offset in the slot. Blocks.
    ///
    /// # Errors
    /// The disk's.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        assert!(end <= self.spool.slot_bytes, "a request keeps to its slot");
        self.used = self.used.max(end);
        self.spool.file.write_all_at(bytes, self.begin() + offset)
    }

    /// Reads bytes that were written. Blocks.
    ///
    /// # Errors
    /// The disk's.
    ///
    /// # Panics
    /// When they were not written.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        assert!(offset + into.len() as u64 <= self.used, "only what was written can be read");
        self.spool.file.read_exact_at(into, self.begin() + offset)
    }

    /// Reads the first `len` bytes, which were written. Blocks.
    pub fn reader(&self, len: u64) -> SlotReader<'_> {
        SlotReader { slot: self, range: 0..len }
    }

    fn begin(&self) -> u64 {
        self.number * self.spool.slot_bytes
    }
}

/// Reads a slot from its beginning.
pub struct SlotReader<'a> {
    slot: &'a Slot,
    range: Range<u64>,
}

impl io::Read for SlotReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end - self.range.start;
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        self.slot.read(self.range.start, &mut into[..len])?;
        self.range.start += len as u64;
        Ok(len)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.spool.state.lock();
        state.taken -= 1;
        state.free.push((self.number, self.used));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn spool() -> PlainArc<Spool> {
        Spool::new(&PlainArc::new(tempfile::tempfile().unwrap()), 1 << 20)
    }

    fn read(slot: &Slot, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        slot.read(offset, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn slots_do_not_see_each_other() {
        let spool = spool();
        let (mut one, mut two) = (spool.slot(), spool.slot());
        one.write(0, b"one").unwrap();
        two.write(0, b"two, longer").unwrap();
        one.write(3, b" more").unwrap();
        assert_eq!(read(&one, 0, 8), b"one more");
        assert_eq!(read(&two, 5, 6), b"longer");
        assert_eq!(spool.usage(), SpoolUsage { now: 2, high_water: 2 });
    }

    #[test]
    fn a_slot_is_read_to_where_it_was_written() {
        let spool = spool();
        let mut slot = spool.slot();
        slot.write(0, b"abcdef").unwrap();
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut slot.reader(4), &mut bytes).unwrap();
        assert_eq!(bytes, b"abcd");
    }

    #[test]
    fn a_slot_is_used_again_and_its_disk_given_back() {
        let spool = spool();
        let mut slot = spool.slot();
        slot.write(0, &vec![7; 1 << 20]).unwrap();
        drop(slot);
        assert_eq!(spool.usage(), SpoolUsage { now: 0, high_water: 1 });
        spool.file.sync_all().unwrap();
        let blocks = |spool: &Spool| spool.file.metadata().unwrap().blocks();
        let before = blocks(&spool);
        spool.clean();
        assert!(blocks(&spool) < before / 2, "{} blocks of {before} are left", blocks(&spool));
        let slot = spool.slot();
        assert_eq!((slot.number, slot.used), (0, 0));
    }

    #[test]
    #[should_panic(expected = "a request keeps to its slot")]
    fn a_slot_has_an_end() {
        let spool = spool();
        let _ = spool.slot().write((1 << 20) - 1, b"ab");
    }
}
