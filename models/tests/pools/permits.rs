//! Permits: no owner waits for ever, none gets more than its share, and no unit is lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, start};
use drystone_pool::{AcquireError, Owner, Permits};
use drystone_sync::{Arc, PlainArc, thread};

use crate::gate::Gate;

/// Counts the threads that are inside. The checkers do not see it.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
}

impl Gauge {
    fn enter(&self, most: usize, complaint: &str) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(now <= most, "{complaint}");
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn enter_and_leave(owner: &Owner, gauge: &Gauge) {
    let permit = owner.acquire().expect("nothing closes or cancels it");
    gauge.enter(1, "two hold the only permit");
    gauge.leave();
    drop(permit);
}

fn assert_all_back(permits: &Permits) {
    let usage = permits.usage();
    assert_eq!(usage.now, 0, "a permit leaked");
    assert!(usage.high_water <= usage.ceiling, "the high-water mark passed the ceiling");
}

#[test]
fn every_waiter_is_served() {
    check(Scope::SMALL, || {
        let permits = Permits::new(1, 1);
        let gauge = PlainArc::new(Gauge::default());
        let others = [(); 2].map(|()| {
            let (owner, gauge) = (permits.owner(), PlainArc::clone(&gauge));
            start(move || enter_and_leave(&owner, &gauge))
        });
        enter_and_leave(&permits.owner(), &gauge);
        others.into_iter().for_each(finish);
        assert_all_back(&permits);
    });
}

#[test]
fn every_waiter_is_served_twice_over() {
    check(Scope::SMALL.loom(2, 25_000), || {
        let permits = Permits::new(2, 1);
        let others = [(); 3].map(|()| {
            let owner = permits.owner();
            start(move || {
                for _ in 0..2 {
                    drop(owner.acquire().expect("nothing closes or cancels it"));
                }
            })
        });
        others.into_iter().for_each(finish);
        assert_all_back(&permits);
    });
}

#[test]
fn an_owner_never_passes_its_share() {
    check(Scope::SMALL, || {
        let permits = Permits::new(2, 1);
        let (greedy, other) = (Arc::new(permits.owner()), permits.owner());
        let gauge = PlainArc::new(Gauge::default());
        let threads = [(); 2].map(|()| {
            let (greedy, gauge) = (Arc::clone(&greedy), PlainArc::clone(&gauge));
            start(move || {
                let permit = greedy.acquire().expect("nothing closes or cancels it");
                gauge.enter(1, "an owner holds more than its share");
                // A step that the checker sees, so that the other thread can come in between.
                let _ = greedy
                    .try_acquire()
                    .map(|more| assert!(more.is_none(), "an owner holds more than its share"));
                gauge.leave();
                drop(permit);
            })
        });
        drop(other.acquire().expect("nothing closes or cancels it"));
        threads.into_iter().for_each(finish);
        assert_all_back(&permits);
    });
}

#[test]
fn a_cancelled_waiter_returns_and_others_are_served() {
    check(Scope::SMALL, || {
        let permits = Permits::new(1, 1);
        let held = permits.owner().acquire().expect("it is free");
        let cancelled = Arc::new(permits.owner());
        let waiter = Arc::clone(&cancelled);
        let gives_up = start(move || match waiter.acquire() {
            Ok(permit) => drop(permit),
            Err(error) => assert_eq!(error, AcquireError::Cancelled),
        });
        let patient = permits.owner();
        let waits = start(move || drop(patient.acquire().expect("only the other is cancelled")));
        cancelled.cancel();
        drop(held);
        finish(gives_up);
        finish(waits);
        assert_eq!(cancelled.acquire().err(), Some(AcquireError::Cancelled));
        assert_all_back(&permits);
    });
}

#[test]
fn close_wakes_every_waiter() {
    check(Scope::SMALL, || {
        let permits = Permits::new(1, 1);
        let held = permits.owner().acquire().expect("it is free");
        let waiters = [(); 2].map(|()| {
            let owner = permits.owner();
            start(move || assert_eq!(owner.acquire().err(), Some(AcquireError::Closed)))
        });
        permits.close();
        waiters.into_iter().for_each(finish);
        drop(held);
        assert_all_back(&permits);
    });
}

/// The story of the leaked descriptors: a unit that was handed over just as its waiter was told to
/// go.
#[test]
fn no_permit_is_leaked_by_a_race_with_close() {
    check(Scope::SMALL, || {
        let permits = Permits::new(1, 1);
        let held = permits.owner().acquire().expect("it is free");
        let owner = permits.owner();
        let waiter = start(move || owner.acquire().map(drop));
        let closer = permits.clone();
        let closes = start(move || closer.close());
        drop(held);
        finish(closes);
        let outcome = finish(waiter);
        assert!(matches!(outcome, Ok(()) | Err(AcquireError::Closed)));
        assert_all_back(&permits);
    });
}

/// Each of two waiters keeps its unit until the other has one, too.
#[test]
fn two_units_serve_two_waiters() {
    check(Scope::PAIR, || {
        let permits = Permits::new(2, 2);
        let holder = permits.owner();
        let held = [(); 2].map(|()| holder.acquire().expect("it is free"));
        let gates = [Gate::default(), Gate::default()];
        let waiters = [(0, 1), (1, 0)].map(|(mine, other)| {
            let (mine, other) = (gates[mine].clone(), gates[other].clone());
            let owner = permits.owner();
            start(move || {
                let permit = owner.acquire().expect("nothing closes or cancels it");
                mine.open();
                other.wait();
                drop(permit);
            })
        });
        drop(held);
        waiters.into_iter().for_each(finish);
        assert_all_back(&permits);
    });
}

#[test]
fn cancelling_ends_every_wait_of_an_owner() {
    check(Scope::PAIR, || {
        let permits = Permits::new(1, 1);
        let held = permits.owner().acquire().expect("it is free");
        let owner = Arc::new(permits.owner());
        let waiters = [(); 2].map(|()| {
            let owner = Arc::clone(&owner);
            start(move || assert_eq!(owner.acquire().err(), Some(AcquireError::Cancelled)))
        });
        owner.cancel();
        waiters.into_iter().for_each(finish);
        drop(held);
        assert_all_back(&permits);
    });
}

/// One waits for its share, which only its own permit can give back; another waits behind it for
/// any unit.
#[test]
fn a_waiter_at_its_share_holds_up_nobody_behind_it() {
    check(Scope::PAIR, || {
        let permits = Permits::new(2, 1);
        let greedy = Arc::new(permits.owner());
        let its_share = greedy.acquire().expect("it is free");
        let other = permits.owner().acquire().expect("it is free");
        let at_its_share =
            start(move || drop(greedy.acquire().expect("the owner is not cancelled")));
        let patient = permits.owner();
        let waits = start(move || drop(patient.acquire().expect("the owner is not cancelled")));
        drop(other);
        finish(waits);
        drop(its_share);
        finish(at_its_share);
        assert_all_back(&permits);
    });
}

/// Both orders in which two can come are tried, and each is waited for.
#[test]
fn the_first_to_wait_is_the_first_to_be_served() {
    check(Scope::PAIR, || {
        let permits = Permits::new(1, 1);
        let held = permits.owner().acquire().expect("it is free");
        let served = PlainArc::new(AtomicUsize::new(0));
        let waiters = [0, 1].map(|number| {
            let (owner, served) = (permits.owner(), PlainArc::clone(&served));
            let waiter = start(move || {
                let permit = owner.acquire().expect("nothing closes or cancels it");
                let before = served.fetch_add(1, Ordering::SeqCst);
                assert_eq!(before, number, "a newcomer overtook one that waited");
                drop(permit);
            });
            while permits.usage().waits <= number as u64 {
                thread::yield_now();
            }
            waiter
        });
        drop(held);
        waiters.into_iter().for_each(finish);
        assert_eq!(permits.usage().waits, 2, "a wait was not counted");
        assert_all_back(&permits);
    });
}

#[test]
fn two_may_close_and_two_may_cancel() {
    check(Scope::PAIR, || {
        let permits = Permits::new(1, 1);
        let held = permits.owner().acquire().expect("it is free");
        let owner = Arc::new(permits.owner());
        let waiter = Arc::clone(&owner);
        let waits = start(move || assert!(waiter.acquire().is_err(), "the only unit is out"));
        let (closer, canceller) = (permits.clone(), Arc::clone(&owner));
        let other = start(move || {
            canceller.cancel();
            closer.close();
        });
        permits.close();
        owner.cancel();
        finish(waits);
        finish(other);
        drop(held);
        assert_eq!(owner.try_acquire().map(drop), Err(AcquireError::Closed));
        assert_all_back(&permits);
    });
}
