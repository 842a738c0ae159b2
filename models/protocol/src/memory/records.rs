//! The records half: each method is one transaction, that is one critical section over all tables.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use drystone_chunker::ChunkId;
use drystone_models::explore::plotted_panic;
use drystone_store::{
    BucketName, BucketRow, ChunkRef, CommitBatch, CommitResult, Completion, Condition, CopySource,
    CopyTarget, Entry, Epoch, Key, KeyRow, KnownChunk, Location, ManifestId, ManifestRow,
    NewBucket, NewKey, ObjectMeta, ObjectParts, ObjectRow, PartRow, PartTarget, PutTarget, Records,
    Result, SegmentId, SegmentLen, Session, SessionId, Source, StoreError, Target, Totals,
    UploadId, UploadRow,
};

use super::uploads::Upload;
use super::{ChunkRow, How, Manifest, Memory, Op, Tables};

impl Records for Memory {
    fn begin_session(&self, _lease_ms: u64) -> Result<Session> {
        let mut tables = self.shared.tables.lock();
        let session = Session { id: SessionId(tables.row()), epoch: Epoch(tables.epoch) };
        tables.sessions.insert(session.id, (true, session.epoch));
        Ok(session)
    }

    fn extend_session(&self, session: SessionId, _lease_ms: u64) -> Result<()> {
        if self.shared.tables.lock().is_alive(session) {
            Ok(())
        } else {
            Err(StoreError::SessionExpired)
        }
    }

    fn end_session(&self, session: SessionId) -> Result<()> {
        if let Some((alive, _)) = self.shared.tables.lock().sessions.get_mut(&session) {
            *alive = false;
        }
        Ok(())
    }

    fn take_back(
        &self,
        session: SessionId,
        manifest: Option<ManifestId>,
        _limit: usize,
    ) -> Result<bool> {
        self.shared.tables.lock().manifests.retain(|id, row| {
            row.session != Some(session) || manifest.is_some_and(|wanted| wanted != *id)
        });
        Ok(true)
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
        let fault = self.fault(Op::Commit, "commit");
        let mut tables = self.shared.tables.lock();
        let Some(how) = fault else {
            tables.logged = None;
            return Ok(self.apply_all(&mut tables, batch));
        };
        if matches!(how, How::ErrorForNow | How::PanicForNow) {
            let mut logged = tables.clone();
            self.apply_all(&mut logged, batch);
            tables.logged = Some(Box::new(logged));
        }
        drop(tables);
        if how == How::PanicForNow {
            plotted_panic("the backend panicked");
        }
        Err(how.error("commit"))
    }

    fn create_segment(&self) -> Result<SegmentId> {
        let mut tables = self.shared.tables.lock();
        let segment = SegmentId(tables.row());
        tables.segments.insert(segment, SegmentLen { segment, bytes: 0, sealed: false });
        Ok(segment)
    }

    fn forget_segment(&self, segment: SegmentId) -> Result<()> {
        self.shared.tables.lock().segments.remove(&segment);
        Ok(())
    }

    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>> {
        let tables = self.shared.tables.lock();
        Ok(tables
            .segments
            .values()
            .filter(|len| !len.sealed)
            .map(|len| len.segment)
            .take(limit)
            .collect())
    }

    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>> {
        let mut tables = self.shared.tables.lock();
        tables.logged = None;
        Ok(tables.segments.get(&segment).copied())
    }

    fn create_bucket(&self, _bucket: &NewBucket) -> Result<bool> {
        Ok(true)
    }

    fn bucket(&self, _bucket: &BucketName) -> Result<Option<BucketRow>> {
        Ok(None)
    }

    fn buckets(&self, _after: Option<&BucketName>, _limit: usize) -> Result<Vec<BucketRow>> {
        Ok(Vec::new())
    }

    fn set_bucket_public(&self, _bucket: &BucketName, _public: bool) -> Result<()> {
        Ok(())
    }

    fn delete_bucket(&self, _bucket: &BucketName) -> Result<()> {
        Ok(())
    }

    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>> {
        Ok(self.shared.tables.lock().objects.get(&(bucket.clone(), key.clone())).cloned())
    }

