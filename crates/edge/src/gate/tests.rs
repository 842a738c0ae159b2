//! Who comes up, and how many.

use super::*;

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn share(key: &str) -> Share {
    Share::new(Some(key.to_owned()), None)
}

/// Queues one after the other, and tells in which order they came through a gate with one turn.
fn order(waiters: &[(&str, Size)]) -> String {
    paused().block_on(async {
        let gate = PlainArc::new(Gate::new("turns", 1, 99, Duration::from_secs(60)));
        let order = PlainArc::new(Mutex::new(String::new()));
        let held = gate.try_enter().unwrap();
        let mut tasks = Vec::new();
        for (number, (key, size)) in waiters.iter().enumerate() {
            let (gate, order, share, size) =
                (PlainArc::clone(&gate), PlainArc::clone(&order), share(key), *size);
            tasks.push(tokio::spawn(async move {
                let _turn = gate.enter(&share, size).await.unwrap();
                order.lock().push_str(&number.to_string());
            }));
            tokio::task::yield_now().await;
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *order.lock())
    })
}

#[test]
fn small_ones_go_first_but_not_for_ever() {
    assert_eq!(order(&[("a", Size::Large), ("a", Size::Small), ("b", Size::Small)]), "120");
    let mut waiters = vec![("a", Size::Large)];
    waiters.extend([("b", Size::Small); 9]);
    assert_eq!(order(&waiters), "1234567089");
}

#[test]
fn a_key_with_many_requests_waits_for_itself() {
    let large = Size::Large;
    assert_eq!(order(&[("a", large), ("a", large), ("a", large), ("b", large)]), "0312");
}

#[test]
fn the_queue_is_bounded_and_patience_ends() {
    paused().block_on(async {
        let gate = PlainArc::new(Gate::new("turns", 1, 1, Duration::from_secs(5)));
        let anybody = Share::default();
        let held = gate.enter(&anybody, Size::Large).await.unwrap();
        let second = tokio::spawn({
            let gate = PlainArc::clone(&gate);
            async move { gate.enter(&Share::default(), Size::Large).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(gate.is_wanted());
        assert!(gate.enter(&anybody, Size::Large).await.is_err(), "no place in the queue");
        assert_eq!(second.await.unwrap(), Err(Busy("turns")), "patience ended while it was held");
        assert_eq!((gate.usage().refused, gate.usage().waiting), (2, 0));
        drop(held);
        drop(gate.enter(&anybody, Size::Large).await.unwrap());
        let usage = gate.usage();
        assert_eq!((usage.now, usage.high_water, usage.waits), (0, 1, 1));
    });
}

#[test]
fn one_that_gives_up_leaves_the_queue() {
    paused().block_on(async {
        let gate = Gate::new("turns", 1, 1, Duration::from_secs(60));
        let held = gate.try_enter().unwrap();
        for _ in 0..3 {
            let anybody = Share::default();
            let entering = gate.enter(&anybody, Size::Small);
            assert!(tokio::time::timeout(Duration::from_secs(1), entering).await.is_err());
            assert!(!gate.is_wanted());
            assert!(
                gate.shared.state.lock().small.is_empty(),
                "the queue grows with those that left"
            );
        }
        drop(held);
        assert!(gate.try_enter().is_some());
    });
}

#[test]
fn lowering_lets_those_under_way_end_and_none_in_before() {
    let gate = Gate::new("turns", 3, 9, Duration::from_secs(60));
    let mut held: Vec<_> = (0..3).map(|_| gate.try_enter().unwrap()).collect();
    gate.resize(1);
    for left in [2, 1] {
        assert!(gate.try_enter().is_none());
        drop(held.pop());
        assert_eq!((gate.usage().now, gate.usage().ceiling), (left, 1));
    }
    assert!(gate.try_enter().is_none(), "the last one is still taken");
    drop(held);
    let one = gate.try_enter().unwrap();
    assert!(gate.try_enter().is_none());
    drop(one);
}

#[test]
fn another_queue_is_for_those_that_come() {
    paused().block_on(async {
        let gate = Gate::new("turns", 1, 0, Duration::from_secs(60));
        let (_held, anybody) = (gate.try_enter().unwrap(), Share::default());
        assert!(gate.enter(&anybody, Size::Large).await.is_err(), "no queue");
        let begun = tokio::time::Instant::now();
        gate.set_queue(1, Duration::from_secs(7));
        assert!(gate.enter(&anybody, Size::Large).await.is_err());
        assert_eq!(begun.elapsed().as_secs(), 7, "a queue, and the new patience");
        gate.set_queue(0, Duration::from_secs(60));
        assert!(gate.enter(&anybody, Size::Large).await.is_err(), "no queue again");
        assert_eq!(begun.elapsed().as_secs(), 7);
    });
}

#[test]
fn raising_serves_the_one_that_waits() {
    paused().block_on(async {
        let gate = PlainArc::new(Gate::new("turns", 1, 9, Duration::from_secs(60)));
        let _held = gate.try_enter().unwrap();
        let waiting = tokio::spawn({
            let gate = PlainArc::clone(&gate);
            async move { gate.enter(&Share::default(), Size::Large).await.map(|_| ()) }
        });
        tokio::task::yield_now().await;
        gate.resize(2);
        waiting.await.unwrap().unwrap();
    });
}
