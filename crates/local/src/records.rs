//! The roles of [`Records`](drystone_store::Records) on SQLite: each method is one transaction. What
//! is refused is decided by the rules of the store; the statements are in the modules beside this
//! one.

use std::ops::{Bound, Range};

use drystone_chunker::ChunkId;
use drystone_store::rules::{self, Tables};
use drystone_store::{
    BucketName, BucketRecords, BucketRow, ChunkRecords, ChunkRef, CommitBatch, CommitResult,
    Completion, Condition, CopySource, CopyTarget, Epoch, Key, KeyRecords, KeyRow, KnownChunk,
    ManifestId, ManifestRow, NewBucket, NewKey, ObjectMeta, ObjectParts, ObjectRecords, ObjectRow,
    PartRow, PartTarget, Result, SegmentId, SegmentLen, SegmentRecords, Session, SessionId,
    SessionRecords, StoreError, Totals, UploadId, UploadRecords, UploadRow,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::connection::Halt;
use crate::database::{NOW_MS, SqliteRecords, int, limit_of, uint};
use crate::records_tables::SqlTables;
use crate::{records_collect, records_keys, records_manifest, records_read, records_uploads};

/// A lease in milliseconds, as SQLite has it.
fn lease(lease_ms: u64) -> Result<i64> {
    rules::check_lease(lease_ms).map(|()| int(lease_ms))
}

/// Begins a session in the current epoch.
pub(crate) fn begin_session(tx: &Transaction<'_>, lease_ms: i64) -> rusqlite::Result<Session> {
    let epoch: i64 =
        tx.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0))?;
    let sql = format!("INSERT INTO sessions (epoch, expires_ms) VALUES (?1, {NOW_MS} + ?2)");
    tx.execute(&sql, params![epoch, lease_ms])?;
    Ok(Session { id: SessionId(uint(tx.last_insert_rowid())?), epoch: Epoch(uint(epoch)?) })
}

/// The row of a bucket that must be there.
fn bucket_row(db: &Connection, name: &BucketName) -> Result<i64, Halt> {
    rules::bucket(&mut SqlTables::of(db), name)
}

impl SessionRecords for SqliteRecords {
    fn begin_session(&self, lease_ms: u64) -> Result<Session> {
        let lease = lease(lease_ms)?;
        self.write("cannot begin an upload session", |tx| begin_session(tx, lease))
    }

    fn extend_session(&self, session: SessionId, lease_ms: u64) -> Result<()> {
        let lease = lease(lease_ms)?;
        let sql =
            format!("UPDATE sessions SET expires_ms = {NOW_MS} + ?2 WHERE id = ?1 AND dead = 0");
        let extended = self.write_on_a_full_disk("cannot extend an upload session", |tx| {
            tx.execute(&sql, params![int(session.0), lease])
        })?;
        if extended == 1 { Ok(()) } else { Err(StoreError::SessionExpired) }
    }

    fn end_session(&self, session: SessionId) -> Result<()> {
        self.write_on_a_full_disk("cannot end an upload session", |tx| {
            tx.execute("DELETE FROM sessions WHERE id = ?1", [int(session.0)]).map(drop)
        })
    }

    fn take_back(
        &self,
        session: SessionId,
        manifest: Option<ManifestId>,
        limit: usize,
    ) -> Result<bool> {
        // Asked before: of most sessions nothing is left.
        let what = "cannot take back what an upload left";
        if self.read(what, |db| records_collect::pending(db, session, manifest))?.is_none() {
            return Ok(true);
        }
        self.write_on_a_full_disk(what, |tx| {
            rules::take_back(&mut SqlTables::of(tx), session, manifest, limit)
        })
    }

    fn expire_sessions(&self) -> Result<u64> {
        let sql = format!("UPDATE sessions SET dead = 1 WHERE dead = 0 AND expires_ms < {NOW_MS}");
        self.write_on_a_full_disk("cannot expire upload sessions", |tx| {
            tx.execute(&sql, []).map(|count| count as u64)
        })
    }

    fn commit(&self, batch: &CommitBatch<'_>) -> Result<Vec<CommitResult>> {
        let what = "cannot commit to the records";
        let apply = |tx: &Transaction<'_>| {
            let mut tables = SqlTables::of(tx);
            tables.note(batch.segments, self.sync)?;
            rules::commit(&mut tables, &batch.entries)
        };
        // Sealing a segment promises nothing.
        if batch.entries.is_empty() {
            self.write(what, apply)
        } else {
            self.write_durably(what, apply)
        }
    }
}

