//! What another process does between two calls of an operation.
//!
//! Much of a store looks first and acts later: it asks for an object and then for its rows, finds a
//! chunk and names it in a commit, reads before it takes the lock to write. [`check`] runs pairs of
//! operations. The second one happens, whole, between the first and the second call that the first
//! one makes to its records, then between the second and the third, and so on to the last. What
//! both answer, and what is in the store afterwards, must be as if one of them had come after the
//! other: what that is, the backend in memory says.

use std::fmt::Write as _;
use std::ops::{Bound, Range};

use drystone_chunker::{ChunkId, Chunking};
use drystone_store::{
    BucketName, BucketRecords, BucketRow, CheckRecords, ChunkMove, ChunkRecords, ChunkRef,
    CollectRecords, CommitBatch, CommitResult, Completion, CondemnedTotals, Condition, CopySource,
    CopyTarget, Epoch, Epochs, Key, KeyRecords, KeyRow, KnownChunk, ManifestId, ManifestRow,
    NamedPart, NewBucket, NewKey, ObjectMeta, ObjectParts, ObjectRecords, ObjectRow, ObjectVersion,
    Owner, PartRow, PartTarget, PinRecords, PlacedChunk, PutFailure, PutTarget, Records, Result,
    ScanFrom, ScrubAsk, ScrubNote, ScrubPlace, ScrubRecords, ScrubRound, SegmentFacts, SegmentId,
    SegmentLen, SegmentRecords, SegmentRow, Session, SessionId, SessionRecords, SliceOf, Store,
    StoreConfig, StoreError, StoredChunk, SweepFrom, Swept, SyncPolicy, Target, Totals, UploadId,
    UploadRecords, UploadRow,
};
use drystone_sync::{Mutex, PlainArc};

use crate::conformance::{Fixture, Opened};
use crate::memory::{Memory, MemoryConfig};

/// Chunks of the store under test, in bytes.
const CHUNK_BYTES: u64 = 4;
/// No operation makes so many calls: it would hang.
const CALLS_MAX: usize = 100;

/// How a fixture must cut, and when it must sync.
pub fn chunking() -> Chunking {
    Chunking::fixed(CHUNK_BYTES).expect("a valid size")
}

/// Records that let something else happen before one of their calls.
struct Between {
    inner: PlainArc<dyn Records>,
    turn: Mutex<Turn>,
}

struct Turn {
    /// Calls until it is time.
    left: usize,
    act: Option<Box<dyn FnOnce() + Send>>,
}

impl Between {
    fn new(inner: PlainArc<dyn Records>) -> Self {
        Self { inner, turn: Mutex::new(Turn { left: 0, act: None }) }
    }

    fn arm(&self, calls: usize, act: impl FnOnce() + Send + 'static) {
        *self.turn.lock() = Turn { left: calls, act: Some(Box::new(act)) };
    }

    fn is_armed(&self) -> bool {
        self.turn.lock().act.is_some()
    }

    fn inner(&self) -> &dyn Records {
        // Other threads of the store wait here until what comes between is over.
        let mut turn = self.turn.lock();
        if turn.left == 0 {
            if let Some(act) = turn.act.take() {
                act();
            }
        } else {
            turn.left -= 1;
        }
        drop(turn);
        &*self.inner
    }
}

/// Passes every call on.
macro_rules! pass_on {
    ($($role:ident { $(fn $name:ident($($arg:ident: $of:ty),*) -> $out:ty;)* })*) => {$(
        impl $role for Between {
            $(fn $name(&self, $($arg: $of),*) -> Result<$out> {
                self.inner().$name($($arg),*)
            })*
        }
    )*};
}

