//! The whole store when something below it fails: the loss stays where it happened, and nothing
//! hangs.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_appender::OwnedFiles as _;
use drystone_chunker::Chunking;
use drystone_models::explore::{Scope, check, finish};
use drystone_store::{
    Condition, ManifestId, ObjectVersion, PutFailure, PutTarget, SegmentRecords as _, StoreConfig,
    StoreError,
};
use drystone_sync::bound;
use drystone_testkit::memory::{Fault, Io};

use crate::rig::{Broken, Rig, config, expect_stored, nth, target};

const SHORT: &[u8] = b"aaaabbbbccccddddeeee";
const OTHER: &[u8] = b"vvvvwwwwxxxxyyyyzzzz";

const ERROR: Fault = Fault::Fail(ErrorKind::Other);
const FULL: Fault = Fault::Fail(ErrorKind::StorageFull);

fn rig(io: Io, number: u32, fault: Fault) -> Rig {
    Rig::new(StoreConfig { buffers: 4, ..config() }, &[nth(io, number, fault)])
}

/// An upload that finds the disk full has the ends of segments cut. An end that another upload has
/// written and not committed yet stays.
#[test]
fn a_full_disk_costs_only_who_does_not_fit() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        rig.memory.limit((SHORT.len() + OTHER.len() - 1) as u64);
        let outcomes = [rig.start_put("a", SHORT), rig.start_put("b", OTHER)].map(finish);
        rig.memory.lose_power();
        rig.assert_fate("a", SHORT, &outcomes[0]);
        rig.assert_fate("b", OTHER, &outcomes[1]);
        assert!(outcomes.iter().any(Result::is_err), "a full disk went unnoticed");
        rig.memory.verify();
    });
}

#[test]
fn a_full_disk_has_room_again_when_a_put_has_failed() {
    check(Scope::STORE, || {
        // One worker: another may still append what it has of the failed put when that has failed.
        let rig = Rig::new(StoreConfig { buffers: 4, workers: 1, ..config() }, &[]);
        rig.memory.limit(SHORT.len() as u64);
        rig.put("a", b"aaaa").expect("it fits");
        assert!(rig.put("b", OTHER).is_err(), "a full disk went unnoticed");
        rig.put("c", b"cccc").expect("there is room where the failed put wrote");
        assert_eq!(rig.memory.segment_bytes(), 8, "what a failed put wrote is still there");
        rig.memory.lose_power();
        assert_survived(&rig, "a", b"aaaa");
        assert_survived(&rig, "c", b"cccc");
        rig.memory.verify();
    });
}

/// A thread makes room while another has written something and has not recorded it yet.
#[test]
fn who_makes_room_spares_what_has_just_been_written() {
    check(Scope::STORE.shuttle(100_000), || {
        let rig = rig(Io::Append, 2, FULL);
        expect_stored([rig.start_put("a", b"aaaa"), rig.start_put("b", b"bbbb")]);
        rig.memory.lose_power();
        assert_survived(&rig, "a", b"aaaa");
        assert_survived(&rig, "b", b"bbbb");
        rig.finish();
    });
}

/// A process has died on a full disk. What it left in one segment takes the room that
/// a write to the other segment needs.
#[test]
fn a_full_disk_has_room_again_for_the_next_process() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        let (records, _, files) = rig.memory.open_with_files();
        for left in [&b"xxxx"[..], b"xxxxyyyyzzzz"] {
            let id = records.create_segment().expect("nothing fails");
            let appended = files.create(id).and_then(|mut writer| writer.append(&[left]));
            appended.expect("nothing fails");
        }
        rig.memory.limit(16);
        let puts = [rig.start_put("a", b"aaaabbbb"), rig.start_put("b", b"ccccdddd")].map(finish);
        assert!(puts.iter().all(Result::is_ok), "there was room where the dead process wrote");
        rig.assert_fate("a", b"aaaabbbb", &puts[0]);
        rig.assert_fate("b", b"ccccdddd", &puts[1]);
        rig.finish();
    });
}

