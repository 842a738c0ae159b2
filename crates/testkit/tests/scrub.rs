//! Scrub, repair and check over the backend in memory, with damage on its disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::atomic::{AtomicBool, Ordering};

use drystone_appender::Appender;
use drystone_chunker::{ChunkId, Chunking};
use drystone_store::{
    Appended, BadChunk, BucketName, ChunkRef, CollectOptions, Completion, Condition, CopySource,
    Finding, Key, Location, NamedPart, ObjectMeta, Pace, PartTarget, PutTarget, Records, ScrubAsk,
    ScrubCounts, SegmentId, SegmentStorage, Settled, Store, StoreConfig, StoreError, SyncPolicy,
    Target,
};
use drystone_sync::PlainArc;
use drystone_testkit::memory::{Fault, FaultPlan, Io, Memory, MemoryConfig};
use drystone_testkit::noise::Noise;

const CHUNK: usize = 16;
/// Longer than any test takes, in milliseconds.
const LEASE_MS: u64 = 3_600_000;
const ALL: ScrubAsk = ScrubAsk { since_ms: None, restart: false };

/// A machine with small segments.
fn machine() -> Memory {
    Memory::new(MemoryConfig { sync: SyncPolicy::Commit, segment_bytes_max: 1000 })
}

fn open(memory: &Memory) -> Store {
    let (records, segments) = memory.open();
    store_of(records, segments)
}

fn store_of(records: PlainArc<dyn Records>, segments: PlainArc<dyn SegmentStorage>) -> Store {
    let config = StoreConfig {
        chunking: Chunking::fixed(CHUNK as u64).unwrap(),
        workers: 2,
        buffers: 4,
        ingests: 2,
        buffer_bytes: 100,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    };
    let store = Store::new(records, segments, config).unwrap();
    store.create_bucket(&bucket()).unwrap();
    store
}

fn bucket() -> BucketName {
    BucketName::new("wall").unwrap()
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn put_as(store: &Store, target: impl Into<Target>, bytes: &[u8]) {
    let mut ingest = store.ingest(LEASE_MS).unwrap();
    let pending = ingest.put(target, None, &mut &bytes[..]).unwrap();
    drop(ingest);
    pending.join().unwrap();
}

fn put(store: &Store, name: &str, bytes: &[u8]) {
    let (meta, condition) = (ObjectMeta::default(), Condition::Always);
    put_as(store, PutTarget { bucket: bucket(), key: key(name), meta, condition }, bytes);
}

fn get(store: &Store, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = store.get(&bucket(), &key(name), None).unwrap().copy_to(&mut bytes);
    read.is_ok().then_some(bytes)
}

/// The `nth` chunk of some bytes.
fn chunk(bytes: &[u8], nth: usize) -> ChunkId {
    ChunkId::of(bytes.chunks(CHUNK).nth(nth).unwrap())
}

/// Scrubs to the end.
fn scrub(store: &Store, ask: &ScrubAsk) -> (ScrubCounts, Vec<BadChunk>) {
    let mut scrub = store.scrub(ask).unwrap();
    let mut bad = Vec::new();
    while let Some(found) = scrub.step().unwrap() {
        bad.extend(found);
    }
    (scrub.round().counts, bad)
}

/// What a bad chunk is in, as text.
fn affected(store: &Store, bad: &BadChunk) -> Vec<String> {
    let mut named = Vec::new();
    let mut each = |affected: &drystone_store::Affected| {
        let part =
            affected.owner.part.map_or(String::new(), |(_, number)| format!(" part {number}"));
        named.push(format!("{}{part} at {}", affected.owner.key, affected.offset));
    };
    store.affected(&bad.chunk, &mut each).unwrap();
    named
}

#[test]
fn every_chunk_is_read_and_every_bad_one_found() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(5000));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let (counts, bad) = scrub(&store, &ALL);
    assert_eq!((counts.chunks, counts.bytes, bad.len()), (313, 5000, 0));
    // Neighbours in one read, one at its end, and the last one, which is shorter.
    for nth in [0, 1, 100, 311, 312] {
        assert!(memory.damage(&chunk(&bytes, nth)));
    }
    let (counts, bad) = scrub(&store, &ALL);
    assert_eq!((counts.chunks, counts.bytes, counts.bad), (313, 5000, 5));
    let mut named: Vec<_> = bad.iter().flat_map(|bad| affected(&store, bad)).collect();
    named.sort();
    assert_eq!(named, ["a at 0", "a at 16", "a at 1600", "a at 4976", "a at 4992"]);
    assert!(bad.iter().all(|bad| bad.detail.contains("hash to")), "{bad:?}");
    for nth in [0, 1, 100, 311, 312] {
        assert!(memory.damaged_ms(&chunk(&bytes, nth)).is_some(), "{nth} is not marked");
    }
    assert!(memory.damaged_ms(&chunk(&bytes, 2)).is_none());
    memory.verify();
}

