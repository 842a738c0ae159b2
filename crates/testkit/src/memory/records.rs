//! The roles of [`Records`](drystone_store::Records) over the tables: each call is one transaction.

use std::collections::BTreeMap;
use std::io;
use std::ops::{Bound, Range};

use drystone_chunker::ChunkId;
use drystone_store::rules;
use drystone_store::{
    BucketName, BucketRecords, BucketRow, ChunkRecords, ChunkRef, CommitBatch, CommitResult,
    Completion, Condition, CopySource, CopyTarget, Key, KeyRecords, KeyRow, KnownChunk, ManifestId,
    ManifestRow, NewBucket, NewKey, ObjectMeta, ObjectParts, ObjectRecords, ObjectRow, PartRow,
    PartTarget, Result, SegmentId, SegmentLen, SegmentRecords, Session, SessionId, SessionRecords,
    StoreError, Totals, UploadId, UploadRecords, UploadRow,
};

use super::tables::{BegunUpload, SessionRow, Tables};
use super::{Io, Memory, State};

/// One process's view of the records.
pub struct MemoryRecords {
    memory: Memory,
    process: u64,
}

fn failed(error: io::Error) -> StoreError {
    StoreError::records("the records failed", error)
}

impl State {
    /// A transaction that writes takes the place of what is in the log only.
    fn begin(&mut self) {
        self.logged = None;
        self.tables.now_ms += 1;
    }
}

impl MemoryRecords {
    pub(super) fn new(memory: Memory, process: u64) -> Self {
        Self { memory, process }
    }

    fn ask<T>(&self, io: Io, body: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.memory.shared.lock();
        let pass = state.faults.gate(self.process, io).map_err(failed)?;
        let answer = body(&mut state)?;
        drop(state);
        pass.done().map_err(failed)?;
        Ok(answer)
    }

    pub(super) fn query<T>(&self, body: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.ask(Io::Query, body)
    }

    pub(super) fn transact<T>(&self, body: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.ask(Io::Transaction, |state| {
            state.begin();
            body(state)
        })
    }
}

impl SessionRecords for MemoryRecords {
    fn begin_session(&self, lease_ms: u64) -> Result<Session> {
        rules::check_lease(lease_ms)?;
        self.transact(|State { tables, .. }| {
            let (id, epoch) = (SessionId(tables.next_id()), tables.epoch());
            let expires_ms = tables.now_ms.saturating_add(lease_ms);
            tables.sessions.insert(id, SessionRow { epoch, expires_ms, dead: false });
            Ok(Session { id, epoch })
        })
    }

    fn extend_session(&self, session: SessionId, lease_ms: u64) -> Result<()> {
        rules::check_lease(lease_ms)?;
        self.transact(|State { tables, .. }| {
            let expires_ms = tables.now_ms.saturating_add(lease_ms);
            let row = tables.sessions.get_mut(&session).filter(|row| !row.dead);
            row.map(|row| row.expires_ms = expires_ms).ok_or(StoreError::SessionExpired)
        })
    }

