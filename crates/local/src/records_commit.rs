//! The group commit's transaction.
//!
//! An entry that must be refused is refused before anything of it is written, so the transaction needs no savepoints: what
//! can fail after that is the database itself, and then the whole transaction rolls back.

use std::collections::BTreeMap;

use drystone_store::{
    BucketName, CommitBatch, CommitResult, Complete, Condition, ContentHash, Entry, ManifestId, SessionId,
    Source, StoreError, SyncPolicy,
};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::records::{int, uint};
use crate::records_read;

/// What a transaction has looked up already.
#[derive(Default)]
struct Seen {
    sessions: BTreeMap<SessionId, bool>,
    buckets: BTreeMap<BucketName, Option<i64>>,
}

pub(crate) fn is_alive(tx: &Transaction<'_>, session: SessionId) -> rusqlite::Result<bool> {
    let mut statement = tx.prepare_cached("SELECT dead = 0 FROM sessions WHERE id = ?1")?;
    Ok(statement.query_row([int(session.0)], |row| row.get(0)).optional()?.unwrap_or(false))
}

pub(crate) fn apply(
    tx: &Transaction<'_>,
    batch: &CommitBatch<'_>,
    sync: SyncPolicy,
) -> rusqlite::Result<Vec<CommitResult>> {
    for len in batch.segments {
        // `max`: two groups can note the same segment, and a length never goes back.
        tx.prepare_cached(
            "UPDATE segments SET bytes = max(bytes, ?2), sealed = max(sealed, ?3), unsynced = max(unsynced, ?4)
             WHERE id = ?1",
        )?
        .execute(params![int(len.segment.0), int(len.bytes), len.sealed, sync == SyncPolicy::Never])?;
    }
    let mut seen = Seen::default();
    let mut results = Vec::with_capacity(batch.entries.len());
    for entry in &batch.entries {
        results.push(match refusal(tx, entry, &mut seen)? {
            Some(error) => Err(error),
            None => Ok(write(tx, entry, &seen)?),
        });
    }
    Ok(results)
}

/// Why an entry cannot be written, if so.
fn refusal(tx: &Transaction<'_>, entry: &Entry, seen: &mut Seen) -> rusqlite::Result<Option<StoreError>> {
    let alive = match seen.sessions.get(&entry.session) {
        Some(alive) => *alive,
        None => {
            let alive = is_alive(tx, entry.session)?;
            seen.sessions.insert(entry.session, alive);
            alive
        }
    };
    if !alive {
        return Ok(Some(StoreError::SessionExpired));
    }
    for chunk in &entry.chunks {
        let Source::Known(row) = chunk.source else { continue };
        let mut statement = tx.prepare_cached("SELECT 1 FROM chunks WHERE id = ?1")?;
        if !statement.exists([int(row.0)])? {
            let detail = format!("chunk {} vanished under a live session", chunk.id);
            return Ok(Some(StoreError::Inconsistent(detail)));
        }
    }
    let Some(complete) = &entry.complete else { return Ok(None) };
    let bucket = match seen.buckets.get(&complete.bucket) {
        Some(bucket) => *bucket,
        None => {
            let bucket = records_read::bucket(tx, &complete.bucket)?;
            seen.buckets.insert(complete.bucket.clone(), bucket);
            bucket
        }
    };
    let Some(bucket) = bucket else { return Ok(Some(StoreError::NoSuchBucket(complete.bucket.clone()))) };
    let holds = match complete.condition {
        Condition::Always => true,
        Condition::IfAbsent => content(tx, bucket, complete)?.is_none(),
        Condition::IfContent(expected) => content(tx, bucket, complete)? == Some(expected),
    };
    Ok((!holds).then(|| StoreError::PreconditionFailed { key: complete.key.clone() }))
}

fn content(tx: &Transaction<'_>, bucket: i64, complete: &Complete) -> rusqlite::Result<Option<ContentHash>> {
    Ok(records_read::object(tx, bucket, &complete.key)?.map(|object| object.content))
}

fn write(tx: &Transaction<'_>, entry: &Entry, seen: &Seen) -> rusqlite::Result<ManifestId> {
    let pending = entry.complete.is_none().then_some(int(entry.session.0));
    let manifest = match entry.manifest {
        Some(manifest) => {
            if pending.is_none() {
                tx.prepare_cached("UPDATE manifests SET session = NULL WHERE id = ?1")?
                    .execute([int(manifest.0)])?;
            }
            int(manifest.0)
        }
        None => {
            tx.prepare_cached("INSERT INTO manifests (session) VALUES (?1)")?.execute([pending])?;
            tx.last_insert_rowid()
        }
    };
    let mut add =
        tx.prepare_cached("INSERT INTO manifest_chunks (manifest, offset, chunk) VALUES (?1, ?2, ?3)")?;
    for chunk in &entry.chunks {
        let row = match chunk.source {
            Source::Known(row) => int(row.0),
            Source::Written(at) => {
                // Somebody else may have committed the same chunk meanwhile; then theirs stays, taken back from a
                // collector if need be, and our bytes are garbage.
                let mut insert = tx.prepare_cached(
                    "INSERT INTO chunks (hash, segment, offset, length) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (hash) DO UPDATE SET condemned = NULL RETURNING id",
                )?;
                let values = params![&chunk.id.0[..], int(at.segment.0), int(at.offset), at.len];
                insert.query_row(values, |row| row.get::<_, i64>(0))?
            }
        };
        add.execute(params![manifest, int(chunk.offset), row])?;
    }
    if let Some(complete) = &entry.complete {
        let bucket = seen.buckets.get(&complete.bucket).copied().flatten();
        let user = (!complete.meta.user.is_empty())
            .then(|| serde_json::to_string(&complete.meta.user))
            .transpose()
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        tx.prepare_cached(
            "INSERT INTO objects (bucket, key, size, content, media_type, user_meta, modified_ns, mode, manifest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (bucket, key) DO UPDATE SET size = excluded.size, content = excluded.content,
                 media_type = excluded.media_type, user_meta = excluded.user_meta,
                 modified_ns = excluded.modified_ns, mode = excluded.mode, manifest = excluded.manifest",
        )?
        .execute(params![
            bucket,
            complete.key.as_str(),
            int(complete.size),
            &complete.content.0[..],
            complete.meta.media_type,
            user,
            complete.meta.modified_ns,
            complete.meta.mode,
            manifest
        ])?;
    }
    uint(manifest).map(ManifestId)
}
