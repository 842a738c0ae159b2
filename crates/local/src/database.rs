//! The database's connections: one that writes, a fixed number that read.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drystone_pool::{Owner, Permit, Permits};
use drystone_store::{Result, SegmentId, StoreError, SyncPolicy};
use drystone_sync::{Mutex, PlainArc};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::LocalConfig;
use crate::connection::{self, BUSY_WAIT, Halt};
use crate::format::OpenError;
use crate::growth::{Blocks, Growth};
use crate::reserve::Reserve;
use crate::segments::SegmentFiles;
use crate::{migration, schema};

/// Milliseconds since 1970 by the database's clock.
pub(crate) const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// How often one transaction uses what is kept for it: a process beside this one may use it up each
/// time.
const RESERVE_USES_MAX: usize = 3;
/// How long a checkpoint waits for the readers of the log. They may go on for a long time, and
/// every other transaction of this process waits meanwhile.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);

/// The records of a store in one SQLite database.
pub struct SqliteRecords {
    path: PathBuf,
    /// Transactions of this process queue here rather than in SQLite, which would poll.
    writer: Mutex<Writer>,
    /// Idle reading connections. A thread that holds a permit always finds one. A leaf lock.
    readers: Mutex<Vec<Connection>>,
    reader_permits: Owner,
    /// With these this process syncs what another process has not synced, before it relies on that.
    segments: PlainArc<SegmentFiles>,
    pub(crate) sync: SyncPolicy,
    /// The store lies where nothing can be written: every transaction that would fails.
    pub(crate) is_read_only: bool,
    /// Behind the connections: dropped after them.
    growth: Growth,
    /// The last field: dropped when the connections are closed, which gives back the room of their
    /// log.
    reserve: Reserve,
}