    fn set_property(
        &self,
        bucket: &BucketName,
        key: &Key,
        name: &str,
        value: Option<&str>,
    ) -> Result<()> {
        let mut tables = self.shared.tables.lock();
        let (bucket, key) = (bucket.clone(), key.clone());
        let Some(object) = tables.objects.get_mut(&(bucket.clone(), key.clone())) else {
            return Err(StoreError::NotFound { bucket, key });
        };
        match value {
            Some(value) => object.meta.system.insert(name.into(), value.into()),
            None => object.meta.system.remove(name),
        };
        Ok(())
    }

    fn list(
        &self,
        _: &BucketName,
        _: &str,
        _: Bound<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>> {
        Ok(self.shared.tables.lock().objects.values().take(limit).cloned().collect())
    }

    fn manifest_page(
        &self,
        manifest: ManifestId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRow>> {
        let tables = self.shared.tables.lock();
        let mut rows = tables.plain_rows(manifest);
        for (offset, slice) in
            tables.manifests.get(&manifest).into_iter().flat_map(|one| &one.slices)
        {
            let plain = tables.plain_rows(slice.manifest);
            rows.extend(
                plain.iter().filter_map(|row| row.in_slice(*offset, slice.from, slice.len)),
            );
        }
        Ok(rows.into_iter().filter(|row| row.end() > from).take(limit).collect())
    }

    fn delete(&self, bucket: &BucketName, key: &Key, condition: Condition) -> Result<bool> {
        let mut tables = self.shared.tables.lock();
        if !tables.holds(bucket, key, condition) {
            return Err(StoreError::PreconditionFailed { key: key.clone() });
        }
        Ok(tables.objects.remove(&(bucket.clone(), key.clone())).is_some())
    }

    fn delete_many(
        &self,
        bucket: &BucketName,
        objects: &[(Key, Condition)],
    ) -> Result<Vec<Result<bool>>> {
        let mut tables = self.shared.tables.lock();
        let delete = |(key, condition): &(Key, Condition)| {
            if !tables.holds(bucket, key, *condition) {
                return Err(StoreError::PreconditionFailed { key: key.clone() });
            }
            Ok(tables.objects.remove(&(bucket.clone(), key.clone())).is_some())
        };
        Ok(objects.iter().map(delete).collect())
    }

    fn copy(&self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow> {
        self.shared.tables.lock().copy(source, target)
    }

    fn create_upload(
        &self,
        bucket: &BucketName,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Result<UploadRow> {
        let mut tables = self.shared.tables.lock();
        let id = UploadId(tables.row());
        let (bucket, key, meta) = (bucket.clone(), key.clone(), meta.clone());
        let row = UploadRow { id, bucket, key, meta, created_ms: 0 };
        tables.uploads.insert(id, Upload { row: row.clone(), parts: BTreeMap::new() });
        Ok(row)
    }

    fn upload(&self, upload: UploadId) -> Result<Option<UploadRow>> {
        Ok(self.shared.tables.lock().uploads.get(&upload).map(|upload| upload.row.clone()))
    }

    fn uploads(
        &self,
        _: &BucketName,
        _: &str,
        _: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Result<Vec<UploadRow>> {
        let tables = self.shared.tables.lock();
        Ok(tables.uploads.values().map(|upload| upload.row.clone()).take(limit).collect())
    }

    fn parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<PartRow>> {
        let tables = self.shared.tables.lock();
        let parts = tables.upload(upload)?.parts.values().filter(|part| part.number > after);
        Ok(parts.take(limit).cloned().collect())
    }

    fn copy_part(
        &self,
        source: &CopySource,
        range: Option<Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow> {
        self.shared.tables.lock().copy_part(source, range.as_ref(), target)
    }

    fn abort_upload(&self, upload: UploadId) -> Result<bool> {
        Ok(self.shared.tables.lock().uploads.remove(&upload).is_some())
    }

    fn complete_upload(&self, upload: UploadId, completion: &Completion) -> Result<ObjectRow> {
        self.shared.tables.lock().complete_upload(upload, completion)
    }

    fn object_parts(&self, _: ManifestId, _: UploadId, _: u32, _: usize) -> Result<ObjectParts> {
        Ok(ObjectParts::default())
    }

    fn put_key(&self, _: &NewKey) -> Result<()> {
        Ok(())
    }

    fn key(&self, _: &str) -> Result<Option<KeyRow>> {
        Ok(None)
    }

    fn keys(&self, _: Option<&str>, _: usize) -> Result<Vec<KeyRow>> {
        Ok(Vec::new())
    }

    fn revoke_key(&self, _: &str) -> Result<bool> {
        Ok(false)
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

impl Tables {
    fn plain_rows(&self, manifest: ManifestId) -> Vec<ManifestRow> {
        let rows = self
            .manifests
            .get(&manifest)
            .map(|manifest| manifest.rows.as_slice())
            .unwrap_or_default();
        let placed = rows.iter().filter_map(|(offset, id)| {
            Some(ManifestRow::whole(*offset, *id, self.chunks.get(id)?.at))
        });
        placed.collect()
    }

    pub(super) fn allows(&self, target: &PutTarget) -> bool {
        self.holds(&target.bucket, &target.key, target.condition)
    }

    fn holds(&self, bucket: &BucketName, key: &Key, condition: Condition) -> bool {
        condition.holds(self.objects.get(&(bucket.clone(), key.clone())))
    }
}

impl Memory {
    fn apply_all(&self, tables: &mut Tables, batch: &CommitBatch<'_>) -> Vec<CommitResult> {
        for len in batch.segments {
            let known = tables.segments.entry(len.segment).or_insert(*len);
            known.bytes = known.bytes.max(len.bytes);
            known.sealed |= len.sealed;
        }
        batch.entries.iter().map(|entry| self.apply(tables, entry)).collect()
    }

    fn apply(&self, tables: &mut Tables, entry: &Entry) -> CommitResult {
        if !tables.is_alive(entry.session) {
            return Err(StoreError::SessionExpired);
        }
        for chunk in &entry.chunks {
            match chunk.source {
                Source::Written(at) => self.check_written(tables, at),
                Source::Known(row) => {
                    if tables.chunks.get(&chunk.id).is_none_or(|known| known.row != row) {
                        self.violated(
                            "a manifest names a chunk that the collector has swept".into(),
                        );
                        return Err(StoreError::Inconsistent(
                            "a chunk vanished under a live session".into(),
                        ));
                    }
                }
            }
        }
        // What is refused is refused whole, before anything of it is written.
        match entry.complete.as_ref().map(|complete| &complete.target) {
            Some(Target::Object(target)) if !tables.allows(target) => {
                return Err(StoreError::PreconditionFailed { key: target.key.clone() });
            }
            Some(Target::Part(target)) => drop(tables.upload(target.upload)?),
            _ => {}
        }
        let manifest = match entry.manifest {
            Some(manifest) => manifest,
            None => ManifestId(tables.row()),
        };
        let mut rows = Vec::with_capacity(entry.chunks.len());
        for chunk in &entry.chunks {
            if let Source::Written(at) = chunk.source {
                let row = ChunkRef(tables.row());
                let known =
                    tables.chunks.entry(chunk.id).or_insert(ChunkRow { row, at, condemned: None });
                known.condemned = None;
            }
            rows.push((chunk.offset, chunk.id));
        }
        let session = Some(entry.session);
        let pending = Manifest { session, rows: Vec::new(), slices: Vec::new(), whole: None };
        let known = tables.manifests.entry(manifest).or_insert(pending);
        known.rows.extend(rows);
        if let Some(complete) = &entry.complete {
            known.session = None;
            known.whole = Some((complete.size, complete.content));
            match &complete.target {
                Target::Object(target) => {
                    let row = ObjectRow {
                        key: target.key.clone(),
                        size: complete.size,
                        content: complete.content,
                        meta: target.meta.clone(),
                        manifest,
                    };
                    tables.objects.insert((target.bucket.clone(), target.key.clone()), row);
                }
                Target::Part(target) => {
                    tables.put_part(target, complete.size, complete.content, manifest)?;
                }
            }
        }
        Ok(manifest)
    }

    /// Bytes that the records are about to name must be on the disk, and inside what the records
    /// take for the segment.
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
