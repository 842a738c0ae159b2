//! The tables of the records, and what the rules of the store ask of them.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use drystone_chunker::ChunkId;
use drystone_store::rules;
use drystone_store::{
    BucketName, BucketRow, ChunkRef, Composite, ContentHash, Entry, Epoch, Key, KeyRow, KnownChunk,
    Location, ManifestId, ManifestRow, NamedPart, ObjectPart, ObjectParts, ObjectRow, PartRow,
    PartTarget, PlainSlice, Result, SegmentId, SegmentLen, SessionId, Source, StoreError, TAGS,
    Totals, UploadId, UploadRow,
};

use super::State;

#[derive(Clone, Default)]
pub(super) struct Tables {
    /// The database's clock; a millisecond passes with every transaction.
    pub(super) now_ms: u64,
    epoch: u64,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    pub(super) segments: BTreeMap<SegmentId, SegmentLen>,
    pub(super) chunks: BTreeMap<ChunkRef, ChunkRow>,
    pub(super) chunk_ids: BTreeMap<ChunkId, ChunkRef>,
    pub(super) manifests: BTreeMap<ManifestId, Manifest>,
    pub(super) buckets: BTreeMap<BucketName, BucketRow>,
    pub(super) objects: BTreeMap<BucketName, BTreeMap<Key, ObjectRow>>,
    pub(super) uploads: BTreeMap<UploadId, BegunUpload>,
    pub(super) keys: BTreeMap<String, KeyRow>,
    /// One counter for all ids, so that an id used as one of another kind is found out.
    ids: u64,
}

#[derive(Clone)]
pub(super) struct SessionRow {
    pub(super) epoch: Epoch,
    pub(super) expires_ms: u64,
    pub(super) dead: bool,
}

#[derive(Clone)]
pub(super) struct ChunkRow {
    pub(super) id: ChunkId,
    pub(super) at: Location,
    pub(super) condemned: Option<Epoch>,
}

#[derive(Clone, Default)]
pub(super) struct Manifest {
    /// `Some` while it is pending.
    pub(super) session: Option<SessionId>,
    pub(super) rows: BTreeMap<u64, ChunkRef>,
    /// The end of the last chunk or slice, in bytes.
    pub(super) end: u64,
    /// What it contains, once it is committed.
    content: Option<ContentHash>,
    /// Of a composite, which has no rows.
    pub(super) slices: Vec<(u64, PlainSlice)>,
    /// Of each upload that put it together, the parts.
    parts: BTreeMap<UploadId, Vec<ObjectPart>>,
}

/// A multipart upload and its parts.
#[derive(Clone)]
pub(super) struct BegunUpload {
    pub(super) row: UploadRow,
    pub(super) parts: BTreeMap<u32, PartRow>,
}

impl Tables {
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn add_segment(&mut self) -> SegmentId {
        let segment = SegmentId(self.next_id());
        self.segments.insert(segment, SegmentLen { segment, bytes: 0, sealed: false });
        segment
    }

    /// The chunks of one segment are in another from now on, at the same places.
    pub(super) fn move_chunks(&mut self, from: SegmentId, to: SegmentId) {
        let chunks = self.chunks.values_mut().filter(|chunk| chunk.at.segment == from);
        chunks.for_each(|chunk| chunk.at.segment = to);
        if let Some(len) = self.segments.remove(&from) {
            self.segments.insert(to, SegmentLen { segment: to, ..len });
        }
    }

    pub(super) fn is_live(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|row| !row.dead)
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    pub(super) fn advance_epoch(&mut self) -> Epoch {
        self.epoch += 1;
        Epoch(self.epoch - 1)
    }

    pub(super) fn oldest_epoch(&self) -> Option<Epoch> {
        self.sessions.values().filter(|row| !row.dead).map(|row| row.epoch).min()
    }

    pub(super) fn pending_manifests(&self) -> usize {
        self.manifests.values().filter(|manifest| manifest.session.is_some()).count()
    }

    /// Whether a session has left a manifest pending: the one asked for, or any.
    pub(super) fn is_pending(&self, session: SessionId, wanted: Option<ManifestId>) -> bool {
        let is_meant = |id: &ManifestId| wanted.is_none_or(|wanted| wanted == *id);
        self.manifests.iter().any(|(id, row)| row.session == Some(session) && is_meant(id))
    }

    /// See [`take_back`](drystone_store::SessionRecords::take_back).
    pub(super) fn take_back(
        &mut self,
        session: SessionId,
        wanted: Option<ManifestId>,
        limit: usize,
    ) -> bool {
        let mut left = limit;
        self.manifests.retain(|id, manifest| {
            if manifest.session != Some(session) || wanted.is_some_and(|wanted| wanted != *id) {
                return true;
            }
            while left > 0 && manifest.rows.pop_last().is_some() {
                left -= 1;
            }
            left == 0
        });
        left > 0
    }

    pub(super) fn chunk(&self, id: &ChunkId) -> Option<&ChunkRow> {
        self.chunks.get(self.chunk_ids.get(id)?)
    }

    pub(super) fn chunk_mut(&mut self, id: &ChunkId) -> Option<&mut ChunkRow> {
        self.chunks.get_mut(self.chunk_ids.get(id)?)
    }

