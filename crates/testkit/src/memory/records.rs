//! [`Records`] over the tables: each call is one transaction.

use std::io;
use std::ops::{Bound, Range};

use drystone_chunker::ChunkId;
use drystone_store::{
    BucketName, BucketRow, ChunkRef, CommitBatch, CommitResult, Completion, Condition, CopySource,
    CopyTarget, Epoch, Key, KeyRow, KnownChunk, LEASE_MS_MAX, ManifestId, ManifestRow, NewBucket,
    NewKey, ObjectMeta, ObjectParts, ObjectRow, PartRow, PartTarget, Records, Result, SegmentId,
    SegmentLen, Session, SessionId, StoreError, Totals, UploadId, UploadRow,
};
use drystone_sync::{Mutex, PlainArc};

use super::commit::unmet;
use super::tables::{SessionRow, Tables};
use super::{Io, State, commit};

/// One process's view of the records.
pub struct MemoryRecords {
    shared: PlainArc<Mutex<State>>,
    process: u64,
}

fn failed(error: io::Error) -> StoreError {
    StoreError::records("the records failed", error)
}

impl MemoryRecords {
    pub(super) fn new(shared: PlainArc<Mutex<State>>, process: u64) -> Self {
        Self { shared, process }
    }

    fn query<T>(&self, body: impl FnOnce(&Tables) -> Result<T>) -> Result<T> {
        let mut state = self.shared.lock();
        let pass = state.faults.gate(self.process, Io::Query).map_err(failed)?;
        let answer = body(&state.tables)?;
        pass.done().map_err(failed)?;
        Ok(answer)
    }

    fn transact<T>(&self, body: impl FnOnce(&mut Tables) -> Result<T>) -> Result<T> {
        let mut state = self.shared.lock();
        let pass = state.faults.gate(self.process, Io::Transaction).map_err(failed)?;
        state.tables.now_ms += 1;
        let answer = body(&mut state.tables)?;
        pass.done().map_err(failed)?;
        Ok(answer)
    }
}

fn in_bucket<'a>(tables: &'a Tables, bucket: &BucketName) -> Result<&'a Tables> {
    if tables.buckets.contains_key(bucket) {
        Ok(tables)
    } else {
        Err(StoreError::NoSuchBucket(bucket.clone()))
    }
}

fn check_lease(lease_ms: u64) -> Result<()> {
    if lease_ms > LEASE_MS_MAX {
        return Err(StoreError::LeaseTooLong { lease_ms, max_ms: LEASE_MS_MAX });
    }
    Ok(())
}

impl Records for MemoryRecords {
    fn begin_session(&self, lease_ms: u64) -> Result<Session> {
        check_lease(lease_ms)?;
        self.transact(|tables| {
            let id = SessionId(tables.next_id());
            let expires_ms = tables.now_ms.saturating_add(lease_ms);
            tables.sessions.insert(id, SessionRow { expires_ms, dead: false });
            Ok(Session { id, epoch: Epoch(tables.epoch) })
        })
    }

    fn extend_session(&self, session: SessionId, lease_ms: u64) -> Result<()> {
        check_lease(lease_ms)?;
        self.transact(|tables| {
            let expires_ms = tables.now_ms.saturating_add(lease_ms);
            let row = tables.sessions.get_mut(&session).filter(|row| !row.dead);
            row.map(|row| row.expires_ms = expires_ms).ok_or(StoreError::SessionExpired)
        })
    }

    fn end_session(&self, session: SessionId) -> Result<()> {
        self.transact(|tables| {
            tables.sessions.remove(&session);
            Ok(())
        })
    }

    fn take_back(
        &self,
        session: SessionId,
        manifest: Option<ManifestId>,
        limit: usize,
    ) -> Result<bool> {
        self.transact(|tables| Ok(tables.take_back(session, manifest, limit)))
    }

    fn expire_sessions(&self) -> Result<u64> {
        self.transact(|tables| {
            let now_ms = tables.now_ms;
            let late =
                tables.sessions.values_mut().filter(|row| !row.dead && row.expires_ms < now_ms);
            Ok(late.map(|row| row.dead = true).count() as u64)
        })
    }