#[test]
fn a_mark_goes_when_the_chunk_is_well_again_and_keeps_its_time_until_then() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(100));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let id = chunk(&bytes, 3);
    memory.damage(&id);
    scrub(&store, &ALL);
    let since = memory.damaged_ms(&id).unwrap();
    memory.pass_ms(1000);
    assert_eq!(scrub(&store, &ALL).0.bad, 1);
    assert_eq!(memory.damaged_ms(&id), Some(since));
    // Its bits are flipped back.
    memory.damage(&id);
    let (counts, bad) = scrub(&store, &ALL);
    assert_eq!((counts.well_again, counts.bad, bad.len()), (1, 0, 0));
    assert_eq!(memory.damaged_ms(&id), None);
}

#[test]
fn a_later_put_of_the_same_bytes_heals_what_is_marked() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(500));
    let store = open(&memory);
    put(&store, "a", &bytes);
    memory.damage(&chunk(&bytes, 7));
    // Not marked yet: a put relies on it.
    put(&store, "b", &bytes);
    assert_eq!((get(&store, "a"), get(&store, "b")), (None, None));
    scrub(&store, &ALL);
    let before = store.put_stats().new_chunks;
    put(&store, "c", &bytes);
    assert_eq!(store.put_stats().new_chunks - before, 1, "only the bad one is written again");
    for name in ["a", "b", "c"] {
        assert!(get(&store, name).as_ref() == Some(&bytes), "{name}");
    }
    assert_eq!(memory.damaged_ms(&chunk(&bytes, 7)), None);
    assert_eq!(scrub(&store, &ALL).0.bad, 0);
    memory.verify();
}

#[test]
fn an_interrupted_scrub_goes_on_where_it_was() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(40_000));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let mut first = store.scrub(&ALL).unwrap();
    first.step().unwrap();
    let done = first.round().counts.chunks;
    assert!(done > 0 && done < 2500, "{done}");
    first.save().unwrap();
    // A part that was not saved is done again.
    first.step().unwrap();
    drop(first);
    let again = open(&memory);
    let second = again.scrub(&ALL).unwrap();
    assert_eq!(second.round().counts.chunks, done);
    drop(second);
    let (counts, _) = scrub(&again, &ALL);
    assert_eq!((counts.chunks, counts.bytes), (2500, 40_000));
    // That one has ended, so the next begins anew.
    assert_eq!(again.scrub(&ALL).unwrap().round().counts, ScrubCounts::default());
}

#[test]
fn a_restart_and_a_scrub_of_everything_begin_anew() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(40_000));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let begin = |ask: &ScrubAsk| store.scrub(ask).unwrap();
    let step = |mut scrub: drystone_store::Scrub| {
        scrub.step().unwrap();
        scrub.save().unwrap();
        scrub.round().id
    };
    let since = ScrubAsk { since_ms: Some(1000), restart: false };
    let full = step(begin(&ALL));
    assert_eq!(begin(&since).round().id, full, "it reads more than was asked for");
    let partial = step(begin(&ScrubAsk { restart: true, ..since }));
    assert_ne!(partial, full);
    assert_eq!(begin(&since).round().id, partial);
    assert_ne!(begin(&ALL).round().id, partial, "it would leave chunks out");
}

#[test]
fn what_was_verified_lately_is_left_out() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(5000));
    let store = open(&memory);
    let lately = ScrubAsk { since_ms: Some(10_000), restart: false };
    put(&store, "a", &bytes);
    assert_eq!(scrub(&store, &lately).0.chunks, 313, "nothing was ever verified");
    assert_eq!(scrub(&store, &lately).0.chunks, 0);
    let more = Noise::new(2).bytes(48);
    put(&store, "b", &more);
    assert_eq!(scrub(&store, &lately).0.chunks, 3, "what is new was never verified");
    memory.pass_ms(20_000);
    assert_eq!(scrub(&store, &lately).0.chunks, 316);
    // What is marked is always read.
    memory.damage(&chunk(&bytes, 9));
    assert_eq!(scrub(&store, &lately).0.bad, 0);
    assert_eq!(scrub(&store, &ALL).0.bad, 1);
    let (counts, _) = scrub(&store, &lately);
    assert_eq!((counts.chunks, counts.bad), (1, 1));
}

