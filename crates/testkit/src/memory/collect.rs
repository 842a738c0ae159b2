//! The role of a collect over the tables, and what only tests do: ending leases, damaging rows.

use std::ops::Bound;

use drystone_chunker::ChunkId;
use drystone_store::rules;
use drystone_store::{
    ChunkMove, ChunkRef, CollectRecords, CondemnedTotals, Epoch, Epochs, ManifestId, Result,
    ScanFrom, SegmentId, SegmentLen, SegmentRow, SessionId, StoredChunk, SweepFrom, Swept,
};

use super::tables::Tables;
use super::{Memory, MemoryRecords, State};

impl Memory {
    /// Ends every live session, as its lease running out does. Returns how many.
    pub fn expire(&self) -> usize {
        let mut state = self.shared.lock();
        let live = state.tables.sessions.values_mut().filter(|row| !row.dead);
        live.map(|row| row.dead = true).count()
    }

    /// Makes the row of a chunk one that cannot be read where it is removed.
    pub fn damage_row(&self, id: &ChunkId) {
        let mut state = self.shared.lock();
        if let Some(row) = state.tables.chunk_mut(id) {
            row.unreadable = true;
        }
    }

    /// Chunks that have rows.
    pub fn chunk_rows(&self) -> usize {
        self.shared.lock().tables.chunks.len()
    }

    /// Manifests that have rows.
    pub fn manifest_rows(&self) -> usize {
        self.shared.lock().tables.manifests.len()
    }
}

impl Tables {
    fn is_live_pending(&self, manifest: ManifestId) -> bool {
        let row = self.manifests.get(&manifest);
        row.and_then(|row| row.session).is_some_and(|session| self.is_live(session))
    }

    pub(super) fn is_manifest_named(&self, manifest: ManifestId) -> bool {
        self.is_reachable(manifest) || self.is_live_pending(manifest)
    }

    /// Whether there is a way to a manifest from an object or an upload.
    pub(super) fn is_reachable(&self, manifest: ManifestId) -> bool {
        let objects = || self.objects.values().flat_map(|objects| objects.values());
        let uploads = || self.uploads.values().chain(self.lost_uploads.values());
        let parts = || uploads().flat_map(|upload| upload.parts.values());
        let slices = || self.manifests.values().flat_map(|row| &row.slices);
        objects().any(|row| row.manifest == manifest)
            || parts().any(|part| part.manifest == manifest)
            || slices().any(|(_, slice)| slice.manifest == manifest)
    }

    pub(super) fn is_chunk_named(&self, chunk: ChunkRef) -> bool {
        self.manifests.values().any(|row| row.rows.values().any(|named| *named == chunk))
    }

    pub(super) fn pending(
        &self,
        session: SessionId,
        wanted: Option<ManifestId>,
    ) -> Option<ManifestId> {
        let is_meant = |id: &ManifestId| wanted.is_none_or(|wanted| wanted == *id);
        let mut rows = self.manifests.iter();
        let found = rows.find(|(id, row)| row.session == Some(session) && is_meant(id));
        found.map(|(id, _)| *id)
    }

    fn live_bytes(&self, segment: SegmentId) -> u64 {
        let chunks = self.chunks.values().filter(|row| row.at.segment == segment);
        chunks.map(|row| u64::from(row.at.len)).sum()
    }

    fn segment_row(&self, len: &SegmentLen) -> SegmentRow {
        let SegmentLen { segment, bytes, sealed } = *len;
        SegmentRow { segment, bytes, live: self.live_bytes(segment), sealed }
    }

    pub(super) fn epochs(&self) -> Epochs {
        Epochs { current: self.epoch(), oldest: self.oldest_epoch() }
    }

    fn condemned(&self) -> CondemnedTotals {
        let manifests = || self.manifests.values().filter_map(|row| row.condemned);
        let chunks = || self.chunks.values().filter(|row| row.condemned.is_some());
        let stamps = chunks().filter_map(|row| row.condemned);
        let youngest = manifests().chain(stamps).chain(self.condemned_segments.values().copied());
        CondemnedTotals {
            manifests: manifests().count() as u64,
            chunks: chunks().count() as u64,
            bytes: chunks().map(|row| u64::from(row.at.len)).sum(),
            segments: self.condemned_segments.len() as u64,
            youngest: youngest.max(),
        }
    }
}

impl CollectRecords for MemoryRecords {
    fn advance_epoch(&self) -> Result<Epoch> {
        self.transact(|State { tables, .. }| Ok(tables.advance_epoch()))
    }

    fn epochs(&self) -> Result<Epochs> {
        self.query(|State { tables, .. }| Ok(tables.epochs()))
    }

