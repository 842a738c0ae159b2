//! The commit's transaction, and the contract that it must keep.

use drystone_chunker::ChunkId;
use drystone_store::{
    BucketName, CommitBatch, CommitResult, Complete, Condition, Entry, Key, Location,
    ManifestEntry, ManifestId, ObjectRow, Source, StoreError, SyncPolicy, Target,
};

use super::State;
use super::tables::{ChunkRow, Tables};

pub(super) fn apply(state: &mut State, batch: &CommitBatch<'_>) -> Vec<CommitResult> {
    for told in batch.segments {
        let is_there = match (state.config.sync, state.disk.file(told.segment)) {
            (_, None) => false,
            (SyncPolicy::Commit, Some(file)) => file.is_synced_to(told.bytes),
            (SyncPolicy::Never, Some(file)) => told.bytes <= file.len(),
        };
        if !is_there {
            state.violate(format!(
                "segment {} is said to have {} bytes, and they are not all synced",
                told.segment, told.bytes
            ));
        }
        match state.tables.segments.get_mut(&told.segment) {
            Some(row) => {
                row.bytes = row.bytes.max(told.bytes);
                row.sealed |= told.sealed;
            }
            None => state.violate(format!("segment {} is not registered", told.segment)),
        }
    }
    batch.entries.iter().map(|entry| apply_entry(state, entry)).collect()
}

fn apply_entry(state: &mut State, entry: &Entry) -> CommitResult {
    if let Some(error) = refusal(&state.tables, entry) {
        return Err(error);
    }
    for broken in breaches(state, entry) {
        state.violate(broken);
    }
    Ok(write(&mut state.tables, entry))
}

fn refusal(tables: &Tables, entry: &Entry) -> Option<StoreError> {
    if !tables.is_alive(entry.session) {
        return Some(StoreError::SessionExpired);
    }
    for chunk in &entry.chunks {
        if let Source::Known(row) = chunk.source
            && !tables.chunks.contains_key(&row)
        {
            return Some(StoreError::Inconsistent(format!(
                "chunk {} vanished under a live session",
                chunk.id
            )));
        }
    }
    match &entry.complete.as_ref()?.target {
        Target::Object(target) => unmet(tables, &target.bucket, &target.key, target.condition),
        Target::Part(target) => {
            target.check().and_then(|()| tables.upload(target.upload).map(drop)).err()
        }
    }
}

/// Why an object must not be stored under the key, if so.
pub(super) fn unmet(
    tables: &Tables,
    bucket: &BucketName,
    key: &Key,
    condition: Condition,
) -> Option<StoreError> {
    if !tables.buckets.contains_key(bucket) {
        return Some(StoreError::NoSuchBucket(bucket.clone()));
    }
    (!condition.holds(tables.object(bucket, key)))
        .then(|| StoreError::PreconditionFailed { key: key.clone() })
}

/// What the store must not have asked for.
fn breaches(state: &State, entry: &Entry) -> Vec<String> {
    let mut broken = Vec::new();
    let mut end = 0;
    if let Some(id) = entry.manifest {
        match state.tables.manifests.get(&id) {
            Some(manifest) if manifest.session == Some(entry.session) => end = manifest.end,
            _ => broken.push(format!("manifest {id} is not pending in session {}", entry.session)),
        }
    }
    for chunk in &entry.chunks {
        if chunk.offset != end {
            broken.push(format!("a chunk at {} follows one that ends at {end}", chunk.offset));
        }
        match chunk_len(state, chunk) {
            Ok(len) => end = chunk.offset + len,
            Err(what) => broken.push(what),
        }
    }
    if let Some(complete) = entry.complete.as_ref().filter(|complete| complete.size != end) {
        broken.push(format!("an object of {} bytes has chunks of {end}", complete.size));
    }
    broken
}

/// A chunk's length, if it is what its id says and where it must be.
fn chunk_len(state: &State, chunk: &ManifestEntry) -> Result<u64, String> {
    let at = match chunk.source {
        Source::Known(row) => {
            let row = &state.tables.chunks[&row];
            if row.id != chunk.id {
                return Err(format!("the row of chunk {} is given for {}", row.id, chunk.id));
            }
            return Ok(u64::from(row.at.len));
        }
        Source::Written(at) => at,
    };
    let Location { segment, offset, len } = at;
    let told = |what: &str| {
        Err(format!("chunk {} in segment {segment} at {offset}+{len}: {what}", chunk.id))
    };
    let Some(file) = state.disk.file(segment) else { return told("there is no such segment") };
    let Some(bytes) = file.at(at) else { return told("the segment is shorter") };
    if ChunkId::of(bytes) != chunk.id {
        return told("other bytes are there");
    }
    if len == 0 {
        return told("a chunk is never empty");
    }
    if state.config.sync == SyncPolicy::Commit && !file.is_synced_at(at) {
        return told("committed before it was synced");
    }
    let committed = state.tables.segments.get(&segment).map_or(0, |row| row.bytes);
    if committed < offset + u64::from(len) {
        return told(&format!(
            "the segment's committed length is {committed}: its next owner will cut the chunk off"
        ));
    }
    Ok(u64::from(len))
}

fn write(tables: &mut Tables, entry: &Entry) -> ManifestId {
    let id = entry.manifest.unwrap_or_else(|| ManifestId(tables.next_id()));
    let rows: Vec<_> =
        entry.chunks.iter().map(|chunk| (chunk.offset, chunk_row(tables, chunk))).collect();
    let end = rows.last().map(|(offset, row)| offset + u64::from(tables.chunks[row].at.len));
    let manifest = tables.manifests.entry(id).or_default();
    manifest.session = entry.complete.is_none().then_some(entry.session);
    manifest.content = entry.complete.as_ref().map(|complete| complete.content);
    manifest.rows.extend(rows);
    manifest.end = end.unwrap_or(manifest.end);
    if let Some(complete) = &entry.complete {
        put(tables, complete, id);
    }
    id
}

fn chunk_row(tables: &mut Tables, chunk: &ManifestEntry) -> drystone_store::ChunkRef {
    let at = match chunk.source {
        Source::Known(row) => return row,
        Source::Written(at) => at,
    };
    if let Some(&row) = tables.chunk_ids.get(&chunk.id) {
        if let Some(known) = tables.chunks.get_mut(&row) {
            known.condemned = None;
        }
        return row;
    }
    let row = drystone_store::ChunkRef(tables.next_id());
    tables.chunks.insert(row, ChunkRow { id: chunk.id, at, condemned: None });
    tables.chunk_ids.insert(chunk.id, row);
    row
}

fn put(tables: &mut Tables, complete: &Complete, manifest: ManifestId) {
    match &complete.target {
        Target::Object(target) => {
            let row = ObjectRow {
                key: target.key.clone(),
                size: complete.size,
                content: complete.content,
                meta: target.meta.clone(),
                manifest,
            };
            tables
                .objects
                .entry(target.bucket.clone())
                .or_default()
                .insert(target.key.clone(), row);
        }
        Target::Part(target) => {
            tables.put_part(target, complete.size, complete.content, manifest);
        }
    }
}
