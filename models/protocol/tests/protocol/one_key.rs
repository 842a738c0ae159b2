//! Several clients use one key. Puts, conditional puts and deletes have one outcome, which some
//! order of them explains.

use std::ops::Bound;

use drystone_models::explore::{Scope, check, finish};
use drystone_store::{Condition, PutFailure, StoreError, Stored};

use crate::rig::{PutResult, Rig, bucket, expect_stored, key};

/// The contents share a chunk, so that one upload may depend on what the other has written.
const ONE: &[u8] = b"aaaabbbb";
const OTHER: &[u8] = b"aaaacccc";
const OLD: &[u8] = b"oooo";

const SCOPE: Scope = Scope::STORE.shuttle(6_000);

/// What `put` became: `None` when its condition did not hold.
fn stored(put: PutResult) -> Option<Stored> {
    match put {
        Ok(stored) => Some(stored),
        Err(PutFailure::Store(StoreError::PreconditionFailed { .. })) => None,
        Err(failure) => panic!("a put failed: {failure}"),
    }
}

/// The key holds `bytes` and nothing else, and the store is as large as everything that was ever
/// `acknowledged` there: without a collector, what was overwritten or deleted stays.
#[track_caller]
fn assert_is(rig: &Rig, bytes: Option<&[u8]>, acknowledged: &[&[u8]]) {
    assert_eq!(rig.get("a").as_deref(), bytes, "another object than the last one is there");
    let listed = rig.store.list(&bucket(), "", Bound::Unbounded, 10).expect("the records are well");
    assert_eq!(listed.len(), usize::from(bytes.is_some()), "the listing disagrees with the lookup");
    let totals = rig.store.totals().expect("the records are well");
    assert_eq!(totals.objects, listed.len() as u64, "objects do not add up");
    assert_eq!(
        totals.object_bytes,
        bytes.map_or(0, <[u8]>::len) as u64,
        "object bytes do not add up"
    );
    let mut chunks: Vec<&[u8]> = acknowledged.iter().flat_map(|bytes| bytes.chunks(4)).collect();
    chunks.sort_unstable();
    chunks.dedup();
    assert_eq!(totals.chunks, chunks.len() as u64, "chunks do not add up");
    assert_eq!(totals.chunk_bytes, chunks.concat().len() as u64, "chunk bytes do not add up");
}

/// The condition that the key has what was stored, and nothing that came after it.
fn is_still(rig: &Rig, stored: &Stored) -> Condition {
    let row = rig.store.stat(&bucket(), &key("a")).expect("it was put");
    assert_eq!(row.manifest, stored.manifest);
    Condition::IfVersion(row.version())
}

#[test]
fn two_puts_and_a_delete_leave_one_object_or_none() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        let old = rig.put("a", OLD).expect("nothing fails");
        let puts = [rig.start_put("a", ONE), rig.start_put("a", OTHER)];
        assert!(rig.delete("a"), "there is always one to delete");
        let [one, other] = puts.map(finish).map(|put| stored(put).expect("it has no condition"));
        let left = rig.get("a");
        let expected = match rig.store.stat(&bucket(), &key("a")) {
            Ok(row) if row.manifest == one.manifest => Some(ONE),
            Ok(row) if row.manifest == other.manifest => Some(OTHER),
            Ok(_) => panic!("a deleted object came back"),
            Err(_) => None,
        };
        assert_eq!(left.as_deref(), expected, "a mixture of two objects was read");
        assert_is(&rig, expected, &[OLD, ONE, OTHER]);
        let new_bytes = old.new_bytes + one.new_bytes + other.new_bytes;
        assert_eq!(new_bytes, 16, "every new chunk is counted for one upload, and for one only");
        assert_eq!(rig.store.put_stats().new_bytes, 16, "what was written does not add up");
        rig.finish();
    });
}

#[test]
fn of_two_puts_that_ask_for_an_absent_key_one_is_stored() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        let puts = [
            rig.start_put_if("a", ONE, Condition::IfAbsent),
            rig.start_put_if("a", OTHER, Condition::IfAbsent),
        ];
        let [one, other] = puts.map(finish).map(stored);
        let winner = match (one, other) {
            (Some(_), None) => ONE,
            (None, Some(_)) => OTHER,
            (Some(_), Some(_)) => panic!("both found the key absent"),
            (None, None) => panic!("a refused put cost the other one, too"),
        };
        assert_is(&rig, Some(winner), &[winner]);
        rig.finish();
    });
}

/// The conditional put is first and is overwritten, or second and refused: the other one stays in
/// any case.
fn check_overwritten(rig: &Rig, condition: Condition, before: &[&[u8]]) {
    let conditional = rig.start_put_if("a", ONE, condition);
    let always = rig.start_put("a", OTHER);
    let conditional = stored(finish(conditional));
    expect_stored([always]);
    let mut acknowledged = before.to_vec();
    acknowledged.push(OTHER);
    acknowledged.extend(conditional.map(|_| ONE));
    assert_is(rig, Some(OTHER), &acknowledged);
}

#[test]
fn a_put_overwrites_one_that_asked_for_an_absent_key() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        check_overwritten(&rig, Condition::IfAbsent, &[]);
        rig.finish();
    });
}

#[test]
fn a_put_overwrites_one_that_asked_for_the_old_object() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        let old = rig.put("a", OLD).expect("nothing fails");
        check_overwritten(&rig, is_still(&rig, &old), &[OLD]);
        rig.finish();
    });
}

#[test]
fn a_delete_and_a_put_that_asked_for_the_old_object_leave_nothing() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        let old = rig.put("a", OLD).expect("nothing fails");
        let put = rig.start_put_if("a", ONE, is_still(&rig, &old));
        assert!(rig.delete("a"), "there is always one to delete");
        let acknowledged: &[&[u8]] =
            if stored(finish(put)).is_some() { &[OLD, ONE] } else { &[OLD] };
        assert_is(&rig, None, acknowledged);
        rig.finish();
    });
}

/// The same bytes are put again, and a client deletes on a condition that only the first object
/// meets. In either order the second object stays.
#[test]
fn a_delete_that_saw_the_old_object_spares_the_same_bytes_put_again() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        let old = rig.put("a", ONE).expect("nothing fails");
        let condition = is_still(&rig, &old);
        let again = rig.start_put("a", ONE);
        match rig.store.delete_if(&bucket(), &key("a"), condition) {
            Ok(deleted) => assert!(deleted, "it was there, or the condition does not hold"),
            Err(StoreError::PreconditionFailed { .. }) => {}
            Err(error) => panic!("a delete failed: {error}"),
        }
        expect_stored([again]);
        assert_is(&rig, Some(ONE), &[ONE]);
        rig.finish();
    });
}
