//! Group commit: every submitter gets its own answer, whichever thread leads and whatever happens
//! to the leader.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex as PlainMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, plotted_panic, start};
use drystone_store::GroupCommit;
use drystone_sync::PlainArc;

/// Items double as they are committed; a lost one is `None`.
type Doubler = GroupCommit<u32, Option<u32>>;
/// What was committed, in order.
type Log = PlainArc<PlainMutex<Vec<u32>>>;

fn doubler(cost_max: usize, log: &Log) -> Doubler {
    let log = PlainArc::clone(log);
    let commit = move |items: Vec<u32>| {
        let mut log = log.lock().expect("no commit panics under it");
        log.extend(&items);
        // An empty transaction is logged as an item that no submitter has.
        log.extend(items.is_empty().then_some(0));
        items.into_iter().map(|item| Some(item * 2)).collect()
    };
    GroupCommit::new(cost_max, commit, || None)
}

fn commit(group: &Doubler, item: u32) {
    let result = group.submit(item, 1).wait();
    assert_eq!(result, Some(item * 2), "a submitter got another's result");
}

fn committed(log: &Log) -> Vec<u32> {
    let mut items = log.lock().expect("no commit panics under it").clone();
    items.sort_unstable();
    items
}

#[test]
fn every_submitter_gets_its_own_result() {
    check(Scope::SMALL, || {
        let log = Log::default();
        let group = doubler(10, &log);
        let others = [1, 2].map(|item| {
            let group = group.clone();
            start(move || commit(&group, item))
        });
        commit(&group, 3);
        others.into_iter().for_each(finish);
        assert_eq!(committed(&log), [1, 2, 3], "an item was lost or committed twice");
    });
}

#[test]
fn one_submitter_with_two_tickets_gets_both() {
    check(Scope::SMALL, || {
        let log = Log::default();
        let group = doubler(10, &log);
        let other = group.clone();
        let two = start(move || {
            let tickets = [1, 2].map(|item| (item, other.submit(item, 1)));
            for (item, ticket) in tickets {
                assert_eq!(ticket.wait(), Some(item * 2), "a submitter got another's result");
            }
        });
        commit(&group, 3);
        finish(two);
        assert_eq!(committed(&log), [1, 2, 3], "an item was lost or committed twice");
    });
}

#[test]
fn a_full_queue_is_led() {
    check(Scope::SMALL, || {
        let log = Log::default();
        let group = doubler(1, &log);
        let others = [1, 2].map(|item| {
            let group = group.clone();
            start(move || {
                // The first ticket is not waited for before the second item has found its place.
                let first = group.submit(item, 1);
                let second = group.submit(item + 10, 1);
                assert_eq!(
                    second.wait(),
                    Some((item + 10) * 2),
                    "a submitter got another's result"
                );
                assert_eq!(first.wait(), Some(item * 2), "a submitter got another's result");
            })
        });
        others.into_iter().for_each(finish);
        assert_eq!(committed(&log), [1, 2, 11, 12], "an item was lost or committed twice");
    });
}

#[test]
fn a_dropped_ticket_is_still_committed() {
    check(Scope::SMALL, || {
        let log = Log::default();
        let group = doubler(2, &log);
        let others = [1, 2].map(|item| {
            let group = group.clone();
            start(move || drop(group.submit(item, 1)))
        });
        others.into_iter().for_each(finish);
        commit(&group, 3);
        assert_eq!(committed(&log), [1, 2, 3], "giving up a result gave up the commit");
    });
}

#[test]
fn a_leader_that_panics_loses_only_its_group() {
    check(Scope::SMALL, || {
        let commits = PlainArc::new(AtomicUsize::new(0));
        let counted = PlainArc::clone(&commits);
        let group: Doubler = GroupCommit::new(
            10,
            move |items| {
                if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                    plotted_panic("the first leader dies");
                }
                items.into_iter().map(|item| Some(item * 2)).collect()
            },
            || None,
        );
        let ask = |group: &Doubler, item| {
            let ticket = group.submit(item, 1);
            catch_unwind(AssertUnwindSafe(|| ticket.wait()))
        };
        let others = [1, 2].map(|item| {
            let group = group.clone();
            start(move || (item, ask(&group, item)))
        });
        let here = (3, ask(&group, 3));
        let [a, b] = others.map(finish);
        let mut lost = 0;
        for (item, outcome) in [here, a, b] {
            // A leader may be a thread that others rely on, so it must not unwind.
            let result = outcome.expect("a commit's panic is contained");
            assert!([None, Some(item * 2)].contains(&result), "a submitter got another's result");
            lost += usize::from(result.is_none());
        }
        assert!(lost > 0, "a panic went unnoticed");
        commit(&group, 4);
    });
}

/// What costs nothing takes a place all the same: the queue is bounded in number, too.
#[test]
fn items_that_cost_nothing_are_bounded() {
    check(Scope::PAIR, || {
        let log = Log::default();
        let group = doubler(2, &log);
        let other = group.clone();
        let submits = start(move || drop([1, 2].map(|item| other.submit(item, 0))));
        drop([3, 4, 5].map(|item| group.submit(item, 0)));
        finish(submits);
        assert!(group.groups() >= 1, "a queue of two has taken five items");
        commit(&group, 6);
        assert_eq!(committed(&log), [1, 2, 3, 4, 5, 6], "an item was lost or committed twice");
    });
}

/// Two items that pass the bound alone, and one that does not.
#[test]
fn what_alone_passes_the_bound_is_committed() {
    check(Scope::PAIR, || {
        let log = Log::default();
        let group = doubler(2, &log);
        let large = [1, 2].map(|item| {
            let group = group.clone();
            start(move || assert_eq!(group.submit(item, 3).wait(), Some(item * 2)))
        });
        commit(&group, 3);
        large.into_iter().for_each(finish);
        assert_eq!(committed(&log), [1, 2, 3], "an item was lost or committed twice");
    });
}
