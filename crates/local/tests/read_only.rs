//! A store where nothing can be written: on a read-only medium, in a backup, of another user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use drystone_chunker::Chunking;
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{
    BucketName, BucketRecords as _, Condition, Key, NewBucket, ObjectMeta, PutTarget, Store,
    StoreConfig, StoreError, UploadId,
};

/// Real file systems let root write anywhere, so what the tests do as root they do as `nobody`, in
/// a process of its own.
const NOBODY: u32 = 65_534;

fn chunking() -> Chunking {
    Chunking::fixed(16).expect("a valid size")
}

fn open(folder: &Path) -> Store {
    let local = LocalStore::open(folder, &LocalConfig::default()).expect("it can be read");
    let config = StoreConfig {
        chunking: chunking(),
        workers: 1,
        buffers: 2,
        ingests: 1,
        buffer_bytes: 64,
        read_ahead_max: 1,
        commit_queue_bytes: 1 << 16,
    };
    Store::new(local.records, local.segments, config).expect("a thread can be started")
}

fn bucket() -> BucketName {
    BucketName::new("walls").expect("a good name")
}

fn key() -> Key {
    Key::new("wall").expect("a good key")
}

#[test]
fn only_the_owner_may_read_the_records() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let store = folder.path().join("new/store");
    LocalStore::init(&store, chunking()).expect("it is new");
    let open = open(&store);
    open.create_bucket(&bucket()).expect("it can be written");
    for entry in fs::read_dir(&store).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        if entry.file_name().to_string_lossy().starts_with("records.db") {
            let mode = entry.metadata().expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
        }
    }
}

