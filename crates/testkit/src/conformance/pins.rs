//! Sessions of readers and their pins.

use drystone_store::{LEASE_MS_MAX, ManifestId, StoreError};

use super::Fixture;
use super::bench::{Bench, LONG_MS, complete, content, ok};

/// Three objects' manifests.
fn manifests(bench: &mut Bench) -> [ManifestId; 3] {
    ["one", "two", "three"].map(|name| {
        let (chunks, size) = bench.append_all(&[name.as_bytes()]);
        let entry = bench.entry(chunks, Some(complete(name, size, content(size as u8))));
        ok(bench.commit_one(entry))
    })
}

#[track_caller]
fn check_pinned(bench: &Bench, manifests: &[ManifestId], expected: &[bool]) {
    let pinned: Vec<bool> =
        manifests.iter().map(|manifest| ok(bench.records.is_pinned(*manifest))).collect();
    assert_eq!(pinned, expected);
}

pub(super) fn pins_are_replaced_and_go_with_their_session(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let all = manifests(&mut bench);
    let [one, two, three] = all;
    let pin = |bench: &Bench, session, pins: &[ManifestId]| {
        let epoch = ok(bench.records.epoch());
        bench.records.pin_manifests(session, epoch, LONG_MS, pins)
    };
    let first = ok(bench.records.begin_reading(LONG_MS)).id;
    let second = ok(bench.records.begin_reading(LONG_MS)).id;
    check_pinned(&bench, &all, &[false; 3]);
    // Named twice, and in any order.
    ok(pin(&bench, first, &[two, one, two]));
    ok(pin(&bench, second, &[two]));
    check_pinned(&bench, &all, &[true, true, false]);
    ok(pin(&bench, first, &[three]));
    check_pinned(&bench, &all, &[false, true, true]);
    ok(bench.records.end_session(second));
    check_pinned(&bench, &all, &[false, false, true]);
    // A session that dies pins nothing any more, and cannot pin again.
    let dying = ok(bench.records.begin_reading(0)).id;
    ok(bench.records.pin_manifests(dying, ok(bench.records.epoch()), 0, &[one, three]));
    check_pinned(&bench, &all, &[true, false, true]);
    while ok(bench.records.expire_sessions()) == 0 {}
    check_pinned(&bench, &all, &[false, false, true]);
    assert!(matches!(pin(&bench, dying, &[one]), Err(StoreError::SessionExpired)));
    check_pinned(&bench, &all, &[false, false, true]);
    ok(pin(&bench, first, &[]));
    check_pinned(&bench, &all, &[false; 3]);
    ok(bench.records.end_session(first));
    assert!(matches!(pin(&bench, first, &[one]), Err(StoreError::SessionExpired)));
    check_pinned(&bench, &all, &[false; 3]);
}

pub(super) fn readers_move_on_and_never_back(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let [one, ..] = manifests(&mut bench);
    ok(bench.records.end_session(bench.session));
    let readers = ok(bench.records.begin_reading(LONG_MS));
    assert_eq!(ok(bench.records.epoch()), readers.epoch);
    assert_eq!(ok(bench.records.epochs()).oldest, Some(readers.epoch));
    assert_eq!(ok(bench.records.advance_epoch()), readers.epoch);
    let middle = ok(bench.records.epoch());
    assert!(middle > readers.epoch);
    ok(bench.records.advance_epoch());
    // To the epoch that it is told, not to that of the transaction.
    ok(bench.records.pin_manifests(readers.id, middle, LONG_MS, &[one]));
    assert_eq!(ok(bench.records.epochs()).oldest, Some(middle));
    ok(bench.records.pin_manifests(readers.id, readers.epoch, LONG_MS, &[one]));
    assert_eq!(ok(bench.records.epochs()).oldest, Some(middle));
    let refused = bench.records.pin_manifests(readers.id, middle, LEASE_MS_MAX + 1, &[]);
    assert!(matches!(refused, Err(StoreError::LeaseTooLong { .. })), "{refused:?}");
    assert!(ok(bench.records.is_pinned(one)), "a refused move has changed the pins");
}

/// The heartbeat of readers is the move.
pub(super) fn a_move_renews_the_lease(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let readers = ok(bench.records.begin_reading(0));
    ok(bench.records.pin_manifests(readers.id, readers.epoch, LONG_MS, &[]));
    bench.dead_session();
    ok(bench.records.extend_session(readers.id, LONG_MS));
}
