//! A process that syncs, and one that does not, in one store at the same time.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use drystone_chunker::Chunking;
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{
    BucketName, Completion, Condition, CopySource, CopyTarget, Key, NamedPart, ObjectMeta,
    PartTarget, PutTarget, Result, Store, StoreConfig, StoreError, SyncPolicy,
};

fn open(folder: &Path, sync: SyncPolicy) -> Store {
    let local = LocalStore::open(folder, &LocalConfig { sync, ..LocalConfig::default() }).unwrap();
    let config = StoreConfig {
        chunking: local.chunking,
        workers: 1,
        buffers: 2,
        ingests: 1,
        buffer_bytes: 64,
        read_ahead_max: 1,
        commit_queue_bytes: 1 << 16,
    };
    Store::new(local.records, local.segments, config).unwrap()
}

/// A new store, opened to sync and then not to.
fn both(folder: &Path) -> (Store, Store) {
    LocalStore::init(folder, Chunking::fixed(16).unwrap()).unwrap();
    let durable = open(folder, SyncPolicy::Commit);
    durable.create_bucket(&bucket()).unwrap();
    (durable, open(folder, SyncPolicy::Never))
}

fn bucket() -> BucketName {
    BucketName::new("walls").unwrap()
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn put(store: &Store, name: &str, bytes: &[u8]) -> Result<()> {
    let mut ingest = store.ingest(60_000)?;
    let mut writing = ingest.begin(None);
    writing.push(bytes)?;
    let (meta, condition) = (ObjectMeta::default(), Condition::Always);
    let pending =
        writing.finish(PutTarget { bucket: bucket(), key: key(name), meta, condition })?;
    ingest.rest()?;
    pending.join().map(drop)
}

fn source(name: &str) -> CopySource {
    CopySource { bucket: bucket(), key: key(name), content: None }
}

fn copy(store: &Store, from: &str, to: &str) -> Result<()> {
    let (meta, modified_ns, condition) = (None, None, Condition::Always);
    let target = CopyTarget { bucket: bucket(), key: key(to), meta, modified_ns, condition };
    store.copy(&source(from), &target).map(drop)
}

/// Segments that hold what no process has synced.
fn unsynced(folder: &Path) -> Vec<i64> {
    let db = rusqlite::Connection::open(folder.join("records.db")).unwrap();
    let mut statement = db.prepare("SELECT id FROM segments WHERE unsynced = 1").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(|id| id.unwrap()).collect()
}

#[test]
fn what_was_not_synced_is_before_anything_rests_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let (durable, hasty) = both(folder.path());
    let hasty_put = |name: &str| {
        put(&hasty, name, name.as_bytes()).unwrap();
        assert_eq!(unsynced(folder.path()).len(), 1, "{name}");
    };
    let is_synced = |what: &str| assert!(unsynced(folder.path()).is_empty(), "{what}");

    hasty_put("stone");
    put(&durable, "the same", b"stone").unwrap();
    is_synced("a put");

    hasty_put("copied");
    copy(&durable, "copied", "a copy").unwrap();
    is_synced("a copy");

    let upload =
        durable.create_upload(&bucket(), &key("large"), &ObjectMeta::default()).unwrap().id;
    hasty_put("part");
    let target = PartTarget { upload, number: 1, system: BTreeMap::new() };
    durable.copy_part(&source("part"), None, &target).unwrap();
    is_synced("a copied part");

    hasty_put("between");
    let parts = vec![NamedPart { number: 1, ..NamedPart::default() }];
    durable.complete_upload(upload, &Completion { parts, ..Completion::default() }).unwrap();
    is_synced("a completion");

    hasty_put("last");
    open(folder.path(), SyncPolicy::Commit);
    is_synced("opening");
}

/// The file of the one segment that no process has synced.
fn unsynced_file(folder: &Path) -> std::path::PathBuf {
    let segment = unsynced(folder)[0];
    folder.join(format!("segments/{:02x}/{segment:016x}", segment & 0xff))
}

#[test]
fn what_lies_in_a_segments_place_and_is_none_is_not_synced() {
    let folder = tempfile::tempdir().unwrap();
    let (durable, hasty) = both(folder.path());
    put(&hasty, "stone", b"stone").unwrap();
    let (segment, aside) = (unsynced_file(folder.path()), folder.path().join("aside"));
    fs::rename(&segment, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &segment).unwrap();
    let error = copy(&durable, "stone", "a copy").unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("a symbolic link and no regular file"), "{cause}");
    assert_eq!(unsynced(folder.path()).len(), 1);
    fs::rename(&aside, &segment).unwrap();
    copy(&durable, "stone", "a copy").unwrap();
    assert!(unsynced(folder.path()).is_empty());
}

#[test]
fn an_index_that_is_wrong_is_damage_and_no_endless_loop() {
    let folder = tempfile::tempdir().unwrap();
    let (durable, hasty) = both(folder.path());
    put(&hasty, "stone", b"stone").unwrap();
    let db = rusqlite::Connection::open(folder.path().join("records.db")).unwrap();
    // While the index is gone its table is changed.
    let name = "segments_unsynced";
    let sql = "SELECT rootpage, sql FROM sqlite_schema WHERE name = ?1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let (rootpage, index) = db.query_row(sql, [name], row).unwrap();
    db.execute_batch("PRAGMA writable_schema = ON").unwrap();
    db.execute("DELETE FROM sqlite_schema WHERE name = ?1", [name]).unwrap();
    db.execute_batch(
        "PRAGMA writable_schema = RESET; UPDATE segments SET unsynced = 0; PRAGMA writable_schema = ON",
    )
    .unwrap();
    let sql = "INSERT INTO sqlite_schema VALUES ('index', ?1, 'segments', ?2, ?3)";
    db.execute(sql, rusqlite::params![name, rootpage, index]).unwrap();
    drop(db);
    let error = copy(&durable, "stone", "a copy").unwrap_err();
    assert!(matches!(error, StoreError::Inconsistent(_)), "{error:?}");
}

#[test]
fn what_cannot_be_synced_is_not_promised() {
    let folder = tempfile::tempdir().unwrap();
    let (durable, hasty) = both(folder.path());
    put(&hasty, "stone", b"stone").unwrap();
    let segment = unsynced_file(folder.path());
    // Opening it fails, and not because there is none.
    fs::rename(&segment, folder.path().join("aside")).unwrap();
    std::os::unix::fs::symlink(&segment, &segment).unwrap();
    let refused = |outcome: Result<()>, name: &str| {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("sync"), "{error}");
        assert!(
            matches!(durable.stat(&bucket(), &key(name)), Err(StoreError::NotFound { .. })),
            "{name}"
        );
    };
    refused(put(&durable, "the same", b"stone"), "the same");
    refused(copy(&durable, "stone", "a copy"), "a copy");
    assert!(LocalStore::open(folder.path(), &LocalConfig::default()).is_err());
    assert_eq!(unsynced(folder.path()).len(), 1);
    fs::remove_file(&segment).unwrap();
    fs::rename(folder.path().join("aside"), &segment).unwrap();
    copy(&durable, "stone", "a copy").unwrap();
    assert!(unsynced(folder.path()).is_empty());
}
