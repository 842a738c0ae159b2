//! Collects run beside everything else, beside one another, and are cut off anywhere.

use std::io::ErrorKind;

use drystone_chunker::ChunkId;
use drystone_models::explore::{Scope, check, finish, start};
use drystone_store::{
    CollectOptions, Condition, CopySource, CopyTarget, Pace, PutFailure, Store, StoreConfig,
    StoreError,
};
use drystone_sync::thread::yield_now;
use drystone_testkit::memory::{Fault, FaultPlan, Io};

use crate::rig::{Rig, bucket, config, eager, expect_stored, key, target};

const SHORT: &[u8] = b"aaaabbbbcccc";
/// Shares two chunks with the other one.
const LONGER: &[u8] = b"aaaaccccddddeeee";

/// For stores under collect: they have many steps.
const SCOPE: Scope = Scope::STORE;

impl Rig {
    /// The store after its process has died.
    fn reopen(&self) -> Self {
        let (records, segments) = self.memory.open();
        let store = Store::with_steps_of(1024, records, segments, config());
        Self { memory: self.memory.clone(), store: store.expect("threads are to be had") }
    }

    /// For the end of a scenario: nothing holds anything back any more, so every byte that no
    /// object names must go.
    fn finish_clean(self, objects: &[(&str, &[u8])]) {
        for _ in 0..2 {
            // The first move forgets the pins of readers, the second one ends their session.
            self.store.move_readers_on().expect("nothing fails");
            self.collect_all().expect("nothing fails");
        }
        self.memory.verify();
        for (name, bytes) in objects {
            assert_eq!(self.get(name).as_deref(), Some(*bytes), "an acknowledged object is gone");
        }
        let mut chunks: Vec<&[u8]> =
            objects.iter().flat_map(|(_, bytes)| bytes.chunks(4)).collect();
        chunks.sort_unstable();
        chunks.dedup();
        assert_eq!(self.memory.chunk_rows(), chunks.len(), "chunks that nothing names stay");
        assert_eq!(self.memory.manifest_rows(), objects.len(), "manifests stay");
        let live: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        assert_eq!(self.memory.segment_bytes(), live as u64, "dead bytes stay");
        self.finish();
    }
}

/// The upload may find the chunks before they are condemned: then the collect has to wait for it;
/// or afterwards: then the upload has to take them back; or when they are gone.
#[test]
fn a_known_chunk_survives_the_collector() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        rig.put("old", SHORT).expect("nothing fails");
        let put = rig.start_put("new", LONGER);
        rig.delete("old");
        rig.collect().expect("nothing fails");
        rig.collect().expect("nothing fails");
        expect_stored([put]);
        rig.finish_clean(&[("new", LONGER)]);
    });
}

/// Two collects, each with its own idea of the epoch.
#[test]
fn two_collects_do_no_more_than_one() {
    check(SCOPE.shuttle(3_000), || {
        let rig = Rig::with_buffers(4);
        rig.put("old", SHORT).expect("nothing fails");
        rig.delete("old");
        let put = rig.start_put("new", LONGER);
        let other = rig.clone();
        let full = CollectOptions { full: true, ..eager() };
        let collects =
            start(move || other.store.collect(full, &mut |_, _| Pace::DoNotWait).map(drop));
        rig.collect().expect("nothing fails");
        finish(collects).expect("nothing fails");
        expect_stored([put]);
        rig.finish_clean(&[("new", LONGER)]);
    });
}

