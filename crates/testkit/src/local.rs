//! Real files and SQLite, in a temporary folder.

use std::path::Path;

use drystone_chunker::{ChunkId, Chunking};
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::SyncPolicy;
use tempfile::TempDir;

use crate::conformance::{Fixture, Opened};
use crate::reference::{Backend, Setup};

/// A store folder that goes away with this value.
pub struct LocalFolder {
    folder: TempDir,
    config: LocalConfig,
}

/// Containers have 64 MiB of memory to write to, if not told otherwise; that is too little.
const ROOM_MIN_BYTES: u64 = 1 << 30;

/// A temporary folder, in memory where the system has such a place: what is checked here is not the
/// disk.
pub(crate) fn scratch() -> TempDir {
    let shm = Path::new("/dev/shm");
    let has_room = |at: &Path| {
        rustix::fs::statvfs(at).is_ok_and(|disk| disk.f_bavail * disk.f_frsize > ROOM_MIN_BYTES)
    };
    let made = if has_room(shm) { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    made.expect("a temporary folder can be made")
}

impl LocalFolder {
    /// Makes an empty store. Segments are sealed at `segment_bytes_max`.
    pub fn new(chunking: Chunking, sync: SyncPolicy, segment_bytes_max: u64) -> Self {
        let folder = scratch();
        LocalStore::init(folder.path(), chunking).expect("a store can be made in an empty folder");
        let config =
            LocalConfig { sync, segment_bytes_max, segment_readers: 2, ..LocalConfig::default() };
        Self { folder, config }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens it once more.
    pub fn open_store(&self) -> LocalStore {
        LocalStore::open(self.path(), &self.config).expect("a store that was made can be opened")
    }
}

impl Fixture for LocalFolder {
    fn open(&self) -> Opened {
        let store = self.open_store();
        Opened { records: store.records, segments: store.segments, files: Some(store.files) }
    }

    fn condemn(&self, id: &ChunkId) {
        let db = rusqlite::Connection::open(self.path().join("records.db"))
            .expect("the database is there");
        let sql = "UPDATE chunks SET condemned = (SELECT value FROM meta WHERE name = 'epoch') WHERE hash = ?1";
        let rows = db.execute(sql, [&id.0[..]]).expect("the table of chunks is there");
        assert_eq!(rows, 1, "there is no chunk {id}");
    }
}

/// Real files as the driver's backend: nothing fails here, so faults are passed over.
pub struct LocalBackend(LocalFolder);

impl LocalBackend {
    /// An empty store for `setup`, which does not wait for the disk.
    pub fn new(setup: &Setup) -> Self {
        Self(LocalFolder::new(setup.chunking(), SyncPolicy::Never, setup.segment_bytes_max()))
    }
}

impl Backend for LocalBackend {
    fn open(&mut self) -> Opened {
        Fixture::open(&self.0)
    }
}
