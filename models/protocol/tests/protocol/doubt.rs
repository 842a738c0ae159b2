//! A commit whose outcome is unknown: it failed, but it has taken effect, or will have after the
//! next power cut. The store goes on, and so does the next process.

use std::io::ErrorKind;

use drystone_models::explore::{Scope, check, finish};
use drystone_store::{Store, StoreConfig};
use drystone_testkit::memory::{Fault, Io};

use crate::rig::{PutResult, Rig, config, nth};

const SHORT: &[u8] = b"aaaabbbbccccddddeeee";
const OTHER: &[u8] = b"vvvvwwwwxxxxyyyyzzzz";

/// An acknowledged object is there; one that was refused is there, whole, or not.
fn assert_fate(rig: &Rig, name: &str, bytes: &[u8], outcome: &PutResult) {
    let found = rig.get(name);
    match outcome {
        Ok(_) => {
            assert_eq!(found.as_deref(), Some(bytes), "an acknowledged object is not there");
        }
        Err(_) => assert!(
            found.is_none_or(|found| found == bytes),
            "an object whose put failed is there and not whole"
        ),
    }
}

/// Commit `number` is left in doubt. Steps of an object have so many chunks.
fn check_going_on(number: u32, how: Fault, step_chunks_max: usize) {
    let config = StoreConfig { buffers: 4, ..config() };
    let rig = Rig::with_steps_of(step_chunks_max, config.clone(), &[nth(Io::Commit, number, how)]);
    let outcomes = [rig.start_put("a", SHORT), rig.start_put("b", SHORT)].map(finish);
    assert!(outcomes.iter().any(Result::is_err), "a commit in doubt went unnoticed");
    // The next append makes room first: it cuts off what nothing names.
    rig.memory.arm(nth(Io::Append, 1, Fault::Fail(ErrorKind::StorageFull)));
    // Of the same bytes as what is in doubt, and of others, which may come to lie behind them.
    for (name, bytes) in [("c", OTHER), ("d", SHORT)] {
        rig.put(name, bytes).expect("only one commit fails");
    }
    rig.memory.lose_power();
    let check = |rig: &Rig| {
        for (name, outcome) in ["a", "b"].iter().zip(&outcomes) {
            assert_fate(rig, name, SHORT, outcome);
        }
        for (name, bytes) in [("c", OTHER), ("d", SHORT)] {
            assert_eq!(rig.get(name).as_deref(), Some(bytes), "an acknowledged object is lost");
        }
    };
    check(&rig);

    let (records, segments) = rig.memory.open();
    let store = Store::with_steps_of(step_chunks_max, records, segments, config);
    let next = Rig { memory: rig.memory.clone(), store: store.expect("threads are to be had") };
    next.put("e", b"aaaavvvvnnnn").expect("only one commit fails");
    rig.memory.lose_power();
    check(&next);
    assert_eq!(
        next.get("e").as_deref(),
        Some(&b"aaaavvvvnnnn"[..]),
        "an acknowledged object is lost"
    );
    rig.memory.verify();
}

#[test]
fn a_commit_that_may_come_back_is_gone_on_from() {
    check(Scope::STORE.shuttle(4_000), || {
        check_going_on(1, Fault::FailForNow(ErrorKind::Other), 1024);
    });
}

#[test]
fn a_commit_that_failed_and_is_there_is_gone_on_from() {
    check(Scope::STORE.shuttle(4_000), || {
        check_going_on(1, Fault::FailLate(ErrorKind::Other), 1024);
    });
}

#[test]
fn a_step_in_doubt_is_gone_on_from() {
    check(Scope::STORE.shuttle(4_000), || {
        check_going_on(2, Fault::FailForNow(ErrorKind::Other), 1);
    });
}

#[test]
fn a_step_that_failed_and_is_there_is_gone_on_from() {
    check(Scope::STORE.shuttle(4_000), || {
        check_going_on(2, Fault::FailLate(ErrorKind::Other), 1);
    });
}

#[test]
fn a_commit_that_panicked_and_may_come_back_is_gone_on_from() {
    check(Scope::STORE.shuttle(4_000), || check_going_on(1, Fault::PanicForNow, 1024));
}