/// An upload that another one's chunks are found by may fail, and another may begin when the epoch
/// has ended.
#[test]
fn uploads_that_share_chunks_do_not_share_their_end() {
    check(SCOPE.shuttle(3_000), || {
        let rig = Rig::with_buffers(4);
        let other = rig.clone();
        let collects = start(move || {
            for _ in 0..2 {
                other.collect().expect("nothing fails");
            }
        });
        let fails = rig.start_put_if("a", SHORT, Condition::IfAbsent);
        let put = rig.start_put_if("a", LONGER, Condition::IfAbsent);
        let outcomes = [finish(fails), finish(put)];
        finish(collects);
        let stored = [SHORT, LONGER].into_iter().zip(&outcomes).filter(|(_, put)| put.is_ok());
        let stored: Vec<(&str, &[u8])> = stored.map(|(bytes, _)| ("a", bytes)).collect();
        assert_eq!(stored.len(), 1, "one of two conditional puts must win");
        rig.finish_clean(&stored);
    });
}

/// Its lease runs out at any moment. What the upload had written is garbage, and an
/// upload that found it is not harmed.
#[test]
fn a_dead_upload_leaves_nothing() {
    check(SCOPE.shuttle(3_000), || {
        let rig = Rig::with_steps_of(1, StoreConfig { buffers: 4, ..config() }, &[]);
        let put = rig.start_put("a", SHORT);
        let other = rig.clone();
        let expires = start(move || {
            other.memory.expire();
            other.collect().map(drop)
        });
        let outcome = finish(put);
        finish(expires).expect("nothing fails");
        if let Err(failure) = &outcome {
            assert!(
                matches!(failure, PutFailure::Store(StoreError::SessionExpired)),
                "another failure: {failure}"
            );
        }
        rig.memory.verify();
        rig.assert_fate("a", SHORT, &outcome);
        let left: &[(&str, &[u8])] = if outcome.is_ok() { &[("a", SHORT)] } else { &[] };
        rig.finish_clean(left);
    });
}

/// Its process is killed at any moment, and never ends its session.
#[test]
fn a_killed_upload_leaves_nothing() {
    check(SCOPE.shuttle(3_000), || {
        let rig = Rig::with_steps_of(1, StoreConfig { buffers: 4, ..config() }, &[]);
        rig.put("kept", LONGER).expect("nothing fails");
        let put = rig.start_put("a", SHORT);
        let memory = rig.memory.clone();
        let kills = start(move || memory.power_off());
        let outcome = finish(put);
        finish(kills);
        let again = rig.reopen();
        again.memory.expire();
        let stored = again.get("a");
        assert!(stored.is_some() || outcome.is_err(), "an acknowledged object is gone");
        let mut left: Vec<(&str, &[u8])> = vec![("kept", LONGER)];
        left.extend(stored.as_deref().map(|bytes| ("a", bytes)));
        again.finish_clean(&left);
    });
}

/// It took back what a collect had condemned, and then it is refused.
#[test]
fn a_hit_of_a_refused_upload_is_swept() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        rig.put("kept", b"xxxx").expect("nothing fails");
        rig.put("old", SHORT).expect("nothing fails");
        rig.delete("old");
        let other = rig.clone();
        let collects = start(move || other.collect().map(drop));
        let refused = finish(rig.start_put_if("kept", SHORT, Condition::IfAbsent));
        assert!(refused.is_err(), "a condition was forgotten");
        finish(collects).expect("nothing fails");
        rig.finish_clean(&[("kept", b"xxxx")]);
    });
}

