//! Buffers: memory stays below its ceiling and comes back, whatever becomes of its user.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex as PlainMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, plotted_panic, start};
use drystone_pool::{BufferOwner, BufferPool, Lease};
use drystone_sync::{Arc, PlainArc};

use crate::gate::Gate;

const BUFFER_BYTES: usize = 16;

/// The addresses of all memory that was ever seen. An address is never used twice by mistake: what
/// is off the shelf is kept until the end of the schedule.
#[derive(Clone, Default)]
struct Addresses(PlainArc<PlainMutex<BTreeSet<usize>>>);

impl Addresses {
    fn see(&self, lease: &Lease) {
        self.0.lock().expect("no thread panics here").insert(lease.as_ptr() as usize);
    }

    fn assert_at_most(&self, ceiling: usize) {
        let seen = self.0.lock().expect("no thread panics here").len();
        assert!(seen <= ceiling, "{seen} buffers are more than the ceiling of {ceiling}");
    }
}

fn lease(owner: &BufferOwner, addresses: &Addresses) -> Lease {
    let lease = owner.acquire().expect("nothing closes or cancels it");
    addresses.see(&lease);
    lease
}

fn assert_all_back(pool: &BufferPool, addresses: &Addresses) {
    let usage = pool.usage();
    assert_eq!(usage.now, 0, "a lease did not come back");
    assert!(usage.high_water <= usage.ceiling, "the high-water mark passed the ceiling");
    addresses.assert_at_most(usage.ceiling);
}

/// One buffer for each client was the story of the upload that was killed for its memory.
#[test]
fn memory_stays_below_the_ceiling() {
    check(Scope::SMALL, || {
        let pool = BufferPool::new(1, BUFFER_BYTES, 1);
        let addresses = Addresses::default();
        let others = [(); 2].map(|()| {
            let (owner, addresses) = (pool.owner(), addresses.clone());
            start(move || drop(lease(&owner, &addresses)))
        });
        drop(lease(&pool.owner(), &addresses));
        others.into_iter().for_each(finish);
        assert_all_back(&pool, &addresses);
    });
}

#[test]
fn leases_come_back_on_error_and_panic() {
    check(Scope::SMALL, || {
        let pool = BufferPool::new(1, BUFFER_BYTES, 1);
        let addresses = Addresses::default();
        let (owner, seen) = (pool.owner(), addresses.clone());
        let fails = start(move || -> Result<(), &'static str> {
            let _lease = lease(&owner, &seen);
            Err("disk full")
        });
        let (owner, seen) = (pool.owner(), addresses.clone());
        let panics = start(move || {
            let body = AssertUnwindSafe(|| {
                let _lease = lease(&owner, &seen);
                plotted_panic("worker died")
            });
            assert!(catch_unwind(body).is_err());
        });
        drop(lease(&pool.owner(), &addresses));
        assert!(finish(fails).is_err());
        finish(panics);
        assert_all_back(&pool, &addresses);
    });
}

#[test]
fn a_buffer_comes_back_with_its_last_view() {
    check(Scope::SMALL, || {
        let pool = BufferPool::new(1, BUFFER_BYTES, 1);
        let addresses = Addresses::default();
        let mut whole = lease(&pool.owner(), &addresses);
        whole.fill(7);
        let views = [whole.split_to(4).freeze(), whole.freeze()];
        let readers = views.map(|view| {
            start(move || assert!(view.iter().all(|byte| *byte == 7), "written under a view"))
        });
        let mut next = lease(&pool.owner(), &addresses);
        next.fill(8);
        drop(next);
        readers.into_iter().for_each(finish);
        assert_all_back(&pool, &addresses);
    });
}

#[test]
fn closing_ends_waits_and_leaves_leases_valid() {
    check(Scope::SMALL, || {
        let pool = BufferPool::new(1, BUFFER_BYTES, 1);
        let mut held = pool.owner().acquire().expect("it is free");
        let waiters = [(); 2].map(|()| {
            let owner = pool.owner();
            start(move || assert!(owner.acquire().is_err(), "the only buffer is out"))
        });
        pool.close();
        held.fill(1);
        waiters.into_iter().for_each(finish);
        drop(held);
        assert_eq!(pool.usage().now, 0, "a lease did not come back");
    });
}

/// Each of two waiters keeps its buffer until the other has one, too; both had been lent before.
#[test]
fn two_buffers_serve_two_waiters() {
    check(Scope::PAIR, || {
        let pool = BufferPool::new(2, BUFFER_BYTES, 2);
        let addresses = Addresses::default();
        let holder = pool.owner();
        let held = [(); 2].map(|()| lease(&holder, &addresses));
        let gates = [Gate::default(), Gate::default()];
        let waiters = [(0, 1), (1, 0)].map(|(mine, other)| {
            let (mine, other) = (gates[mine].clone(), gates[other].clone());
            let (owner, addresses) = (pool.owner(), addresses.clone());
            start(move || {
                let mut lease = lease(&owner, &addresses);
                lease.fill(1);
                mine.open();
                other.wait();
            })
        });
        drop(held);
        waiters.into_iter().for_each(finish);
        assert_all_back(&pool, &addresses);
    });
}

/// Two leases of one owner are asked for at the same time, and two buffers are there.
#[test]
fn an_owner_of_buffers_never_passes_its_share() {
    check(Scope::PAIR, || {
        let pool = BufferPool::new(2, BUFFER_BYTES, 1);
        let owner = Arc::new(pool.owner());
        let out = PlainArc::new(AtomicUsize::new(0));
        let threads = [(); 2].map(|()| {
            let (owner, out) = (Arc::clone(&owner), PlainArc::clone(&out));
            start(move || {
                let lease = owner.acquire().expect("nothing closes or cancels it");
                let before = out.fetch_add(1, Ordering::SeqCst);
                assert_eq!(before, 0, "an owner holds more than its share");
                let more = owner.try_acquire().expect("nothing closes or cancels it");
                assert!(more.is_none(), "an owner holds more than its share");
                out.fetch_sub(1, Ordering::SeqCst);
                drop(lease);
            })
        });
        threads.into_iter().for_each(finish);
        assert_eq!(pool.usage().now, 0, "a lease did not come back");
    });
}

#[test]
fn cancelling_ends_every_wait_for_a_buffer() {
    check(Scope::PAIR, || {
        let pool = BufferPool::new(1, BUFFER_BYTES, 1);
        let held = pool.owner().acquire().expect("it is free");
        let owner = Arc::new(pool.owner());
        let waiters = [(); 2].map(|()| {
            let owner = Arc::clone(&owner);
            start(move || assert!(owner.acquire().is_err(), "the only buffer is out"))
        });
        owner.cancel();
        waiters.into_iter().for_each(finish);
        drop(held);
        assert_eq!(pool.usage().now, 0, "a lease did not come back");
    });
}

/// Memory is given back to the system by two at once while buffers come and go.
#[test]
fn what_is_trimmed_is_not_lost() {
    check(Scope::PAIR, || {
        let pool = BufferPool::new(2, BUFFER_BYTES, 2);
        let mut kept = pool.owner().acquire().expect("it is free");
        kept.fill(7);
        let (other, owner) = (pool.clone(), pool.owner());
        let trims = start(move || other.trim());
        let leases = start(move || {
            for _ in 0..2 {
                owner.acquire().expect("one of two is free").fill(8);
            }
        });
        pool.trim();
        finish(trims);
        finish(leases);
        assert!(kept.iter().all(|byte| *byte == 7), "a buffer that was out was given to another");
        drop(kept);
        assert_eq!(pool.usage().now, 0, "a lease did not come back");
    });
}
