//! Opening the database: one way, with every setting stated.

use std::io;
use std::path::Path;
use std::time::Duration;

use drystone_store::{StoreError, SyncPolicy};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::format::{OpenError, failed};
use crate::schema;

/// How long a transaction waits for another process's. Transactions are short; a minute means that something is wrong.
const BUSY_WAIT: Duration = Duration::from_secs(60);
/// WAL pages after which a commit also checkpoints: 16 MiB. Each checkpoint syncs twice, so not too often.
const CHECKPOINT_PAGES: u32 = 4096;
/// The WAL is cut back to this after a checkpoint, in bytes.
const WAL_BYTES_KEPT: u32 = 32 << 20;
/// More than the statements that we prepare, so that none is ever prepared twice.
const STATEMENTS_MAX: usize = 48;

/// Makes the database; finishes a half-made one.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    let made = || -> rusqlite::Result<()> {
        let mut db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let transaction = db.transaction()?;
        if transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == 0 {
            transaction.execute_batch(schema::CREATE)?;
            transaction.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", schema::USER_VERSION)?;
        }
        transaction.commit()
    };
    made().map_err(|error| damaged(path, &error))
}

/// Opens the database, which must exist.
pub(crate) fn open(path: &Path, sync: SyncPolicy, cache_bytes: u64) -> Result<Connection, OpenError> {
    match path.metadata() {
        Ok(meta) if meta.len() > 0 => {}
        Ok(_) => {
            return Err(OpenError::DamagedRecords { path: path.to_owned(), detail: "it is empty".into() });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::NoRecords(path.to_owned()));
        }
        Err(error) => return Err(failed("read", path)(error)),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = || -> rusqlite::Result<(Connection, i64, i64)> {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY_WAIT)?;
        let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let policy = match sync {
            SyncPolicy::Commit => "FULL",
            // Not OFF: a checkpoint under OFF would also un-sync what another process has acknowledged as durable.
            SyncPolicy::Never => "NORMAL",
        };
        db.pragma_update(None, "synchronous", policy)?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        // Negative: in KiB instead of pages.
        db.pragma_update(None, "cache_size", -i64::try_from(cache_bytes / 1024).unwrap_or(2048))?;
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        db.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok((db, application, version))
    };
    let (db, application, version) = opened().map_err(|error| damaged(path, &error))?;
    if application != schema::APPLICATION_ID {
        let detail = format!("its application id is {application:#x}");
        return Err(OpenError::DamagedRecords { path: path.to_owned(), detail });
    }
    match version {
        schema::USER_VERSION => Ok(db),
        newer if newer > schema::USER_VERSION => Err(OpenError::NewerFormat { found: newer.unsigned_abs() }),
        odd => {
            Err(OpenError::DamagedRecords { path: path.to_owned(), detail: format!("its version is {odd}") })
        }
    }
}

fn damaged(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            let source = io::Error::new(io::ErrorKind::PermissionDenied, error.to_string());
            OpenError::Io { what: "open", path: path.to_owned(), source }
        }
        Some(ErrorCode::DiskFull) => {
            let source = io::Error::new(io::ErrorKind::StorageFull, error.to_string());
            OpenError::Io { what: "write", path: path.to_owned(), source }
        }
        _ => OpenError::DamagedRecords { path: path.to_owned(), detail: error.to_string() },
    }
}

fn is_wrong_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
    )
}

/// For `map_err`: a statement failed.
pub(crate) fn refused(what: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        // A column holds what was never written into it.
        None if is_wrong_value(&error) => StoreError::Inconsistent(format!("{what}: {error}")),
        Some(ErrorCode::DiskFull) => {
            StoreError::records(what, io::Error::new(io::ErrorKind::StorageFull, error.to_string()))
        }
        Some(ErrorCode::DatabaseBusy) => {
            let detail = "another process has held the database for a minute";
            StoreError::records(what, io::Error::new(io::ErrorKind::TimedOut, detail))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Inconsistent(format!(
            "{what}: records.db is damaged ({error}); the segments are untouched, put a backup of it back"
        )),
        _ => StoreError::records(what, error),
    }
}
