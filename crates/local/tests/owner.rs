//! What root makes in a service's store is the service's.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use drystone_appender::OwnedFiles as _;
use drystone_chunker::Chunking;
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::SegmentId;

/// A user and a group that nothing on a machine belongs to.
const SERVICE: (u32, u32) = (43_211, 43_212);

fn check(path: &Path, names: &mut Vec<String>) {
    let found = path.symlink_metadata().unwrap();
    assert_eq!((found.uid(), found.gid()), SERVICE, "{}", path.display());
    names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    if found.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path(), names));
    }
}

#[test]
fn what_root_makes_in_a_store_belongs_to_the_owner_of_the_store() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make a file that is another user's");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    chown(&store, Some(SERVICE.0), Some(SERVICE.1)).unwrap();
    LocalStore::init(&store, Chunking::fixed(16).unwrap()).unwrap();
    let open = LocalStore::open(&store, &LocalConfig::default()).unwrap();
    let _segment = open.files.create(SegmentId(7)).unwrap();
    let mut names = Vec::new();
    check(&store, &mut names);
    for name in
        ["drystone.toml", "records.db", "records.db-wal", "records.db-shm", "07", "reserve", "3"]
    {
        assert!(names.iter().any(|found| found == name), "no {name} among {names:?}");
    }
}
