//! The disk: what processes see (the page cache), and how much of it a power cut leaves.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use drystone_store::{Location, SegmentId};

use crate::noise::Noise;

/// Bytes of a segment before its first chunk. The local backend has another number, so that no code
/// relies on it.
pub const HEADER_BYTES: u64 = 16;
/// What a disk writes whole; from sector to sector anything may happen to what was not synced.
const SECTOR_BYTES: usize = 512;

#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<SegmentId, SegmentFile>,
    owners: u64,
    /// Bytes that all segments have room for, without their headers, if there is a limit.
    room: Option<u64>,
}

/// A segment: bytes of which a prefix is synced, except those lost by a failed sync.
pub(super) struct SegmentFile {
    bytes: Vec<u8>,
    synced: usize,
    /// Ranges below `synced` that a failed sync has lost: still readable, gone at the next power
    /// cut. A later sync does not say so, as on Linux since the pages are clean.
    lost: Vec<Range<usize>>,
    /// The writer that has it, by a number that is never used twice.
    owner: Option<u64>,
}

impl Disk {
    pub(super) fn file(&self, segment: SegmentId) -> Option<&SegmentFile> {
        self.files.get(&segment)
    }

    pub(super) fn file_mut(&mut self, segment: SegmentId) -> Option<&mut SegmentFile> {
        self.files.get_mut(&segment)
    }

    /// Makes a segment and gives it a first owner.
    pub(super) fn create(&mut self, segment: SegmentId) -> Option<u64> {
        if self.files.contains_key(&segment) {
            return None;
        }
        let file = SegmentFile {
            bytes: vec![0xD5; HEADER_BYTES as usize],
            synced: 0,
            lost: Vec::new(),
            owner: None,
        };
        self.files.insert(segment, file);
        self.own(segment)
    }

    pub(super) fn remove_all(&mut self) {
        self.files.clear();
    }

    /// Makes an object, whole and durable at once. One that is there stays as it is.
    pub(super) fn put_object(&mut self, segment: SegmentId, bytes: Vec<u8>) {
        let synced = bytes.len();
        let object = SegmentFile { bytes, synced, lost: Vec::new(), owner: None };
        self.files.entry(segment).or_insert(object);
    }

    /// Removes a segment, if there is one; unless it is owned. Returns whether it is gone.
    pub(super) fn remove(&mut self, segment: SegmentId) -> bool {
        if self.files.get(&segment).is_some_and(|file| file.owner.is_some()) {
            return false;
        }
        self.files.remove(&segment);
        true
    }

    pub(super) fn list(&self, after: Option<SegmentId>, limit: usize) -> Vec<SegmentId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.files.range((from, Bound::Unbounded)).map(|(id, _)| *id).take(limit).collect()
    }

    /// Gives an owner to a segment that has none.
    pub(super) fn own(&mut self, segment: SegmentId) -> Option<u64> {
        let file = self.files.get_mut(&segment).filter(|file| file.owner.is_none())?;
        self.owners += 1;
        file.owner = Some(self.owners);
        file.owner
    }

    pub(super) fn release(&mut self, segment: SegmentId, owner: u64) {
        if let Some(file) = self.files.get_mut(&segment).filter(|file| file.owner == Some(owner)) {
            file.owner = None;
        }
    }

    /// Every process is dead.
    pub(super) fn release_all(&mut self) {
        self.files.values_mut().for_each(|file| file.owner = None);
    }

    pub(super) fn limit(&mut self, room: u64) {
        self.room = Some(room);
    }

    /// Bytes of all segments without their headers.
    pub(super) fn used(&self) -> u64 {
        self.files.values().map(|file| file.len().saturating_sub(HEADER_BYTES)).sum()
    }

    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        bytes == 0 || self.room.is_none_or(|room| self.used() + bytes <= room)
    }

    /// What was not synced is gone, all of it.
    pub(super) fn lose(&mut self) {
        self.files.values_mut().for_each(SegmentFile::lose);
    }

    /// The power goes off and comes back.
    pub(super) fn crash(&mut self, seed: u64) {
        for (id, file) in &mut self.files {
            file.crash(&mut Noise::new(seed ^ (id.0 << 32)));
        }
    }
}