    pub(super) fn condemn(&mut self, id: &ChunkId) -> bool {
        let epoch = self.epoch();
        self.chunk_mut(id).map(|row| row.condemned = Some(epoch)).is_some()
    }

    pub(super) fn find(&self, id: &ChunkId) -> Option<KnownChunk> {
        let chunk = *self.chunk_ids.get(id)?;
        Some(KnownChunk { chunk, condemned: self.chunks[&chunk].condemned.is_some() })
    }

    pub(super) fn unsealed(&self, limit: usize) -> Vec<SegmentId> {
        let mut open: Vec<&SegmentLen> = self.segments.values().filter(|len| !len.sealed).collect();
        open.sort_by_key(|len| std::cmp::Reverse(len.bytes));
        open.into_iter().take(limit).map(|len| len.segment).collect()
    }

    pub(super) fn object(&self, bucket: &BucketName, key: &Key) -> Option<&ObjectRow> {
        self.objects.get(bucket)?.get(key)
    }

    pub(super) fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Vec<ObjectRow> {
        let is_from = |key: &str| match from {
            Bound::Included(first) => key >= first,
            Bound::Excluded(after) => key > after,
            Bound::Unbounded => true,
        };
        let objects = self.objects.get(bucket).into_iter().flat_map(BTreeMap::values);
        let meant =
            objects.filter(|row| row.key.as_str().starts_with(prefix) && is_from(row.key.as_str()));
        let mut page: Vec<ObjectRow> = meant.take(limit).cloned().collect();
        page.iter_mut().for_each(|row| drop(row.meta.system.remove(TAGS)));
        page
    }

    pub(super) fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Vec<UploadRow> {
        let rows = self.uploads.values().map(|upload| &upload.row);
        let mut found: Vec<&UploadRow> = rows
            .filter(|row| row.bucket == *bucket && row.key.as_str().starts_with(prefix))
            .filter(|row| after.is_none_or(|after| (row.key.as_str(), row.id) > after))
            .collect();
        found.sort_by_key(|row| (&row.key, row.id));
        let mut page: Vec<UploadRow> = found.into_iter().take(limit).cloned().collect();
        page.iter_mut().for_each(|row| drop(row.meta.system.remove(TAGS)));
        page
    }

    pub(super) fn object_parts(
        &self,
        manifest: ManifestId,
        upload: UploadId,
        after: u32,
        limit: usize,
    ) -> ObjectParts {
        let parts = self.manifests.get(&manifest).and_then(|manifest| manifest.parts.get(&upload));
        let parts = parts.map(Vec::as_slice).unwrap_or_default();
        let page = parts.iter().filter(|part| part.number > after).take(limit).cloned().collect();
        ObjectParts { total: parts.len() as u32, page }
    }

    pub(super) fn manifest_page(
        &self,
        manifest: ManifestId,
        from: u64,
        limit: usize,
    ) -> Vec<ManifestRow> {
        let Some(manifest) = self.manifests.get(&manifest) else { return Vec::new() };
        let mut rows = self.plain_rows(manifest);
        for (offset, slice) in &manifest.slices {
            let plain = self.plain_rows(&self.manifests[&slice.manifest]);
            rows.extend(
                plain.iter().filter_map(|row| row.in_slice(*offset, slice.from, slice.len)),
            );
        }
        let first = rows.iter().rposition(|row| row.offset <= from).unwrap_or(0);
        rows.into_iter().skip(first).take(limit).collect()
    }

    fn plain_rows(&self, manifest: &Manifest) -> Vec<ManifestRow> {
        // Chunks of what was deleted may have been swept.
        let row = |(offset, chunk): (&u64, &ChunkRef)| {
            let chunk = self.chunks.get(chunk)?;
            Some(ManifestRow::whole(*offset, chunk.id, chunk.at))
        };
        manifest.rows.iter().filter_map(row).collect()
    }

    pub(super) fn totals(&self) -> Totals {
        let objects = || self.objects.values().flat_map(BTreeMap::values);
        Totals {
            objects: objects().count() as u64,
            object_bytes: objects().map(|row| row.size).sum(),
            chunks: self.chunks.len() as u64,
            chunk_bytes: self.chunks.values().map(|row| u64::from(row.at.len)).sum(),
        }
    }

    fn chunk_row(&mut self, id: ChunkId, source: Source) -> ChunkRef {
        let at = match source {
            Source::Known(row) => return row,
            Source::Written(at) => at,
        };
        if let Some(&row) = self.chunk_ids.get(&id) {
            self.chunks.entry(row).and_modify(|known| known.condemned = None);
            return row;
        }
        let row = ChunkRef(self.next_id());
        self.chunks.insert(row, ChunkRow { id, at, condemned: None });
        self.chunk_ids.insert(id, row);
        row
    }
}

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

    fn remove_object(&mut self, bucket: &BucketName, key: &Key) -> Result<bool> {
        let objects = self.tables.objects.get_mut(bucket);
        Ok(objects.is_some_and(|objects| objects.remove(key).is_some()))
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

    fn remove_upload(&mut self, upload: UploadId) -> Result<()> {
        self.tables.uploads.remove(&upload);
        Ok(())
    }
}
