//! Job groups: the first error wins, nothing begins after it, and `wait` sees the end of
//! everything.

use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, plotted_panic, start};
use drystone_pool::{Closed, JobError, JobGroup, WorkerPool};
use drystone_sync::{Arc, PlainArc};

use crate::gate::Gate;

fn pool(threads: usize) -> WorkerPool {
    WorkerPool::new("worker", threads, 2).expect("threads are to be had")
}

#[test]
fn wait_sees_every_job_end() {
    check(Scope::WORKERS, || {
        let (pool, group) = (pool(2), JobGroup::<()>::new());
        let ended = PlainArc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let ended = PlainArc::clone(&ended);
            let job = move || {
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            group.submit(&pool, job).expect("the pool is open");
        }
        assert_eq!(group.wait(), Ok(()));
        assert_eq!(ended.load(Ordering::SeqCst), 2, "the group ended before its jobs");
    });
}

#[test]
fn after_the_first_error_nothing_begins() {
    check(Scope::WORKERS, || {
        let (pool, group) = (pool(1), JobGroup::new());
        let began = PlainArc::new(AtomicUsize::new(0));
        for number in 0..3 {
            let began = PlainArc::clone(&began);
            let job = move || {
                began.fetch_add(1, Ordering::SeqCst);
                if number == 0 { Ok(()) } else { Err(number) }
            };
            group.submit(&pool, job).expect("the pool is open");
        }
        assert_eq!(group.wait(), Err(JobError::Failed(1)), "the first error wins");
        assert_eq!(began.load(Ordering::SeqCst), 2, "a job began after its group had failed");
        assert!(!group.failed(), "a failure outlived its wait");
    });
}

/// Which of two jobs fails first is arranged: the second one waits until the first one's thread has
/// gone on to something else, and fails only then.
#[test]
fn the_first_of_two_errors_wins() {
    check(Scope::WORKERS, || {
        let (pool, group) = (pool(2), JobGroup::new());
        let (both_run, first_ended) = (Gate::default(), Gate::default());
        let gate = both_run.clone();
        let first = move || {
            gate.wait();
            Err::<(), _>("first")
        };
        let gate = first_ended.clone();
        let second = move || {
            both_run.open();
            gate.wait();
            Err("second")
        };
        group.submit(&pool, first).expect("the pool is open");
        group.submit(&pool, second).expect("the pool is open");
        // Both threads are taken, and the second job leaves its own only when this one has run on
        // the other.
        pool.submit(move || first_ended.open()).expect("the pool is open");
        assert_eq!(group.wait(), Err(JobError::Failed("first")), "a later error hid the first one");
    });
}

#[test]
fn a_panic_fails_the_group_and_not_the_pool() {
    check(Scope::WORKERS, || {
        let (pool, group) = (pool(1), JobGroup::<()>::new());
        group.submit(&pool, || plotted_panic("this job only")).expect("the pool is open");
        let Err(JobError::Panicked(panic)) = group.wait() else { panic!("a panic was swallowed") };
        assert_eq!(panic.0, "this job only");
        group.submit(&pool, || Ok(())).expect("the pool is open");
        assert_eq!(group.wait(), Ok(()));
    });
}

#[test]
fn a_group_ends_although_its_pool_is_shut_down() {
    check(Scope::WORKERS, || {
        let (pool, group) = (Arc::new(pool(1)), JobGroup::<()>::new());
        let closer = Arc::clone(&pool);
        let closes = start(move || closer.shutdown());
        let submitted = [(); 2].map(|()| group.submit(&pool, || Ok(())));
        let outcome = group.wait();
        finish(closes);
        if submitted.contains(&Err(Closed(()))) {
            assert_eq!(outcome, Err(JobError::Dropped), "a refused job went unnoticed");
        } else {
            assert_eq!(outcome, Ok(()));
        }
    });
}

/// What a job owns, a buffer perhaps, is back when the group has ended, also if the job never
/// began.
#[test]
fn what_jobs_own_is_gone_when_their_group_has_ended() {
    check(Scope::WORKERS, || {
        let (pool, group) = (pool(1), JobGroup::new());
        let owned = PlainArc::new(());
        group.submit(&pool, || Err("disk full")).expect("the pool is open");
        let token = PlainArc::clone(&owned);
        let job = move || {
            drop(token);
            Ok(())
        };
        group.submit(&pool, job).expect("the pool is open");
        assert_eq!(group.wait(), Err(JobError::Failed("disk full")));
        assert_eq!(
            PlainArc::strong_count(&owned),
            1,
            "the group ended before a job gave back what it owned"
        );
    });
}

/// The failure is told to one of them.
#[test]
fn two_that_wait_both_see_the_end() {
    check(Scope::PAIR, || {
        let (pool, group) = (pool(1), Arc::new(JobGroup::new()));
        let gate = Gate::default();
        let opens = gate.clone();
        let job = move || {
            gate.wait();
            Err::<(), _>("disk full")
        };
        group.submit(&pool, job).expect("the pool is open");
        let other = Arc::clone(&group);
        let waits = start(move || other.wait());
        opens.open();
        let outcomes = [group.wait(), finish(waits)];
        let told = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!(told, 1, "a failure was told to {told} of two");
    });
}

/// Two fill one group. Each job is waited for, whichever of them has submitted it.
#[test]
fn two_that_submit_share_the_end() {
    check(Scope::PAIR, || {
        let (pool, group) = (Arc::new(pool(1)), Arc::new(JobGroup::<()>::new()));
        let ended = PlainArc::new(AtomicUsize::new(0));
        let submit = |group: &JobGroup<()>, pool: &WorkerPool, ended: &PlainArc<AtomicUsize>| {
            let ended = PlainArc::clone(ended);
            let job = move || {
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            group.submit(pool, job).expect("the pool is open");
        };
        let other = (Arc::clone(&group), Arc::clone(&pool), PlainArc::clone(&ended));
        let submits = start(move || submit(&other.0, &other.1, &other.2));
        submit(&group, &pool, &ended);
        finish(submits);
        assert!(!group.failed(), "no job has failed");
        assert_eq!(group.wait(), Ok(()));
        assert_eq!(ended.load(Ordering::SeqCst), 2, "the group ended before its jobs");
    });
}