    fn end_session(&self, session: SessionId) -> Result<()> {
        self.transact(|State { tables, .. }| {
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
        // Asked before, as a database would: what writes nothing takes no place in its log.
        if self.query(|State { tables, .. }| Ok(tables.pending(session, manifest)))?.is_none() {
            return Ok(true);
        }
        self.transact(|state| rules::take_back(state, session, manifest, limit))
    }

    fn expire_sessions(&self) -> Result<u64> {
        self.transact(|State { tables, .. }| {
            let now_ms = tables.now_ms;
            let late =
                tables.sessions.values_mut().filter(|row| !row.dead && row.expires_ms < now_ms);
            Ok(late.map(|row| row.dead = true).count() as u64)
        })
    }

    fn commit(&self, batch: &CommitBatch<'_>) -> Result<Vec<CommitResult>> {
        let mut state = self.memory.shared.lock();
        let pass = state.faults.gate(self.process, Io::Commit).map_err(failed)?;
        let before = pass.is_for_now().then(|| state.tables.clone());
        state.begin();
        state.note(batch.segments);
        let results = rules::commit(&mut *state, &batch.entries)?;
        if let Some(before) = before {
            state.logged = Some(std::mem::replace(&mut state.tables, before));
        }
        drop(state);
        pass.done().map_err(failed)?;
        Ok(results)
    }
}

impl ChunkRecords for MemoryRecords {
    fn find_chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<KnownChunk>>> {
        let found = self.ask(Io::Find, |State { tables, finds, .. }| {
            *finds += 1;
            Ok(ids.iter().map(|id| tables.find(id)).collect())
        });
        self.memory.found.notify_all();
        found
    }

    fn revive_chunks(&self, session: SessionId, chunks: &[ChunkRef]) -> Result<Vec<bool>> {
        self.transact(|state| rules::revive_chunks(state, session, chunks))
    }
}

impl SegmentRecords for MemoryRecords {
    fn create_segment(&self) -> Result<SegmentId> {
        self.transact(|State { tables, .. }| Ok(tables.add_segment()))
    }

    fn forget_segment(&self, segment: SegmentId) -> Result<()> {
        self.transact(|State { tables, .. }| {
            tables.segments.remove(&segment);
            Ok(())
        })
    }

    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>> {
        self.query(|State { tables, .. }| Ok(tables.unsealed(limit)))
    }

    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>> {
        // A transaction: nothing may come to light later.
        self.transact(|State { tables, .. }| Ok(tables.segments.get(&segment).copied()))
    }
}

impl BucketRecords for MemoryRecords {
    fn create_bucket(&self, bucket: &NewBucket) -> Result<bool> {
        let NewBucket { name, region, public } = bucket.clone();
        self.transact(|State { tables, .. }| {
            let is_new = !tables.buckets.contains_key(&name);
            let row = BucketRow { name: name.clone(), created_ms: tables.now_ms, public, region };
            tables.buckets.entry(name).or_insert(row);
            Ok(is_new)
        })
    }

    fn bucket(&self, bucket: &BucketName) -> Result<Option<BucketRow>> {
        self.query(|State { tables, .. }| Ok(tables.buckets.get(bucket).cloned()))
    }

    fn buckets(&self, after: Option<&BucketName>, limit: usize) -> Result<Vec<BucketRow>> {
        self.query(|State { tables, .. }| {
            let later =
                tables.buckets.values().filter(|row| after.is_none_or(|after| row.name > *after));
            Ok(later.take(limit).cloned().collect())
        })
    }

    fn set_bucket_public(&self, bucket: &BucketName, public: bool) -> Result<()> {
        self.transact(|state| {
            let name = rules::bucket(state, bucket)?;
            state.tables.buckets.entry(name).and_modify(|row| row.public = public);
            Ok(())
        })
    }

    fn delete_bucket(&self, bucket: &BucketName) -> Result<()> {
        self.transact(|state| {
            rules::empty_bucket(state, bucket)?;
            let Tables { buckets, uploads, lost_uploads, .. } = &mut state.tables;
            buckets.remove(bucket);
            let (lost, kept) = std::mem::take(uploads)
                .into_iter()
                .partition::<BTreeMap<_, _>, _>(|(_, upload)| upload.row.bucket == *bucket);
            *uploads = kept;
            lost_uploads.extend(lost);
            Ok(())
        })
    }
}

impl ObjectRecords for MemoryRecords {
    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>> {
        self.query(|state| {
            rules::bucket(state, bucket)?;
            Ok(state.tables.object(bucket, key).cloned())
        })
    }

    fn set_property(
        &self,
        bucket: &BucketName,
        key: &Key,
        name: &str,
        value: Option<&str>,
    ) -> Result<()> {
        self.transact(|state| rules::set_property(state, bucket, key, name, value))
    }

    fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>> {
        self.query(|state| {
            rules::bucket(state, bucket)?;
            Ok(state.tables.list(bucket, prefix, from, limit))
        })
    }

    fn manifest_page(
        &self,
        manifest: ManifestId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRow>> {
        self.query(|State { tables, .. }| Ok(tables.manifest_page(manifest, from, limit)))
    }

    fn delete(&self, bucket: &BucketName, key: &Key, condition: Condition) -> Result<bool> {
        self.transact(|state| rules::delete(state, bucket, key, condition))
    }

    fn delete_many(
        &self,
        bucket: &BucketName,
        objects: &[(Key, Condition)],
    ) -> Result<Vec<Result<bool>>> {
        self.transact(|state| rules::delete_many(state, bucket, objects))
    }

    fn copy(&self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow> {
        self.transact(|state| rules::copy(state, source, target))
    }

    fn totals(&self) -> Result<Totals> {
        self.query(|State { tables, .. }| Ok(tables.totals()))
    }
}

impl UploadRecords for MemoryRecords {
    fn create_upload(
        &self,
        bucket: &BucketName,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Result<UploadRow> {
        self.transact(|state| {
            let bucket = rules::bucket(state, bucket)?;
            let (id, created_ms) = (UploadId(state.tables.next_id()), state.tables.now_ms);
            let row = UploadRow { id, bucket, key: key.clone(), meta: meta.clone(), created_ms };
            let begun = BegunUpload { row: row.clone(), parts: BTreeMap::new() };
            state.tables.uploads.insert(id, begun);
            Ok(row)
        })
    }

    fn upload(&self, upload: UploadId) -> Result<Option<UploadRow>> {
        self.query(|State { tables, .. }| {
            Ok(tables.uploads.get(&upload).map(|upload| upload.row.clone()))
        })
    }

    fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Result<Vec<UploadRow>> {
        self.query(|state| {
            rules::bucket(state, bucket)?;
            Ok(state.tables.uploads(bucket, prefix, after, limit))
        })
    }

    fn parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<PartRow>> {
        self.query(|state| {
            rules::check_upload(state, upload)?;
            let parts = state.tables.uploads[&upload].parts.range(after.saturating_add(1)..);
            Ok(parts.take(limit).map(|(_, part)| part.clone()).collect())
        })
    }

    fn copy_part(
        &self,
        source: &CopySource,
        range: Option<Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow> {
        self.transact(|state| rules::copy_part(state, source, range.as_ref(), target))
    }

    fn abort_upload(&self, upload: UploadId) -> Result<bool> {
        self.transact(|state| rules::abort_upload(state, upload))
    }

    fn complete_upload(&self, upload: UploadId, completion: &Completion) -> Result<ObjectRow> {
        self.transact(|state| rules::complete_upload(state, upload, completion))
    }

    fn object_parts(
        &self,
        manifest: ManifestId,
        upload: UploadId,
        after: u32,
        limit: usize,
    ) -> Result<ObjectParts> {
        self.query(|State { tables, .. }| Ok(tables.object_parts(manifest, upload, after, limit)))
    }
}

impl KeyRecords for MemoryRecords {
    fn put_key(&self, key: &NewKey) -> Result<()> {
        self.transact(|State { tables, .. }| {
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
        self.query(|State { tables, .. }| Ok(tables.keys.get(access).cloned()))
    }

    fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<KeyRow>> {
        self.query(|State { tables, .. }| {
            let later = tables
                .keys
                .values()
                .filter(|row| after.is_none_or(|after| *row.key.access > *after));
            Ok(later.take(limit).cloned().collect())
        })
    }

    fn revoke_key(&self, access: &str) -> Result<bool> {
        self.transact(|State { tables, .. }| Ok(tables.keys.remove(access).is_some()))
    }
}
