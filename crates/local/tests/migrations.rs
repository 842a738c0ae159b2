//! Stores that earlier versions made, and one that a later version has made.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use drystone_local::{LocalConfig, LocalStore, OpenError};
use drystone_store::{
    BucketName, Completion, Condition, Key, NamedPart, NewBucket, ObjectMeta, PartTarget,
    PutTarget, Store, StoreConfig, StoreError, UploadId,
};
use rusqlite::Connection;

/// What this code makes, as `src/schema.rs` has it.
const TODAY: i64 = 4;
/// Those before.
const EARLIER: [i64; 3] = [1, 2, 3];

/// A copy of the store that a version made, which may be written to.
fn fixture(version: i64) -> tempfile::TempDir {
    let kept =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/version-{version}"));
    let folder = tempfile::tempdir().unwrap();
    copy(&kept, folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

fn open(folder: &Path) -> Store {
    let local = LocalStore::open(folder, &LocalConfig::default()).unwrap();
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

fn version(folder: &Path) -> i64 {
    let db = Connection::open(folder.join("records.db")).unwrap();
    db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn set_version(folder: &Path, version: i64) {
    let db = Connection::open(folder.join("records.db")).unwrap();
    db.pragma_update(None, "user_version", version).unwrap();
}

fn name(text: &str) -> BucketName {
    BucketName::new(text).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn bytes(store: &Store, name_of: &str) -> Vec<u8> {
    let mut found = Vec::new();
    store.get(&name("walls"), &key(name_of), None).unwrap().copy_to(&mut found).unwrap().unwrap();
    found
}

/// Everything that the fixture of a version holds.
fn check_contents(store: &Store, version: i64) {
    let buckets = store.buckets(None, 9).unwrap();
    let named: Vec<_> =
        buckets.iter().map(|row| (row.name.as_str(), row.public, row.region.clone())).collect();
    // Version 1 had no regions, and remembered no parts.
    let (region, parts) = if version == 1 { (None, 0) } else { (Some("eu-west-1".into()), 2) };
    assert_eq!(named, [("open-air", true, None), ("walls", false, region)]);
    let wall = store.stat(&name("walls"), &key("wall")).unwrap();
    assert_eq!(wall.meta.media_type.as_deref(), Some("text/plain"));
    assert_eq!((wall.meta.user["colour"].as_str(), wall.meta.mode), ("grey", Some(0o640)));
    assert_eq!(bytes(store, "wall"), b"a stone, and another stone");
    assert_eq!(bytes(store, "tower"), b"the lower stones of a tower, and its top");
    let tower = store.stat(&name("walls"), &key("tower")).unwrap();
    assert_eq!(tower.meta.system["part-sizes"], "29,11");
    let upload = UploadId(u64::from_str_radix(&tower.meta.system["completed-upload"], 16).unwrap());
    assert_eq!(store.object_parts(&tower, upload, 0, 9).unwrap().total, parts);
    let key = store.key("mason").unwrap().unwrap();
    assert_eq!(
        (key.key.name.as_str(), key.key.secret.0.as_str()),
        ("the mason", "a secret of some length")
    );
    assert_eq!((key.key.grants.len(), key.key.grants[0].write), (1, true));
}

#[test]
fn a_store_of_every_earlier_version_is_opened_read_and_written() {
    EARLIER.into_iter().for_each(check_moved_on);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders =
        fs::read_dir(kept).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), EARLIER.len(), "a fixture is not opened here");
}

fn check_moved_on(from: i64) {
    let folder = fixture(from);
    assert_eq!(version(folder.path()), from);
    let store = open(folder.path());
    check_contents(&store, from);
    let target = PutTarget {
        bucket: name("walls"),
        key: key("new"),
        meta: ObjectMeta::default(),
        condition: Condition::Always,
    };
    let mut ingest = store.ingest(60_000).unwrap();
    ingest.put_now(target, &mut &b"a stone, and a new one"[..]).unwrap();
    // The upload that was under way goes on.
    let begun = store.uploads(&name("walls"), "", None, 9).unwrap();
    assert_eq!((begun.len(), begun[0].key.as_str()), (1, "unfinished"));
    let mut writing = ingest.begin(None);
    writing.push(b", and a second").unwrap();
    let part =
        PartTarget { upload: begun[0].id, number: 2, system: [("a".into(), "b".into())].into() };
    let pending = writing.finish(part).unwrap();
    ingest.rest().unwrap();
    pending.join().unwrap();
    let named = |number| NamedPart { number, ..NamedPart::default() };
    let completion = Completion { parts: vec![named(1), named(2)], ..Completion::default() };
    let completed = store.complete_upload(begun[0].id, &completion).unwrap();
    let parts = store.object_parts(&completed, begun[0].id, 0, 9).unwrap();
    assert_eq!(
        (parts.total, parts.page[1].offset, parts.page[1].system["a"].as_str()),
        (2, 12, "b")
    );
    let here = NewBucket { region: Some("eu-west-1".into()), ..NewBucket::named(name("abroad")) };
    assert!(store.make_bucket(&here).unwrap());
    drop((ingest, store));
    assert_eq!(version(folder.path()), TODAY);
    let again = open(folder.path());
    assert_eq!(bytes(&again, "new"), b"a stone, and a new one");
    assert_eq!(bytes(&again, "unfinished"), b"a first part, and a second");
    assert_eq!(again.bucket(&here.name).unwrap().unwrap().region, here.region);
}

#[test]
fn of_several_that_open_an_old_store_one_moves_it_on() {
    for round in 0..10 {
        let from = EARLIER[round % EARLIER.len()];
        let folder = fixture(from);
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    check_contents(&open(folder.path()), from);
                });
            }
        });
        assert_eq!(version(folder.path()), TODAY);
    }
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let folder = fixture(1);
    drop(open(folder.path()));
    set_version(folder.path(), TODAY + 1);
    let refused = LocalStore::open(folder.path(), &LocalConfig::default()).err().unwrap();
    assert!(matches!(refused, OpenError::NewerRecords { found: 5 }), "{refused}");
    let said = refused.to_string();
    assert!(
        said.contains("version 5") && said.contains("up to 4") && said.contains("newer drystone"),
        "{said}"
    );
    assert_eq!(version(folder.path()), TODAY + 1);
}

#[test]
fn what_was_open_while_the_store_moved_on_writes_no_more() {
    let folder = fixture(1);
    let store = open(folder.path());
    store.create_bucket(&name("before")).unwrap();
    set_version(folder.path(), TODAY + 1);
    let refused = store.create_bucket(&name("after"));
    let Err(StoreError::Records { source, .. }) = &refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("newer drystone"), "{source}");
    assert_eq!(store.bucket(&name("after")).unwrap(), None);
    set_version(folder.path(), TODAY);
    assert!(store.create_bucket(&name("after")).unwrap());
}
