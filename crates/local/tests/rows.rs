//! What a store over files holds, counted from outside: threads and descriptors as the kernel lists
//! them. Each is driven to the number that it was given, and is never seen past it.
//!
//! One test: it counts those of the whole process.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use drystone_chunker::Chunking;
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{
    BucketName, Condition, Ingest, Key, ObjectMeta, PutTarget, Store, StoreConfig, SyncPolicy,
};

const WORKERS: usize = 2;
const INGESTS: usize = 2;
const READERS: usize = 2;
const SEGMENT_READERS: usize = 3;
/// Three descriptors for each connection, the writing one included, and the one of the database
/// file.
const DATABASE: usize = 3 * (READERS + 1) + 1;
const CHUNK_BYTES: usize = 4096;
const OBJECTS: usize = 24;
/// Long after any machine has come to it.
const DEADLINE: Duration = Duration::from_secs(60);

fn open(folder: &Path) -> Store {
    LocalStore::init(folder, Chunking::fixed(CHUNK_BYTES as u64).unwrap()).unwrap();
    let config = LocalConfig {
        sync: SyncPolicy::Never,
        readers: READERS,
        segment_readers: SEGMENT_READERS,
        // Four objects fill one.
        segment_bytes_max: 8 * CHUNK_BYTES as u64,
        ..LocalConfig::default()
    };
    let local = LocalStore::open(folder, &config).unwrap();
    let config = StoreConfig {
        chunking: local.chunking,
        workers: WORKERS,
        buffers: 2 * INGESTS,
        ingests: INGESTS,
        buffer_bytes: 4 * CHUNK_BYTES,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    };
    let store = Store::new(local.records, local.segments, config).unwrap();
    store.create_bucket(&bucket()).unwrap();
    store
}

fn bucket() -> BucketName {
    BucketName::new("walls").unwrap()
}

fn key(number: usize) -> Key {
    Key::new(number.to_string()).unwrap()
}

/// Two chunks that no other object has.
fn put(ingest: &mut Ingest, number: usize) {
    let mut bytes = vec![0; 2 * CHUNK_BYTES];
    bytes[0] = 1;
    bytes[1..9].copy_from_slice(&(number as u64).to_le_bytes());
    bytes[CHUNK_BYTES..CHUNK_BYTES + 8].copy_from_slice(&(number as u64).to_le_bytes());
    let target = PutTarget {
        bucket: bucket(),
        key: key(number),
        meta: ObjectMeta::default(),
        condition: Condition::Always,
    };
    ingest.put_now(target, &mut &bytes[..]).unwrap();
}

fn threads(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

/// A thread names itself when it begins, and is listed for a moment after it has ended.
#[track_caller]
fn assert_threads(name: &str, expected: usize) {
    let begun = Instant::now();
    while threads(name) != expected && begun.elapsed() < DEADLINE {
        thread::yield_now();
    }
    assert_eq!(threads(name), expected, "{name}");
}

/// The files below `folder` that are open. Looked at until two looks in a row agree: what is closed
/// and opened during one look may be in it twice.
fn open_files(folder: &Path) -> BTreeSet<(usize, PathBuf)> {
    let look = || -> BTreeSet<(usize, PathBuf)> {
        let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            let file = fs::read_link(&path).ok()?;
            (file.starts_with(folder) && !file.is_dir()).then_some((number, file))
        });
        open.collect()
    };
    let mut before = look();
    loop {
        let now = look();
        if now == before {
            return now;
        }
        before = now;
    }
}

/// How many files of the database are open, and how many segments.
fn files(folder: &Path) -> (usize, usize) {
    let open = open_files(folder);
    let segments = open.iter().filter(|(_, file)| file.starts_with(folder.join("segments")));
    let segments = segments.count();
    (open.len() - segments, segments)
}

/// Does `work` on so many threads, again and again, until `segments` are open at a time; none of
/// the ceilings is passed meanwhile.
fn until_open(folder: &Path, segments: usize, workers: usize, work: impl Fn(usize) + Sync) {
    let is_over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        for worker in 0..workers {
            let (work, is_over) = (&work, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    work(worker);
                }
            });
        }
        let begun = Instant::now();
        let mut most = (0, 0);
        while most.1 < segments && begun.elapsed() < DEADLINE {
            let (database, segments) = files(folder);
            most = (most.0.max(database), most.1.max(segments));
        }
        // A while longer: now more would be wanted.
        for _ in 0..50 {
            let (database, segments) = files(folder);
            most = (most.0.max(database), most.1.max(segments));
        }
        is_over.store(true, Ordering::Relaxed);
        most
    });
    assert!(seen.0 <= DATABASE, "{} files of the database, {DATABASE} are planned", seen.0);
    assert_eq!(seen.1, segments, "segments open at a time");
}

#[test]
fn every_ceiling_is_reached_and_none_is_passed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let store = open(&folder);
    assert_threads("drystone-worker", WORKERS);
    assert_threads("drystone-cutter", 0);

    // A cutter for each ingest; one more ingest waits, and has none.
    let mut held = [(); INGESTS].map(|()| store.ingest(60_000).unwrap());
    assert_threads("drystone-cutter", INGESTS);
    let other = store.clone();
    let waits = thread::spawn(move || drop(other.ingest(60_000).unwrap()));
    let begun = Instant::now();
    while store.usage().ingests.waits == 0 {
        assert!(begun.elapsed() < DEADLINE, "an ingest past the ceiling did not wait");
        thread::yield_now();
    }
    assert_threads("drystone-cutter", INGESTS);
    let [first, _second] = &mut held;
    for number in 0..OBJECTS {
        put(first, number);
    }
    drop(held);
    waits.join().unwrap();
    assert_threads("drystone-cutter", 0);

    // Each worker appends to a segment of its own, and no segment is being read.
    let next = AtomicUsize::new(OBJECTS);
    until_open(&folder, WORKERS, INGESTS, |_| {
        let mut ingest = store.ingest(60_000).unwrap();
        (0..8).for_each(|_| put(&mut ingest, next.fetch_add(1, Ordering::Relaxed)));
    });
    assert_eq!(store.usage().ingests.high_water, INGESTS);

    // More threads read than segments may be open, of more segments. A worker whose segment was
    // full has none at the moment.
    let (_, writing) = files(&folder);
    assert!((1..=WORKERS).contains(&writing), "{writing}");
    until_open(&folder, writing + SEGMENT_READERS, 4, |worker| {
        for number in 0..OBJECTS {
            let number = (number + 6 * worker) % OBJECTS;
            let mut reader = store.get(&bucket(), &key(number), None).unwrap();
            while reader.next_slice().unwrap().is_some() {}
        }
    });
    assert_threads("drystone-worker", WORKERS);
    let buffers = store.usage().buffers;
    assert_eq!((buffers.high_water, buffers.now), (2 * INGESTS, 0), "buffers");
    drop(store);
    assert_threads("drystone-worker", 0);
    assert_eq!(files(&folder), (0, 0));
}
