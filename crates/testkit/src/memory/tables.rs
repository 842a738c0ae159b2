//! The tables of the records, and what the rules of the store ask of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use drystone_chunker::ChunkId;
use drystone_store::rules::scrub::heals;
use drystone_store::{
    BucketName, BucketRow, ChunkRef, ContentHash, Epoch, Key, KeyRow, KnownChunk, Location,
    ManifestId, ManifestRow, ObjectPart, ObjectParts, ObjectRow, PartRow, PlainSlice, ScrubRound,
    SegmentId, SegmentLen, SessionId, Source, TAGS, Totals, UploadId, UploadRow,
};

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
    /// Those whose bucket is gone.
    pub(super) lost_uploads: BTreeMap<UploadId, BegunUpload>,
    pub(super) keys: BTreeMap<String, KeyRow>,
    pub(super) condemned_segments: BTreeMap<SegmentId, Epoch>,
    pub(super) last_segment: Option<SegmentId>,
    pub(super) is_scanned: bool,
    /// The newest scrub.
    pub(super) scrub: Option<ScrubRound>,
    /// When everything in a segment up to which chunk was verified.
    pub(super) verified: BTreeMap<SegmentId, (u64, ChunkRef)>,
    /// Manifests that sessions of readers hold; also those of dead sessions.
    pub(super) pins: BTreeSet<(SessionId, ManifestId)>,
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
    /// A transaction that reads it fails to.
    pub(super) unreadable: bool,
    /// Since when it is marked.
    pub(super) damaged: Option<u64>,
}

#[derive(Clone, Default)]
pub(super) struct Manifest {
    /// `Some` while it is pending.
    pub(super) session: Option<SessionId>,
    pub(super) rows: BTreeMap<u64, ChunkRef>,
    /// The end of the last chunk or slice, in bytes.
    pub(super) end: u64,
    /// What it contains, once it is committed.
    pub(super) content: Option<ContentHash>,
    /// Of a composite, which has no rows.
    pub(super) slices: Vec<(u64, PlainSlice)>,
    /// Of each upload that put it together, the parts.
    pub(super) parts: BTreeMap<UploadId, Vec<ObjectPart>>,
    pub(super) condemned: Option<Epoch>,
}

/// A multipart upload and its parts.
#[derive(Clone)]
pub(super) struct BegunUpload {
    pub(super) row: UploadRow,
    pub(super) parts: BTreeMap<u32, PartRow>,
}

impl Tables {
    pub(super) fn new() -> Self {
        // There is nothing of an earlier version.
        Self { is_scanned: true, ..Self::default() }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn add_segment(&mut self) -> SegmentId {
        let segment = SegmentId(self.next_id());
        self.segments.insert(segment, SegmentLen { segment, bytes: 0, sealed: false });
        self.last_segment = Some(segment);
        segment
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
        let row = &self.chunks[&chunk];
        let (condemned, damaged) = (row.condemned.is_some(), row.damaged.is_some());
        Some(KnownChunk { chunk, condemned, damaged })
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
            // It may have been swept, with the composite that is read all the same.
            let Some(part) = self.manifests.get(&slice.manifest) else { continue };
            let plain = self.plain_rows(part);
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

    pub(super) fn chunk_row(&mut self, id: ChunkId, source: Source) -> ChunkRef {
        let at = match source {
            Source::Known(row) => return row,
            Source::Written(at) => at,
        };
        if let Some(&row) = self.chunk_ids.get(&id) {
            self.chunks.entry(row).and_modify(|known| {
                known.condemned = None;
                let there = (known.at.segment, known.at.offset);
                if heals(known.damaged.is_some(), there == (at.segment, at.offset)) {
                    (known.at, known.damaged) = (at, None);
                }
            });
            return row;
        }
        let row = ChunkRef(self.next_id());
        self.chunks
            .insert(row, ChunkRow { id, at, condemned: None, unreadable: false, damaged: None });
        self.chunk_ids.insert(id, row);
        row
    }
}