    fn condemn_left(&self, limit: usize) -> Result<bool> {
        self.transact(|state| rules::condemn_left(state, limit))
    }

    fn condemn_unreferenced(&self, from: ScanFrom, limit: usize) -> Result<Option<ScanFrom>> {
        self.transact(|state| rules::condemn_unreferenced(state, from, limit))
    }

    fn is_scanned(&self) -> Result<bool> {
        self.query(|State { tables, .. }| Ok(tables.is_scanned))
    }

    fn note_scanned(&self) -> Result<()> {
        self.transact(|State { tables, .. }| {
            tables.is_scanned = true;
            Ok(())
        })
    }

    fn condemned(&self) -> Result<CondemnedTotals> {
        self.query(|State { tables, .. }| Ok(tables.condemned()))
    }

    fn sweep_manifests(&self, upto: Epoch, after: SweepFrom, limit: usize) -> Result<Swept> {
        self.transact(|state| rules::sweep_manifests(state, upto, after, limit))
    }

    fn sweep_chunks(&self, upto: Epoch, after: SweepFrom, limit: usize) -> Result<Swept> {
        self.transact(|state| rules::sweep_chunks(state, upto, after, limit))
    }

    fn segments(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentRow>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.query(|State { tables, .. }| {
            let rows = tables.segments.range((from, Bound::Unbounded)).take(limit);
            Ok(rows.map(|(_, len)| tables.segment_row(len)).collect())
        })
    }

    fn wasteful_segments(&self, dead_bytes: u64, limit: usize) -> Result<Vec<SegmentRow>> {
        self.query(|State { tables, .. }| {
            let rows = tables.segments.values().map(|len| tables.segment_row(len));
            let mut rows: Vec<SegmentRow> = rows
                .filter(|row| row.dead() > dead_bytes && (row.live > 0 || !row.sealed))
                .collect();
            rows.sort_by_key(|row| std::cmp::Reverse(row.dead() * 1000 / (row.live + 1)));
            rows.truncate(limit);
            Ok(rows)
        })
    }

    fn chunks_in(
        &self,
        segment: SegmentId,
        after: Option<ChunkRef>,
        limit: usize,
    ) -> Result<Vec<StoredChunk>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.query(|State { tables, .. }| {
            let rows = tables.chunks.range((from, Bound::Unbounded));
            let rows = rows.filter(|(_, row)| row.at.segment == segment).take(limit);
            let stored =
                rows.map(|(chunk, row)| StoredChunk { chunk: *chunk, id: row.id, at: row.at });
            Ok(stored.collect())
        })
    }

    fn move_chunks(
        &self,
        session: SessionId,
        moves: &[ChunkMove],
        segments: &[SegmentLen],
    ) -> Result<u64> {
        self.transact(|state| {
            state.note(segments);
            rules::move_chunks(state, session, moves)
        })
    }

    fn condemn_segments(&self) -> Result<u64> {
        self.transact(|State { tables, .. }| {
            let epoch = tables.epoch();
            let is_empty = |len: &&SegmentLen| {
                len.sealed
                    && tables.live_bytes(len.segment) == 0
                    && !tables.condemned_segments.contains_key(&len.segment)
            };
            let empty: Vec<_> =
                tables.segments.values().filter(is_empty).map(|len| len.segment).collect();
            let count = empty.len() as u64;
            tables.condemned_segments.extend(empty.into_iter().map(|segment| (segment, epoch)));
            Ok(count)
        })
    }

    fn condemned_segments(
        &self,
        upto: Epoch,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentRow>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.query(|State { tables, .. }| {
            let stamped = tables.condemned_segments.range((from, Bound::Unbounded));
            let due = stamped.filter(|(_, stamp)| **stamp <= upto).take(limit);
            let rows = due.filter_map(|(segment, _)| tables.segments.get(segment));
            Ok(rows.map(|len| tables.segment_row(len)).collect())
        })
    }

    fn sweep_segment(&self, segment: SegmentId, upto: Epoch) -> Result<bool> {
        self.transact(|State { tables, .. }| {
            let is_due = tables.condemned_segments.get(&segment).is_some_and(|at| *at <= upto);
            if tables.live_bytes(segment) > 0 {
                tables.condemned_segments.remove(&segment);
                return Ok(false);
            }
            if is_due {
                tables.condemned_segments.remove(&segment);
                tables.segments.remove(&segment);
            }
            Ok(is_due)
        })
    }

    fn last_segment(&self) -> Result<Option<SegmentId>> {
        self.query(|State { tables, .. }| Ok(tables.last_segment))
    }
}
