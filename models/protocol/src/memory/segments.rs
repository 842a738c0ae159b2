//! The segments half: each method is one system call. What was not synced goes with the power.

use std::io::ErrorKind;

use drystone_chunker::ChunkId;
use drystone_store::{
    Location, Records as _, Result, SegmentId, SegmentStorage, SegmentWriter, StoreError,
};

use super::{How, Memory, Op, Segment};

/// A segment takes this much, so that a few chunks fill one.
const SEGMENT_BYTES_MAX: u64 = 32;

impl Memory {
    /// What a collect does with a segment of which it wants to keep the chunks only: it copies them
    /// to another one, tells the records, and removes the old one. Each is a step of its own.
    ///
    /// # Panics
    /// When nothing is there that could be moved.
    pub fn move_chunks(&self) {
        let from = *self.shared.disk.lock().segments.keys().next().expect("there is a segment");
        let to = self.create_segment().expect("nothing fails");
        let mut disk = self.shared.disk.lock();
        let bytes = disk.segments[&from].bytes.clone();
        let synced = bytes.len();
        let moved = Segment { bytes, synced, is_owned: true, ..Segment::default() };
        disk.segments.insert(to, moved);
        drop(disk);
        let mut tables = self.shared.tables.lock();
        let chunks = tables.chunks.values_mut().filter(|chunk| chunk.at.segment == from);
        chunks.for_each(|chunk| chunk.at.segment = to);
        drop(tables);
        self.shared.disk.lock().segments.remove(&from);
    }

    /// Loses every segment, as a disk that is replaced does.
    pub fn lose_segments(&self) {
        self.shared.disk.lock().segments.clear();
    }
}

impl SegmentStorage for Memory {
    fn create(&self, id: SegmentId) -> Result<Box<dyn SegmentWriter>> {
        let segment = Segment { is_owned: true, ..Segment::default() };
        self.shared.disk.lock().segments.insert(id, segment);
        Ok(Box::new(Appender { memory: self.clone(), id, len: 0 }))
    }

    fn adopt(&self, id: SegmentId) -> Result<Option<Box<dyn SegmentWriter>>> {
        let mut disk = self.shared.disk.lock();
        let Some(segment) = disk.segments.get_mut(&id).filter(|segment| !segment.is_owned) else {
            return Ok(None);
        };
        segment.is_owned = true;
        Ok(Some(Box::new(Appender { memory: self.clone(), id, len: 0 })))
    }

    fn read(&self, at: Location, into: &mut [u8]) -> Result<()> {
        let disk = self.shared.disk.lock();
        let from = at.offset as usize;
        let found = disk.segments.get(&at.segment).ok_or(ErrorKind::NotFound);
        let bytes = found.and_then(|segment| {
            segment.bytes.get(from..from + into.len()).ok_or(ErrorKind::UnexpectedEof)
        });
        let bytes = bytes.map_err(|kind| StoreError::storage("cannot read a segment", kind.into()));
        into.copy_from_slice(bytes?);
        Ok(())
    }

    fn sync(&self, id: SegmentId) -> Result<()> {
        let failed = self.call(Op::Sync, "sync");
        let mut disk = self.shared.disk.lock();
        let Some(segment) = disk.segments.get_mut(&id) else { return failed };
        match &failed {
            Ok(()) => segment.synced = segment.bytes.len(),
            // The dirty pages are dropped: a later sync succeeds, and says nothing about them.
            Err(_) => {
                segment.lost_from =
                    Some(segment.lost_from.unwrap_or(segment.synced).min(segment.synced));
            }
        }
        failed
    }
}

/// The owner of a segment.
struct Appender {
    memory: Memory,
    id: SegmentId,
    len: u64,
}

impl SegmentWriter for Appender {
    fn id(&self) -> SegmentId {
        self.id
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn rewind(&mut self, bytes: u64) -> Result<()> {
        let mut disk = self.memory.shared.disk.lock();
        if let Some(segment) = disk.segments.get_mut(&self.id) {
            segment.bytes.truncate(bytes as usize);
            segment.synced = segment.synced.min(bytes as usize);
        }
        self.len = bytes;
        Ok(())
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<u64> {
        self.memory.call(Op::Append, "append")?;
        let mut disk = self.memory.shared.disk.lock();
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if disk.room.is_some_and(|room| disk.used() + bytes > room) {
            return Err(How::Full.error("append"));
        }
        disk.appends.extend(parts.iter().map(|part| ChunkId::of(part)));
        let offset = self.len;
        let Some(segment) = disk.segments.get_mut(&self.id) else {
            return Err(StoreError::Inconsistent("an appender without a segment".into()));
        };
        parts.iter().for_each(|part| segment.bytes.extend_from_slice(part));
        self.len = segment.bytes.len() as u64;
        Ok(offset)
    }

    fn is_full(&self, bytes: u64) -> bool {
        self.len > 0 && self.len + bytes > SEGMENT_BYTES_MAX
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        if let Some(segment) = self.memory.shared.disk.lock().segments.get_mut(&self.id) {
            segment.is_owned = false;
        }
    }
}
