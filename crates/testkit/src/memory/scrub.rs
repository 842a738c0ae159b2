//! What a scrub and a check read and write; and damage to be found.

use std::ops::Range;

use drystone_chunker::ChunkId;
use drystone_store::rules::scrub::{self, ScrubTables};
use drystone_store::{
    BucketName, CheckRecords, ChunkRef, Key, ManifestId, Owner, PlacedChunk, Result, ScrubAsk,
    ScrubNote, ScrubPlace, ScrubRecords, ScrubRound, SegmentFacts, SegmentId, SliceOf, StoreError,
    UploadId,
};

use super::tables::{ChunkRow, Tables};
use super::{Memory, MemoryRecords, State};

impl Memory {
    /// Flips the bits of a chunk's first byte, on the disk. Returns whether there is such a chunk.
    pub fn damage(&self, id: &ChunkId) -> bool {
        let mut state = self.shared.lock();
        let Some(at) = state.tables.chunk(id).map(|row| row.at) else { return false };
        state.disk.file_mut(at.segment).is_some_and(|file| file.flip(at.offset))
    }

    /// Since when a chunk is marked as damaged, in milliseconds by the database's clock.
    pub fn damaged_ms(&self, id: &ChunkId) -> Option<u64> {
        self.shared.lock().tables.chunk(id)?.damaged
    }

    /// Loses the row of a segment, whose bytes stay.
    ///
    /// # Panics
    /// When there is no segment.
    pub fn forget_first_segment(&self) -> SegmentId {
        let first = self.shared.lock().tables.segments.pop_first();
        first.expect("there is a segment").0
    }

    /// Lets time pass by the database's clock.
    pub fn pass_ms(&self, ms: u64) {
        self.shared.lock().tables.now_ms += ms;
    }
}

fn placed(chunk: &ChunkRef, row: &ChunkRow) -> PlacedChunk {
    PlacedChunk {
        chunk: *chunk,
        segment: row.at.segment,
        offset: row.at.offset,
        name: Some((row.id, row.at.len)),
        damaged: row.damaged.is_some(),
    }
}

impl Tables {
    fn placed(&self) -> impl Iterator<Item = PlacedChunk> {
        self.chunks.iter().map(|(chunk, row)| placed(chunk, row))
    }
}

impl ScrubTables for State {
    type Halt = StoreError;

    fn now_ms(&mut self) -> Result<u64> {
        Ok(self.tables.now_ms)
    }

    fn last_chunk(&mut self) -> Result<ChunkRef> {
        Ok(self.tables.chunks.keys().next_back().copied().unwrap_or(ChunkRef(0)))
    }

    fn round(&mut self) -> Result<Option<ScrubRound>> {
        Ok(self.tables.scrub.clone())
    }

    fn put_round(&mut self, round: &ScrubRound) -> Result<u64> {
        let id = if round.id > 0 { round.id } else { self.tables.next_id() };
        self.tables.scrub = Some(ScrubRound { id, ..round.clone() });
        Ok(id)
    }

    fn placed(&mut self, chunk: ChunkRef) -> Result<Option<PlacedChunk>> {
        Ok(self.tables.chunks.get(&chunk).map(|row| placed(&chunk, row)))
    }

    fn mark(&mut self, chunk: ChunkRef, damaged: bool) -> Result<()> {
        let now_ms = self.tables.now_ms;
        let mark =
            |row: &mut ChunkRow| row.damaged = damaged.then(|| row.damaged.unwrap_or(now_ms));
        self.tables.chunks.entry(chunk).and_modify(mark);
        Ok(())
    }

    fn verified(&mut self, segment: SegmentId) -> Result<Option<(u64, ChunkRef)>> {
        Ok(self.tables.verified.get(&segment).copied())
    }

    fn set_verified(&mut self, segment: SegmentId, at_ms: u64, last: ChunkRef) -> Result<()> {
        self.tables.verified.insert(segment, (at_ms, last));
        Ok(())
    }
}