/// The connection that writes.
struct Writer {
    connection: Connection,
    /// What the database file has blocks for, as far as is known.
    blocks: Blocks,
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
        // Before the connections, and so dropped after them, also when one cannot be opened.
        let growth = Growth::of(path);
        let connection = connection::open(path, config, config.writer_cache_bytes)?;
        let count = config.readers.max(1);
        let mut readers = Vec::with_capacity(count);
        for _ in 0..count {
            readers.push(connection::open(path, config, config.reader_cache_bytes)?);
        }
        let is_read_only = connection.is_readonly(rusqlite::MAIN_DB).unwrap_or(false);
        let reader_permits = Permits::new(count, count).owner();
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(Writer { connection, blocks: Blocks::default() }),
            readers: Mutex::new(readers),
            reader_permits,
            segments: PlainArc::clone(segments),
            sync: config.sync,
            is_read_only,
            growth,
            reserve: reserve_beside(path),
        })
    }

    /// Opens it like [`open`](Self::open), also on a full disk, and sees to it that room is kept
    /// there.
    pub(crate) fn open_with_room(
        path: &Path,
        config: &LocalConfig,
        segments: &PlainArc<SegmentFiles>,
    ) -> std::result::Result<Self, OpenError> {
        // Not dropped before it is open: it would be taken again.
        let given_up = reserve_beside(path);
        let opened = match Self::open(path, config, segments) {
            Err(OpenError::Io { source, .. })
                if source.kind() == ErrorKind::StorageFull && given_up.give_up() =>
            {
                Self::open(path, config, segments)
            }
            opened => opened,
        }?;
        drop(given_up);
        if !opened.is_read_only {
            opened.reserve.take();
        }
        Ok(opened)
    }

    pub(crate) fn segments(&self) -> &SegmentFiles {
        &self.segments
    }

    pub(crate) fn read<T, E: Into<Halt>>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T> {
        let permit = self.reader_permits.acquire()?;
        let connection = self.readers.lock().pop();
        let reader = Reader { records: self, connection, _permit: permit };
        let connection =
            reader.connection.as_ref().expect("there are as many connections as permits");
        body(connection).map_err(self.halted(what))
    }

    /// For `map_err`.
    fn halted<E: Into<Halt>>(&self, what: &'static str) -> impl FnOnce(E) -> StoreError {
        move |halt| halt.into().told(what, &self.path)
    }

    fn may_write(&self, what: &'static str) -> Result<()> {
        if self.is_read_only {
            return Err(self.halted(what)(sqlite_error(rusqlite::ffi::SQLITE_READONLY, None)));
        }
        Ok(())
    }

    /// One short write transaction.
    pub(crate) fn write<T, E: Into<Halt>>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T> {
        self.may_write(what)?;
        let written =
            transaction(&mut self.writer.lock(), &self.growth, body).map_err(self.halted(what));
        if written.is_ok() {
            self.reserve.take_again();
        }
        written
    }

    /// A write transaction that must work on a full disk, because it makes room there or takes a
    /// right away. It uses what is kept for it, and needs little more than a block for each
    /// page that it changes.
    pub(crate) fn write_on_a_full_disk<T, E: Into<Halt>>(
        &self,
        what: &'static str,
        body: impl Fn(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T> {
        let is_full = |tried: &Result<T>| tried.as_ref().is_err_and(StoreError::is_full);
        self.may_write(what)?;
        let mut writer = self.writer.lock();
        let try_once = |writer: &mut Writer| {
            transaction(writer, &self.growth, &body).map_err(self.halted(what))
        };
        let mut tried = try_once(&mut writer);
        // The log's own room is enough, if what is in the log can go where it belongs: the file has
        // blocks for all of it.
        if is_full(&tried) && checkpoint(&writer, "RESTART") {
            tried = try_once(&mut writer);
        }
        for _ in 0..RESERVE_USES_MAX {
            if !is_full(&tried) {
                break;
            }
            // Another process may take away what is set free here; this one does not.
            tried = self.segments.without_appends(|| {
                self.reserve.give_up();
                checkpoint(&writer, "RESTART");
                let tried = try_once(&mut writer);
                if !self.reserve.take() && checkpoint(&writer, "TRUNCATE") {
                    self.reserve.take();
                }
                tried
            });
        }
        drop(writer);
        if tried.is_ok() {
            self.reserve.take_again();
        }
        tried
    }

    /// The same where stored bytes are promised to be there. They may be those of a process that
    /// does not sync ([`SyncPolicy::Never`]): unless this one does not either, its segments are
    /// synced first.
    ///
    /// This is exact: no other process or thread can commit while the transaction is open, and what
    /// was committed before had been appended by then.
    pub(crate) fn write_durably<T, E: Into<Halt>>(
        &self,
        what: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T> {
        // What cannot be written to promises nothing.
        if self.sync == SyncPolicy::Never || self.is_read_only {
            return self.write(what, body);
        }
        // Once without a lock that others wait for, because it may take long; what comes in between
        // is little.
        self.sync_ahead(what)?;
        self.write(what, |tx| {
            self.settle(tx)?;
            body(tx).map_err(Into::<Halt>::into)
        })
    }

    /// The same, whatever this process's policy is, and durable itself: for a transaction after
    /// which stored bytes are taken away. If it came undone, or the bytes that took their place
    /// were lost, so would be objects that another process has promised to keep.
    pub(crate) fn write_synced<T, E: Into<Halt>>(
        &self,
        what: &'static str,
        body: impl Fn(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T> {
        self.may_write(what)?;
        self.sync_ahead(what)?;
        let with = |tx: &Transaction<'_>| {
            self.settle(tx)?;
            body(tx).map_err(Into::<Halt>::into)
        };
        if self.sync != SyncPolicy::Never {
            return self.write_on_a_full_disk(what, with);
        }
        let mut writer = self.writer.lock();
        let set = |writer: &Writer, policy: &str| {
            writer.connection.pragma_update(None, "synchronous", policy)
        };
        set(&writer, "FULL").map_err(self.halted(what))?;
        let written = transaction(&mut writer, &self.growth, with).map_err(self.halted(what));
        set(&writer, connection::synchronous(self.sync)).map_err(self.halted(what))?;
        written
    }

    /// Syncs what processes have committed that do not sync, now if there is any.
    pub(crate) fn sync_leftovers(&self) -> Result<()> {
        let what = "cannot note synced segments";
        if self.read(what, |db| unsynced(db, SegmentId(0)))?.is_empty() {
            return Ok(());
        }
        self.write_durably(what, |_| Ok::<(), Halt>(()))
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

    fn settle(&self, tx: &Transaction<'_>) -> Result<(), Halt> {
        let mut after = SegmentId(0);
        loop {
            let page = unsynced(tx, after)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = *last;
            for segment in page {
                self.sync_foreign(segment)?;
                let sql = "UPDATE segments SET unsynced = 0 WHERE id = ?1 AND unsynced = 1";
                if tx.prepare_cached(sql)?.execute([int(segment.0)])? != 1 {
                    let detail = format!(
                        "an index says that segment {segment} was not synced, and its row does not"
                    );
                    return Err(StoreError::Inconsistent(detail).into());
                }
            }
        }
    }

    fn sync_foreign(&self, segment: SegmentId) -> Result<()> {
        match self.segments.sync_with_names(segment) {
            // The segment is gone, so there is nothing to sync. A read from it reports that.
            Err(StoreError::Storage { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(())
            }
            synced => synced,
        }
    }
}

fn reserve_beside(records: &Path) -> Reserve {
    Reserve::new(records.with_file_name("reserve"))
}

fn transaction<T, E: Into<Halt>>(
    writer: &mut Writer,
    growth: &Growth,
    body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, Halt> {
    let transaction =
        writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // A newer process may have moved the store on while this one had it open. What its tables mean
    // now is not known here.
    if migration::version(&transaction)? != schema::VERSION {
        let detail = "a newer drystone has changed the tables of this store: stop this process, and start the newer version";
        return Err(sqlite_error(rusqlite::ffi::SQLITE_SCHEMA, Some(detail.into())).into());
    }
    let value = body(&transaction).map_err(Into::into)?;
    let blocks = growth.ensure(&transaction, writer.blocks)?;
    transaction.commit()?;
    writer.blocks = growth.ensure_again(blocks);
    Ok(value)
}

fn sqlite_error(code: i32, detail: Option<String>) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), detail)
}

/// Moves what is in the log to where it belongs, so that the log can begin again. Returns whether
/// that was done.
fn checkpoint(writer: &Writer, how: &str) -> bool {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    let run = || writer.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
    let waits = |time| writer.connection.busy_timeout(time).is_ok();
    let is_done = waits(CHECKPOINT_WAIT) && run().is_ok_and(|busy| busy == 0);
    // Setting it is one assignment, which fails for no open connection.
    waits(BUSY_WAIT);
    is_done
}

/// Segments that were written without syncing, at most 256 behind `after`. Ids begin with 1.
fn unsynced(db: &Connection, after: SegmentId) -> rusqlite::Result<Vec<SegmentId>> {
    let sql = "SELECT id FROM segments WHERE unsynced = 1 AND id > ?1 ORDER BY id LIMIT 256";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([int(after.0)], |row| uint(row.get(0)?).map(SegmentId))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use drystone_chunker::Chunking;

    use super::*;

    static WAITS: AtomicUsize = AtomicUsize::new(0);

    /// A regression: every transaction of a process waited a minute for a transaction that read,
    /// and did so seven times.
    #[test]
    fn a_checkpoint_beside_a_long_read_does_not_wait_as_a_transaction_does() {
        let folder = tempfile::tempdir().unwrap();
        crate::LocalStore::init(folder.path(), Chunking::fixed(16).unwrap()).unwrap();
        let path = folder.path().join("records.db");
        let config = LocalConfig::default();
        let segments = PlainArc::new(SegmentFiles::new(folder.path().join("segments"), &config));
        let records = SqliteRecords::open(&path, &config, &segments).unwrap();
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM buckets").unwrap();
        let name_one = |tx: &Transaction<'_>| tx.execute("INSERT INTO meta VALUES ('test', 1)", []);
        records.write("cannot write", name_one).unwrap();
        let mut writer = records.writer.lock();
        let count = |_| {
            WAITS.fetch_add(1, Ordering::Relaxed);
            false
        };
        writer.connection.busy_handler(Some(count)).unwrap();
        assert!(!checkpoint(&writer, "RESTART"), "the reader needs the log");
        assert_eq!(WAITS.load(Ordering::Relaxed), 0, "it waited as a transaction waits");
        let wait: i64 =
            writer.connection.query_row("PRAGMA busy_timeout", [], |row| row.get(0)).unwrap();
        assert_eq!(u128::try_from(wait).unwrap(), BUSY_WAIT.as_millis());
        reader.execute_batch("COMMIT").unwrap();
        assert!(checkpoint(&writer, "RESTART"));
    }
}