/// A transaction that failed may be complete in the log. The bytes that it names must not be
/// overwritten.
fn check_what_is_in_the_log(how: Fault) {
    let faults = [
        nth(Io::Commit, 1, how),
        nth(Io::Append, 2, FULL),
        nth(Io::Append, 3, FULL),
        nth(Io::Commit, 2, ERROR),
    ];
    let rig = Rig::new(StoreConfig { buffers: 4, ..config() }, &faults);
    let mut ingest = rig.ingest().expect("the store is open");
    for (name, mut bytes) in [("a", &b"aaaa"[..]), ("b", b"bbbb"), ("c", b"cccc")] {
        assert!(ingest.put_now(target(name), &mut bytes).is_err(), "a fault went unnoticed");
    }
    rig.memory.lose_power();
    let found = rig.get("a");
    assert!(found.is_none_or(|bytes| bytes == b"aaaa"), "a visible object is not whole");
    drop(ingest);
    rig.memory.verify();
}

#[test]
fn what_a_failed_commit_names_is_not_written_over() {
    check(Scope::STORE, || check_what_is_in_the_log(Fault::FailForNow(ErrorKind::Other)));
}

#[test]
fn what_a_commit_that_panicked_names_is_not_written_over() {
    check(Scope::STORE, || check_what_is_in_the_log(Fault::PanicForNow));
}

fn assert_survived(rig: &Rig, name: &str, bytes: &[u8]) {
    assert_eq!(
        rig.get(name).as_deref(),
        Some(bytes),
        "an acknowledged object is lost with the power"
    );
}

/// Two puts, of which a fault may cost exactly one.
fn assert_one_fails(rig: &Rig, a: &'static [u8], b: &'static [u8]) {
    let puts = [rig.start_put("a", a), rig.start_put("b", b)];
    let outcomes = puts.map(finish);
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(failed, 1, "one fault costs one put");
    rig.assert_fate("a", a, &outcomes[0]);
    rig.assert_fate("b", b, &outcomes[1]);
}

#[test]
fn a_failed_append_fails_one_put_and_another_takes_its_chunks_over() {
    check(Scope::STORE, || {
        let rig = rig(Io::Append, 1, ERROR);
        assert_one_fails(&rig, SHORT, SHORT);
        rig.memory.verify();
    });
}

#[test]
fn a_later_append_that_fails_costs_one_put() {
    check(Scope::STORE, || {
        let rig = rig(Io::Append, 2, ERROR);
        assert_one_fails(&rig, SHORT, OTHER);
        rig.memory.verify();
    });
}

#[test]
fn a_worker_that_panics_costs_one_put() {
    check(Scope::STORE, || {
        let rig = rig(Io::Append, 1, Fault::Panic);
        assert_one_fails(&rig, SHORT, SHORT);
        rig.memory.verify();
    });
}

#[test]
fn a_lookup_that_fails_costs_one_put() {
    check(Scope::STORE, || {
        let rig = rig(Io::Find, 1, ERROR);
        assert_one_fails(&rig, SHORT, OTHER);
        rig.memory.verify();
    });
}

#[test]
fn what_is_acknowledged_survives_a_power_cut() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        let puts = [rig.start_put("a", SHORT), rig.start_put("b", b"aaaazzzz")];
        expect_stored(puts);
        rig.memory.lose_power();
        assert_survived(&rig, "a", SHORT);
        assert_survived(&rig, "b", b"aaaazzzz");
        rig.finish();
    });
}

/// The group that failed named bytes that the next group may name again.
fn check_first_commit(how: Fault) {
    let rig = rig(Io::Commit, 1, how);
    let outcomes = [rig.start_put("a", SHORT), rig.start_put("b", SHORT)].map(finish);
    assert!(outcomes.iter().any(Result::is_err), "a failed commit went unnoticed");
    rig.assert_fate("a", SHORT, &outcomes[0]);
    rig.assert_fate("b", SHORT, &outcomes[1]);
    rig.put("c", SHORT).expect("only the first commit fails");
    rig.memory.lose_power();
    assert_survived(&rig, "c", SHORT);
    rig.memory.verify();
}

#[test]
fn a_failed_commit_costs_only_its_group() {
    check(Scope::STORE, || check_first_commit(ERROR));
}

#[test]
fn a_commit_that_panics_costs_only_its_group() {
    check(Scope::STORE.shuttle(6_000), || check_first_commit(Fault::Panic));
}

/// A segment that could not be synced must not be written to again: whatever names it is refused
/// for ever.
#[test]
fn a_failed_sync_costs_only_what_it_lost() {
    check(Scope::STORE, || {
        let rig = rig(Io::Sync, 1, ERROR);
        let lost = rig.put("a", SHORT);
        assert!(
            matches!(lost, Err(PutFailure::Store(StoreError::Storage { .. }))),
            "a failed sync went unnoticed"
        );
        rig.assert_fate("a", SHORT, &lost);
        rig.put("b", OTHER).expect("only the first sync fails");
        rig.memory.lose_power();
        assert_survived(&rig, "b", OTHER);
        rig.memory.verify();
    });
}

