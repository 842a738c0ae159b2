//! [`Records`] on SQLite: one writing connection, a fixed number of reading ones.

use std::path::Path;

use drystone_chunker::ChunkId;
use drystone_pool::{Owner, Permit, Permits};
use drystone_store::{
    BucketName, ChunkRef, CommitBatch, CommitResult, Epoch, Key, KnownChunk, ManifestId, ManifestRow,
    ObjectRow, Records, Result, SegmentId, SegmentLen, Session, SessionId, StoreError, SyncPolicy, Totals,
};
use drystone_sync::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::connection::{self, refused};
use crate::format::OpenError;
use crate::{LocalConfig, records_commit, records_read};

/// Milliseconds since 1970 by the database's clock.
const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// The records of a store in one SQLite database.
pub struct SqliteRecords {
    /// Transactions of this process queue here rather than in SQLite, which would poll.
    writer: Mutex<Connection>,
    /// Idle reading connections; whoever holds a permit finds one. A leaf lock.
    readers: Mutex<Vec<Connection>>,
    reader_permits: Owner,
    sync: SyncPolicy,
}

/// A reading connection that goes back where it came from.
struct Reader<'a> {
    records: &'a SqliteRecords,
    connection: Option<Connection>,
    _permit: Permit,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.records.readers.lock().push(connection);
        }
    }
}

/// An integer as SQLite has them. Ids and lengths stay far below 2^63.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).expect("ids, offsets and lengths are below 2^63")
}

/// A caller's limit; one beyond what SQLite counts to is none.
pub(crate) fn limit_of(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// An unsigned number read from the database; a damaged one must not panic.
pub(crate) fn uint(value: i64) -> rusqlite::Result<u64> {
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, value))
}

impl SqliteRecords {
    /// Opens the database at `path`, which must exist, with every connection that it will ever use.
    pub(crate) fn open(path: &Path, config: &LocalConfig) -> std::result::Result<Self, OpenError> {
        let writer = connection::open(path, config.sync, config.writer_cache_bytes)?;
        let count = config.readers.max(1);
        let mut readers = Vec::with_capacity(count);
        for _ in 0..count {
            readers.push(connection::open(path, config.sync, config.reader_cache_bytes)?);
        }
        let reader_permits = Permits::new(count, count).owner();
        Ok(Self {
            writer: Mutex::new(writer),
            readers: Mutex::new(readers),
            reader_permits,
            sync: config.sync,
        })
    }

    /// Segments that were written without syncing, at most 256.
    pub(crate) fn unsynced_segments(&self) -> Result<Vec<SegmentId>> {
        self.read("cannot list segments", |db| {
            let mut statement = db.prepare_cached("SELECT id FROM segments WHERE unsynced = 1 LIMIT 256")?;
            let rows = statement.query_map([], |row| uint(row.get(0)?).map(SegmentId))?;
            rows.collect()
        })
    }

    /// Notes that all of a segment is on the disk.
    pub(crate) fn mark_synced(&self, segment: SegmentId) -> Result<()> {
        self.write("cannot note a synced segment", |tx| {
            tx.execute("UPDATE segments SET unsynced = 0 WHERE id = ?1", [int(segment.0)]).map(drop)
        })
    }

    fn read<T>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let permit = self.reader_permits.acquire()?;
        let connection = self.readers.lock().pop();
        let reader = Reader { records: self, connection, _permit: permit };
        let connection = reader.connection.as_ref().expect("there are as many connections as permits");
        body(connection).map_err(refused(what))
    }

    /// One short write transaction.
    fn write<T>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut writer: MutexGuard<'_, Connection> = self.writer.lock();
        let run = || -> rusqlite::Result<T> {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = body(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(refused(what))
    }
}

