//! The worker pool: every job that was taken runs once, and ending it never hangs.

use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, plotted_panic, start};
use drystone_pool::WorkerPool;
use drystone_sync::{Arc, PlainArc};

use crate::gate::Gate;

fn pool(threads: usize, queue_len_max: usize) -> WorkerPool {
    WorkerPool::new("worker", threads, queue_len_max).expect("threads are to be had")
}

#[derive(Clone, Default)]
struct Count(PlainArc<AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn every_job_runs_once() {
    check(Scope::WORKERS, || {
        let pool = pool(2, 1);
        let ran = [(); 3].map(|()| Count::default());
        for count in &ran {
            let count = count.clone();
            pool.submit(move || count.add()).expect("the pool is open");
        }
        pool.shutdown();
        assert_eq!(ran.map(|count| count.get()), [1; 3], "a job was lost or ran twice");
    });
}

#[test]
fn a_panicking_job_costs_only_itself() {
    check(Scope::WORKERS, || {
        let pool = pool(1, 1);
        let ran = Count::default();
        pool.submit(|| plotted_panic("this job only")).expect("the pool is open");
        for _ in 0..2 {
            let count = ran.clone();
            pool.submit(move || count.add()).expect("the pool is open");
        }
        pool.shutdown();
        assert_eq!((ran.get(), pool.panics()), (2, 1), "a panic took another job along");
    });
}

#[test]
fn shutdown_with_a_full_queue_joins() {
    check(Scope::WORKERS, || {
        let pool = Arc::new(pool(1, 1));
        let ran = Count::default();
        let (submitter, count) = (Arc::clone(&pool), ran.clone());
        let submits = start(move || {
            let taken = (0..3).filter(|_| {
                let count = count.clone();
                submitter.submit(move || count.add()).is_ok()
            });
            taken.count()
        });
        pool.shutdown();
        let taken = finish(submits);
        assert_eq!(
            ran.get(),
            taken,
            "a job that was taken did not run, or one that was refused did"
        );
    });
}

/// The story of the lock that was held while something else was waited for.
#[test]
fn a_running_job_holds_no_lock_of_the_pool() {
    check(Scope::WORKERS, || {
        let pool = pool(1, 1);
        let gate = Gate::default();
        let inside = gate.clone();
        pool.submit(move || inside.wait()).expect("the pool is open");
        assert_eq!((pool.panics(), pool.usage().ceiling), (0, 1));
        pool.submit(|| ()).expect("the pool is open");
        gate.open();
        pool.shutdown();
    });
}

#[test]
fn jobs_that_wait_for_each_other_run_side_by_side() {
    check(Scope::WORKERS, || {
        let pool = pool(2, 2);
        let gates = [Gate::default(), Gate::default()];
        for (mine, other) in [(0, 1), (1, 0)] {
            let (mine, other) = (gates[mine].clone(), gates[other].clone());
            let job = move || {
                mine.open();
                other.wait();
            };
            pool.submit(job).expect("the pool is open");
        }
        pool.shutdown();
    });
}

/// A thread that is told to leave does so after the jobs that were queued before. No job is lost
/// with it.
#[test]
fn a_pool_that_is_made_smaller_runs_every_job() {
    check(Scope::WORKERS, || {
        let pool = pool(2, 2);
        let ran = [(); 2].map(|()| Count::default());
        let job = |count: &Count| {
            let count = count.clone();
            move || count.add()
        };
        pool.submit(job(&ran[0])).expect("the pool is open");
        pool.resize(1).expect("nothing is started");
        pool.submit(job(&ran[1])).expect("the pool is open");
        assert_eq!(pool.threads(), 1);
        pool.shutdown();
        assert_eq!(ran.map(|count| count.get()), [1; 2], "a job was lost or ran twice");
    });
}

/// As many jobs as threads meet; each of them waits until all have come.
fn meet(pool: &WorkerPool, jobs: usize) {
    let gates: Vec<Gate> = (0..jobs).map(|_| Gate::default()).collect();
    for mine in 0..jobs {
        let gates = gates.clone();
        let job = move || {
            gates[mine].open();
            gates.iter().for_each(Gate::wait);
        };
        pool.submit(job).expect("the pool is open");
    }
    gates.iter().for_each(Gate::wait);
}

#[test]
fn a_pool_that_is_made_larger_has_more_threads() {
    check(Scope::PAIR, || {
        let pool = pool(1, 2);
        pool.resize(2).expect("threads are to be had");
        meet(&pool, 2);
        assert_eq!(pool.threads(), 2);
        pool.shutdown();
    });
}

/// Two make it smaller at the same time: one thread is told to leave, and one stays.
#[test]
fn two_that_resize_agree_on_the_number() {
    // One switch is enough for it, but an early one: with more loom does not come to it in time.
    check(Scope::PAIR.loom(1, 5_000), || {
        let pool = Arc::new(pool(2, 3));
        let other = Arc::clone(&pool);
        let resizes = start(move || other.resize(1).expect("nothing is started"));
        pool.resize(1).expect("nothing is started");
        finish(resizes);
        assert_eq!(pool.threads(), 1);
        let ran = Count::default();
        let count = ran.clone();
        pool.submit(move || count.add()).expect("the pool is open");
        pool.shutdown();
        assert_eq!(ran.get(), 1, "every thread was sent away");
    });
}

/// One thread makes the pool smaller while another makes it larger again. Each worker that is told
/// to leave is replaced.
#[test]
fn a_pool_that_is_made_smaller_and_larger_has_every_thread() {
    check(Scope::PAIR, || {
        let pool = Arc::new(pool(2, 2));
        let other = Arc::clone(&pool);
        let resizes = start(move || other.resize(1).expect("nothing is started"));
        pool.resize(2).expect("threads are to be had");
        finish(resizes);
        meet(&pool, pool.threads());
        pool.shutdown();
    });
}

/// When `shutdown` has returned, no job runs any more. This holds for both threads that call it.
#[test]
fn two_that_shut_down_both_see_the_last_job_end() {
    check(Scope::PAIR, || {
        let pool = Arc::new(pool(1, 2));
        let ran = Count::default();
        for _ in 0..2 {
            let count = ran.clone();
            pool.submit(move || count.add()).expect("the pool is open");
        }
        let (other, count) = (Arc::clone(&pool), ran.clone());
        let shuts_down = start(move || {
            other.shutdown();
            assert_eq!(count.get(), 2, "a job ran after the end of its pool");
        });
        pool.shutdown();
        assert_eq!(ran.get(), 2, "a job ran after the end of its pool");
        finish(shuts_down);
    });
}

/// The thread that is started meanwhile may be the one that takes the last job.
#[test]
fn one_that_resizes_hides_no_job_from_one_that_shuts_down() {
    check(Scope::PAIR, || {
        let pool = Arc::new(pool(1, 2));
        let ran = Count::default();
        for _ in 0..2 {
            let count = ran.clone();
            pool.submit(move || count.add()).expect("the pool is open");
        }
        let other = Arc::clone(&pool);
        let resizes = start(move || other.resize(2).expect("threads are to be had"));
        pool.shutdown();
        assert_eq!(ran.get(), 2, "a job ran after the end of its pool");
        finish(resizes);
    });
}

#[test]
fn two_that_submit_lose_no_job() {
    check(Scope::PAIR, || {
        let pool = Arc::new(pool(2, 1));
        let ran = Count::default();
        let submit = |pool: &WorkerPool, ran: &Count| {
            for _ in 0..2 {
                let count = ran.clone();
                pool.submit(move || count.add()).expect("the pool is open");
            }
        };
        let (other, count) = (Arc::clone(&pool), ran.clone());
        let submits = start(move || submit(&other, &count));
        submit(&pool, &ran);
        finish(submits);
        pool.shutdown();
        assert_eq!(ran.get(), 4, "a job was lost or ran twice");
    });
}