/// The commit queue is so small that a worker or a cutter leads, and it is their thread that the
/// panic unwinds.
#[test]
fn a_commit_that_panics_leaves_nobody_waiting() {
    check(Scope::STORE, || {
        let fault = nth(Io::Commit, 1, Fault::Panic);
        let rig = Rig::new(StoreConfig { commit_queue_bytes: 1, ..config() }, &[fault]);
        let mut ingest = rig.ingest().expect("the store is open");
        let mut sources: [&[u8]; 2] = [b"aaaa", b"bbbb"];
        let [first, second] = &mut sources;
        let first = ingest.put(target("a"), None, first).expect("the source is well");
        let second = ingest.put(target("b"), None, second).expect("the source is well");
        for put in [first, second] {
            // The thread that leads may get the panic itself.
            let _ = catch_unwind(AssertUnwindSafe(|| put.wait(&mut ingest)));
        }
        drop(ingest);
        rig.put("c", SHORT).expect("only the first commit fails");
        rig.memory.verify();
    });
}

/// A reader of a large object lets workers read ahead for it. When every other owner has gone, a
/// worker that held the store would have to end, and wait for, itself.
#[test]
fn a_store_can_be_dropped_while_it_reads_ahead() {
    const CHUNK_BYTES: u64 = bound(64 << 10, 4) as u64;
    static LARGE: [u8; 5 * CHUNK_BYTES as usize] = [7; 5 * CHUNK_BYTES as usize];
    check(Scope::STORE.shuttle(3_000), || {
        let config = StoreConfig {
            chunking: Chunking::fixed(CHUNK_BYTES).expect("a valid size"),
            buffer_bytes: 3 * CHUNK_BYTES as usize,
            buffers: 4,
            workers: 1,
            ..config()
        };
        let rig = Rig::new(config, &[]);
        rig.put("a", &LARGE).expect("nothing fails");
        let mut reader = rig
            .store
            .get(&crate::rig::bucket(), &crate::rig::key("a"), None)
            .expect("it was stored");
        assert!(
            reader.next_slice().is_ok_and(|slice| slice.is_some()),
            "a visible object is not whole"
        );
        drop(rig);
        drop(reader);
    });
}

/// An upload of several steps fails in each of the ways in which one can: its bytes do not fit, its
/// source breaks off, its last step is refused. What its steps left in the records is taken back,
/// also while another upload of the session goes on.
#[test]
fn the_steps_of_a_failed_upload_are_taken_back() {
    check(Scope::STORE.shuttle(3_000), || {
        let fault = |number| nth(Io::Append, number, FULL);
        let rig =
            Rig::with_steps_of(1, StoreConfig { buffers: 4, ..config() }, &[fault(2), fault(3)]);
        let mut ingest = rig.ingest().expect("the store is open");
        // Whether there are so many appends depends on how the chunks come to the workers.
        let _ = ingest.put_now(target("a"), &mut &b"aaaabbbbccccddddeeee"[..]);
        assert_eq!(rig.memory.pending_manifests(), 0, "the steps of a failed upload stay");

        let first =
            ingest.put(target("b"), None, &mut &b"ffffgggghhhh"[..]).expect("the source is well");
        let broken = ingest.put(target("c"), None, &mut Broken(b"iiiijjjjkkkkllllmmmm"));
        assert!(broken.is_err(), "a source that broke off went unnoticed");
        let first = first.wait(&mut ingest);
        let is_full = |failed: &StoreError| failed.is_full();
        assert!(first.as_ref().err().is_none_or(is_full), "another's failure is none of its");
        let nothing = ObjectVersion { manifest: ManifestId(u64::MAX), modified_ns: 0 };
        let refused = PutTarget { condition: Condition::IfVersion(nothing), ..target("b") };
        let refused = ingest.put_now(refused, &mut &b"nnnnoooopppp"[..]);
        assert!(refused.is_err(), "a condition was forgotten");
        // Now, and not when the session ends: a server's may be at it for long.
        assert_eq!(rig.memory.pending_manifests(), 0, "the steps of a failed upload stay");
        drop(ingest);
        rig.assert_fate("b", b"ffffgggghhhh", &first.map_err(PutFailure::Store));
        rig.memory.verify();
    });
}
