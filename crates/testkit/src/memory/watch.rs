//! What the store must never ask of the records.

use drystone_chunker::ChunkId;
use drystone_store::{
    ChunkMove, Entry, Location, ManifestEntry, SegmentId, SegmentLen, Source, SyncPolicy,
};

use super::State;

impl State {
    /// Notes how long segments are, which a commit says before its entries.
    pub(super) fn note(&mut self, segments: &[SegmentLen]) {
        for told in segments {
            // A collect has removed it. A session that names it is dead, and will be refused.
            let Some(row) = self.tables.segments.get_mut(&told.segment) else { continue };
            row.bytes = row.bytes.max(told.bytes);
            row.sealed |= told.sealed;
            let is_there = match (self.config.sync, self.disk.file(told.segment)) {
                (_, None) => false,
                (SyncPolicy::Commit, Some(file)) => file.is_synced_to(told.bytes),
                (SyncPolicy::Never, Some(file)) => told.bytes <= file.len(),
            };
            if !is_there {
                let SegmentLen { segment, bytes, .. } = told;
                self.violate(format!(
                    "segment {segment} is said to have {bytes} bytes, and they are not all synced"
                ));
            }
        }
    }

    /// Notes what is wrong with an entry that the rules have let through.
    pub(super) fn watch(&mut self, entry: &Entry) {
        let mut broken = Vec::new();
        let mut end = 0;
        if let Some(id) = entry.manifest {
            match self.tables.manifests.get(&id) {
                Some(manifest) if manifest.session == Some(entry.session) => end = manifest.end,
                _ => {
                    broken
                        .push(format!("manifest {id} is not pending in session {}", entry.session));
                }
            }
        }
        for chunk in &entry.chunks {
            if chunk.offset != end {
                broken.push(format!("a chunk at {} follows one that ends at {end}", chunk.offset));
            }
            match self.chunk_len(chunk) {
                Ok(len) => end = chunk.offset + len,
                Err(what) => broken.push(what),
            }
        }
        if let Some(complete) = entry.complete.as_ref().filter(|complete| complete.size != end) {
            broken.push(format!("an object of {} bytes has chunks of {end}", complete.size));
        }
        self.violations.append(&mut broken);
    }

    /// Notes what is wrong with a move.
    pub(super) fn watch_move(&mut self, moved: &ChunkMove) {
        let Some(row) = self.tables.chunks.get(&moved.chunk) else { return };
        let entry = ManifestEntry { offset: 0, id: row.id, source: Source::Written(moved.to) };
        if let Err(what) = self.chunk_len(&entry) {
            self.violate(format!("a copy: {what}"));
        }
    }

    /// Notes what names a segment that is taken away.
    pub(super) fn watch_removal(&mut self, segment: SegmentId) {
        let named = self.tables.chunks.values().filter(|row| row.at.segment == segment).count();
        if named > 0 {
            self.violate(format!("segment {segment} is removed, and {named} chunks are in it"));
        }
    }

    /// A chunk's length, if it is what its id says and where it must be.
    fn chunk_len(&self, chunk: &ManifestEntry) -> Result<u64, String> {
        let at = match chunk.source {
            Source::Known(row) => {
                let row = &self.tables.chunks[&row];
                if row.id != chunk.id {
                    return Err(format!("the row of chunk {} is given for {}", row.id, chunk.id));
                }
                return Ok(u64::from(row.at.len));
            }
            Source::Written(at) => at,
        };
        let Location { segment, offset, len } = at;
        let told = |what: &str| {
            Err(format!("chunk {} in segment {segment} at {offset}+{len}: {what}", chunk.id))
        };
        let Some(file) = self.disk.file(segment) else { return told("there is no such segment") };
        let Some(bytes) = file.at(at) else { return told("the segment is shorter") };
        if ChunkId::of(bytes) != chunk.id {
            return told("other bytes are there");
        }
        if len == 0 {
            return told("a chunk is never empty");
        }
        if self.config.sync == SyncPolicy::Commit && !file.is_synced_at(at) {
            return told("committed, and not synced before");
        }
        let committed = self.tables.segments.get(&segment).map_or(0, |row| row.bytes);
        if committed < offset + u64::from(len) {
            return told(&format!(
                "the segment's committed length is {committed}: its next owner will cut the chunk \
                 off"
            ));
        }
        Ok(u64::from(len))
    }
}