impl SegmentFile {
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn at(&self, at: Location) -> Option<&[u8]> {
        let from = usize::try_from(at.offset).ok()?;
        self.bytes.get(from..from.checked_add(at.len as usize)?)
    }

    /// Whether everything before `end` would survive a power cut.
    pub(super) fn is_synced_to(&self, end: u64) -> bool {
        end <= self.synced as u64 && self.lost.iter().all(|lost| end <= lost.start as u64)
    }

    /// Whether a chunk would survive a power cut.
    pub(super) fn is_synced_at(&self, at: Location) -> bool {
        let end = at.offset + u64::from(at.len);
        let beside = |lost: &Range<usize>| end <= lost.start as u64 || at.offset >= lost.end as u64;
        end <= self.synced as u64 && self.lost.iter().all(beside)
    }

    /// Writes at `offset`, which is at most the length.
    pub(super) fn write(&mut self, offset: u64, part: &[u8]) {
        let from = offset as usize;
        // A worker that goes on after the power was lost writes behind what was lost.
        self.bytes.resize(self.bytes.len().max(from), 0);
        let kept = self.bytes.len().min(from + part.len());
        self.dirty_from(from);
        self.bytes[from..kept].copy_from_slice(&part[..kept - from]);
        self.bytes.extend_from_slice(&part[kept - from..]);
    }

    /// Flips the bits of a byte, as a disk does by itself. Returns whether it is there.
    pub(super) fn flip(&mut self, offset: u64) -> bool {
        self.bytes.get_mut(offset as usize).map(|byte| *byte = !*byte).is_some()
    }

    pub(super) fn cut(&mut self, len: u64) {
        self.bytes.truncate(len as usize);
        self.dirty_from(len as usize);
    }

    pub(super) fn write_header(&mut self) {
        self.bytes.clear();
        self.dirty_from(0);
        self.bytes.resize(HEADER_BYTES as usize, 0xD5);
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.bytes.len();
    }

    /// A sync fails: what was not synced is lost, and a later sync does not report it.
    pub(super) fn fail_sync(&mut self) {
        if self.synced < self.bytes.len() {
            self.lost.push(self.synced..self.bytes.len());
            self.synced = self.bytes.len();
        }
    }

    fn dirty_from(&mut self, from: usize) {
        self.synced = self.synced.min(from);
        self.lost.retain_mut(|lost| {
            lost.end = lost.end.min(from);
            lost.start < lost.end
        });
    }

    fn lose(&mut self) {
        for lost in std::mem::take(&mut self.lost) {
            self.bytes[lost].fill(0);
        }
        self.bytes.truncate(self.synced);
    }

    fn crash(&mut self, noise: &mut Noise) {
        self.owner = None;
        let mut lost = std::mem::take(&mut self.lost);
        if self.synced < self.bytes.len() {
            lost.push(self.synced..self.bytes.len());
        }
        for range in &lost {
            self.garble(range.clone(), noise);
        }
        // The length is metadata of its own: the file may end anywhere in what was lost at its end.
        if let Some(last) = lost.last().filter(|last| last.end == self.bytes.len()) {
            let kept = match noise.below(3) {
                0 => last.start,
                1 => last.end,
                _ => last.start + noise.below(last.len() as u64 + 1) as usize,
            };
            self.bytes.truncate(kept);
        }
        self.synced = self.bytes.len();
    }

    /// Each sector arrived or did not, in any order; one that did not holds zeros or what was there
    /// long ago.
    fn garble(&mut self, range: Range<usize>, noise: &mut Noise) {
        let mut from = range.start;
        while from < range.end {
            let end = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let sector = &mut self.bytes[from..end.min(range.end)];
            match noise.below(3) {
                0 => sector.fill(0),
                1 => sector.copy_from_slice(&noise.bytes(sector.len())),
                _ => {}
            }
            from = end;
        }
    }
}
