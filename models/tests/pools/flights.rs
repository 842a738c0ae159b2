//! Single flight: one thread does the work, and every thread that waits is woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, plotted_panic, start};
use drystone_pool::{Claim, Landed, SingleFlight};
use drystone_sync::PlainArc;

type Flights = SingleFlight<u32, usize>;

/// Does the work for key 1, or gets it.
fn fly(flights: &Flights, works: &AtomicUsize) -> Landed<u32, usize> {
    let work = || Ok::<_, ()>(works.fetch_add(1, Ordering::SeqCst) + 1);
    flights.run(1, work).expect("this work never fails")
}

fn assert_nothing_is_kept(flights: &Flights) {
    assert!(flights.is_empty(), "an entry is kept after its last keeper");
}

#[test]
fn one_does_the_work_for_all() {
    check(Scope::SMALL, || {
        let flights = Flights::new();
        let works = PlainArc::new(AtomicUsize::new(0));
        let others = [(); 2].map(|()| {
            let (flights, works) = (flights.clone(), PlainArc::clone(&works));
            start(move || fly(&flights, &works))
        });
        let ours = fly(&flights, &works);
        let theirs = others.map(finish);
        assert_eq!(works.load(Ordering::SeqCst), 1, "the work was done twice");
        assert!(theirs.iter().all(|landed| landed.value() == ours.value()));
        drop((ours, theirs));
        assert_nothing_is_kept(&flights);
    });
}

#[test]
fn a_failure_hands_over() {
    check(Scope::SMALL, || {
        let flights = Flights::new();
        let works = PlainArc::new(AtomicUsize::new(0));
        let failing = flights.clone();
        let fails = start(move || failing.run(1, || Err::<usize, _>("disk full")).map(drop));
        let (waiting, counted) = (flights.clone(), PlainArc::clone(&works));
        let waits = start(move || drop(fly(&waiting, &counted)));
        drop(fly(&flights, &works));
        finish(waits);
        // It may have got the outcome of another thread's work.
        let _ = finish(fails);
        assert!(works.load(Ordering::SeqCst) >= 1);
        assert_nothing_is_kept(&flights);
    });
}

#[test]
fn a_panic_hands_over() {
    check(Scope::SMALL, || {
        let flights = Flights::new();
        let works = PlainArc::new(AtomicUsize::new(0));
        let failing = flights.clone();
        let panics = start(move || {
            let body = AssertUnwindSafe(|| {
                failing.run(1, || -> Result<usize, ()> { plotted_panic("worker died") })
            });
            let _ = catch_unwind(body);
        });
        let (waiting, counted) = (flights.clone(), PlainArc::clone(&works));
        let waits = start(move || drop(fly(&waiting, &counted)));
        drop(fly(&flights, &works));
        finish(waits);
        finish(panics);
        assert_nothing_is_kept(&flights);
    });
}

#[test]
fn what_landed_is_kept_until_its_last_keeper_is_gone() {
    check(Scope::SMALL, || {
        let flights = Flights::new();
        let works = PlainArc::new(AtomicUsize::new(0));
        let first = fly(&flights, &works);
        let others = [(); 2].map(|()| {
            let (flights, works) = (flights.clone(), PlainArc::clone(&works));
            start(move || drop(fly(&flights, &works)))
        });
        drop(fly(&flights, &works));
        others.into_iter().for_each(finish);
        assert_eq!(works.load(Ordering::SeqCst), 1, "the work was done twice although it was kept");
        drop(first);
        assert_nothing_is_kept(&flights);
        drop(fly(&flights, &works));
        assert_eq!(works.load(Ordering::SeqCst), 2, "an outcome was had after its last keeper");
    });
}

/// As the store's writer does it: claim all, fly one's own, then wait for the others'.
#[test]
fn claims_that_overlap_do_not_deadlock() {
    fn settle(flights: &Flights, keys: [u32; 2]) {
        let claims = keys.map(|key| flights.claim(key));
        let mut waits = Vec::new();
        let mut kept = Vec::new();
        for claim in claims {
            match claim {
                Claim::Mine(flight) => kept.push(flight.land(0)),
                Claim::Landed(landed) => kept.push(landed),
                Claim::Theirs(waiting) => waits.push(waiting),
            }
        }
        for waiting in waits {
            let mut claim = waiting.wait();
            while let Claim::Theirs(waiting) = claim {
                claim = waiting.wait();
            }
            match claim {
                Claim::Mine(flight) => kept.push(flight.land(0)),
                Claim::Landed(landed) => kept.push(landed),
                Claim::Theirs(_) => unreachable!("the loop above ended"),
            }
        }
        assert_eq!(kept.len(), 2);
    }
    check(Scope::SMALL, || {
        let flights = Flights::new();
        let others = [[1, 2], [2, 1]].map(|keys| {
            let flights = flights.clone();
            start(move || settle(&flights, keys))
        });
        others.into_iter().for_each(finish);
        assert_nothing_is_kept(&flights);
    });
}

/// What is kept by two is there once, for two that look.
#[test]
fn what_landed_is_listed_once_while_it_is_kept() {
    check(Scope::PAIR, || {
        let flights = Flights::new();
        let works = PlainArc::new(AtomicUsize::new(0));
        let first = fly(&flights, &works);
        let (other, counted) = (flights.clone(), PlainArc::clone(&works));
        let keeps = start(move || {
            let second = fly(&other, &counted);
            assert_eq!(other.landed(), [1], "what is kept is not listed once");
            drop(second);
        });
        // Under way, but not landed.
        let Claim::Mine(flying) = flights.claim(2) else { panic!("nothing else flies") };
        assert_eq!(flights.landed(), [1], "what is kept is not listed once");
        assert_eq!(flights.len(), 2);
        drop(flying);
        finish(keeps);
        assert_eq!(flights.landed(), [1], "what is kept is not listed once");
        drop(first);
        assert!(flights.landed().is_empty(), "what no thread keeps is listed");
        assert_nothing_is_kept(&flights);
    });
}

/// Two keys, and two that wait for each: an end wakes those that it concerns.
#[test]
fn the_end_of_one_flight_leaves_nobody_at_another() {
    check(Scope::PAIR, || {
        let flights = SingleFlight::<u32, u32>::new();
        let mine = [1, 2].map(|key| match flights.claim(key) {
            Claim::Mine(flight) => flight,
            _ => panic!("nothing else flies"),
        });
        let waiters = [1, 1, 2].map(|key| {
            let flights = flights.clone();
            start(move || {
                let landed = flights.run(key, || Ok::<_, ()>(key)).expect("no work fails");
                assert_eq!(*landed.value(), key, "the outcome of another key");
            })
        });
        let [first, second] = mine;
        drop(second.land(2));
        drop(first);
        waiters.into_iter().for_each(finish);
        assert!(flights.is_empty(), "an entry is kept after its last keeper");
    });
}
