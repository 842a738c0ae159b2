//! Uploads that are parked between turns and go on elsewhere: the same object, or nothing of it.

use std::io::ErrorKind;

use drystone_models::explore::{Scope, check, finish, start};
use drystone_store::{Ingest, Parked, Result, StoreConfig, StoreError, Writing};
use drystone_testkit::memory::{Fault, Io};

use crate::rig::{PutResult, Rig, config, nth, target};

/// Longer than a buffer; no two chunks alike, and the last one is short.
const BYTES: &[u8] = b"aaaabbbbccccddddeeeeffffg";
const SMALL: &[u8] = b"vvvvw";

const SCOPE: Scope = Scope::STORE.shuttle(4_000);

/// What a caller has while its upload holds nothing.
struct Waits {
    parked: Parked,
    tail: Vec<u8>,
}

fn park(writing: Writing<'_>) -> Result<Waits> {
    let (parked, tail) = writing.park()?;
    let tail = tail.as_deref().map(<[u8]>::to_vec).unwrap_or_default();
    Ok(Waits { parked, tail })
}

fn go_on<'a>(ingest: &'a mut Ingest, waits: Waits) -> Result<Writing<'a>> {
    let mut writing = ingest.resume(waits.parked);
    writing.push(&waits.tail)?;
    Ok(writing)
}

/// Writes in the ingest slot that is free, and in the next one after each of these places.
fn put_in_turns(rig: &Rig, name: &str, bytes: &[u8], places: &[usize]) -> PutResult {
    let mut waits: Option<Waits> = None;
    let mut at = 0;
    for &place in places {
        let mut ingest = rig.ingest()?;
        let mut writing = match waits.take() {
            Some(waits) => go_on(&mut ingest, waits)?,
            None => ingest.begin(None),
        };
        writing.push(&bytes[at..place])?;
        at = place;
        waits = Some(park(writing)?);
        ingest.rest()?;
    }
    let mut ingest = rig.ingest()?;
    let mut writing = match waits {
        Some(waits) => go_on(&mut ingest, waits)?,
        None => ingest.begin(None),
    };
    writing.push(&bytes[at..])?;
    let pending = writing.finish(target(name))?;
    Ok(pending.wait(&mut ingest)?)
}

/// There is one ingest for both: each upload's bytes are cut as if it had been alone.
#[test]
fn uploads_that_take_turns_are_what_was_sent() {
    check(SCOPE, || {
        let rig = Rig::with_steps_of(2, config(), &[]);
        let other = rig.clone();
        let small = start(move || put_in_turns(&other, "small", SMALL, &[3]));
        let large = put_in_turns(&rig, "large", BYTES, &[6, 19]);
        let small = finish(small);
        rig.memory.lose_power();
        for put in [large, small] {
            if let Err(failure) = put {
                panic!("a put failed: {failure}");
            }
        }
        assert_eq!(
            rig.get("large").as_deref(),
            Some(BYTES),
            "a parked upload is not what was sent"
        );
        assert_eq!(
            rig.get("small").as_deref(),
            Some(SMALL),
            "a parked upload is not what was sent"
        );
        rig.finish();
    });
}

/// No ingest is there meanwhile, and the one in which it began is no more.
#[test]
fn a_parked_upload_holds_nothing_and_keeps_its_session() {
    check(SCOPE.shuttle(1_000), || {
        let rig = Rig::with_steps_of(1, StoreConfig { workers: 1, ..config() }, &[]);
        let mut ingest = rig.ingest().expect("the store is open");
        let mut writing = ingest.begin(None);
        writing.push(&BYTES[..18]).expect("nothing fails");
        let waits = park(writing).expect("nothing fails");
        ingest.rest().expect("nothing fails");
        drop(ingest);
        assert_eq!(rig.store.usage().ingests.now, 0, "a parked upload holds an ingest");
        // After this one the worker has nothing left of the other.
        rig.put("b", SMALL).expect("nothing fails");
        assert_eq!(rig.store.usage().buffers.now, 0, "a parked upload holds a buffer");
        let mut ingest = rig.ingest().expect("the store is open");
        let mut writing = go_on(&mut ingest, waits).expect("nothing fails");
        writing.push(&BYTES[18..]).expect("nothing fails");
        let pending = writing.finish(target("a")).expect("nothing fails");
        if let Err(error) = pending.wait(&mut ingest) {
            panic!("a parked upload lost its session: {error}");
        }
        drop(ingest);
        assert_eq!(rig.memory.expire(), 0, "a session outlives its last upload");
        rig.memory.lose_power();
        assert_eq!(rig.get("a").as_deref(), Some(BYTES), "an acknowledged object is not there");
        rig.finish();
    });
}

