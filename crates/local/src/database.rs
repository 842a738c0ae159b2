//! The database's connections: one that writes, a fixed number that read.

use std::io::ErrorKind;
use std::path::Path;

use drystone_pool::{Owner, Permit, Permits};
use drystone_store::{Result, SegmentId, StoreError, SyncPolicy};
use drystone_sync::{Mutex, PlainArc};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::LocalConfig;
use crate::connection::{self, refused};
use crate::format::OpenError;
use crate::segments::SegmentFiles;
use crate::{migration, schema};

/// Milliseconds since 1970 by the database's clock.
pub(crate) const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// The records of a store in one SQLite database.
pub struct SqliteRecords {
    /// Transactions of this process queue here rather than in SQLite, which would poll.
    writer: Mutex<Connection>,
    /// Idle reading connections; whoever holds a permit finds one. A leaf lock.
    readers: Mutex<Vec<Connection>>,
    reader_permits: Owner,
    /// Of processes that do not sync, what others rely on must be synced by these.
    segments: PlainArc<SegmentFiles>,
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
    pub(crate) fn open(
        path: &Path,
        config: &LocalConfig,
        segments: &PlainArc<SegmentFiles>,
    ) -> std::result::Result<Self, OpenError> {
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
            segments: PlainArc::clone(segments),
            sync: config.sync,
            is_read_only,
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
        if self.is_read_only {
            return Err(refused(what)(sqlite_error(rusqlite::ffi::SQLITE_READONLY, None)));
        }
        transaction(&mut self.writer.lock(), body).map_err(refused(what))
    }

    /// The same where stored bytes are promised to be there. They may be those of a process that does not sync
    /// ([`SyncPolicy::Never`]): unless this one does not either, its segments are synced first.
    ///
    /// Exact, because nobody else can commit while the transaction is open, and what was committed before had been appended by then.
    pub(crate) fn write_durably<T>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        // What cannot be written to promises nothing.
        if self.sync == SyncPolicy::Never || self.is_read_only {
            return self.write(what, body);
        }
        // Once without a lock that others wait for, because it may take long; what comes in between is little.
        self.sync_ahead(what)?;
        let written = self.write(what, |tx| match self.settle(tx)? {
            Ok(()) => body(tx).map(Ok),
            // What could be synced until then, is.
            Err(error) => Ok(Err(error)),
        });
        written?
    }

    /// Syncs what processes have committed that do not sync, now if there is any.
    pub(crate) fn sync_leftovers(&self) -> Result<()> {
        let what = "cannot note synced segments";
        if self.read(what, |db| unsynced(db, SegmentId(0)))?.is_empty() {
            return Ok(());
        }
        self.write_durably(what, |_| Ok(()))
    }

    fn sync_ahead(&self, what: &'static str) -> Result<()> {
        let mut after = SegmentId(0);
        loop {
            let page = self.read(what, |db| unsynced(db, after))?;
            let Some(last) = page.last() else { return Ok(()) };
            after = *last;
            page.into_iter().try_for_each(|segment| self.sync_foreign(segment))?;
        }
    }

    /// The outer error is the database's and rolls the transaction back.
    fn settle(&self, tx: &Transaction<'_>) -> rusqlite::Result<Result<()>> {
        let mut after = SegmentId(0);
        loop {
            let page = unsynced(tx, after)?;
            let Some(last) = page.last() else { return Ok(Ok(())) };
            after = *last;
            for segment in page {
                if let Err(error) = self.sync_foreign(segment) {
                    return Ok(Err(error));
                }
                let sql = "UPDATE segments SET unsynced = 0 WHERE id = ?1 AND unsynced = 1";
                if tx.prepare_cached(sql)?.execute([int(segment.0)])? != 1 {
                    let detail =
                        format!("an index says that segment {segment} was not synced, and its row does not");
                    return Ok(Err(StoreError::Inconsistent(detail)));
                }
            }
        }
    }

    fn sync_foreign(&self, segment: SegmentId) -> Result<()> {
        match self.segments.sync_with_names(segment) {
            // Whoever reads from a segment that is gone is told so; there is nothing to sync.
            Err(StoreError::Storage { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }
}

fn transaction<T>(
    writer: &mut Connection,
    body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // A newer process may have moved the store on while this one had it open. What its tables mean
    // now is not known here.
    if migration::version(&transaction)? != schema::VERSION {
        let detail = "a newer drystone has changed the tables of this store: stop this process, and start the newer version";
        return Err(sqlite_error(rusqlite::ffi::SQLITE_SCHEMA, Some(detail.into())));
    }
    let value = body(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn sqlite_error(code: i32, detail: Option<String>) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), detail)
}

/// Segments that were written without syncing, at most 256 behind `after`. Ids begin with 1.
fn unsynced(db: &Connection, after: SegmentId) -> rusqlite::Result<Vec<SegmentId>> {
    let sql = "SELECT id FROM segments WHERE unsynced = 1 AND id > ?1 ORDER BY id LIMIT 256";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([int(after.0)], |row| uint(row.get(0)?).map(SegmentId))?;
    rows.collect()
}
