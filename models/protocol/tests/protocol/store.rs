//! The whole store: puts, gets, deletes, expiry and collection side by side, in as few buffers as
//! can work.

use std::sync::LazyLock;

use drystone_chunker::Chunking;
use drystone_models::explore::{Scope, check, finish, start};
use drystone_store::{PutFailure, StoreConfig, StoreError};
use drystone_sync::bound;

use crate::rig::{Broken, Rig, config, expect_stored, target};

/// Ten chunks; more than three buffers.
const LONG: &[u8] = b"aaaabbbbccccddddeeeeffffgggghhhhiiiijjjj";
/// Five chunks; more than a buffer.
const SHORT: &[u8] = b"aaaabbbbccccddddeeee";

#[test]
fn two_buffers_are_enough_for_any_size() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(2);
        rig.put("a", LONG).expect("nothing fails");
        assert_eq!(rig.get("a").as_deref(), Some(LONG), "an acknowledged object is not there");
        assert!(
            rig.store.usage().buffers.high_water <= 2,
            "the store passed the ceiling of its buffers"
        );
        rig.finish();
    });
}

#[test]
fn uploads_take_turns_when_buffers_are_few() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(2);
        let others = [rig.start_put("a", LONG), rig.start_put("b", SHORT)];
        expect_stored(others);
        assert_eq!(rig.get("a").as_deref(), Some(LONG), "an acknowledged object is not there");
        assert_eq!(rig.get("b").as_deref(), Some(SHORT), "an acknowledged object is not there");
        rig.finish();
    });
}

#[test]
fn equal_uploads_write_each_chunk_once() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        expect_stored([rig.start_put("a", SHORT), rig.start_put("b", SHORT)]);
        assert_eq!(rig.memory.segment_bytes(), SHORT.len() as u64, "a chunk was appended twice");
        assert_eq!(rig.get("a").as_deref(), Some(SHORT), "an acknowledged object is not there");
        assert_eq!(rig.get("b").as_deref(), Some(SHORT), "an acknowledged object is not there");
        rig.finish();
    });
}

#[test]
fn uploads_that_share_chunks_in_opposite_orders_do_not_deadlock() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        expect_stored([rig.start_put("a", b"aaaabbbbcccc"), rig.start_put("b", b"ccccbbbbaaaa")]);
        assert_eq!(
            rig.get("a").as_deref(),
            Some(&b"aaaabbbbcccc"[..]),
            "an acknowledged object is not there"
        );
        assert_eq!(
            rig.get("b").as_deref(),
            Some(&b"ccccbbbbaaaa"[..]),
            "an acknowledged object is not there"
        );
        rig.finish();
    });
}

#[test]
fn a_reader_and_an_upload_share_the_smallest_pool() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(2);
        rig.put("a", SHORT).expect("nothing fails");
        let upload = rig.start_put("b", LONG);
        let other = rig.clone();
        let reads = start(move || other.get("a"));
        assert_eq!(rig.get("a").as_deref(), Some(SHORT), "wrong bytes were read");
        assert_eq!(finish(reads).as_deref(), Some(SHORT), "wrong bytes were read");
        expect_stored([upload]);
        rig.finish();
    });
}

/// There are as many claimants as buffers. When each holds one, a claimant that keeps its own and
/// waits for another waits for ever. Uploads may do so, so readers must not.
#[test]
fn two_readers_and_two_uploads_share_four_buffers() {
    check(Scope::STORE.shuttle(4_000), || {
        let rig = Rig::with_buffers(4);
        rig.put("a", SHORT).expect("nothing fails");
        let uploads = [rig.start_put("b", LONG), rig.start_put("c", LONG)];
        let other = rig.clone();
        let reads = start(move || other.get("a"));
        assert_eq!(rig.get("a").as_deref(), Some(SHORT), "wrong bytes were read");
        assert_eq!(finish(reads).as_deref(), Some(SHORT), "wrong bytes were read");
        expect_stored(uploads);
        rig.finish();
    });
}

#[test]
fn a_reader_sees_the_old_object_or_the_new_one() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        rig.put("a", SHORT).expect("nothing fails");
        let put = rig.start_put("a", b"aaaaccccbbbb");
        let seen = rig.get("a").expect("there is always one");
        assert!([SHORT, b"aaaaccccbbbb"].contains(&&*seen), "a mixture of two objects was read");
        expect_stored([put]);
        assert_eq!(
            rig.get("a").as_deref(),
            Some(&b"aaaaccccbbbb"[..]),
            "an acknowledged object is not there"
        );
        rig.finish();
    });
}

#[test]
fn a_put_and_a_delete_leave_the_new_object_or_none() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(2);
        rig.put("a", b"aaaabbbb").expect("nothing fails");
        let put = rig.start_put("a", b"aaaacccc");
        assert!(rig.delete("a"), "there is always one to delete");
        expect_stored([put]);
        let left = rig.get("a");
        assert!(left.is_none_or(|bytes| bytes == b"aaaacccc"), "a deleted object came back");
        rig.finish();
    });
}