impl ScrubRecords for MemoryRecords {
    fn begin_scrub(&self, ask: &ScrubAsk) -> Result<ScrubRound> {
        self.transact(|state| scrub::begin(state, ask))
    }

    fn chunks_to_scrub(
        &self,
        since_ms: Option<u64>,
        after: ScrubPlace,
        limit: usize,
    ) -> Result<Vec<PlacedChunk>> {
        self.query(|State { tables, .. }| {
            let is_read = |chunk: &PlacedChunk| {
                let verified = tables.verified.get(&chunk.segment).copied();
                chunk.place() > after && scrub::reads(since_ms, chunk, verified)
            };
            let mut chunks: Vec<_> = tables.placed().filter(is_read).collect();
            chunks.sort_by_key(PlacedChunk::place);
            chunks.truncate(limit);
            Ok(chunks)
        })
    }

    fn note_scrub(&self, round: u64, note: &ScrubNote) -> Result<()> {
        self.transact(|state| scrub::note(state, round, note))
    }

    fn placed_chunk(&self, chunk: ChunkRef) -> Result<Option<PlacedChunk>> {
        self.query(|state| ScrubTables::placed(state, chunk))
    }

    fn placed_chunk_of(&self, id: &ChunkId) -> Result<Option<PlacedChunk>> {
        self.query(|State { tables, .. }| {
            let chunk = tables.chunk_ids.get(id);
            Ok(chunk.and_then(|chunk| Some(placed(chunk, tables.chunks.get(chunk)?))))
        })
    }

    fn damaged_chunks(&self, after: ChunkRef, limit: usize) -> Result<Vec<PlacedChunk>> {
        self.query(|State { tables, .. }| {
            let damaged = tables.placed().filter(|chunk| chunk.damaged && chunk.chunk > after);
            Ok(damaged.take(limit).collect())
        })
    }

    fn chunk_bytes(&self) -> Result<u64> {
        self.query(|State { tables, .. }| Ok(tables.totals().chunk_bytes))
    }

    fn manifests_of(
        &self,
        chunk: ChunkRef,
        after: Option<ManifestId>,
        limit: usize,
    ) -> Result<Vec<ManifestId>> {
        self.query(|State { tables, .. }| {
            let later =
                tables.manifests.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
            let named =
                later.filter(|(_, manifest)| manifest.rows.values().any(|row| *row == chunk));
            Ok(named.map(|(id, _)| *id).take(limit).collect())
        })
    }

    fn place_in(
        &self,
        chunk: ChunkRef,
        manifest: ManifestId,
        range: Range<u64>,
    ) -> Result<Option<u64>> {
        self.query(|State { tables, .. }| {
            let Some(manifest) = tables.manifests.get(&manifest) else { return Ok(None) };
            if range.is_empty() {
                return Ok(None);
            }
            let mut rows = manifest.rows.range(range);
            Ok(rows.find(|(_, row)| **row == chunk).map(|(offset, _)| *offset))
        })
    }

    fn slices_of(
        &self,
        part: ManifestId,
        after: Option<(ManifestId, u64)>,
        limit: usize,
    ) -> Result<Vec<SliceOf>> {
        self.query(|State { tables, .. }| {
            let all = tables.manifests.iter().flat_map(|(composite, manifest)| {
                manifest.slices.iter().map(move |(offset, slice)| {
                    (
                        slice.manifest,
                        SliceOf {
                            composite: *composite,
                            offset: *offset,
                            start: slice.from,
                            len: slice.len,
                        },
                    )
                })
            });
            let of_it = all.filter(|(of, _)| *of == part).map(|(_, slice)| slice);
            let later = of_it
                .filter(|slice| after.is_none_or(|after| (slice.composite, slice.offset) > after));
            Ok(later.take(limit).collect())
        })
    }