impl ChunkRecords for SqliteRecords {
    fn find_chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<KnownChunk>>> {
        self.read("cannot look chunks up", |db| records_read::find_chunks(db, ids))
    }

    fn revive_chunks(&self, session: SessionId, chunks: &[ChunkRef]) -> Result<Vec<bool>> {
        self.write("cannot revive chunks", |tx| {
            rules::revive_chunks(&mut SqlTables::of(tx), session, chunks)
        })
    }
}

impl SegmentRecords for SqliteRecords {
    fn create_segment(&self) -> Result<SegmentId> {
        self.write("cannot register a segment", |tx| {
            tx.execute("INSERT INTO segments DEFAULT VALUES", [])?;
            uint(tx.last_insert_rowid()).map(SegmentId)
        })
    }

    fn forget_segment(&self, segment: SegmentId) -> Result<()> {
        self.write_on_a_full_disk("cannot forget a segment", |tx| {
            let sql = "DELETE FROM segments WHERE id = ?1 AND bytes = 0 AND sealed = 0";
            tx.execute(sql, [int(segment.0)]).map(drop)
        })
    }

    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>> {
        self.read("cannot list segments", |db| {
            let sql = "SELECT id FROM segments WHERE sealed = 0 ORDER BY bytes DESC LIMIT ?1";
            let mut statement = db.prepare_cached(sql)?;
            let rows =
                statement.query_map([limit_of(limit)], |row| uint(row.get(0)?).map(SegmentId))?;
            rows.collect()
        })
    }

    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>> {
        // A transaction that really writes: its predecessor may have died with a commit in the log
        // that no reader sees but a recovery would. Ours takes that commit's place in the
        // log, so what we read here is final.
        self.write_on_a_full_disk("cannot look a segment up", |tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE segments SET adoptions = adoptions + 1 WHERE id = ?1 RETURNING bytes, sealed",
            )?;
            statement
                .query_row([int(segment.0)], |row| {
                    Ok(SegmentLen { segment, bytes: uint(row.get(0)?)?, sealed: row.get(1)? })
                })
                .optional()
        })
    }
}

impl BucketRecords for SqliteRecords {
    fn create_bucket(&self, bucket: &NewBucket) -> Result<bool> {
        // Asked before, so that the common case does not wait for a writer.
        if self
            .read("cannot look a bucket up", |db| records_read::bucket(db, &bucket.name))?
            .is_some()
        {
            return Ok(false);
        }
        let sql = format!(
            "INSERT OR IGNORE INTO buckets (name, created_ms, public, region) VALUES (?1, {NOW_MS}, ?2, ?3)"
        );
        let values = params![bucket.name.as_str(), bucket.public, bucket.region];
        self.write("cannot create a bucket", |tx| tx.execute(&sql, values).map(|rows| rows == 1))
    }

    fn bucket(&self, bucket: &BucketName) -> Result<Option<BucketRow>> {
        self.read("cannot look a bucket up", |db| records_read::bucket_row(db, bucket))
    }

    fn buckets(&self, after: Option<&BucketName>, limit: usize) -> Result<Vec<BucketRow>> {
        self.read("cannot list buckets", |db| records_read::buckets(db, after, limit))
    }

    fn set_bucket_public(&self, bucket: &BucketName, public: bool) -> Result<()> {
        self.write_on_a_full_disk("cannot change a bucket", |tx| -> Result<_, Halt> {
            let values = params![bucket_row(tx, bucket)?, public];
            tx.execute("UPDATE buckets SET public = ?2 WHERE id = ?1", values)?;
            Ok(())
        })
    }

    fn delete_bucket(&self, bucket: &BucketName) -> Result<()> {
        self.write_on_a_full_disk("cannot remove a bucket", |tx| -> Result<_, Halt> {
            let row = rules::empty_bucket(&mut SqlTables::of(tx), bucket)?;
            tx.execute("DELETE FROM buckets WHERE id = ?1", [row])?;
            Ok(())
        })
    }
}

impl ObjectRecords for SqliteRecords {
    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>> {
        self.read("cannot look an object up", |db| {
            let mut tables = SqlTables::of(db);
            let bucket = rules::bucket(&mut tables, bucket)?;
            tables.object(&bucket, key)
        })
    }

    fn set_property(
        &self,
        bucket: &BucketName,
        key: &Key,
        name: &str,
        value: Option<&str>,
    ) -> Result<()> {
        self.write("cannot change an object", |tx| {
            rules::set_property(&mut SqlTables::of(tx), bucket, key, name, value)
        })
    }

    fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>> {
        self.read("cannot list objects", |db| -> Result<_, Halt> {
            Ok(records_read::list(db, bucket_row(db, bucket)?, prefix, from, limit)?)
        })
    }

    fn manifest_page(
        &self,
        manifest: ManifestId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRow>> {
        self.read("cannot read a manifest", |db| records_manifest::page(db, manifest, from, limit))
    }

    fn object_to_read(
        &self,
        bucket: &BucketName,
        key: &Key,
        limit: usize,
    ) -> Result<Option<(ObjectRow, Vec<ManifestRow>)>> {
        self.read("cannot look an object up", |db| -> Result<_, Halt> {
            let bucket = bucket_row(db, bucket)?;
            let Some(object) = records_read::object(db, bucket, key)? else { return Ok(None) };
            let rows = records_manifest::page(db, object.manifest, 0, limit)?;
            Ok(Some((object, rows)))
        })
    }

    fn delete(&self, bucket: &BucketName, key: &Key, condition: Condition) -> Result<bool> {
        self.write_on_a_full_disk("cannot delete an object", |tx| {
            rules::delete(&mut SqlTables::of(tx), bucket, key, condition)
        })
    }

    fn delete_many(
        &self,
        bucket: &BucketName,
        objects: &[(Key, Condition)],
    ) -> Result<Vec<Result<bool>>> {
        self.write_on_a_full_disk("cannot delete objects", |tx| {
            rules::delete_many(&mut SqlTables::of(tx), bucket, objects)
        })
    }

    fn copy(&self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow> {
        self.write_durably("cannot copy an object", |tx| {
            rules::copy(&mut SqlTables::of(tx), source, target)
        })
    }

    fn totals(&self) -> Result<Totals> {
        self.read("cannot count", records_read::totals)
    }
}

impl UploadRecords for SqliteRecords {
    fn create_upload(
        &self,
        bucket: &BucketName,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Result<UploadRow> {
        self.write("cannot begin a multipart upload", |tx| -> Result<_, Halt> {
            Ok(records_uploads::create(tx, bucket_row(tx, bucket)?, bucket, key, meta)?)
        })
    }

    fn upload(&self, upload: UploadId) -> Result<Option<UploadRow>> {
        self.read("cannot look a multipart upload up", |db| records_uploads::upload(db, upload))
    }

    fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Result<Vec<UploadRow>> {
        self.read("cannot list multipart uploads", |db| -> Result<_, Halt> {
            let bucket = bucket_row(db, bucket)?;
            Ok(records_uploads::uploads(db, bucket, prefix, after, limit)?)
        })
    }

    fn parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<PartRow>> {
        self.read("cannot list the parts of an upload", |db| -> Result<_, Halt> {
            rules::check_upload(&mut SqlTables::of(db), upload)?;
            Ok(records_uploads::parts(db, upload, after, limit)?)
        })
    }

    fn copy_part(
        &self,
        source: &CopySource,
        range: Option<Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow> {
        self.write_durably("cannot copy a part", |tx| {
            rules::copy_part(&mut SqlTables::of(tx), source, range.as_ref(), target)
        })
    }

    fn abort_upload(&self, upload: UploadId) -> Result<bool> {
        self.write_on_a_full_disk("cannot abort a multipart upload", |tx| {
            rules::abort_upload(&mut SqlTables::of(tx), upload)
        })
    }

    fn complete_upload(&self, upload: UploadId, completion: &Completion) -> Result<ObjectRow> {
        self.write_durably("cannot complete a multipart upload", |tx| {
            rules::complete_upload(&mut SqlTables::of(tx), upload, completion)
        })
    }

    fn object_parts(
        &self,
        manifest: ManifestId,
        upload: UploadId,
        after: u32,
        limit: usize,
    ) -> Result<ObjectParts> {
        self.read("cannot list the parts of an object", |db| {
            records_manifest::object_parts(db, manifest, upload, after, limit)
        })
    }
}

impl KeyRecords for SqliteRecords {
    fn put_key(&self, key: &NewKey) -> Result<()> {
        self.write("cannot keep an access key", |tx| records_keys::put(tx, key))
    }

    fn key(&self, access: &str) -> Result<Option<KeyRow>> {
        self.read("cannot look an access key up", |db| records_keys::key(db, access))
    }

    fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<KeyRow>> {
        self.read("cannot list access keys", |db| records_keys::keys(db, after, limit))
    }

    fn revoke_key(&self, access: &str) -> Result<bool> {
        self.write_on_a_full_disk("cannot revoke an access key", |tx| {
            records_keys::revoke(tx, access)
        })
    }
}
