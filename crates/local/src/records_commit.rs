//! The group commit's transaction.
//!
//! An entry that must be refused is refused before anything of it is written, so the transaction
//! needs no savepoints: what can fail after that is the database itself, and then the whole
//! transaction rolls back.

use std::collections::BTreeMap;

use drystone_store::{
    BucketName, CommitBatch, CommitResult, Complete, Condition, ContentHash, Entry, Key,
    ManifestId, ObjectMeta, ObjectRow, SessionId, Source, StoreError, SyncPolicy, Target,
};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::database::{int, uint};
use crate::{records_read, records_uploads};

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
fn refusal(
    tx: &Transaction<'_>,
    entry: &Entry,
    seen: &mut Seen,
) -> rusqlite::Result<Option<StoreError>> {
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
    match entry.complete.as_ref().map(|complete| &complete.target) {
        None => Ok(None),
        Some(Target::Object(target)) => {
            let bucket = match seen.buckets.get(&target.bucket) {
                Some(bucket) => *bucket,
                None => {
                    let bucket = records_read::bucket(tx, &target.bucket)?;
                    seen.buckets.insert(target.bucket.clone(), bucket);
                    bucket
                }
            };
            match bucket {
                None => Ok(Some(StoreError::NoSuchBucket(target.bucket.clone()))),
                Some(bucket) => unmet(tx, bucket, &target.key, target.condition),
            }
        }
        Some(Target::Part(target)) => Ok(match target.check() {
            Err(refused) => Some(refused),
            Ok(()) if records_uploads::bucket_of(tx, target.upload)?.is_none() => {
                Some(StoreError::NoSuchUpload(target.upload))
            }
            Ok(()) => None,
        }),
    }
}

/// Why an object must not be stored under the key, if so.
pub(crate) fn unmet(
    tx: &Transaction<'_>,
    bucket: i64,
    key: &Key,
    condition: Condition,
) -> rusqlite::Result<Option<StoreError>> {
    if condition == Condition::Always {
        return Ok(None);
    }
    let present = records_read::object(tx, bucket, key)?;
    Ok((!condition.holds(present.as_ref()))
        .then(|| StoreError::PreconditionFailed { key: key.clone() }))
}

/// Removes an object's row, if the condition holds. Returns whether there was one.
pub(crate) fn delete(
    tx: &Transaction<'_>,
    bucket: i64,
    key: &Key,
    condition: Condition,
) -> rusqlite::Result<Result<bool, StoreError>> {
    if let Some(refused) = unmet(tx, bucket, key, condition)? {
        return Ok(Err(refused));
    }
    let mut statement = tx.prepare_cached("DELETE FROM objects WHERE bucket = ?1 AND key = ?2")?;
    statement.execute(params![bucket, key.as_str()]).map(|rows| Ok(rows == 1))
}

fn write(tx: &Transaction<'_>, entry: &Entry, seen: &Seen) -> rusqlite::Result<ManifestId> {
    let pending = entry.complete.is_none().then_some(int(entry.session.0));
    let size = entry.complete.as_ref().map(|complete| int(complete.size));
    let content = entry.complete.as_ref().map(|complete| &complete.content.0[..]);
    let manifest = match entry.manifest {
        Some(manifest) => {
            if pending.is_none() {
                let sql =
                    "UPDATE manifests SET session = NULL, size = ?2, content = ?3 WHERE id = ?1";
                tx.prepare_cached(sql)?.execute(params![int(manifest.0), size, content])?;
            }
            int(manifest.0)
        }
        None => {
            tx.prepare_cached(
                "INSERT INTO manifests (session, size, content) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![pending, size, content])?;
            tx.last_insert_rowid()
        }
    };
    let mut add = tx.prepare_cached(
        "INSERT INTO manifest_chunks (manifest, offset, chunk) VALUES (?1, ?2, ?3)",
    )?;
    for chunk in &entry.chunks {
        let row = match chunk.source {
            Source::Known(row) => int(row.0),
            Source::Written(at) => {
                // Somebody else may have committed the same chunk meanwhile; then theirs stays,
                // taken back from a collector if need be, and our bytes are
                // garbage.
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
    let id = ManifestId(uint(manifest)?);
    match entry.complete.as_ref().map(|complete| (&complete.target, complete)) {
        None => {}
        Some((Target::Object(target), Complete { size, content, .. })) => {
            let bucket = seen.buckets.get(&target.bucket).copied().flatten();
            let bucket = bucket.expect("an entry without its bucket was refused");
            let (key, meta) = (&target.key, &target.meta);
            put_object(tx, &NewObject { bucket, key, size: *size, content, meta, manifest: id })?;
        }
        Some((Target::Part(target), Complete { size, content, .. })) => {
            records_uploads::put_part(tx, target, *size, content, id)?;
        }
    }
    Ok(id)
}

/// Names and values as a JSON object; nothing when there are none.
pub(crate) fn json(map: &BTreeMap<String, String>) -> rusqlite::Result<Option<String>> {
    let text = (!map.is_empty()).then(|| serde_json::to_string(map)).transpose();
    text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// An object's row, borrowed.
pub(crate) struct NewObject<'a> {
    pub(crate) bucket: i64,
    pub(crate) key: &'a Key,
    pub(crate) size: u64,
    pub(crate) content: &'a ContentHash,
    pub(crate) meta: &'a ObjectMeta,
    pub(crate) manifest: ManifestId,
}

impl<'a> NewObject<'a> {
    pub(crate) fn of(bucket: i64, row: &'a ObjectRow) -> Self {
        let ObjectRow { key, size, content, meta, manifest } = row;
        Self { bucket, key, size: *size, content, meta, manifest: *manifest }
    }
}

/// Writes an object over an earlier one of its name.
pub(crate) fn put_object(tx: &Transaction<'_>, object: &NewObject<'_>) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO objects
             (bucket, key, size, content, media_type, user_meta, system_meta, modified_ns, mode, manifest)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (bucket, key) DO UPDATE SET size = excluded.size, content = excluded.content,
             media_type = excluded.media_type, user_meta = excluded.user_meta,
             system_meta = excluded.system_meta, modified_ns = excluded.modified_ns, mode = excluded.mode,
             manifest = excluded.manifest",
    )?
    .execute(params![
        object.bucket,
        object.key.as_str(),
        int(object.size),
        &object.content.0[..],
        object.meta.media_type,
        json(&object.meta.user)?,
        json(&object.meta.system)?,
        object.meta.modified_ns,
        object.meta.mode,
        int(object.manifest.0)
    ])
    .map(drop)
}
