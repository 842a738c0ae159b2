//! Opening the database: one way, with every setting stated.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drystone_store::{StoreError, SyncPolicy};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::format::{OpenError, failed};
use crate::{LocalConfig, migration, plain_file, schema};

/// How long a transaction waits for another process's. Transactions are short; a minute means that
/// something is wrong.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(60);
/// WAL pages after which a commit also checkpoints: 16 MiB. Each checkpoint syncs twice, so not too
/// often.
const CHECKPOINT_PAGES: u32 = 4096;
/// The WAL is cut back to this after a checkpoint, in bytes.
const WAL_BYTES_KEPT: u32 = 32 << 20;
/// More than the statements that we prepare, so that none is ever prepared twice.
const STATEMENTS_MAX: usize = 80;

/// Makes the database; finishes a half-made one.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    // SQLite gives its log and index the same permissions.
    let file = plain_file::open(path, OpenOptions::new().write(true).create(true));
    // SQLite gives its log and index the same owner.
    plain_file::give_to_owner(&file.map_err(failed("create", path))?, path.parent());
    let made = || -> rusqlite::Result<()> {
        let mut db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
        migration::take_steps(&transaction)?;
        transaction.commit()
    };
    made().map_err(|error| damaged(path, &error))
}

/// Opens the database, which must exist.
pub(crate) fn open(
    path: &Path,
    config: &LocalConfig,
    cache_bytes: u64,
) -> Result<Connection, OpenError> {
    // SQLite itself would open whatever lies there.
    for name in ["", "-wal", "-shm"] {
        let file = beside(path, name);
        plain_file::check_path(&file).map_err(|error| match plain_file::is_not_a_file(&error) {
            true => OpenError::DamagedRecords { path: file.clone(), detail: error.to_string() },
            false => failed("read", &file)(error),
        })?;
    }
    match path.metadata() {
        Ok(meta) if meta.len() > 0 => {}
        Ok(_) => {
            return Err(OpenError::DamagedRecords {
                path: path.to_owned(),
                detail: "it is empty".into(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::NoRecords(path.to_owned()));
        }
        Err(error) => return Err(failed("read", path)(error)),
    }
    let opened = |file: &Path, access: OpenFlags| -> rusqlite::Result<(Connection, i64, i64)> {
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(file, flags)?;
        db.busy_timeout(BUSY_WAIT)?;
        // SQLite would look at the values bound to a range to choose a plan, and so compile such a
        // statement again for every other value. The schema leaves one good plan for each
        // statement, so SQLite is told not to look at the values.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = migration::version(&db)?;
        db.pragma_update(None, "synchronous", synchronous(config.sync))?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        // Negative: in KiB instead of pages.
        db.pragma_update(None, "cache_size", -i64::try_from(cache_bytes / 1024).unwrap_or(2048))?;
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        db.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok((db, application, version))
    };
    let access = match config.read_only {
        true => OpenFlags::SQLITE_OPEN_READ_ONLY,
        false => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let (mut db, application, version) = match opened(path, access) {
        Err(error) if is_read_only(path, &error) => {
            let file = frozen(path)?;
            let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            opened(&file, access).map_err(|error| damaged(path, &error))?
        }
        opened => opened.map_err(|error| damaged(path, &error))?,
    };
    if application != schema::APPLICATION_ID {
        let detail = format!("its application id is {application:#x}");
        return Err(OpenError::DamagedRecords { path: path.to_owned(), detail });
    }
    let version = match version {
        1..schema::VERSION => {
            migration::run(&mut db, version).map_err(|error| damaged(path, &error))?
        }
        version => version,
    };
    match version {
        schema::VERSION => Ok(db),
        newer if newer > schema::VERSION => {
            Err(OpenError::NewerRecords { found: newer.unsigned_abs() })
        }
        odd => Err(OpenError::DamagedRecords {
            path: path.to_owned(),
            detail: format!("its version is {odd}"),
        }),
    }
}

/// Whether SQLite could not make the files that it shares with other processes because nothing can
/// be made there. It may also fail for want of descriptors, say, while another process writes: that
/// is not meant.
fn is_read_only(path: &Path, error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
        && rustix::fs::access(path.parent().unwrap_or(path), rustix::fs::Access::WRITE_OK).is_err()
}

/// The name by which SQLite opens a database that no process can be changing. SQLite then makes
/// and changes no file next to it.
///
/// Only where there is no log: what is in one was committed, and without it an older state would be
/// read.
fn frozen(path: &Path) -> Result<PathBuf, OpenError> {
    let log = beside(path, "-wal");
    if log.metadata().is_ok_and(|meta| meta.len() > 0) {
        let detail = "the store cannot be written to and was not closed; open it once where it can";
        let source = io::Error::new(io::ErrorKind::ReadOnlyFilesystem, detail);
        return Err(OpenError::Io { what: "read back", path: log, source });
    }
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri.push_str("?immutable=1");
    Ok(PathBuf::from(uri))
}

/// A file that SQLite keeps beside its database.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn damaged(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        _ if may_want_room(error) && is_on_a_full_disk(path) => {
            let source =
                io::Error::new(io::ErrorKind::StorageFull, format!("the disk is full ({error})"));
            OpenError::Io { what: "open", path: path.to_owned(), source }
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            let source = io::Error::new(io::ErrorKind::PermissionDenied, error.to_string());
            OpenError::Io { what: "open", path: path.to_owned(), source }
        }
        Some(ErrorCode::DiskFull) => {
            let source = io::Error::new(io::ErrorKind::StorageFull, error.to_string());
            OpenError::Io { what: "write", path: path.to_owned(), source }
        }
        Some(ErrorCode::DatabaseBusy) => {
            let detail = "another process has held the database for a minute";
            let source = io::Error::new(io::ErrorKind::TimedOut, detail);
            OpenError::Io { what: "open", path: path.to_owned(), source }
        }
        // Nothing is known of the bytes, so there is no advice to put others in their place.
        Some(ErrorCode::SystemIoFailure) => {
            let source = io::Error::other(error.to_string());
            OpenError::Io { what: "open", path: path.to_owned(), source }
        }
        _ => OpenError::DamagedRecords { path: path.to_owned(), detail: error.to_string() },
    }
}