#[test]
fn everything_that_a_bad_chunk_is_in_is_named() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(320));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let meta = ObjectMeta::default();
    // A copy, a part of a range, a part that was put, and an object put together from ranges.
    let source = CopySource { bucket: bucket(), key: key("a"), content: None };
    let copy = drystone_store::CopyTarget {
        bucket: bucket(),
        key: key("copy"),
        meta: Some(meta.clone()),
        modified_ns: None,
        condition: Condition::Always,
    };
    store.copy(&source, &copy).unwrap();
    let target = |upload, number| PartTarget { upload, number, system: Default::default() };
    let unfinished = store.create_upload(&bucket(), &key("unfinished"), &meta).unwrap().id;
    store.copy_part(&source, Some(40..300), &target(unfinished, 3)).unwrap();
    put_as(&store, target(unfinished, 4), &bytes[32..]);
    let upload = store.create_upload(&bucket(), &key("made"), &meta).unwrap().id;
    let parts: Vec<NamedPart> = [0..100, 90..320, 64..80, 100..320]
        .into_iter()
        .zip(1..)
        .map(|(range, number)| {
            let part = store.copy_part(&source, Some(range), &target(upload, number)).unwrap();
            NamedPart { number, content: Some(part.content), ..NamedPart::default() }
        })
        .collect();
    let completion = Completion { parts, ..Completion::default() };
    store.complete_upload(upload, &completion).unwrap();
    // Bytes 80 to 96.
    memory.damage(&chunk(&bytes, 5));
    let (_, bad) = scrub(&store, &ALL);
    assert_eq!(bad.len(), 1);
    let mut named = affected(&store, &bad[0]);
    named.sort();
    let expected = [
        "a at 80",
        "copy at 80",
        "made at 100",
        "made at 80",
        "unfinished part 3 at 40",
        "unfinished part 4 at 48",
    ];
    assert_eq!(named, expected);
}

/// Segments of which one is rewritten just before something is read.
struct MovedBeforeTheRead {
    inner: PlainArc<Appender>,
    memory: Memory,
    is_due: AtomicBool,
}

impl SegmentStorage for MovedBeforeTheRead {
    fn append(&self, parts: &[&[u8]]) -> Result<Appended, StoreError> {
        self.inner.append(parts)
    }

    fn settle(&self, segments: &[SegmentId]) -> Vec<Result<Settled, StoreError>> {
        self.inner.settle(segments)
    }

    fn read(&self, at: Location, into: &mut [u8]) -> Result<(), StoreError> {
        if self.is_due.swap(false, Ordering::Relaxed) {
            let options = CollectOptions {
                dry_run: false,
                full: false,
                despite_damage: false,
                dead_percent_max: 0,
                lease_ms: 1000,
            };
            let collected = open(&self.memory).collect(options, &mut |_, _| Pace::DoNotWait);
            assert_eq!(collected.unwrap().rewritten, 1);
        }
        self.inner.read(at, into)
    }

    fn remove(&self, segment: SegmentId) -> Result<(), StoreError> {
        self.inner.remove(segment)
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>, StoreError> {
        self.inner.list(after, limit)
    }
}

#[test]
fn a_chunk_that_a_collect_moved_is_not_bad() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(400));
    let store = open(&memory);
    put(&store, "b", &Noise::new(2).bytes(400));
    put(&store, "a", &bytes);
    assert!(store.delete(&bucket(), &key("b")).unwrap());
    drop(store);
    let (records, inner) = memory.open();
    let is_due = AtomicBool::new(true);
    let segments = MovedBeforeTheRead { inner, memory, is_due };
    let store = store_of(records, PlainArc::new(segments));
    let (counts, bad) = scrub(&store, &ALL);
    // Those of the other object may have gone before they were looked at.
    assert!(counts.chunks >= 25 && bad.is_empty(), "{counts:?} {bad:?}");
}

#[test]
fn a_read_that_goes_wrong_once_is_not_damage() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(400));
    let store = open(&memory);
    put(&store, "a", &bytes);
    memory.arm(FaultPlan { io: Some(Io::Read), after: 0, fault: Fault::Garble });
    assert_eq!(scrub(&store, &ALL).0.bad, 0);
    assert_eq!(memory.faults_fired(), 1);
}

