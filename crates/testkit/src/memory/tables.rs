//! The tables of the records, and the questions that can be put to them.

use std::collections::BTreeMap;
use std::ops::Bound;

use drystone_chunker::ChunkId;
use drystone_store::{
    BucketName, BucketRow, ChunkRef, ContentHash, Epoch, Key, KeyRow, KnownChunk, Location,
    ManifestId, ManifestRow, ObjectPart, ObjectParts, ObjectRow, PlainSlice, SegmentId, SegmentLen,
    SessionId, TAGS, Totals, UploadId,
};

use super::uploads::Upload;

#[derive(Default)]
pub(super) struct Tables {
    /// The database's clock; a millisecond passes with every transaction.
    pub(super) now_ms: u64,
    pub(super) epoch: u64,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    pub(super) segments: BTreeMap<SegmentId, SegmentLen>,
    pub(super) chunks: BTreeMap<ChunkRef, ChunkRow>,
    pub(super) chunk_ids: BTreeMap<ChunkId, ChunkRef>,
    pub(super) manifests: BTreeMap<ManifestId, Manifest>,
    pub(super) buckets: BTreeMap<BucketName, BucketRow>,
    pub(super) objects: BTreeMap<BucketName, BTreeMap<Key, ObjectRow>>,
    pub(super) uploads: BTreeMap<UploadId, Upload>,
    pub(super) keys: BTreeMap<String, KeyRow>,
    /// One counter for all ids, so that an id used as one of another kind is found out.
    ids: u64,
}

pub(super) struct SessionRow {
    pub(super) expires_ms: u64,
    pub(super) dead: bool,
}

pub(super) struct ChunkRow {
    pub(super) id: ChunkId,
    pub(super) at: Location,
    pub(super) condemned: Option<Epoch>,
}

#[derive(Default)]
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
}

fn is_from(key: &str, from: Bound<&str>) -> bool {
    match from {
        Bound::Included(first) => key >= first,
        Bound::Excluded(after) => key > after,
        Bound::Unbounded => true,
    }
}

impl Tables {
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|row| !row.dead)
    }

    /// See [`take_back`](drystone_store::Records::take_back).
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

    pub(super) fn condemn(&mut self, id: &ChunkId) -> bool {
        let epoch = Epoch(self.epoch);
        let row = self.chunk_ids.get(id).and_then(|row| self.chunks.get_mut(row));
        row.map(|row| row.condemned = Some(epoch)).is_some()
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
        let objects = self.objects.get(bucket).into_iter().flat_map(BTreeMap::values);
        objects
            .filter(|row| row.key.as_str().starts_with(prefix))
            .filter(|row| is_from(row.key.as_str(), from))
            .take(limit)
            .cloned()
            .map(|mut row| {
                row.meta.system.remove(TAGS);
                row
            })
            .collect()
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
        let rows = manifest.rows.iter().map(|(&offset, chunk)| (offset, &self.chunks[chunk]));
        rows.map(|(offset, chunk)| ManifestRow::whole(offset, chunk.id, chunk.at)).collect()
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
}
