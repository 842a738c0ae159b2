//! Objects are deleted and overwritten while they are read, and collects run. A reader gets all
//! bytes of the object that it looked up.

use drystone_models::explore::{Scope, check, finish, start};
use drystone_store::StoreError;
use drystone_sync::thread::JoinHandle;

use crate::rig::{Rig, bucket, key};

/// Five chunks; more than a reader has buffers for, and than a page of a manifest has rows.
const SHORT: &[u8] = b"aaaabbbbccccddddeeee";
const OTHER: &[u8] = b"zzzzyyyyxxxxwwwwvvvv";

/// A store with an object, whose readers have a session already: one from before the deletes to
/// come, that holds collects up until it moves on.
fn rig() -> Rig {
    let rig = Rig::with_buffers(6);
    rig.put("a", SHORT).expect("nothing fails");
    rig.store.open(&bucket(), &key("a")).expect("it was stored");
    rig
}

fn start_get(rig: &Rig) -> JoinHandle<Option<Vec<u8>>> {
    let rig = rig.clone();
    start(move || rig.get("a"))
}

fn start_beats(rig: &Rig, beats: usize) -> JoinHandle<()> {
    let store = rig.store.clone();
    start(move || (0..beats).for_each(|_| store.move_readers_on().expect("the records are well")))
}

/// What readers held is a collect's when they have ended and moved on.
fn expect_room(rig: &Rig, manifests: usize) {
    // The first move forgets the pins, the second ends the session.
    for _ in 0..3 {
        rig.store.move_readers_on().expect("the records are well");
    }
    rig.collect_now();
    rig.collect_now();
    assert_eq!(rig.memory.manifest_rows(), manifests, "what nothing reads stays for ever");
    assert_eq!(rig.memory.expire(), 0, "the session of the readers does not end");
}

#[test]
fn a_deleted_object_is_read_to_its_end() {
    check(Scope::STORE.shuttle(4_000), || {
        let rig = rig();
        let (get, beats) = (start_get(&rig), start_beats(&rig, 2));
        rig.delete("a");
        rig.collect_now();
        rig.collect_now();
        finish(beats);
        rig.collect_now();
        let read = finish(get);
        assert!(read.is_none_or(|bytes| bytes == SHORT), "wrong bytes were read");
        expect_room(&rig, 0);
        rig.finish();
    });
}

/// The first reader begins the session.
#[test]
fn the_first_lookup_is_protected() {
    check(Scope::STORE.shuttle(4_000), || {
        let rig = Rig::with_buffers(6);
        rig.put("a", SHORT).expect("nothing fails");
        let gets = [start_get(&rig), start_get(&rig)];
        rig.delete("a");
        rig.collect_now();
        rig.collect_now();
        for get in gets {
            assert!(finish(get).is_none_or(|bytes| bytes == SHORT), "wrong bytes were read");
        }
        expect_room(&rig, 0);
        rig.finish();
    });
}

#[test]
fn an_overwritten_object_is_read_to_its_end() {
    check(Scope::STORE.shuttle(4_000), || {
        let rig = rig();
        let (get, beats) = (start_get(&rig), start_beats(&rig, 2));
        rig.put("a", OTHER).expect("nothing fails");
        rig.collect_now();
        rig.collect_now();
        finish(beats);
        rig.collect_now();
        let read = finish(get).expect("there is always one");
        assert!(read == SHORT || read == OTHER, "wrong bytes were read");
        expect_room(&rig, 1);
        rig.finish();
    });
}

/// A reader that began before its session moved on again and again.
#[test]
fn an_open_object_stays_readable_and_holds_no_other() {
    check(Scope::STORE.shuttle(3_000), || {
        let rig = rig();
        rig.put("b", OTHER).expect("nothing fails");
        let open = rig.store.open(&bucket(), &key("a")).expect("it was stored");
        let other = rig.clone();
        let deletes = start(move || {
            other.delete("b");
            other.delete("a");
            other.collect_now();
        });
        finish(start_beats(&rig, 2));
        finish(deletes);
        finish(start_beats(&rig, 1));
        rig.collect_now();
        assert_eq!(rig.memory.manifest_rows(), 1, "an object that nothing reads is kept");
        for _ in 0..2 {
            let mut bytes = Vec::new();
            let copied = rig.store.read(&open, None).copy_to(&mut bytes);
            copied.expect("an open object is not whole").expect("a vector takes everything");
            assert_eq!(bytes, SHORT, "wrong bytes were read");
            rig.collect_now();
        }
        drop(open);
        expect_room(&rig, 0);
        rig.finish();
    });
}

/// It may come anywhere between the steps of the move.
#[test]
fn a_lookup_beside_a_move_is_protected() {
    check(Scope::STORE.shuttle(20_000), || {
        let rig = rig();
        let (store, beats) = (rig.store.clone(), start_beats(&rig, 1));
        let open = start(move || store.open(&bucket(), &key("a")));
        rig.delete("a");
        rig.collect_now();
        finish(beats);
        let open = finish(open);
        rig.collect_now();
        if let Ok(open) = open {
            let mut bytes = Vec::new();
            let copied = rig.store.read(&open, None).copy_to(&mut bytes);
            copied.expect("an open object is not whole").expect("a vector takes everything");
            assert_eq!(bytes, SHORT, "wrong bytes were read");
        }
        expect_room(&rig, 0);
        rig.finish();
    });
}

/// Their lease may run out, as that of a process that was stopped for a while.
#[test]
fn a_reader_without_protection_says_so() {
    check(Scope::STORE.shuttle(4_000), || {
        let rig = rig();
        let other = rig.clone();
        let get = start(move || {
            let mut reader = match other.store.get(&bucket(), &key("a"), None) {
                Err(StoreError::NotFound { .. }) => return None,
                reader => reader.expect("the records are well"),
            };
            let mut bytes = Vec::new();
            let copied = reader.copy_to(&mut bytes);
            Some(copied.map(|_| bytes))
        });
        let store = rig.store.clone();
        // May find its session dead.
        let beats = start(move || (0..2).for_each(|_| drop(store.move_readers_on())));
        rig.delete("a");
        rig.memory.expire();
        rig.collect_now();
        rig.collect_now();
        match finish(get) {
            Some(Ok(bytes)) => assert_eq!(bytes, SHORT, "wrong bytes were read"),
            Some(Err(error)) => {
                assert!(matches!(error, StoreError::Replaced { .. }), "another error: {error}");
            }
            None => {}
        }
        finish(beats);
        while rig.store.usage().buffers.now > 0 {
            drystone_sync::thread::yield_now();
        }
        // Those that come later are protected again.
        rig.put("a", OTHER).expect("nothing fails");
        let _ = rig.store.move_readers_on();
        assert_eq!(rig.get("a").as_deref(), Some(OTHER), "wrong bytes were read");
        rig.finish();
    });
}