pass_on! {
    SessionRecords {
        fn begin_session(lease_ms: u64) -> Session;
        fn extend_session(session: SessionId, lease_ms: u64) -> ();
        fn end_session(session: SessionId) -> ();
        fn take_back(session: SessionId, manifest: Option<ManifestId>, limit: usize) -> bool;
        fn expire_sessions() -> u64;
        fn commit(batch: &CommitBatch<'_>) -> Vec<CommitResult>;
    }
    ChunkRecords {
        fn find_chunks(ids: &[ChunkId]) -> Vec<Option<KnownChunk>>;
        fn revive_chunks(session: SessionId, chunks: &[ChunkRef]) -> Vec<bool>;
    }
    SegmentRecords {
        fn create_segment() -> SegmentId;
        fn forget_segment(segment: SegmentId) -> ();
        fn unsealed_segments(limit: usize) -> Vec<SegmentId>;
        fn segment_len(segment: SegmentId) -> Option<SegmentLen>;
    }
    BucketRecords {
        fn create_bucket(bucket: &NewBucket) -> bool;
        fn bucket(bucket: &BucketName) -> Option<BucketRow>;
        fn buckets(after: Option<&BucketName>, limit: usize) -> Vec<BucketRow>;
        fn set_bucket_public(bucket: &BucketName, public: bool) -> ();
        fn delete_bucket(bucket: &BucketName) -> ();
    }
    ObjectRecords {
        fn object(bucket: &BucketName, key: &Key) -> Option<ObjectRow>;
        fn set_property(bucket: &BucketName, key: &Key, name: &str, value: Option<&str>) -> ();
        fn list(bucket: &BucketName, prefix: &str, from: Bound<&str>, limit: usize)
            -> Vec<ObjectRow>;
        fn manifest_page(manifest: ManifestId, from: u64, limit: usize) -> Vec<ManifestRow>;
        fn object_to_read(bucket: &BucketName, key: &Key, limit: usize)
            -> Option<(ObjectRow, Vec<ManifestRow>)>;
        fn delete(bucket: &BucketName, key: &Key, condition: Condition) -> bool;
        fn delete_many(bucket: &BucketName, objects: &[(Key, Condition)]) -> Vec<Result<bool>>;
        fn copy(source: &CopySource, target: &CopyTarget) -> ObjectRow;
        fn totals() -> Totals;
    }
    UploadRecords {
        fn create_upload(bucket: &BucketName, key: &Key, meta: &ObjectMeta) -> UploadRow;
        fn upload(upload: UploadId) -> Option<UploadRow>;
        fn uploads(
            bucket: &BucketName,
            prefix: &str,
            after: Option<(&str, UploadId)>,
            limit: usize
        ) -> Vec<UploadRow>;
        fn parts(upload: UploadId, after: u32, limit: usize) -> Vec<PartRow>;
        fn copy_part(source: &CopySource, range: Option<Range<u64>>, target: &PartTarget)
            -> PartRow;
        fn abort_upload(upload: UploadId) -> bool;
        fn complete_upload(upload: UploadId, completion: &Completion) -> ObjectRow;
        fn object_parts(manifest: ManifestId, upload: UploadId, after: u32, limit: usize)
            -> ObjectParts;
    }
    KeyRecords {
        fn put_key(key: &NewKey) -> ();
        fn key(access: &str) -> Option<KeyRow>;
        fn keys(after: Option<&str>, limit: usize) -> Vec<KeyRow>;
        fn revoke_key(access: &str) -> bool;
    }
    PinRecords {
        fn begin_reading(lease_ms: u64) -> Session;
        fn epoch() -> Epoch;
        fn pin_manifests(
            session: SessionId,
            epoch: Epoch,
            lease_ms: u64,
            manifests: &[ManifestId]
        ) -> ();
        fn is_pinned(manifest: ManifestId) -> bool;
    }
    CollectRecords {
        fn advance_epoch() -> Epoch;
        fn epochs() -> Epochs;
        fn condemn_left(limit: usize) -> bool;
        fn condemn_unreferenced(from: ScanFrom, limit: usize) -> Option<ScanFrom>;
        fn is_scanned() -> bool;
        fn note_scanned() -> ();
        fn condemned() -> CondemnedTotals;
        fn sweep_manifests(upto: Epoch, after: SweepFrom, limit: usize) -> Swept;
        fn sweep_chunks(upto: Epoch, after: SweepFrom, limit: usize) -> Swept;
        fn segments(after: Option<SegmentId>, limit: usize) -> Vec<SegmentRow>;
        fn wasteful_segments(dead_bytes: u64, limit: usize) -> Vec<SegmentRow>;
        fn chunks_in(segment: SegmentId, after: Option<ChunkRef>, limit: usize)
            -> Vec<StoredChunk>;
        fn move_chunks(session: SessionId, moves: &[ChunkMove], segments: &[SegmentLen]) -> u64;
        fn condemn_segments() -> u64;
        fn condemned_segments(upto: Epoch, after: Option<SegmentId>, limit: usize)
            -> Vec<SegmentRow>;
        fn sweep_segment(segment: SegmentId, upto: Epoch) -> bool;
        fn last_segment() -> Option<SegmentId>;
    }
    ScrubRecords {
        fn begin_scrub(ask: &ScrubAsk) -> ScrubRound;
        fn chunks_to_scrub(since_ms: Option<u64>, after: ScrubPlace, limit: usize)
            -> Vec<PlacedChunk>;
        fn note_scrub(round: u64, note: &ScrubNote) -> ();
        fn placed_chunk(chunk: ChunkRef) -> Option<PlacedChunk>;
        fn placed_chunk_of(id: &ChunkId) -> Option<PlacedChunk>;
        fn damaged_chunks(after: ChunkRef, limit: usize) -> Vec<PlacedChunk>;
        fn chunk_bytes() -> u64;
        fn manifests_of(chunk: ChunkRef, after: Option<ManifestId>, limit: usize)
            -> Vec<ManifestId>;
        fn place_in(chunk: ChunkRef, manifest: ManifestId, range: Range<u64>) -> Option<u64>;
        fn slices_of(part: ManifestId, after: Option<(ManifestId, u64)>, limit: usize)
            -> Vec<SliceOf>;
        fn objects_of(manifest: ManifestId, after: Option<(&BucketName, &Key)>, limit: usize)
            -> Vec<Owner>;
        fn parts_of(manifest: ManifestId, after: Option<(UploadId, u32)>, limit: usize)
            -> Vec<Owner>;
    }
    CheckRecords {
        fn segment_facts(after: Option<SegmentId>, limit: usize) -> Vec<SegmentFacts>;
        fn has_segments(segments: &[SegmentId]) -> Vec<bool>;
        fn segments_without_row(after: Option<SegmentId>, limit: usize) -> Vec<SegmentId>;
        fn objects_to_check(bucket: &BucketName, after: Option<&Key>, limit: usize)
            -> Vec<(Key, bool)>;
        fn parts_to_check(after: Option<(UploadId, u32)>, limit: usize)
            -> Vec<(UploadId, u32, bool)>;
    }
}

/// What the operations work on: made before any of them runs.
#[derive(Clone, Copy)]
struct Made {
    upload: UploadId,
    version: ObjectVersion,
}

/// An operation, and what it answers in words that name no id.
struct Op {
    name: &'static str,
    is_read: bool,
    run: fn(&Store, Made) -> String,
}

const fn write(name: &'static str, run: fn(&Store, Made) -> String) -> Op {
    Op { name, is_read: false, run }
}

const fn look(name: &'static str, run: fn(&Store, Made) -> String) -> Op {
    Op { name, is_read: true, run }
}

const OPS: &[Op] = &[
    write("put", |store, _| put(store, "a", Condition::Always, b"nnnnoooopppp")),
    write("put the same", |store, _| put(store, "a", Condition::Always, OLD)),
    write("put if absent", |store, _| put(store, "n", Condition::IfAbsent, b"nnnn")),
    write("put over a version", |store, made| {
        put(store, "a", Condition::IfVersion(made.version), b"vvvv")
    }),
    write("put a part", |store, made| put_part(store, made, b"ttttuuuu")),
    look("get", |store, _| read(store, "walls", "a", None)),
    look("get a range", |store, _| read(store, "walls", "a", Some(6..18))),
    look("get a composite", |store, _| read(store, "walls", "composite", None)),
    write("copy", |store, _| copy(store, Condition::Always)),
    write("copy if absent", |store, _| copy(store, Condition::IfAbsent)),
    write("copy a part", |store, made| {
        let target = PartTarget { upload: made.upload, number: 3, system: Default::default() };
        done(store.copy_part(&source(), Some(2..9), &target).map(|part| part.size))
    }),
    write("complete", |store, made| {
        done(store.complete_upload(made.upload, &parts(&[1])).map(|it| it.size))
    }),
    write("abort", |store, made| done(store.abort_upload(made.upload))),
    write("delete", |store, _| done(store.delete(&walls(), &key("a")))),
    write("delete a version", |store, made| {
        let condition = Condition::IfVersion(made.version);
        done(store.delete_if(&walls(), &key("a"), condition))
    }),
    write("delete many", |store, _| {
        let objects = ["a", "composite", "none"].map(|name| (key(name), Condition::Always));
        done(
            store
                .delete_many(&walls(), &objects)
                .map(|each| each.into_iter().map(done).collect::<Vec<_>>()),
        )
    }),
    write("set a property", |store, _| {
        done(store.set_property(&walls(), &key("a"), "tags", Some("stone")))
    }),
    write("empty the other bucket", |store, _| done(store.delete(&other(), &key("only")))),
    write("remove the other bucket", |store, _| done(store.delete_bucket(&other()))),
    write("make the other bucket", |store, _| done(store.create_bucket(&other()))),
    write("put into the other bucket", |store, _| {
        let target = PutTarget { bucket: other(), ..target("only", Condition::Always) };
        put_at(store, target, b"bbbbcccc")
    }),
    write("begin an upload", |store, _| {
        let begun = store.create_upload(&other(), &key("late"), &ObjectMeta::default());
        done(begun.map(|upload| upload.key.as_str().to_owned()))
    }),
];

/// Of `a`, before anything happens. More rows than are read at a time.
const OLD: &[u8] = b"aaaabbbbccccddddeeeeffffgg";

fn walls() -> BucketName {
    BucketName::new("walls").expect("a good name")
}

fn other() -> BucketName {
    BucketName::new("other").expect("a good name")
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a good name")
}

fn source() -> CopySource {
    CopySource { bucket: walls(), key: key("a"), content: None }
}

fn target(name: &str, condition: Condition) -> PutTarget {
    PutTarget { bucket: walls(), key: key(name), meta: ObjectMeta::default(), condition }
}

fn parts(numbers: &[u32]) -> Completion {
    let named = |number: &u32| NamedPart { number: *number, ..NamedPart::default() };
    Completion { parts: numbers.iter().map(named).collect(), ..Completion::default() }
}

/// An answer; of a refusal what is said of it, without ids.
fn done<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.to_string().chars().filter(|letter| !letter.is_ascii_digit()).collect(),
    }
}