#[test]
fn a_failing_machine_is_not_taken_for_bad_chunks() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(400));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let kind = std::io::ErrorKind::PermissionDenied;
    let fails = FaultPlan { io: Some(Io::Read), after: 0, fault: Fault::Fail(kind) };
    // The read of a run fails, and that of its first chunk.
    memory.arm_all(&[fails, fails]);
    let failed = store.scrub(&ALL).unwrap().step();
    assert!(failed.is_err(), "{failed:?}");
    assert!(store.damaged(ChunkRef(0), 9).unwrap().is_empty());
    assert_eq!(scrub(&store, &ALL).0.bad, 0);
}

#[test]
fn a_lost_segment_stops_nothing() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(4000));
    let store = open(&memory);
    put(&store, "a", &bytes);
    memory.lose_segments();
    let (counts, bad) = scrub(&store, &ALL);
    assert_eq!((counts.chunks, counts.bad), (250, 250));
    assert!(bad.iter().all(|bad| bad.detail == "the segment is missing"), "{bad:?}");
    assert_eq!(store.damaged(ChunkRef(0), 1000).unwrap().len(), 250);
    // The process that had them open would notice.
    drop(store);
    let store = open(&memory);
    put(&store, "b", &bytes);
    assert!(get(&store, "a") == Some(bytes), "a put of the same bytes heals all of it");
}

#[test]
fn a_file_heals_the_chunks_that_are_in_it() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(5000));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let other = Noise::new(2).bytes(160);
    put(&store, "b", &other);
    [3, 4, 200].iter().for_each(|nth| assert!(memory.damage(&chunk(&bytes, *nth))));
    memory.damage(&chunk(&other, 2));
    scrub(&store, &ALL);
    let (chunks, room) = (store.totals().unwrap().chunks, memory.segment_bytes());
    let healed =
        store.healer(LEASE_MS).unwrap().from_reader(&mut &bytes[..], &mut |_| true).unwrap();
    assert_eq!(healed.unwrap(), 3);
    assert!(get(&store, "a") == Some(bytes));
    assert_eq!(store.damaged(ChunkRef(0), 9).unwrap().len(), 1, "one stays bad");
    assert_eq!(store.totals().unwrap().chunks, chunks, "what is not damaged is not stored");
    assert_eq!(memory.segment_bytes() - room, 48);
    assert_eq!(memory.pending_manifests(), 0);
    memory.verify();
}

#[test]
fn another_store_heals_what_is_whole_there() {
    let (memory, backup) = (machine(), machine());
    let bytes = Noise::new(1).bytes(5000);
    let (store, other) = (open(&memory), open(&backup));
    put(&store, "a", &bytes);
    put(&other, "z", &bytes[..4000]);
    [3, 4, 200, 300].iter().for_each(|nth| assert!(memory.damage(&chunk(&bytes, *nth))));
    // Bad there too, and missing there.
    backup.damage(&chunk(&bytes, 4));
    scrub(&store, &ALL);
    let healed = store.healer(LEASE_MS).unwrap().from_store(&other, &mut |_| true).unwrap();
    assert_eq!(healed, 2);
    let left: Vec<_> = store.damaged(ChunkRef(0), 9).unwrap();
    let left: Vec<_> = left.iter().filter_map(|chunk| chunk.name).map(|(id, _)| id).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&chunk(&bytes, 4)) && left.contains(&chunk(&bytes, 300)));
    memory.verify();
}

#[test]
fn a_check_finds_what_is_missing_and_what_is_left_over() {
    let (memory, bytes) = (machine(), Noise::new(1).bytes(5000));
    let store = open(&memory);
    put(&store, "a", &bytes);
    let check = || {
        let mut check = store.check();
        let mut found = Vec::new();
        while let Some(more) = check.step().unwrap() {
            found.extend(more);
        }
        found
    };
    assert_eq!(check(), []);
    // One that no row tells of: a collect that was killed before it removed the segment.
    let lost = memory.forget_first_segment();
    let found = check();
    assert!(found.contains(&Finding::Leftover(lost)), "{found:?}");
    assert!(found.contains(&Finding::SegmentUnknown(lost)), "{found:?}");
    assert!(!Finding::Leftover(lost).is_damage());
    memory.lose_segments();
    let found = check();
    let missing = found.iter().filter(|found| matches!(found, Finding::SegmentMissing(_)));
    assert!(missing.count() > 2, "{found:?}");
}