/// Called in a process that may write nothing; see below.
fn read_everything(folder: &Path) {
    let records =
        LocalStore::open(folder, &LocalConfig::default()).expect("it can be read").records;
    let refused =
        records.create_bucket(&NewBucket::named(BucketName::new("stones").expect("a good name")));
    let Err(StoreError::Records { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("cannot be written"), "{source}");
    let store = open(folder);
    let mut found = Vec::new();
    let mut reader = store.get(&bucket(), &key(), None).expect("it was put");
    reader.copy_to(&mut found).expect("it is whole").expect("a vector takes everything");
    assert_eq!(found, b"a stone, and another stone");
    assert_eq!(store.totals().expect("it can be read").objects, 1);
}

#[test]
fn a_store_that_cannot_be_written_to_is_read() {
    if let Some(folder) = std::env::var_os("DRYSTONE_TEST_READ_ONLY") {
        return read_everything(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // A name that means something in a URI.
    let path = folder.path().join("a store?100%#1");
    LocalStore::init(&path, chunking()).expect("it is new");
    let store = open(&path);
    store.create_bucket(&bucket()).expect("it can be written");
    let target = PutTarget {
        bucket: bucket(),
        key: key(),
        meta: ObjectMeta::default(),
        condition: Condition::Always,
    };
    let mut ingest = store.ingest(60_000).expect("the store is open");
    ingest.put_now(target, &mut &b"a stone, and another stone"[..]).expect("it can be written");
    drop(ingest);
    drop(store);
    assert!(!path.join("records.db-wal").exists(), "a closed store has no log");
    set_modes(folder.path(), 0o555, 0o444);

    let done = again_as_nobody(
        "a_store_that_cannot_be_written_to_is_read",
        "DRYSTONE_TEST_READ_ONLY",
        &path,
    );
    // Else it cannot be removed.
    set_modes(folder.path(), 0o755, 0o644);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(!path.join("records.db-wal").exists() && !path.join("records.db-shm").exists());
}

/// Called in a process that may write nothing; see below.
fn read_an_old_one(folder: &Path) {
    let store = open(folder);
    let walls = store.bucket(&bucket()).expect("it can be read").expect("it was made");
    // Version 1 had no regions, and remembered no parts.
    let is_first = folder.ends_with("version-1");
    let (region, parts) = if is_first { (None, 0) } else { (Some("eu-west-1"), 2) };
    assert_eq!((walls.public, walls.region.as_deref()), (false, region));
    assert_eq!(store.buckets(None, 9).expect("it can be read").len(), 2);
    let mut found = Vec::new();
    let mut reader = store.get(&bucket(), &key(), None).expect("it was put");
    reader.copy_to(&mut found).expect("it is whole").expect("a vector takes everything");
    assert_eq!(found, b"a stone, and another stone");
    let tower = Key::new("tower").expect("a good key");
    let tower = store.stat(&bucket(), &tower).expect("it was put");
    let found = store.object_parts(&tower, UploadId(1), 0, 9).expect("it can be read");
    assert_eq!(found.total, parts);
    assert!(store.key("mason").expect("it can be read").is_some());
    let refused = store.create_bucket(&BucketName::new("stones").expect("a good name"));
    let Err(StoreError::Records { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("cannot be written"), "{source}");
}

#[test]
fn a_store_of_an_earlier_version_that_cannot_be_written_to_is_read() {
    if let Some(folder) = std::env::var_os("DRYSTONE_TEST_OLD_READ_ONLY") {
        return read_an_old_one(Path::new(&folder));
    }
    ["version-1", "version-2", "version-3"].into_iter().for_each(check_read_as_it_is);
}

fn check_read_as_it_is(version: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version);
    let path = folder.path().join(version);
    for file in ["drystone.toml", "records.db", "segments/01/0000000000000001"] {
        let copy = path.join(file);
        fs::create_dir_all(copy.parent().expect("it is in a folder")).expect("it is ours");
        fs::copy(kept.join(file), copy).expect("there is room for a copy");
    }
    let before = fs::read(path.join("records.db")).expect("it is ours");
    set_modes(folder.path(), 0o555, 0o444);
    let done = again_as_nobody(
        "a_store_of_an_earlier_version_that_cannot_be_written_to_is_read",
        "DRYSTONE_TEST_OLD_READ_ONLY",
        &path,
    );
    set_modes(folder.path(), 0o755, 0o644);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(fs::read(path.join("records.db")).expect("it is ours") == before, "it was changed");
}

/// Runs one of the tests here again, with a folder in a variable, and not as root.
fn again_as_nobody(name: &str, variable: &str, folder: &Path) -> std::process::Output {
    let me = std::env::current_exe().expect("it runs");
    let program = copy_for_all(&me);
    let mut test = std::process::Command::new(program.path().join("program"));
    test.args(["--exact", name]).env(variable, folder);
    if rustix::process::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut test, NOBODY);
    }
    test.output().expect("this test can be run again")
}

#[test]
fn a_store_can_be_made_in_a_folder_of_a_folder_that_cannot_be_listed() {
    if let Some(folder) = std::env::var_os("DRYSTONE_TEST_UNLISTED") {
        return LocalStore::init(Path::new(&folder), chunking()).expect("it is empty");
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("home");
    fs::create_dir(&path).expect("it is new");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(&path, 0o777).expect("it is ours");
    mode(folder.path(), 0o311).expect("it is ours");
    let done = again_as_nobody(
        "a_store_can_be_made_in_a_folder_of_a_folder_that_cannot_be_listed",
        "DRYSTONE_TEST_UNLISTED",
        &path,
    );
    mode(folder.path(), 0o755).expect("it is ours");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(path.join("drystone.toml").exists());
}

/// Sets the modes of everything below `folder`: every user may read and none may write, or the
/// owner may write again.
fn set_modes(folder: &Path, folders: u32, files: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(folders)).expect("it is ours");
    for entry in fs::read_dir(folder).expect("it is ours") {
        let path = entry.expect("it is ours").path();
        if path.is_dir() {
            set_modes(&path, folders, files);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(files)).expect("it is ours");
        }
    }
}

/// A folder with a copy of this program, `program`, that every user may run: the one that cargo
/// made may lie in a folder of root's.
fn copy_for_all(program: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let copy = folder.path().join("program");
    fs::copy(program, &copy).expect("there is room for a copy");
    for path in [folder.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    folder
}