fn put(store: &Store, name: &str, condition: Condition, bytes: &[u8]) -> String {
    put_at(store, target(name, condition), bytes)
}

fn put_part(store: &Store, made: Made, bytes: &[u8]) -> String {
    put_at(store, PartTarget { upload: made.upload, number: 2, system: Default::default() }, bytes)
}

fn put_at(store: &Store, target: impl Into<Target>, mut bytes: &[u8]) -> String {
    // The lease is longer than any test takes.
    let stored = store.ingest(3_600_000).map_err(PutFailure::Store);
    let stored = stored.and_then(|mut ingest| ingest.put_now(target, &mut bytes));
    done(stored.map(|stored| stored.size).map_err(|failed| match failed {
        PutFailure::Store(error) => error,
        PutFailure::Source(error) => StoreError::storage("the source is well", error),
    }))
}

fn copy(store: &Store, condition: Condition) -> String {
    let (bucket, key) = (walls(), key("copy"));
    let target = CopyTarget { bucket, key, meta: None, modified_ns: None, condition };
    done(store.copy(&source(), &target).map(|copy| copy.size))
}

fn read(store: &Store, bucket: &str, name: &str, range: Option<Range<u64>>) -> String {
    let bucket = BucketName::new(bucket).expect("a good name");
    let read = store.get(&bucket, &key(name), range).and_then(|mut reader| {
        let mut bytes = Vec::new();
        let copied = reader.copy_to(&mut bytes)?;
        copied.map_err(|error| StoreError::storage("a vector takes everything", error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    done(read)
}

/// All that a client can see.
fn seen(store: &Store) -> String {
    let mut seen = String::new();
    for bucket in store.buckets(None, 10).expect("the records are well") {
        let name = &bucket.name;
        for row in store.list(name, "", Bound::Unbounded, 100).expect("the bucket is there") {
            let bytes = read(store, name.as_str(), row.key.as_str(), None);
            let property = store.stat(name, &row.key).expect("it was listed").meta.system;
            let _ = writeln!(seen, "{}/{} {property:?} {bytes}", name.as_str(), row.key.as_str());
        }
        for upload in store.uploads(name, "", None, 100).expect("the bucket is there") {
            let parts = store.parts(upload.id, 0, 100).expect("it was listed");
            let parts: Vec<_> = parts.iter().map(|part| (part.number, part.size)).collect();
            let _ = writeln!(seen, "{} upload {} {parts:?}", name.as_str(), upload.key.as_str());
        }
        let _ = writeln!(seen, "bucket {}", name.as_str());
    }
    seen
}

fn store(opened: Opened) -> Store {
    let config = StoreConfig {
        chunking: chunking(),
        workers: 1,
        buffers: 4,
        ingests: 2,
        buffer_bytes: 17,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    };
    let Opened { records, segments, .. } = opened;
    Store::with_steps_of(2, records, segments, config).expect("threads are to be had")
}

fn prepare(store: &Store) -> Made {
    let well = "nothing fails before anything happens";
    for bucket in [walls(), other()] {
        store.create_bucket(&bucket).expect(well);
    }
    put(store, "a", Condition::Always, OLD);
    put_at(store, PutTarget { bucket: other(), ..target("only", Condition::Always) }, b"only");
    let meta = ObjectMeta::default();
    let composite = store.create_upload(&walls(), &key("composite"), &meta).expect(well);
    for (number, bytes) in [(1, &b"aaaabbbbcc"[..]), (2, b"ccddddee")] {
        put_at(
            store,
            PartTarget { upload: composite.id, number, system: Default::default() },
            bytes,
        );
    }
    store.complete_upload(composite.id, &parts(&[1, 2])).expect(well);
    let upload = store.create_upload(&walls(), &key("big"), &meta).expect(well).id;
    put_at(store, PartTarget { upload, number: 1, system: Default::default() }, b"ppppqqqq");
    let version = store.stat(&walls(), &key("a")).expect(well).version();
    Made { upload, version }
}

/// What both answered, and what was there in the end.
type Outcome = (String, String, String);

/// One after the other.
fn in_turn(first: &Op, second: &Op) -> Outcome {
    let sync = SyncPolicy::Commit;
    let memory = Memory::new(MemoryConfig { sync, segment_bytes_max: u64::MAX });
    let store = store(Fixture::open(&memory));
    let made = prepare(&store);
    let answers = ((first.run)(&store, made), (second.run)(&store, made));
    (answers.0, answers.1, seen(&store))
}

/// `act` happens before a call of `op`, after so many. `None` when there are not so many.
fn between(fixture: &dyn Fixture, op: &Op, act: &Op, calls: usize) -> Option<Outcome> {
    let others = store(fixture.open());
    let made = prepare(&others);
    let Opened { records, segments, files } = fixture.open();
    let records = PlainArc::new(Between::new(records));
    let store = store(Opened { records: PlainArc::clone(&records) as _, segments, files });
    let acted = PlainArc::new(Mutex::new(None));
    let (run, answer, other) = (act.run, PlainArc::clone(&acted), others.clone());
    records.arm(calls, move || *answer.lock() = Some(run(&other, made)));
    let answer = (op.run)(&store, made);
    // What is tidied up belongs to the operation.
    drop(store);
    if records.is_armed() {
        return None;
    }
    let acted = acted.lock().take().expect("it happened");
    let seen = seen(&others);
    drop(others);
    fixture.finish();
    Some((answer, acted, seen))
}

/// Runs every pair of operations over stores that `fixture` makes, empty and cut as
/// [`chunking`] says. Returns how many times something came between.
///
/// # Panics
/// When a pair came to something that it does not come to one after the other.
pub fn check(fixture: &dyn Fn() -> Box<dyn Fixture>) -> usize {
    let mut times = 0;
    for op in OPS {
        for act in OPS.iter().filter(|act| !act.is_read) {
            let before = in_turn(op, act);
            let (acted, answer, seen) = in_turn(act, op);
            let after = (answer, acted, seen);
            // What happens before the first call happens before all of it.
            for calls in 1.. {
                assert!(calls < CALLS_MAX, "{}: it does not end", op.name);
                let Some(found) = between(&*fixture(), op, act, calls) else { break };
                times += 1;
                assert!(
                    found == before || found == after,
                    "`{}`, and `{}` before its call {}:\n{found:?}\nfirst and then:\n{before:?}\nthe other way round:\n{after:?}",
                    op.name,
                    act.name,
                    calls + 1,
                );
            }
        }
    }
    times
}