impl Records for SqliteRecords {
    fn begin_session(&self, lease_ms: u64) -> Result<Session> {
        self.write("cannot begin an upload session", |tx| {
            let epoch: i64 =
                tx.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0))?;
            let sql = format!("INSERT INTO sessions (epoch, expires_ms) VALUES (?1, {NOW_MS} + ?2)");
            tx.execute(&sql, params![epoch, int(lease_ms)])?;
            Ok(Session { id: SessionId(uint(tx.last_insert_rowid())?), epoch: Epoch(uint(epoch)?) })
        })
    }

    fn extend_session(&self, session: SessionId, lease_ms: u64) -> Result<()> {
        let sql = format!("UPDATE sessions SET expires_ms = {NOW_MS} + ?2 WHERE id = ?1 AND dead = 0");
        let extended = self.write("cannot extend an upload session", |tx| {
            tx.execute(&sql, params![int(session.0), int(lease_ms)])
        })?;
        if extended == 1 { Ok(()) } else { Err(StoreError::SessionExpired) }
    }

    fn end_session(&self, session: SessionId) -> Result<()> {
        self.write("cannot end an upload session", |tx| {
            tx.execute("DELETE FROM sessions WHERE id = ?1", [int(session.0)]).map(drop)
        })
    }

    fn expire_sessions(&self) -> Result<u64> {
        let sql = format!("UPDATE sessions SET dead = 1 WHERE dead = 0 AND expires_ms < {NOW_MS}");
        self.write("cannot expire upload sessions", |tx| tx.execute(&sql, []).map(|count| count as u64))
    }

    fn find_chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<KnownChunk>>> {
        self.read("cannot look chunks up", |db| records_read::find_chunks(db, ids))
    }

    fn revive_chunk(&self, session: SessionId, chunk: ChunkRef) -> Result<bool> {
        let revived = self.write("cannot revive a chunk", |tx| {
            if !records_commit::is_alive(tx, session)? {
                return Ok(None);
            }
            tx.execute("UPDATE chunks SET condemned = NULL WHERE id = ?1", [int(chunk.0)]).map(Some)
        })?;
        revived.map(|rows| rows == 1).ok_or(StoreError::SessionExpired)
    }

    fn commit(&self, batch: &CommitBatch<'_>) -> Result<Vec<CommitResult>> {
        self.write("cannot commit to the records", |tx| records_commit::apply(tx, batch, self.sync))
    }

    fn create_segment(&self) -> Result<SegmentId> {
        self.write("cannot register a segment", |tx| {
            tx.execute("INSERT INTO segments DEFAULT VALUES", [])?;
            uint(tx.last_insert_rowid()).map(SegmentId)
        })
    }

    fn unsealed_segments(&self, limit: usize) -> Result<Vec<SegmentId>> {
        self.read("cannot list segments", |db| {
            let sql = "SELECT id FROM segments WHERE sealed = 0 ORDER BY bytes DESC LIMIT ?1";
            let mut statement = db.prepare_cached(sql)?;
            let rows = statement.query_map([limit_of(limit)], |row| uint(row.get(0)?).map(SegmentId))?;
            rows.collect()
        })
    }

    fn segment_len(&self, segment: SegmentId) -> Result<Option<SegmentLen>> {
        // A transaction that really writes: its predecessor may have died with a commit in the log that no reader sees but a
        // recovery would. Ours takes that commit's place in the log, so what we read here is final.
        self.write("cannot look a segment up", |tx| {
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

    fn create_bucket(&self, bucket: &BucketName) -> Result<bool> {
        // Asked before, so that the common case does not wait for a writer.
        if self.read("cannot look a bucket up", |db| records_read::bucket(db, bucket))?.is_some() {
            return Ok(false);
        }
        self.write("cannot create a bucket", |tx| {
            tx.execute("INSERT OR IGNORE INTO buckets (name) VALUES (?1)", [bucket.as_str()])
                .map(|rows| rows == 1)
        })
    }

    fn buckets(&self, after: Option<&BucketName>, limit: usize) -> Result<Vec<BucketName>> {
        self.read("cannot list buckets", |db| records_read::buckets(db, after, limit))
    }

    fn object(&self, bucket: &BucketName, key: &Key) -> Result<Option<ObjectRow>> {
        let found = self.read("cannot look an object up", |db| {
            let Some(bucket) = records_read::bucket(db, bucket)? else { return Ok(None) };
            records_read::object(db, bucket, key).map(Some)
        })?;
        found.ok_or_else(|| StoreError::NoSuchBucket(bucket.clone()))
    }

    fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>> {
        let found = self.read("cannot list objects", |db| {
            let Some(bucket) = records_read::bucket(db, bucket)? else { return Ok(None) };
            records_read::list(db, bucket, prefix, after, limit).map(Some)
        })?;
        found.ok_or_else(|| StoreError::NoSuchBucket(bucket.clone()))
    }

    fn manifest_page(&self, manifest: ManifestId, from: u64, limit: usize) -> Result<Vec<ManifestRow>> {
        self.read("cannot read a manifest", |db| records_read::manifest_page(db, manifest, from, limit))
    }

    fn delete(&self, bucket: &BucketName, key: &Key) -> Result<bool> {
        let deleted = self.write("cannot delete an object", |tx| {
            let Some(bucket) = records_read::bucket(tx, bucket)? else { return Ok(None) };
            let mut statement = tx.prepare_cached("DELETE FROM objects WHERE bucket = ?1 AND key = ?2")?;
            statement.execute(params![bucket, key.as_str()]).map(|rows| Some(rows == 1))
        })?;
        deleted.ok_or_else(|| StoreError::NoSuchBucket(bucket.clone()))
    }

    fn totals(&self) -> Result<Totals> {
        self.read("cannot count", records_read::totals)
    }
}
