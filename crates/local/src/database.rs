//! The database's connections: one that writes, a fixed number that read.

use std::path::Path;

use drystone_pool::{Owner, Permit, Permits};
use drystone_store::{Result, SegmentId, SyncPolicy};
use drystone_sync::{Mutex, MutexGuard};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::LocalConfig;
use crate::connection::{self, refused};
use crate::format::OpenError;

/// Milliseconds since 1970 by the database's clock.
pub(crate) const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// The records of a store in one SQLite database.
pub struct SqliteRecords {
    /// Transactions of this process queue here rather than in SQLite, which would poll.
    writer: Mutex<Connection>,
    /// Idle reading connections; whoever holds a permit finds one. A leaf lock.
    readers: Mutex<Vec<Connection>>,
    reader_permits: Owner,
    pub(crate) sync: SyncPolicy,
    /// The store lies where nothing can be written: every transaction that would fails.
    pub(crate) is_read_only: bool,
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
        let is_read_only = writer.is_readonly(rusqlite::MAIN_DB).unwrap_or(false);
        let reader_permits = Permits::new(count, count).owner();
        Ok(Self {
            writer: Mutex::new(writer),
            readers: Mutex::new(readers),
            reader_permits,
            sync: config.sync,
            is_read_only,
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

    pub(crate) fn read<T>(
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
    pub(crate) fn write<T>(
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