#[test]
fn an_expired_session_leaves_nothing_visible() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(2);
        let put = rig.start_put("a", LONG);
        rig.memory.expire();
        let outcome = finish(put);
        if let Err(failure) = &outcome {
            assert!(
                matches!(failure, PutFailure::Store(StoreError::SessionExpired)),
                "another failure: {failure}"
            );
        }
        rig.assert_fate("a", LONG, &outcome);
        rig.finish();
    });
}

#[test]
fn objects_of_one_ingest_do_not_mix() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(2);
        let mut ingest = rig.ingest().expect("the store is open");
        let names = ["a", "b", "c"];
        let contents: [&[u8]; 3] = [b"aaaabb", SHORT, b""];
        let broken = ingest.put(target("broken"), None, &mut Broken(b"xxxxyy"));
        assert!(
            matches!(broken, Err(PutFailure::Source(_))),
            "a broken source was taken for its end"
        );
        let puts = [0, 1, 2].map(|at| {
            let mut source = contents[at];
            ingest.put(target(names[at]), None, &mut source).expect("nothing fails")
        });
        for put in puts {
            put.wait(&mut ingest).expect("nothing fails");
        }
        drop(ingest);
        for (name, content) in names.iter().zip(contents) {
            assert_eq!(
                rig.get(name).as_deref(),
                Some(content),
                "an acknowledged object is not there"
            );
        }
        assert_eq!(rig.get("broken"), None, "a refused object is visible");
        rig.finish();
    });
}

#[test]
fn closing_ends_uploads_and_reads() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(2);
        let puts = [rig.start_put("a", LONG), rig.start_put("b", SHORT)];
        rig.store.close();
        for (put, name) in puts.into_iter().zip(["a", "b"]) {
            let outcome = finish(put);
            let visible = rig.store.stat(&crate::rig::bucket(), &crate::rig::key(name)).is_ok();
            assert_eq!(visible, outcome.is_ok(), "visible and acknowledged are not the same");
            if let Err(failure) = outcome {
                assert!(
                    matches!(failure, PutFailure::Store(StoreError::Closed)),
                    "another failure: {failure}"
                );
            }
        }
        rig.memory.verify();
    });
}

/// A segment that is full is sealed and another one begun, while other workers do the same.
#[test]
fn what_fills_several_segments_is_whole() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        let other: &[u8] = b"kkkkllllmmmmnnnnooooppppqqqqrrrrsssstttt";
        expect_stored([rig.start_put("a", LONG), rig.start_put("b", other)]);
        rig.memory.lose_power();
        assert_eq!(rig.get("a").as_deref(), Some(LONG), "an acknowledged object is not there");
        assert_eq!(rig.get("b").as_deref(), Some(other), "an acknowledged object is not there");
        rig.finish();
    });
}

/// More chunks than one step of a manifest takes, so that an upload waits for its own earlier step.
#[test]
fn a_large_object_is_committed_in_steps() {
    static BYTES: [u8; 11] = [7; 11];
    check(Scope::STORE.shuttle(3_000), || {
        let config = StoreConfig {
            chunking: Chunking::fixed(1).expect("a valid size"),
            buffers: 4,
            buffer_bytes: 5,
            ..config()
        };
        let rig = Rig::with_steps_of(2, config, &[]);
        expect_stored([rig.start_put("a", &BYTES), rig.start_put("b", &BYTES)]);
        assert_eq!(
            rig.store
                .stat(&crate::rig::bucket(), &crate::rig::key("a"))
                .expect("it is stored")
                .size,
            11
        );
        assert_eq!(rig.memory.segment_bytes(), 1, "a chunk was appended twice");
        rig.finish();
    });
}

/// Only large objects are read by the workers: above 256 KiB, or 12 bytes where a checker looks.
#[test]
fn what_workers_read_ahead_arrives_in_order() {
    const CHUNK_BYTES: u64 = bound(64 << 10, 4) as u64;
    static BYTES: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..5 * CHUNK_BYTES).map(|at| (at / CHUNK_BYTES) as u8).collect());
    check(Scope::STORE.shuttle(3_000), || {
        let config = StoreConfig {
            chunking: Chunking::fixed(CHUNK_BYTES).expect("a valid size"),
            buffer_bytes: 3 * CHUNK_BYTES as usize,
            buffers: 4,
            read_ahead_max: 3,
            ..config()
        };
        let rig = Rig::new(config, &[]);
        rig.put("a", &BYTES).expect("nothing fails");
        let readers = [(); 2].map(|()| {
            let rig = rig.clone();
            start(move || {
                assert!(rig.get("a").as_deref() == Some(&BYTES[..]), "wrong bytes were read");
            })
        });
        readers.into_iter().for_each(finish);
        rig.finish();
    });
}
