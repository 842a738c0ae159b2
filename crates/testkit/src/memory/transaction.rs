//! What the rules of the store ask of the tables, inside one transaction.

use std::ops::{Bound, Range};

use drystone_store::rules;
use drystone_store::{
    BucketName, ChunkMove, ChunkRef, Composite, ContentHash, Entry, Epoch, Key, ManifestId,
    NamedPart, ObjectPart, ObjectRow, PartRow, PartTarget, PlainSlice, Result, SessionId,
    StoreError, SweepFrom, UploadId, UploadRow,
};

use super::State;
use super::tables::{Manifest, Tables};

impl rules::Tables for State {
    type Halt = StoreError;
    type Bucket = BucketName;

    fn is_alive(&mut self, session: SessionId) -> Result<bool> {
        Ok(self.tables.is_live(session))
    }

    fn has_chunk(&mut self, chunk: ChunkRef) -> Result<bool> {
        Ok(self.tables.chunks.contains_key(&chunk))
    }

    fn bucket(&mut self, name: &BucketName) -> Result<Option<BucketName>> {
        Ok(self.tables.buckets.get(name).map(|row| row.name.clone()))
    }

    fn has_objects(&mut self, bucket: &BucketName) -> Result<bool> {
        Ok(self.tables.objects.get(bucket).is_some_and(|objects| !objects.is_empty()))
    }