    fn find_chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<KnownChunk>>> {
        self.query(|tables| Ok(ids.iter().map(|id| tables.find(id)).collect()))
    }

    fn revive_chunk(&self, session: SessionId, chunk: ChunkRef) -> Result<bool> {
        self.transact(|tables| {
            if !tables.is_alive(session) {
                return Err(StoreError::SessionExpired);
            }
            Ok(tables.chunks.get_mut(&chunk).map(|row| row.condemned = None).is_some())
        })
    }

    fn commit(&self, batch: &CommitBatch<'_>) -> Result<Vec<CommitResult>> {
        let mut state = self.shared.lock();
        let pass = state.faults.gate(self.process, Io::Commit).map_err(failed)?;
        state.tables.now_ms += 1;
        let results = commit::apply(&mut state, batch);
        pass.done().map_err(failed)?;
        Ok(results)
    }

    fn create_segment(&self) -> Result<SegmentId> {
        self.transact(|tables| {
            let segment = SegmentId(tables.next_id());
            tables.segments.insert(segment, SegmentLen { segment, bytes: 0, sealed: false });
            Ok(segment)
        })
    }

    fn forget_segment(&self, segment: SegmentId) -> Result<()> {
        self.transact(|tables| {
            tables.segments.remove(&segment);
            Ok(())
        })
    }

    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>> {
        self.query(|tables| Ok(tables.unsealed(limit)))
    }

    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>> {
        self.query(|tables| Ok(tables.segments.get(&segment).copied()))
    }

    fn create_bucket(&self, bucket: &NewBucket) -> Result<bool> {
        let NewBucket { name, region, public } = bucket.clone();
        self.transact(|tables| {
            let is_new = !tables.buckets.contains_key(&name);
            let row = BucketRow { name: name.clone(), created_ms: tables.now_ms, public, region };
            tables.buckets.entry(name).or_insert(row);
            Ok(is_new)
        })
    }

    fn bucket(&self, bucket: &BucketName) -> Result<Option<BucketRow>> {
        self.query(|tables| Ok(tables.buckets.get(bucket).cloned()))
    }

    fn buckets(&self, after: Option<&BucketName>, limit: usize) -> Result<Vec<BucketRow>> {
        self.query(|tables| {
            let later =
                tables.buckets.values().filter(|row| after.is_none_or(|after| row.name > *after));
            Ok(later.take(limit).cloned().collect())
        })
    }

    fn set_bucket_public(&self, bucket: &BucketName, public: bool) -> Result<()> {
        self.transact(|tables| {
            let row = tables.buckets.get_mut(bucket);
            row.map(|row| row.public = public)
                .ok_or_else(|| StoreError::NoSuchBucket(bucket.clone()))
        })
    }

    fn delete_bucket(&self, bucket: &BucketName) -> Result<()> {
        self.transact(|tables| {
            in_bucket(tables, bucket)?;
            if tables.objects.get(bucket).is_some_and(|objects| !objects.is_empty()) {
                return Err(StoreError::BucketNotEmpty(bucket.clone()));
            }
            tables.buckets.remove(bucket);
            tables.uploads.retain(|_, upload| upload.row.bucket != *bucket);
            Ok(())
        })
    }

    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>> {
        self.query(|tables| Ok(in_bucket(tables, bucket)?.object(bucket, key).cloned()))
    }

    fn set_property(
        &self,
        bucket: &BucketName,
        key: &Key,
        name: &str,
        value: Option<&str>,
    ) -> Result<()> {
        self.transact(|tables| {
            in_bucket(tables, bucket)?;
            let found = tables.objects.get_mut(bucket).and_then(|objects| objects.get_mut(key));
            let not_found = || StoreError::NotFound { bucket: bucket.clone(), key: key.clone() };
            let system = &mut found.ok_or_else(not_found)?.meta.system;
            match value {
                Some(value) => system.insert(name.into(), value.into()),
                None => system.remove(name),
            };
            Ok(())
        })
    }

    fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>> {
        self.query(|tables| Ok(in_bucket(tables, bucket)?.list(bucket, prefix, from, limit)))
    }

    fn manifest_page(
        &self,
        manifest: ManifestId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRow>> {
        self.query(|tables| Ok(tables.manifest_page(manifest, from, limit)))
    }

    fn delete(&self, bucket: &BucketName, key: &Key, condition: Condition) -> Result<bool> {
        self.transact(|tables| {
            if let Some(refused) = unmet(tables, bucket, key, condition) {
                return Err(refused);
            }
            Ok(tables.objects.get_mut(bucket).is_some_and(|objects| objects.remove(key).is_some()))
        })
    }

    fn delete_many(
        &self,
        bucket: &BucketName,
        objects: &[(Key, Condition)],
    ) -> Result<Vec<Result<bool>>> {
        self.transact(|tables| {
            in_bucket(tables, bucket)?;
            let delete = |(key, condition): &(Key, Condition)| match unmet(
                tables, bucket, key, *condition,
            ) {
                Some(refused) => Err(refused),
                None => Ok(tables
                    .objects
                    .get_mut(bucket)
                    .is_some_and(|objects| objects.remove(key).is_some())),
            };
            Ok(objects.iter().map(delete).collect())
        })
    }

    fn copy(&self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow> {
        self.transact(|tables| tables.copy(source, target))
    }

    fn create_upload(
        &self,
        bucket: &BucketName,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Result<UploadRow> {
        self.transact(|tables| tables.create_upload(bucket, key, meta))
    }

    fn upload(&self, upload: UploadId) -> Result<Option<UploadRow>> {
        self.query(|tables| Ok(tables.uploads.get(&upload).map(|upload| upload.row.clone())))
    }

    fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Result<Vec<UploadRow>> {
        self.query(|tables| Ok(in_bucket(tables, bucket)?.uploads(bucket, prefix, after, limit)))
    }

    fn parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<PartRow>> {
        self.query(|tables| {
            let parts = tables.upload(upload)?.parts.values().filter(|part| part.number > after);
            Ok(parts.take(limit).cloned().collect())
        })
    }

    fn copy_part(
        &self,
        source: &CopySource,
        range: Option<Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow> {
        self.transact(|tables| tables.copy_part(source, range.as_ref(), target))
    }

    fn abort_upload(&self, upload: UploadId) -> Result<bool> {
        self.transact(|tables| Ok(tables.uploads.remove(&upload).is_some()))
    }

    fn complete_upload(&self, upload: UploadId, completion: &Completion) -> Result<ObjectRow> {
        self.transact(|tables| tables.complete_upload(upload, completion))
    }

    fn object_parts(
        &self,
        manifest: ManifestId,
        upload: UploadId,
        after: u32,
        limit: usize,
    ) -> Result<ObjectParts> {
        self.query(|tables| Ok(tables.object_parts(manifest, upload, after, limit)))
    }

    fn put_key(&self, key: &NewKey) -> Result<()> {
        self.transact(|tables| {
            if tables.keys.contains_key(&key.access) {
                return Err(StoreError::KeyExists(key.access.clone()));
            }
            let mut row = KeyRow { key: key.clone(), created_ms: tables.now_ms };
            row.key.grants.sort_by(|a, b| a.bucket.cmp(&b.bucket));
            tables.keys.insert(key.access.clone(), row);
            Ok(())
        })
    }

    fn key(&self, access: &str) -> Result<Option<KeyRow>> {
        self.query(|tables| Ok(tables.keys.get(access).cloned()))
    }

    fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<KeyRow>> {
        self.query(|tables| {
            let later = tables
                .keys
                .values()
                .filter(|row| after.is_none_or(|after| *row.key.access > *after));
            Ok(later.take(limit).cloned().collect())
        })
    }

    fn revoke_key(&self, access: &str) -> Result<bool> {
        self.transact(|tables| Ok(tables.keys.remove(access).is_some()))
    }

    fn totals(&self) -> Result<Totals> {
        self.query(|tables| Ok(tables.totals()))
    }
}