/// The segment that an upload has written into is condemned, and waits for it. Then another one
/// begins, in the next epoch, and has the same bytes; and the first one fails.
#[test]
fn an_upload_does_not_rely_on_bytes_of_an_earlier_epoch() {
    check(SCOPE.shuttle(600), || {
        let rig = Rig::with_buffers(4);
        rig.put("old", SHORT).expect("nothing fails");
        rig.delete("old");
        // Stops with the old chunks gone, and their segment there.
        let stopped = rig.store.collect(eager(), &mut |_, done| {
            if done.chunks == 3 { Pace::Stop } else { Pace::GoOn }
        });
        assert!(stopped.expect("nothing fails").is_partial, "it was not stopped");
        let mut first = rig.ingest().expect("the store is open");
        let mut fails = first.begin(None);
        fails.push(b"ddddeeee").expect("nothing fails");
        fails.push(b"f").expect("nothing fails");
        let (parked, tail) = fails.park().expect("nothing fails");
        drop(tail);
        rig.collect().expect("nothing fails");
        let mut second = rig.ingest().expect("the store is open");
        let mut goes_on = second.begin(None);
        goes_on.push(b"ddddeeeeg").expect("nothing fails");
        let (waits, tail) = goes_on.park().expect("nothing fails");
        drop(tail);
        drop((parked, first));
        rig.collect().expect("nothing fails");
        let mut goes_on = second.resume(waits);
        goes_on.push(b"g").expect("nothing fails");
        let pending = goes_on.finish(target("new")).expect("nothing fails");
        if let Err(error) = pending.wait(&mut second) {
            panic!("a put failed: {error}");
        }
        drop(second);
        // A worker that has nothing to do any more for the first one may still hold a buffer.
        while rig.store.usage().buffers.now > 0 {
            yield_now();
        }
        rig.finish_clean(&[("new", b"ddddeeeeg")]);
    });
}

/// An object is overwritten and copied while a collect runs.
#[test]
fn copies_and_overwrites_beside_a_collect_are_whole() {
    check(SCOPE.shuttle(3_000), || {
        let rig = Rig::with_buffers(4);
        rig.put("a", SHORT).expect("nothing fails");
        let other = rig.clone();
        let collects = start(move || other.collect().map(drop));
        let put = rig.start_put("a", LONGER);
        let source = CopySource { bucket: bucket(), key: key("a"), content: None };
        let to = CopyTarget {
            bucket: bucket(),
            key: key("b"),
            meta: None,
            modified_ns: None,
            condition: Condition::Always,
        };
        rig.store.copy(&source, &to).expect("there is always one to copy");
        finish(collects).expect("nothing fails");
        expect_stored([put]);
        let copied = rig.get("b").expect("it was copied");
        assert!([SHORT, LONGER].contains(&&*copied), "a copy is not what it was made of");
        if copied == LONGER {
            assert!(rig.delete("b"), "it is there");
            rig.finish_clean(&[("a", LONGER)]);
        } else {
            rig.finish_clean(&[("a", LONGER), ("b", SHORT)]);
        }
    });
}

/// Any one of a collect's requests fails. It sweeps nothing that it should not, and the next one
/// does the rest.
#[test]
fn a_collect_that_fails_has_harmed_nothing() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        rig.put("old", SHORT).expect("nothing fails");
        rig.put("new", LONGER).expect("nothing fails");
        rig.delete("old");
        let put = rig.start_put("more", SHORT);
        let fault = FaultPlan { io: None, after: 7, fault: Fault::FailLate(ErrorKind::Other) };
        let other = rig.clone();
        let collects = start(move || {
            other.memory.arm(fault);
            let collected = other.collect();
            other.memory.disarm();
            drop(collected);
        });
        let outcome = finish(put);
        finish(collects);
        rig.memory.verify();
        assert_eq!(rig.get("new").as_deref(), Some(LONGER), "an acknowledged object is gone");
        // The fault may have been the upload's, whose commit is in doubt then.
        if outcome.is_ok() {
            assert_eq!(rig.get("more").as_deref(), Some(SHORT), "an acknowledged object is gone");
        }
        for _ in 0..2 {
            rig.collect_all().expect("nothing fails");
        }
        assert_eq!(rig.get("new").as_deref(), Some(LONGER), "an acknowledged object is gone");
    });
}