    fn object(&mut self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>> {
        Ok(self.tables.object(bucket, key).cloned())
    }

    fn has_upload(&mut self, upload: UploadId) -> Result<bool> {
        Ok(self.tables.uploads.contains_key(&upload))
    }

    fn upload(&mut self, upload: UploadId) -> Result<Option<(BucketName, UploadRow)>> {
        let found = self.tables.uploads.get(&upload);
        Ok(found.map(|upload| (upload.row.bucket.clone(), upload.row.clone())))
    }

    fn part(&mut self, upload: UploadId, number: u32) -> Result<Option<PartRow>> {
        let found = self.tables.uploads.get(&upload);
        Ok(found.and_then(|upload| upload.parts.get(&number)).cloned())
    }

    fn slices(
        &mut self,
        manifest: ManifestId,
        _: &Range<u64>,
        each: &mut dyn FnMut(u64, PlainSlice) -> Result<()>,
    ) -> Result<bool> {
        let Some(found) = self.tables.manifests.get(&manifest) else { return Ok(false) };
        if let ([], Some(content)) = (&found.slices[..], found.content) {
            let size = found.end;
            each(0, PlainSlice { manifest, content, size, from: 0, len: size })?;
        }
        found.slices.iter().try_for_each(|(offset, slice)| each(*offset, *slice))?;
        Ok(found.content.is_some())
    }

    fn add_to_manifest(&mut self, entry: &Entry) -> Result<ManifestId> {
        self.watch(entry);
        let tables = &mut self.tables;
        let id = entry.manifest.unwrap_or_else(|| ManifestId(tables.next_id()));
        let row = |chunk: &drystone_store::ManifestEntry| {
            (chunk.offset, tables.chunk_row(chunk.id, chunk.source))
        };
        let rows: Vec<_> = entry.chunks.iter().map(row).collect();
        let end = rows.last().map(|(offset, row)| offset + u64::from(tables.chunks[row].at.len));
        let manifest = tables.manifests.entry(id).or_default();
        manifest.session = entry.complete.is_none().then_some(entry.session);
        manifest.content = entry.complete.as_ref().map(|complete| complete.content);
        manifest.rows.extend(rows);
        manifest.end = end.unwrap_or(manifest.end);
        Ok(id)
    }

    fn advance_session(&mut self, session: SessionId) -> Result<()> {
        let epoch = self.tables.epoch();
        self.tables.sessions.entry(session).and_modify(|row| row.epoch = epoch);
        Ok(())
    }

    fn put_object(&mut self, bucket: &BucketName, row: &ObjectRow) -> Result<()> {
        let objects = self.tables.objects.entry(bucket.clone()).or_default();
        objects.insert(row.key.clone(), row.clone());
        Ok(())
    }

    fn remove_object(&mut self, bucket: &BucketName, key: &Key) -> Result<Option<ManifestId>> {
        let objects = self.tables.objects.get_mut(bucket);
        Ok(objects.and_then(|objects| objects.remove(key)).map(|row| row.manifest))
    }

    fn manifest_of(&mut self, bucket: &BucketName, key: &Key) -> Result<Option<ManifestId>> {
        Ok(self.tables.object(bucket, key).map(|row| row.manifest))
    }

    fn put_part(
        &mut self,
        target: &PartTarget,
        size: u64,
        content: ContentHash,
        manifest: ManifestId,
    ) -> Result<PartRow> {
        let (number, system) = (target.number, target.system.clone());
        let modified_ms = self.tables.now_ms;
        let part = PartRow { number, size, content, manifest, system, modified_ms };
        let upload = self.tables.uploads.get_mut(&target.upload);
        let upload = upload.ok_or(StoreError::NoSuchUpload(target.upload))?;
        upload.parts.insert(number, part.clone());
        Ok(part)
    }

    fn put_composite(&mut self, composite: &Composite) -> Result<ManifestId> {
        let id = ManifestId(self.tables.next_id());
        let manifest = Manifest {
            content: Some(composite.content()),
            slices: composite.slices().map(|(offset, slice)| (offset, *slice)).collect(),
            end: composite.size(),
            ..Manifest::default()
        };
        self.tables.manifests.insert(id, manifest);
        Ok(id)
    }

    fn remember_parts(
        &mut self,
        manifest: ManifestId,
        upload: UploadId,
        parts: &[NamedPart],
    ) -> Result<()> {
        let Tables { uploads, manifests, .. } = &mut self.tables;
        let stored = &uploads[&upload].parts;
        let (mut offset, mut number) = (0, 0);
        let remembered = parts.iter().filter_map(|named| stored.get(&named.number)).map(|part| {
            let part_at = offset;
            (offset, number) = (offset + part.size, number + 1);
            ObjectPart { number, offset: part_at, size: part.size, system: part.system.clone() }
        });
        manifests.entry(manifest).or_default().parts.insert(upload, remembered.collect());
        Ok(())
    }

    fn remove_upload(&mut self, upload: UploadId) -> Result<Vec<ManifestId>> {
        let lost = self.tables.lost_uploads.remove(&upload);
        let removed = self.tables.uploads.remove(&upload).or(lost);
        let parts = removed.into_iter().flat_map(|upload| upload.parts.into_values());
        Ok(parts.map(|part| part.manifest).collect())
    }

    fn epoch(&mut self) -> Result<Epoch> {
        Ok(self.tables.epoch())
    }

    fn is_manifest_named(&mut self, manifest: ManifestId) -> Result<bool> {
        Ok(self.tables.is_manifest_named(manifest))
    }

    fn is_manifest_pinned(&mut self, manifest: ManifestId) -> Result<bool> {
        Ok(self.tables.is_pinned(manifest))
    }

    fn is_chunk_named(&mut self, chunk: ChunkRef) -> Result<bool> {
        Ok(self.tables.is_chunk_named(chunk))
    }

    fn stamp_manifest(&mut self, manifest: ManifestId, stamp: Option<Epoch>) -> Result<()> {
        self.tables.manifests.entry(manifest).and_modify(|row| row.condemned = stamp);
        Ok(())
    }

    fn stamp_chunk(&mut self, chunk: ChunkRef, stamp: Option<Epoch>) -> Result<bool> {
        Ok(self.tables.chunks.get_mut(&chunk).map(|row| row.condemned = stamp).is_some())
    }

    fn condemned_manifests(
        &mut self,
        upto: Epoch,
        after: SweepFrom,
        limit: usize,
    ) -> Result<Vec<SweepFrom>> {
        let stamps = self.tables.manifests.iter().map(|(id, row)| (row.condemned, id.0));
        Ok(condemned(stamps, upto, after, limit))
    }

    fn condemned_chunks(
        &mut self,
        upto: Epoch,
        after: SweepFrom,
        limit: usize,
    ) -> Result<Vec<SweepFrom>> {
        let stamps = self.tables.chunks.iter().map(|(id, row)| (row.condemned, id.0));
        Ok(condemned(stamps, upto, after, limit))
    }

    fn manifests_after(&mut self, after: ManifestId, limit: usize) -> Result<Vec<ManifestId>> {
        let rows = self.tables.manifests.range((Bound::Excluded(after), Bound::Unbounded));
        let rows = rows.filter(|(_, row)| row.condemned.is_none());
        Ok(rows.take(limit).map(|(id, _)| *id).collect())
    }

    fn chunks_after(&mut self, after: ChunkRef, limit: usize) -> Result<Vec<ChunkRef>> {
        let rows = self.tables.chunks.range((Bound::Excluded(after), Bound::Unbounded));
        let rows = rows.filter(|(_, row)| row.condemned.is_none());
        Ok(rows.take(limit).map(|(id, _)| *id).collect())
    }

    fn left_pending(&mut self, limit: usize) -> Result<Vec<ManifestId>> {
        let is_left = |row: &Manifest| {
            row.condemned.is_none()
                && row.session.is_some_and(|session| !self.tables.is_live(session))
        };
        let left = self.tables.manifests.iter().filter(|(_, row)| is_left(row));
        Ok(left.take(limit).map(|(id, _)| *id).collect())
    }

    fn upload_without_bucket(&mut self) -> Result<Option<UploadId>> {
        Ok(self.tables.lost_uploads.keys().next().copied())
    }

    fn pending(
        &mut self,
        session: SessionId,
        wanted: Option<ManifestId>,
    ) -> Result<Option<ManifestId>> {
        Ok(self.tables.pending(session, wanted))
    }

    fn take_rows(&mut self, manifest: ManifestId, limit: usize) -> Result<Vec<ChunkRef>> {
        let Some(row) = self.tables.manifests.get_mut(&manifest) else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some((_, chunk)) = row.rows.pop_last()
        {
            taken.push(chunk);
        }
        Ok(taken)
    }

    fn take_slices(&mut self, manifest: ManifestId, limit: usize) -> Result<Vec<ManifestId>> {
        let Some(row) = self.tables.manifests.get_mut(&manifest) else { return Ok(Vec::new()) };
        let kept = row.slices.len().saturating_sub(limit);
        Ok(row.slices.drain(kept..).map(|(_, slice)| slice.manifest).collect())
    }

    fn remove_manifest(&mut self, manifest: ManifestId) -> Result<()> {
        if self.tables.is_reachable(manifest) {
            self.violate(format!("manifest {manifest} is removed, and something names it"));
        }
        self.tables.manifests.remove(&manifest);
        Ok(())
    }

    fn remove_chunk(&mut self, chunk: ChunkRef) -> Result<u32> {
        if self.tables.is_chunk_named(chunk) {
            self.violate(format!("chunk {chunk} is removed, and a manifest names it"));
        }
        let Some(row) = self.tables.chunks.get(&chunk) else {
            return Err(StoreError::Inconsistent(format!("there is no chunk {chunk}")));
        };
        if row.unreadable {
            return Err(StoreError::Inconsistent(format!("chunk {chunk} cannot be read")));
        }
        let (id, len) = (row.id, row.at.len);
        self.tables.chunk_ids.remove(&id);
        self.tables.chunks.remove(&chunk);
        Ok(len)
    }

    fn move_chunk(&mut self, moved: &ChunkMove) -> Result<bool> {
        self.watch_move(moved);
        let ChunkMove { chunk, from, to } = moved;
        let row = self.tables.chunks.get_mut(chunk).filter(|row| row.at == *from);
        Ok(row.map(|row| row.at = *to).is_some())
    }

    fn is_unreadable(halt: &StoreError) -> bool {
        matches!(halt, StoreError::Inconsistent(_))
    }
}

/// Stamps up to `upto`, behind `after`, in order.
fn condemned(
    stamps: impl Iterator<Item = (Option<Epoch>, u64)>,
    upto: Epoch,
    after: SweepFrom,
    limit: usize,
) -> Vec<SweepFrom> {
    let stamped = stamps.filter_map(|(stamp, id)| stamp.map(|epoch| SweepFrom { epoch, id }));
    let mut due: Vec<_> = stamped.filter(|at| at.epoch <= upto && *at > after).collect();
    due.sort_unstable();
    due.truncate(limit);
    due
}