/// The client goes away between two turns.
#[test]
fn a_parked_upload_that_is_dropped_leaves_nothing() {
    check(SCOPE.shuttle(1_000), || {
        let rig = Rig::with_steps_of(1, StoreConfig { workers: 1, ..config() }, &[]);
        let mut ingest = rig.ingest().expect("the store is open");
        let mut writing = ingest.begin(None);
        writing.push(BYTES).expect("nothing fails");
        let waits = park(writing).expect("nothing fails");
        // Another one goes on in the same ingest meanwhile.
        let pending = ingest.put(target("b"), None, &mut &SMALL[..]).expect("nothing fails");
        drop(waits);
        pending.wait(&mut ingest).expect("another's end is none of its");
        assert_eq!(rig.memory.pending_manifests(), 0, "the steps of a dropped upload stay");
        ingest.rest().expect("nothing fails");
        drop(ingest);
        assert_eq!(rig.get("b").as_deref(), Some(SMALL), "an acknowledged object is not there");
        rig.finish();
    });
}

/// Its lease runs out, or a collector comes, while it is parked.
#[test]
fn a_parked_upload_whose_session_has_expired_is_refused() {
    check(SCOPE, || {
        let rig = Rig::with_steps_of(1, config(), &[]);
        let other = rig.clone();
        let expires = start(move || {
            let expired = other.memory.expire();
            other.collect().expect("nothing fails");
            expired
        });
        let put = put_in_turns(&rig, "a", BYTES, &[6, 19]);
        let expired = finish(expires);
        if expired == 0 {
            assert!(put.is_ok(), "an upload in a live session was refused");
        }
        rig.memory.lose_power();
        rig.assert_fate("a", BYTES, &put);
        rig.memory.verify();
    });
}

/// Of an upload that fails while it is parked, or while it is being parked, nothing is visible; the
/// next one is none the worse.
#[test]
fn an_upload_that_fails_is_not_parked_for_good() {
    check(SCOPE, || {
        let faults = [nth(Io::Append, 2, Fault::Fail(ErrorKind::Other))];
        let rig = Rig::with_steps_of(1, StoreConfig { buffers: 4, ..config() }, &faults);
        let put = put_in_turns(&rig, "a", BYTES, &[6, 19]);
        rig.assert_fate("a", BYTES, &put);
        let next = put_in_turns(&rig, "b", SMALL, &[2]);
        rig.assert_fate("b", SMALL, &next);
        assert_eq!(rig.memory.pending_manifests(), 0, "the steps of a failed upload stay");
        rig.memory.verify();
    });
}

/// The cutter is gone: the upload is not waited for.
#[test]
fn an_upload_is_not_parked_at_a_cutter_that_died() {
    check(SCOPE.shuttle(1_000), || {
        let rig = Rig::with_steps_of(1, config(), &[]);
        let mut ingest = rig.ingest().expect("the store is open");
        let mut writing = ingest.begin(None);
        writing.push(&SMALL[..2]).expect("nothing fails");
        drop(writing);
        ingest.lose_cutter();
        let mut writing = ingest.begin(None);
        writing.push(SMALL).expect("it is not passed on yet");
        let refused = writing.park().err();
        assert!(matches!(refused, Some(StoreError::Abandoned(_))), "it was parked nowhere");
        drop(ingest);
        rig.finish();
    });
}
