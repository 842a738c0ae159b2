//! The store over segments that are objects, each of which is written once: nothing above the
//! storage knows.

use drystone_models::explore::{Scope, check, finish, start};
use drystone_store::{BucketRecords as _, NewBucket, Store, StoreConfig, StoreError, SyncPolicy};
use drystone_sync::thread::JoinHandle;
use drystone_testkit::memory::{Fault, FaultPlan, Io, Memory, MemoryConfig};

use crate::rig::{PutResult, bucket, config, key, target};

/// Ten chunks.
const LONG: &[u8] = b"aaaabbbbccccddddeeeeffffgggghhhhiiiijjjj";
/// Ten others.
const OTHER: &[u8] = b"AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJ";
/// Enough for a numbered part, whichever chunks come first.
const PARTS: &[u8] = b"000111222333444555666777888999aaabbbcccdddeeefffggghhhiiijjjkkklllmmmnnn";

#[derive(Clone)]
struct Rig {
    memory: Memory,
    store: Store,
}

impl Rig {
    /// Objects take so many bytes.
    fn new(segment_bytes_max: u64) -> Self {
        let memory = Memory::new(MemoryConfig { sync: SyncPolicy::Commit, segment_bytes_max });
        let (records, _) = memory.open_objects();
        records.create_bucket(&NewBucket::named(bucket())).expect("nothing fails");
        let store = open(&memory);
        Self { memory, store }
    }

    fn put(&self, name: &str, mut bytes: &[u8]) -> PutResult {
        self.store.ingest(60_000)?.put_now(target(name), &mut bytes)
    }

    fn start_put(&self, name: &'static str, bytes: &'static [u8]) -> JoinHandle<PutResult> {
        let rig = self.clone();
        start(move || rig.put(name, bytes))
    }

    /// Loses all that is not in the service, and starts anew.
    fn lose_power(&mut self) {
        self.memory.crash(1);
        self.store = open(&self.memory);
    }

    /// What an acknowledged put promises, and a refused one.
    fn assert_fate(&self, name: &str, bytes: &[u8], outcome: &PutResult) {
        let found = self.store.get(&bucket(), &key(name), None);
        let Ok(mut reader) = found else {
            assert!(matches!(found, Err(StoreError::NotFound { .. })), "a lookup failed");
            assert!(outcome.is_err(), "an acknowledged object is not there");
            return;
        };
        let mut read = Vec::new();
        let copied = reader.copy_to(&mut read);
        assert!(copied.is_ok() && read == bytes, "a visible object is not whole");
    }

    fn finish(&self) {
        self.memory.verify();
    }
}

fn open(memory: &Memory) -> Store {
    let (records, segments) = memory.open_objects();
    Store::new(records, segments, StoreConfig { buffers: 4, ingests: 2, ..config() })
        .expect("threads are to be had")
}

fn check_two(segment_bytes_max: u64, a: &'static [u8], b: &'static [u8], fault: Option<FaultPlan>) {
    let mut rig = Rig::new(segment_bytes_max);
    if let Some(fault) = fault {
        rig.memory.arm(fault);
    }
    let outcomes = [rig.start_put("a", a), rig.start_put("b", b)].map(finish);
    assert_eq!(fault.is_none(), outcomes.iter().all(Result::is_ok), "a fault went unnoticed");
    rig.memory.disarm();
    let third = rig.put("c", a);
    assert!(third.is_ok(), "a fault outlived its put");
    rig.lose_power();
    rig.assert_fate("a", a, &outcomes[0]);
    rig.assert_fate("b", b, &outcomes[1]);
    rig.assert_fate("c", a, &third);
    rig.finish();
}

fn plan(io: Io, fault: Fault) -> FaultPlan {
    FaultPlan { io: Some(io), after: 0, fault }
}

const FAILED: Fault = Fault::Fail(std::io::ErrorKind::Other);
const FAILED_LATE: Fault = Fault::FailLate(std::io::ErrorKind::Other);

#[test]
fn what_is_acknowledged_is_in_whole_objects() {
    check(Scope::STORE.shuttle(4_000), || check_two(1 << 20, LONG, OTHER, None));
}

#[test]
fn what_fills_several_objects_is_whole() {
    check(Scope::STORE.shuttle(4_000), || check_two(16, LONG, OTHER, None));
}

#[test]
fn a_part_that_is_not_sent_costs_who_sends_it() {
    check(Scope::STORE.shuttle(4_000), || {
        // One process at a time: parts of two puts may be too small to be sent.
        let rig = Rig::new(1 << 20);
        rig.memory.arm(plan(Io::Append, FAILED));
        let refused = rig.put("a", PARTS);
        // Two workers may have begun an object each, and neither have enough for a part.
        assert_eq!(refused.is_err(), !rig.memory.is_armed(), "a fault went unnoticed");
        rig.memory.disarm();
        let stored = rig.put("b", PARTS);
        assert!(stored.is_ok(), "a fault outlived its put");
        rig.assert_fate("a", PARTS, &refused);
        rig.assert_fate("b", PARTS, &stored);
        rig.finish();
    });
}

/// What had been appended to it counts as lost, whatever has become of it.
#[test]
fn an_object_that_is_not_completed_costs_only_what_is_in_it() {
    check(Scope::STORE.shuttle(4_000), || {
        check_two(1 << 20, LONG, OTHER, Some(plan(Io::Sync, FAILED)));
    });
}

#[test]
fn an_object_that_is_completed_unheard_counts_as_lost() {
    check(Scope::STORE.shuttle(4_000), || {
        check_two(1 << 20, LONG, LONG, Some(plan(Io::Sync, FAILED_LATE)));
    });
}

#[test]
fn what_a_doubtful_commit_names_stays() {
    check(Scope::STORE.shuttle(4_000), || {
        check_two(1 << 20, LONG, OTHER, Some(plan(Io::Commit, FAILED_LATE)));
    });
}

#[test]
fn equal_uploads_append_each_chunk_once() {
    check(Scope::STORE.shuttle(4_000), || {
        let rig = Rig::new(1 << 20);
        for put in [rig.start_put("a", LONG), rig.start_put("b", LONG)].map(finish) {
            assert!(put.is_ok(), "a put failed");
        }
        assert_eq!(rig.store.put_stats().new_chunks, 10, "a chunk was appended twice");
        rig.finish();
    });
}
