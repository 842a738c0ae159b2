//! Upload sessions.

use std::collections::BTreeMap;

use drystone_store::{Complete, Entry, LEASE_MS_MAX, PartTarget, StoreError, Target, UploadId};

use super::Fixture;
use super::bench::{Bench, LONG_MS, complete, content, ok};

#[track_caller]
fn check_expired<T>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::SessionExpired) => {}
        Err(other) => panic!("expected an expired session, found: {other}"),
        Ok(_) => panic!("a dead session was let through"),
    }
}

pub(super) fn a_session_lives_until_it_is_ended(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let one = ok(bench.records.begin_session(LONG_MS));
    let two = ok(bench.records.begin_session(LONG_MS));
    assert_ne!(one.id, two.id);
    assert_eq!(one.epoch, two.epoch, "the epoch did not move");
    ok(bench.records.extend_session(one.id, LONG_MS));
    ok(bench.records.end_session(one.id));
    ok(bench.records.end_session(one.id));
    check_expired(bench.records.extend_session(one.id, LONG_MS));
    ok(bench.records.extend_session(two.id, LONG_MS));
    let later = ok(bench.records.begin_session(LONG_MS));
    assert!(later.id != one.id && later.id != two.id, "a session's id is used again");
}

pub(super) fn expiry_is_for_ever(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let dead = bench.dead_session();
    check_expired(bench.records.extend_session(dead, LONG_MS));
    assert_eq!(ok(bench.records.expire_sessions()), 0, "a session expires once");
    check_expired(bench.records.extend_session(dead, LONG_MS));
    ok(bench.records.extend_session(bench.session, LONG_MS));
    ok(bench.records.end_session(dead));
}

pub(super) fn a_heartbeat_keeps_a_session_alive(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let session = ok(bench.records.begin_session(0)).id;
    // The lease may have run out by now, but no transaction has noticed: then it is not dead.
    ok(bench.records.extend_session(session, LONG_MS));
    let other = bench.dead_session();
    ok(bench.records.extend_session(session, LONG_MS));
    check_expired(bench.records.extend_session(other, LONG_MS));
}

pub(super) fn a_lease_too_long_is_refused(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    for lease_ms in [LEASE_MS_MAX + 1, 1 << 63, u64::MAX] {
        let begun = bench.records.begin_session(lease_ms).map(drop);
        for refused in [begun, bench.records.extend_session(bench.session, lease_ms)] {
            assert!(matches!(refused, Err(StoreError::LeaseTooLong { .. })), "{refused:?}");
        }
    }
    let session = ok(bench.records.begin_session(LEASE_MS_MAX)).id;
    ok(bench.records.extend_session(session, LEASE_MS_MAX));
    assert_eq!(ok(bench.records.expire_sessions()), 0);
}

/// What a collector waits for: no live session may be left in an epoch that has ended.
pub(super) fn a_session_moves_on_with_an_entry(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let oldest = |bench: &Bench| ok(bench.records.epochs()).oldest;
    let first = oldest(&bench).expect("the bench's session is alive");
    assert_eq!(ok(bench.records.advance_epoch()), first);
    let later = ok(bench.records.begin_session(LONG_MS));
    assert!(later.epoch > first, "the epoch did not move");
    let (chunks, size) = bench.append_all(&[b"one", b"two"]);
    let step = bench.entry(vec![chunks[0]], None);
    let manifest = Some(ok(bench.commit_one(step)));
    assert_eq!(oldest(&bench), Some(first), "a step without a word of it moved its session");
    // It is refused, and so is all that it says.
    let gone = Complete { target: part_of_nothing(), size: 0, content: content(1) };
    let refused = Entry { advance: true, ..bench.entry(Vec::new(), Some(gone)) };
    assert!(bench.commit_one(refused).is_err());
    assert_eq!(oldest(&bench), Some(first), "a refused step moved its session");
    let complete = Some(complete("wall", size, content(2)));
    let last = Entry { manifest, advance: true, ..bench.entry(vec![chunks[1]], complete) };
    ok(bench.commit_one(last));
    assert_eq!(oldest(&bench), Some(later.epoch), "a step did not move its session");
    assert_eq!(ok(bench.records.advance_epoch()), later.epoch);
    ok(bench.records.end_session(bench.session));
    bench.dead_session();
    assert_eq!(oldest(&bench), Some(later.epoch), "a dead session is waited for, or a live is not");
    ok(bench.records.end_session(later.id));
    assert_eq!(oldest(&bench), None);
}

fn part_of_nothing() -> Target {
    Target::Part(PartTarget { upload: UploadId(987_654), number: 1, system: BTreeMap::new() })
}

pub(super) fn a_dead_session_commits_nothing(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let (chunks, size) = bench.append_all(&[b"late"]);
    let id = chunks[0].id;
    let dead = bench.dead_session();
    let entry = Entry {
        session: dead,
        ..bench.entry(chunks.clone(), Some(complete("late", size, content(1))))
    };
    check_expired(bench.commit_one(entry.clone()));
    ok(bench.records.end_session(dead));
    check_expired(bench.commit_one(entry));
    assert_eq!(bench.stat("late"), None);
    assert_eq!(
        ok(bench.records.find_chunks(&[id])),
        [None],
        "a refused entry leaves no chunk rows"
    );
    let pending = Entry { session: dead, ..bench.entry(chunks, None) };
    check_expired(bench.commit_one(pending));
    assert_eq!(ok(bench.records.totals()), drystone_store::Totals::default());
}

pub(super) fn one_refused_entry_leaves_the_others(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let dead = bench.dead_session();
    let (one, one_size) = bench.append_all(&[b"one"]);
    let (two, two_size) = bench.append_all(&[b"two"]);
    let (three, three_size) = bench.append_all(&[b"three"]);
    let entries = [
        bench.entry(one, Some(complete("one", one_size, content(1)))),
        Entry { session: dead, ..bench.entry(two, Some(complete("two", two_size, content(2)))) },
        bench.entry(three, Some(complete("three", three_size, content(3)))),
    ];
    let mut results = bench.commit(&entries);
    let third = ok(results.pop().expect("three results"));
    check_expired(results.pop().expect("three results"));
    let first = ok(results.pop().expect("three results"));
    assert_ne!(first, third);
    assert_eq!(bench.names("", None, 9), ["one", "three"]);
}
