//! The records half: each method is one transaction, that is one critical section over all tables.

use drystone_chunker::ChunkId;
use drystone_store::{
    BucketName, ChunkRef, CommitBatch, CommitResult, Entry, Epoch, Key, KnownChunk, Location, ManifestId,
    ManifestRow, ObjectRow, Records, Result, SegmentId, SegmentLen, Session, SessionId, Source, StoreError,
    Totals,
};

use super::{ChunkRow, Manifest, Memory, Op, Tables};

impl Records for Memory {
    fn begin_session(&self, _lease_ms: u64) -> Result<Session> {
        let mut tables = self.shared.tables.lock();
        let session = Session { id: SessionId(tables.row()), epoch: Epoch(tables.epoch) };
        tables.sessions.insert(session.id, (true, session.epoch));
        Ok(session)
    }

    fn extend_session(&self, session: SessionId, _lease_ms: u64) -> Result<()> {
        if self.shared.tables.lock().is_alive(session) { Ok(()) } else { Err(StoreError::SessionExpired) }
    }

    fn end_session(&self, session: SessionId) -> Result<()> {
        if let Some((alive, _)) = self.shared.tables.lock().sessions.get_mut(&session) {
            *alive = false;
        }
        Ok(())
    }

    fn expire_sessions(&self) -> Result<u64> {
        Ok(0)
    }

    fn find_chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<KnownChunk>>> {
        self.call(Op::Find, "find chunks")?;
        let tables = self.shared.tables.lock();
        let known = |id| {
            let chunk: &ChunkRow = tables.chunks.get(id)?;
            Some(KnownChunk { chunk: chunk.row, condemned: chunk.condemned.is_some() })
        };
        let known = ids.iter().map(known).collect();
        drop(tables);
        *self.shared.finds.lock() += 1;
        self.shared.found.notify_all();
        Ok(known)
    }

    fn revive_chunk(&self, session: SessionId, chunk: ChunkRef) -> Result<bool> {
        let mut tables = self.shared.tables.lock();
        if !tables.is_alive(session) {
            return Err(StoreError::SessionExpired);
        }
        let row = tables.chunks.values_mut().find(|row| row.row == chunk);
        Ok(row.map(|row| row.condemned = None).is_some())
    }

    fn commit(&self, batch: &CommitBatch<'_>) -> Result<Vec<CommitResult>> {
        self.call(Op::Commit, "commit")?;
        let mut tables = self.shared.tables.lock();
        for len in batch.segments {
            let known = tables.segments.entry(len.segment).or_insert(*len);
            known.bytes = known.bytes.max(len.bytes);
            known.sealed |= len.sealed;
        }
        Ok(batch.entries.iter().map(|entry| self.apply(&mut tables, entry)).collect())
    }

    fn create_segment(&self) -> Result<SegmentId> {
        let mut tables = self.shared.tables.lock();
        let segment = SegmentId(tables.row());
        tables.segments.insert(segment, SegmentLen { segment, bytes: 0, sealed: false });
        Ok(segment)
    }

    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>> {
        let tables = self.shared.tables.lock();
        Ok(tables.segments.values().filter(|len| !len.sealed).map(|len| len.segment).take(limit).collect())
    }

    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>> {
        Ok(self.shared.tables.lock().segments.get(&segment).copied())
    }

    fn create_bucket(&self, _bucket: &BucketName) -> Result<bool> {
        Ok(true)
    }

    fn buckets(&self, _after: Option<&BucketName>, _limit: usize) -> Result<Vec<BucketName>> {
        Ok(Vec::new())
    }

    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>> {
        Ok(self.shared.tables.lock().objects.get(&(bucket.clone(), key.clone())).cloned())
    }

    fn list(&self, _: &BucketName, _: &str, _: Option<&str>, limit: usize) -> Result<Vec<ObjectRow>> {
        Ok(self.shared.tables.lock().objects.values().take(limit).cloned().collect())
    }

    fn manifest_page(&self, manifest: ManifestId, from: u64, limit: usize) -> Result<Vec<ManifestRow>> {
        let tables = self.shared.tables.lock();
        let rows =
            tables.manifests.get(&manifest).map(|manifest| manifest.rows.as_slice()).unwrap_or_default();
        let placed = rows.iter().filter_map(|(offset, id)| {
            Some(ManifestRow { offset: *offset, chunk: *id, at: tables.chunks.get(id)?.at })
        });
        Ok(placed.filter(|row| row.offset + u64::from(row.at.len) > from).take(limit).collect())
    }

    fn delete(&self, bucket: &BucketName, key: &Key) -> Result<bool> {
        Ok(self.shared.tables.lock().objects.remove(&(bucket.clone(), key.clone())).is_some())
    }

    fn totals(&self) -> Result<Totals> {
        let tables = self.shared.tables.lock();
        Ok(Totals {
            objects: tables.objects.len() as u64,
            object_bytes: tables.objects.values().map(|object| object.size).sum(),
            chunks: tables.chunks.len() as u64,
            chunk_bytes: tables.chunks.values().map(|chunk| u64::from(chunk.at.len)).sum(),
        })
    }
}

impl Memory {
    fn apply(&self, tables: &mut Tables, entry: &Entry) -> CommitResult {
        if !tables.is_alive(entry.session) {
            return Err(StoreError::SessionExpired);
        }
        for chunk in &entry.chunks {
            match chunk.source {
                Source::Written(at) => self.check_written(tables, at),
                Source::Known(row) => {
                    if tables.chunks.get(&chunk.id).is_none_or(|known| known.row != row) {
                        self.violated("a manifest names a chunk that the collector has swept".into());
                        return Err(StoreError::Inconsistent("a chunk vanished under a live session".into()));
                    }
                }
            }
        }
        let manifest = match entry.manifest {
            Some(manifest) => manifest,
            None => ManifestId(tables.row()),
        };
        let mut rows = Vec::with_capacity(entry.chunks.len());
        for chunk in &entry.chunks {
            if let Source::Written(at) = chunk.source {
                let row = ChunkRef(tables.row());
                let known = tables.chunks.entry(chunk.id).or_insert(ChunkRow { row, at, condemned: None });
                known.condemned = None;
            }
            rows.push((chunk.offset, chunk.id));
        }
        let pending = Manifest { session: Some(entry.session), rows: Vec::new() };
        let known = tables.manifests.entry(manifest).or_insert(pending);
        known.rows.extend(rows);
        if let Some(complete) = &entry.complete {
            known.session = None;
            let row = ObjectRow {
                key: complete.key.clone(),
                size: complete.size,
                content: complete.content,
                meta: complete.meta.clone(),
                manifest,
            };
            tables.objects.insert((complete.bucket.clone(), complete.key.clone()), row);
        }
        Ok(manifest)
    }

    /// Bytes that the records are about to name must be on the disk, and inside what the records take for the segment.
    fn check_written(&self, tables: &Tables, at: Location) {
        let end = at.offset + u64::from(at.len);
        if tables.segments.get(&at.segment).is_none_or(|len| len.bytes < end) {
            self.violated("the records name bytes past the segment's recorded length".into());
        }
        let disk = self.shared.disk.lock();
        if disk.segments.get(&at.segment).is_none_or(|segment| (segment.synced as u64) < end) {
            self.violated("the records name bytes that are not synced".into());
        }
    }
}
