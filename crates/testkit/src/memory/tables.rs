//! The tables of the records, and the questions that can be put to them.

use std::collections::{BTreeMap, BTreeSet};

use drystone_chunker::ChunkId;
use drystone_store::{
    BucketName, ChunkRef, Epoch, Key, KnownChunk, Location, ManifestId, ManifestRow, ObjectRow, SegmentId,
    SegmentLen, SessionId, Totals,
};

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
    pub(super) buckets: BTreeSet<BucketName>,
    pub(super) objects: BTreeMap<BucketName, BTreeMap<Key, ObjectRow>>,
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
    /// The end of the last chunk, in bytes.
    pub(super) end: u64,
}

impl Tables {
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|row| !row.dead)
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
        after: Option<&str>,
        limit: usize,
    ) -> Vec<ObjectRow> {
        let objects = self.objects.get(bucket).into_iter().flat_map(BTreeMap::values);
        objects
            .filter(|row| row.key.as_str().starts_with(prefix))
            .filter(|row| after.is_none_or(|after| row.key.as_str() > after))
            .take(limit)
            .cloned()
            .collect()
    }

    pub(super) fn manifest_page(&self, manifest: ManifestId, from: u64, limit: usize) -> Vec<ManifestRow> {
        let Some(manifest) = self.manifests.get(&manifest) else { return Vec::new() };
        let Some((&first, _)) = manifest.rows.range(..=from).next_back() else { return Vec::new() };
        let rows = manifest.rows.range(first..).take(limit);
        rows.map(|(&offset, chunk)| {
            let chunk = &self.chunks[chunk];
            ManifestRow { offset, chunk: chunk.id, at: chunk.at }
        })
        .collect()
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
