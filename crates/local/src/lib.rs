//! The embedded backend of a drystone store: one folder with segment files, a SQLite database of
//! records, and a small file that says how the store was made. `docs/format.md` has the bytes.
//!
//! Any number of processes may have a store open. They meet in database transactions only; a
//! segment is appended to by the one process that holds its `flock`. Which segment that is, and
//! what of it is cut off again, `drystone-appender` says.
//!
//! Descriptors, at most: 3 for each database connection, one more for the database file, one for
//! each segment that is appended to, and [`LocalConfig::segment_readers`] for reading. Memory: the
//! database caches.

mod collect;
mod connection;
mod database;
mod format;
mod growth;
mod migration;
mod plain_file;
mod readers;
mod records;
mod records_check;
mod records_collect;
mod records_keys;
mod records_manifest;
mod records_pins;
mod records_read;
mod records_scrub;
mod records_tables;
mod records_uploads;
mod reserve;
mod schema;
mod segment_file;
mod segments;
mod syncs;

use std::path::{Path, PathBuf};

use drystone_appender::Appender;
use drystone_chunker::Chunking;
use drystone_store::{StoreError, SyncPolicy};
use drystone_sync::PlainArc;

pub use database::SqliteRecords;
pub use format::{FORMAT_VERSION, OpenError};
pub use segments::SegmentFiles;

/// What the embedded backend may use; the numbers come from a plan.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// When data is made durable.
    pub sync: SyncPolicy,
    /// Database connections that read.
    pub readers: usize,
    /// Page cache of a reading connection, in bytes.
    pub reader_cache_bytes: u64,
    /// Page cache of the writing connection, in bytes.
    pub writer_cache_bytes: u64,
    /// Segment files held open for reading.
    pub segment_readers: usize,
    /// A segment is sealed before it passes this length, in bytes.
    pub segment_bytes_max: u64,
    /// Nothing is written, also where it could be: every transaction that would fails.
    pub read_only: bool,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Commit,
            readers: 2,
            reader_cache_bytes: 2 << 20,
            writer_cache_bytes: 8 << 20,
            segment_readers: 8,
            segment_bytes_max: 512 << 20,
            read_only: false,
        }
    }
}

/// An opened store folder: what `drystone_store::Store::new` wants.
pub struct LocalStore {
    /// The database.
    pub records: PlainArc<SqliteRecords>,
    /// The segments.
    pub segments: PlainArc<Appender>,
    /// Their files: for tests of these.
    #[doc(hidden)]
    pub files: PlainArc<SegmentFiles>,
    /// How the store cuts.
    pub chunking: Chunking,
    /// Other users could look into the folder, and cannot any more: an earlier version made it
    /// like that. To be told.
    pub was_open_to_others: bool,
}

impl LocalStore {
    /// Makes a new, empty store in `folder`, which must not exist or be empty. Durable when it
    /// returns.
    ///
    /// # Errors
    /// See [`OpenError`]. A half-made store of a failed `init` is completed by the next one.
    pub fn init(folder: &Path, chunking: Chunking) -> Result<(), OpenError> {
        format::init(folder, chunking)
    }

    /// The chunking that the store in `folder` was made with, without opening it.
    ///
    /// # Errors
    /// When there is no store of a known format.
    pub fn chunking(folder: &Path) -> Result<Chunking, OpenError> {
        format::read(folder)
    }

    /// Opens the store in `folder`, and moves the database of an earlier version on to today's, in
    /// one transaction. Where it cannot be written to, by its permissions or because the file
    /// system is mounted read-only, it can be read, provided that the last process that wrote to it
    /// has closed it.
    ///
    /// # Errors
    /// When it is not a store, of a newer format, or its database is missing or damaged.
    pub fn open(folder: &Path, config: &LocalConfig) -> Result<Self, OpenError> {
        let chunking = format::read(folder)?;
        let files = PlainArc::new(SegmentFiles::new(segments_path(folder), config));
        let records = SqliteRecords::open_with_room(&records_path(folder), config, &files)?;
        let was_open_to_others = !records.is_read_only && close_to_others(folder);
        // From now on a put may find there what was put with `SyncPolicy::Never`.
        let synced = if config.read_only { Ok(()) } else { records.sync_leftovers() };
        synced.map_err(|error| match error {
            StoreError::Inconsistent(detail) => {
                OpenError::DamagedRecords { path: records_path(folder), detail }
            }
            error => OpenError::Io {
                what: "sync the segments of",
                path: folder.to_owned(),
                source: std::io::Error::other(error),
            },
        })?;
        let records = PlainArc::new(records);
        let shared = PlainArc::clone(&records);
        let segments = Appender::new(shared, PlainArc::clone(&files) as _, config.sync);
        let segments = PlainArc::new(segments);
        Ok(Self { records, segments, files, chunking, was_open_to_others })
    }
}

/// Keeps other users out of a store that this process's user owns. The folders are enough for that;
/// files follow as they are opened. Returns whether they had been let in.
fn close_to_others(folder: &Path) -> bool {
    let records =
        ["", "-wal", "-shm"].map(|ending| connection::beside(&records_path(folder), ending));
    // All of them, not the first one only.
    let closed = [folder.to_owned(), segments_path(folder), folder.join(format::FILE)]
        .iter()
        .chain(&records)
        .filter(|path| plain_file::close_to_others(path))
        .count();
    closed > 0
}

fn records_path(folder: &Path) -> PathBuf {
    folder.join("records.db")
}

fn segments_path(folder: &Path) -> PathBuf {
    folder.join("segments")
}