/// Each request that a collect makes fails once, by itself.
#[test]
fn every_request_of_a_collect_may_fail() {
    check(SCOPE.shuttle(60), || {
        let rig = Rig::with_buffers(4);
        rig.put("new", LONGER).expect("nothing fails");
        for after in 0.. {
            rig.put("old", SHORT).expect("nothing fails");
            rig.delete("old");
            rig.memory.arm(FaultPlan { io: None, after, fault: Fault::Fail(ErrorKind::Other) });
            drop(rig.collect());
            if rig.memory.is_armed() {
                break;
            }
            rig.memory.verify();
            assert_eq!(rig.get("new").as_deref(), Some(LONGER), "an acknowledged object is gone");
        }
        rig.memory.disarm();
        rig.collect_all().expect("nothing fails");
        assert_eq!(rig.get("new").as_deref(), Some(LONGER), "an acknowledged object is gone");
        rig.finish();
    });
}

/// The power goes off at any moment of a schedule, and un-synced bytes are lost.
#[test]
fn a_power_cut_anywhere_loses_nothing() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        rig.put("old", SHORT).expect("nothing fails");
        rig.put("kept", LONGER).expect("nothing fails");
        rig.delete("old");
        let put = rig.start_put("new", b"bbbbffff");
        let other = rig.clone();
        let collects = start(move || drop(other.collect()));
        let memory = rig.memory.clone();
        let cuts = start(move || memory.crash(7));
        let outcome = finish(put);
        finish(collects);
        finish(cuts);
        let again = rig.reopen();
        // The sessions of the dead process, before this one has any.
        again.memory.expire();
        again.memory.verify();
        assert_eq!(again.get("kept").as_deref(), Some(LONGER), "an acknowledged object is gone");
        if outcome.is_ok() {
            assert_eq!(
                again.get("new").as_deref(),
                Some(&b"bbbbffff"[..]),
                "an acknowledged object is gone"
            );
        }
        let new = again.get("new");
        let mut left: Vec<(&str, &[u8])> = vec![("kept", LONGER)];
        left.extend(new.as_deref().map(|bytes| ("new", bytes)));
        again.finish_clean(&left);
    });
}

/// One row that cannot be read is counted and left, and the others go.
#[test]
fn one_row_that_cannot_be_read_does_not_stop_the_others() {
    check(SCOPE.shuttle(600), || {
        let rig = Rig::with_buffers(4);
        rig.put("old", SHORT).expect("nothing fails");
        rig.memory.damage_row(&ChunkId::of(b"bbbb"));
        rig.delete("old");
        let collected = rig.collect_all().expect("one row ends the run");
        assert_eq!((collected.unreadable, collected.chunks), (1, 2), "a row stopped the others");
        rig.finish();
    });
}

/// A chunk of a segment that is to be rewritten is damaged: the others are moved.
#[test]
fn a_damaged_chunk_is_not_copied() {
    check(SCOPE.shuttle(600), || {
        let rig = Rig::with_buffers(4);
        rig.put("old", b"xxxxyyyy").expect("nothing fails");
        rig.put("new", SHORT).expect("nothing fails");
        rig.delete("old");
        rig.memory.arm(FaultPlan { io: Some(Io::Read), after: 3, fault: Fault::Garble });
        let collected = rig.collect_all();
        rig.memory.disarm();
        drop(collected);
        rig.memory.verify();
        assert_eq!(rig.get("new").as_deref(), Some(SHORT), "damage was copied");
        rig.finish();
    });
}

/// Segments that are missing are told of before anything is swept.
#[test]
fn a_collect_of_a_damaged_store_changes_nothing() {
    check(SCOPE.shuttle(600), || {
        let rig = Rig::with_buffers(4);
        rig.put("old", SHORT).expect("nothing fails");
        rig.put("new", LONGER).expect("nothing fails");
        rig.delete("old");
        rig.memory.lose_segments();
        let rows = (rig.memory.chunk_rows(), rig.memory.manifest_rows());
        let refused = rig.collect();
        assert!(matches!(refused, Err(StoreError::MissingSegment(_))), "damage went unnoticed");
        assert_eq!((rig.memory.chunk_rows(), rig.memory.manifest_rows()), rows, "rows were swept");
        rig.finish();
    });
}
