//! The lazy map: each job works on its own item, and never more than the bound are under way.

use std::sync::atomic::{AtomicU32, Ordering};

use drystone_models::explore::{Scope, check, finish, plotted_panic, start};
use drystone_pool::{JobError, Order, WorkerPool};
use drystone_sync::{Arc, PlainArc};

use crate::gate::Gate;

const ITEMS: u32 = 3;
const AHEAD_MAX: usize = 2;

fn pool(threads: usize) -> WorkerPool {
    WorkerPool::new("worker", threads, 2).expect("threads are to be had")
}

/// The story of the pool that held every task and every result in memory.
#[test]
fn the_source_is_never_further_ahead_than_the_bound() {
    check(Scope::WORKERS, || {
        let pool = pool(1);
        let (pulled, yielded) =
            (PlainArc::new(AtomicU32::new(0)), PlainArc::new(AtomicU32::new(0)));
        let (pulls, yields) = (PlainArc::clone(&pulled), PlainArc::clone(&yielded));
        let source = (0..ITEMS).inspect(move |_| {
            let ahead = pulls.fetch_add(1, Ordering::SeqCst) + 1 - yields.load(Ordering::SeqCst);
            assert!(
                ahead <= AHEAD_MAX as u32,
                "{ahead} items under way are further ahead than the bound"
            );
        });
        for result in pool.map(source, AHEAD_MAX, Order::Source, |item| item) {
            result.expect("no job fails");
            yielded.fetch_add(1, Ordering::SeqCst);
        }
        assert_eq!(pulled.load(Ordering::SeqCst), ITEMS);
    });
}

/// The story of the loop variable that was captured by reference.
#[test]
fn every_job_works_on_its_own_item() {
    check(Scope::WORKERS, || {
        let pool = pool(2);
        let results: Vec<_> =
            pool.map(0..ITEMS, AHEAD_MAX, Order::Source, |item| item * 10).collect();
        for (at, result) in (0..ITEMS).zip(&results) {
            assert_eq!(*result, Ok(at * 10), "a job worked on another item than its own");
        }
        assert_eq!(results.len(), ITEMS as usize, "an item was lost");
    });
}

#[test]
fn in_order_of_completion_everything_comes_once() {
    check(Scope::WORKERS, || {
        let pool = pool(2);
        let mut results: Vec<u32> =
            pool.map(0..ITEMS, AHEAD_MAX, Order::Completion, |item| item).flatten().collect();
        results.sort_unstable();
        assert_eq!(results, [0, 1, 2], "an item was lost or came twice");
    });
}

#[test]
fn a_panic_is_one_items_result() {
    check(Scope::WORKERS, || {
        let pool = pool(2);
        let work = |item| if item == 1 { plotted_panic("this item only") } else { item };
        let results: Vec<_> = pool.map(0..ITEMS, AHEAD_MAX, Order::Source, work).collect();
        assert!(
            matches!(results[..], [Ok(0), Err(JobError::Panicked(_)), Ok(2)]),
            "a panic cost another item"
        );
    });
}

#[test]
fn dropped_half_way_it_keeps_nothing() {
    check(Scope::WORKERS, || {
        let pool = pool(1);
        let item = Arc::new(());
        let mut map =
            pool.map(std::iter::repeat_n(Arc::clone(&item), 5), AHEAD_MAX, Order::Source, drop);
        assert_eq!(map.next(), Some(Ok(())));
        drop(map);
        pool.shutdown();
        assert_eq!(Arc::strong_count(&item), 1, "an abandoned item was kept");
    });
}

/// The thread is busy with the second item when the map is dropped; the third one waits for it.
#[test]
fn dropped_half_way_it_begins_nothing_more() {
    check(Scope::PAIR, || {
        let pool = pool(1);
        let (gate, begun) = (Gate::default(), PlainArc::new(AtomicU32::new(0)));
        let (waits, counts) = (gate.clone(), PlainArc::clone(&begun));
        let work = move |item| {
            counts.fetch_max(item, Ordering::SeqCst);
            if item == 1 {
                waits.wait();
            }
        };
        let mut map = pool.map(0..ITEMS, ITEMS as usize, Order::Source, work);
        assert_eq!(map.next(), Some(Ok(())));
        drop(map);
        gate.open();
        pool.shutdown();
        assert!(begun.load(Ordering::SeqCst) < 2, "an item was begun that no thread waits for");
    });
}

#[test]
fn over_a_pool_that_is_shut_down_it_ends() {
    check(Scope::PAIR, || {
        let pool = Arc::new(pool(1));
        let closer = Arc::clone(&pool);
        let closes = start(move || closer.shutdown());
        let results: Vec<_> = pool.map(0..ITEMS, AHEAD_MAX, Order::Source, |item| item).collect();
        finish(closes);
        assert_eq!(results.len(), ITEMS as usize, "an item has no result");
        for (item, result) in (0..ITEMS).zip(results) {
            assert!(matches!(result, Err(JobError::Dropped)) || result == Ok(item));
        }
    });
}

#[test]
fn two_maps_share_a_pool() {
    check(Scope::PAIR, || {
        let pool = Arc::new(pool(1));
        let square = |pool: &WorkerPool| -> Vec<u32> {
            pool.map(1..=2, AHEAD_MAX, Order::Source, |item: u32| item * item).flatten().collect()
        };
        let other = Arc::clone(&pool);
        let there = start(move || square(&other));
        assert_eq!(square(&pool), [1, 4], "an item of another map was taken, or one was lost");
        assert_eq!(finish(there), [1, 4], "an item of another map was taken, or one was lost");
    });
}
