//! Permits: nobody waits for ever, nobody gets more than a share, no unit is lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, start};
use drystone_pool::{AcquireError, Owner, Permits};
use drystone_sync::{Arc, PlainArc};

/// Counts who is inside; unseen by the checkers.
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
    let permit = owner.acquire().expect("nobody closes or cancels");
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
                    drop(owner.acquire().expect("nobody closes or cancels"));
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
                let permit = greedy.acquire().expect("nobody closes or cancels");
                gauge.enter(1, "an owner holds more than its share");
                // A step that the checker sees, so that the other thread can come in between.
                let _ = greedy
                    .try_acquire()
                    .map(|more| assert!(more.is_none(), "an owner holds more than its share"));
                gauge.leave();
                drop(permit);
            })
        });
        drop(other.acquire().expect("nobody closes or cancels"));
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