    fn objects_of(
        &self,
        manifest: ManifestId,
        after: Option<(&BucketName, &Key)>,
        limit: usize,
    ) -> Result<Vec<Owner>> {
        self.query(|State { tables, .. }| {
            let all = tables
                .objects
                .iter()
                .flat_map(|(bucket, objects)| objects.values().map(move |object| (bucket, object)));
            let of_it = all.filter(|(_, object)| object.manifest == manifest);
            let later = of_it.filter(|(bucket, object)| {
                after.is_none_or(|after| (*bucket, &object.key) > after)
            });
            let owner = |(bucket, object): (&BucketName, &drystone_store::ObjectRow)| Owner {
                bucket: bucket.clone(),
                key: object.key.clone(),
                part: None,
            };
            Ok(later.take(limit).map(owner).collect())
        })
    }

    fn parts_of(
        &self,
        manifest: ManifestId,
        after: Option<(UploadId, u32)>,
        limit: usize,
    ) -> Result<Vec<Owner>> {
        self.query(|State { tables, .. }| {
            let mut owners = Vec::new();
            for (id, upload) in &tables.uploads {
                for (number, part) in &upload.parts {
                    let is_later = after.is_none_or(|after| (*id, *number) > after);
                    if part.manifest == manifest && is_later && owners.len() < limit {
                        let (bucket, key) = (upload.row.bucket.clone(), upload.row.key.clone());
                        owners.push(Owner { bucket, key, part: Some((*id, *number)) });
                    }
                }
            }
            Ok(owners)
        })
    }
}

impl CheckRecords for MemoryRecords {
    fn segment_facts(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentFacts>> {
        self.query(|State { tables, .. }| {
            let later = tables
                .segments
                .values()
                .filter(|len| after.is_none_or(|after| len.segment > after));
            let facts = later.take(limit).map(|len| {
                let chunks = || tables.placed().filter(|chunk| chunk.segment == len.segment);
                let sum = chunks().map(|chunk| i64::from(chunk.at().len)).sum();
                let end = chunks().map(|chunk| chunk.end()).max().unwrap_or(0) as i64;
                let least = chunks().map(|chunk| i64::from(chunk.at().len)).min().unwrap_or(0);
                // Here what a row says of its chunks is what they are.
                SegmentFacts { segment: len.segment, bytes: len.bytes, live: sum, sum, end, least }
            });
            Ok(facts.collect())
        })
    }

    fn has_segments(&self, segments: &[SegmentId]) -> Result<Vec<bool>> {
        self.query(|State { tables, .. }| {
            Ok(segments.iter().map(|segment| tables.segments.contains_key(segment)).collect())
        })
    }

    fn segments_without_row(
        &self,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentId>> {
        self.query(|State { tables, .. }| {
            let named: std::collections::BTreeSet<_> =
                tables.placed().map(|chunk| chunk.segment).collect();
            let lost = named.into_iter().filter(|segment| {
                !tables.segments.contains_key(segment) && after.is_none_or(|after| *segment > after)
            });
            Ok(lost.take(limit).collect())
        })
    }

    fn objects_to_check(
        &self,
        bucket: &BucketName,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, bool)>> {
        self.query(|State { tables, .. }| {
            let objects =
                tables.objects.get(bucket).into_iter().flat_map(|objects| objects.values());
            let later = objects.filter(|object| after.is_none_or(|after| object.key > *after));
            let row = |object: &drystone_store::ObjectRow| {
                (object.key.clone(), tables.manifests.contains_key(&object.manifest))
            };
            Ok(later.take(limit).map(row).collect())
        })
    }

    fn parts_to_check(
        &self,
        after: Option<(UploadId, u32)>,
        limit: usize,
    ) -> Result<Vec<(UploadId, u32, bool)>> {
        self.query(|State { tables, .. }| {
            let all = tables.uploads.iter().flat_map(|(id, upload)| {
                upload
                    .parts
                    .values()
                    .map(|part| (*id, part.number, tables.manifests.contains_key(&part.manifest)))
            });
            let later = all.filter(|row| after.is_none_or(|after| (row.0, row.1) > after));
            Ok(later.take(limit).collect())
        })
    }
}