/// Less than this is no room, in bytes: a file system keeps some blocks for itself.
const ROOM_BYTES_MIN: u64 = 256 << 10;
/// The same in files: SQLite needs two.
const ROOM_FILES_MIN: u64 = 2;

/// SQLite needs room for its shared-memory file even to read, and does not say what kept it from
/// growing.
fn is_on_a_full_disk(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    let is_full = |disk: rustix::fs::StatVfs| {
        let has_blocks = disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM_BYTES_MIN;
        // A file system that does not count its files says that it has none, and none left.
        let has_files = disk.f_files == 0 || disk.f_favail >= ROOM_FILES_MIN;
        !has_blocks || !has_files
    };
    rustix::fs::statvfs(folder).is_ok_and(is_full)
}

/// Whether an error may come from a want of room, although it does not say so: a file could not be
/// made or made longer. Not that of a sync: what it was for may have taken place.
fn may_want_room(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{
        SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE,
    };
    let growing =
        [SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE];
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::CannotOpen || growing.contains(&error.extended_code)
    })
}

pub(crate) fn is_wrong_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    )
}

/// Why a transaction is rolled back.
pub(crate) enum Halt {
    /// What it was to do is refused, or needs segments that fail.
    Refused(StoreError),
    /// A statement failed.
    Failed(rusqlite::Error),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Halt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl Halt {
    /// What the caller is told: `what` failed, on the database at `path`.
    pub(crate) fn told(self, what: &'static str, path: &Path) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Failed(error) => refused(what, path, error),
        }
    }
}

/// How SQLite syncs under a policy.
pub(crate) fn synchronous(policy: SyncPolicy) -> &'static str {
    match policy {
        SyncPolicy::Commit => "FULL",
        // Not OFF: a checkpoint under OFF would also un-sync what another process has acknowledged
        // as durable.
        SyncPolicy::Never => "NORMAL",
    }
}

/// A statement on the database at `path` failed.
fn refused(what: &'static str, path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        // A column holds what was never written into it.
        None if is_wrong_value(&error) => StoreError::Inconsistent(format!("{what}: {error}")),
        _ if may_want_room(&error) && is_on_a_full_disk(path) => {
            StoreError::records(what, io::Error::new(io::ErrorKind::StorageFull, error.to_string()))
        }
        Some(ErrorCode::DiskFull) => {
            StoreError::records(what, io::Error::new(io::ErrorKind::StorageFull, error.to_string()))
        }
        Some(ErrorCode::ReadOnly) => {
            let detail = "the store cannot be written to here";
            StoreError::records(what, io::Error::new(io::ErrorKind::ReadOnlyFilesystem, detail))
        }
        Some(ErrorCode::DatabaseBusy) => {
            let detail = "another process has held the database for a minute";
            StoreError::records(what, io::Error::new(io::ErrorKind::TimedOut, detail))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Inconsistent(format!(
                "{what}: records.db is damaged ({error}); the segments are untouched, put a backup of it back"
            ))
        }
        _ => StoreError::records(what, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: i32, is_damage: bool) {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let found = damaged(&std::env::temp_dir().join("records.db"), &error);
        assert_eq!(matches!(found, OpenError::DamagedRecords { .. }), is_damage, "{found}");
    }

    /// A disk that fails or is full once led to the advice to put a backup in the place of sound
    /// records.
    #[test]
    fn a_failing_disk_is_not_taken_for_damage() {
        check(rusqlite::ffi::SQLITE_IOERR_READ, false);
        check(rusqlite::ffi::SQLITE_IOERR_SHMSIZE, false);
        check(rusqlite::ffi::SQLITE_FULL, false);
        check(rusqlite::ffi::SQLITE_CANTOPEN, false);
        check(rusqlite::ffi::SQLITE_BUSY, false);
        check(rusqlite::ffi::SQLITE_CORRUPT, true);
        check(rusqlite::ffi::SQLITE_NOTADB, true);
    }
}
