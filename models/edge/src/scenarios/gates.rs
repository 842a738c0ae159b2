//! Gates: given up, out of patience, changed, and whose turn it is.

use std::sync::Mutex as PlainMutex;

use drystone_edge::gate::{Gate, Share, Size};
use drystone_sync::PlainArc;

use super::rig::unless;
use crate::sync::Notify;
use crate::task::{JoinHandle, spawn, yield_now};
use crate::time::{Duration, advance};

const PATIENCE: Duration = Duration::from_secs(7);

fn gate(turns: usize) -> PlainArc<Gate> {
    PlainArc::new(Gate::new("turns", turns, 9, PATIENCE))
}

fn share(key: &str) -> Share {
    Share::new(Some(key.to_owned()), None)
}

/// No turn is taken, none is waited for, and there are as many as there should be.
fn expect_free(gate: &Gate, turns: usize) {
    let usage = gate.usage();
    assert_eq!(usage.waiting, 0, "one that left is still counted as waiting");
    assert_eq!(usage.now, 0, "a turn was not given back");
    let taken: Vec<_> = (0..turns).map_while(|_| gate.try_enter()).collect();
    assert_eq!(taken.len(), turns, "a turn was lost");
    assert!(gate.try_enter().is_none(), "there are too many turns");
}

/// Takes a turn and gives it back; whether it had one.
fn visit(gate: &PlainArc<Gate>, key: &'static str, size: Size) -> JoinHandle<bool> {
    let gate = PlainArc::clone(gate);
    spawn(async move {
        let turn = gate.enter(&share(key), size).await;
        yield_now().await;
        turn.is_ok()
    })
}

/// Two give up at any moment, also when a turn was already meant for them.
pub async fn one_that_gives_up_takes_no_turn_with_it() {
    let gate = gate(1);
    let held = gate.try_enter().expect("the gate is free");
    let cues = [(); 2].map(|()| PlainArc::new(Notify::new()));
    let visits = cues.each_ref().map(|cue| {
        let (gate, cue) = (PlainArc::clone(&gate), PlainArc::clone(cue));
        spawn(async move {
            let entered = unless(&cue, gate.enter(&share("a"), Size::Large)).await;
            assert!(entered.is_none_or(|turn| turn.is_ok()), "one that has time was refused");
        })
    });
    let leaving = spawn(async move { drop(held) });
    for cue in cues {
        cue.notify_one();
        yield_now().await;
    }
    for visit in visits {
        visit.await.expect("no panic");
    }
    leaving.await.expect("no panic");
    // None is left to wait for a turn that is lost, so its loss shows here.
    expect_free(&gate, 1);
}

/// A deadline comes up while the turn is given back.
pub async fn one_that_loses_patience_takes_no_turn_with_it() {
    let gate = gate(1);
    let held = gate.try_enter().expect("the gate is free");
    let waiting = [visit(&gate, "a", Size::Large), visit(&gate, "b", Size::Small)];
    let leaving = spawn(async move { drop(held) });
    advance(PATIENCE);
    let mut refused = 0;
    for one in waiting {
        refused += u64::from(!one.await.expect("no panic"));
    }
    leaving.await.expect("no panic");
    assert_eq!(gate.usage().refused, refused, "refusals are not counted");
    expect_free(&gate, 1);
}

/// One waits, and the turn that is under way goes on until it has come through.
pub async fn raising_lets_one_through_that_waits() {
    let gate = gate(1);
    let held = gate.try_enter().expect("the gate is free");
    let waiting = [visit(&gate, "a", Size::Large), visit(&gate, "a", Size::Large)];
    let raise = spawn({
        let gate = PlainArc::clone(&gate);
        async move { gate.resize(2) }
    });
    for waiting in waiting {
        assert!(waiting.await.expect("no panic"), "one that waits patiently was refused");
    }
    raise.await.expect("no panic");
    drop(held);
    expect_free(&gate, 2);
}

/// The queue is full of one key's requests, and another key asks, while the turn is given back and
/// one of those that wait gives up.
pub async fn a_full_queue_makes_room_for_a_shorter_line() {
    let gate = PlainArc::new(Gate::new("turns", 1, 2, PATIENCE));
    let held = gate.try_enter().expect("the gate is free");
    let first = visit(&gate, "a", Size::Large);
    let cue = PlainArc::new(Notify::new());
    let second = spawn({
        let (gate, cue) = (PlainArc::clone(&gate), PlainArc::clone(&cue));
        async move { unless(&cue, gate.enter(&share("a"), Size::Large)).await.map(|turn| turn.is_ok()) }
    });
    while gate.usage().waiting < 2 {
        yield_now().await;
    }
    let other = visit(&gate, "b", Size::Large);
    let leaving = spawn(async move { drop(held) });
    cue.notify_one();
    let [first, other] = [first, other].map(|visit| async { visit.await.expect("no panic") });
    assert!(other.await, "one with a shorter line was refused");
    let (first, second) = (first.await, second.await.expect("no panic"));
    assert!(first || second != Some(false), "two were refused for one");
    leaving.await.expect("no panic");
    expect_free(&gate, 1);
}

/// The number of turns goes down and up again while some come, wait and leave.
pub async fn a_gate_that_is_changed_has_the_last_number_of_turns() {
    let gate = gate(2);
    let visits = [Size::Large, Size::Small, Size::Large].map(|size| visit(&gate, "a", size));
    let change = spawn({
        let gate = PlainArc::clone(&gate);
        async move {
            for turns in [1, 3, 2] {
                gate.resize(turns);
                yield_now().await;
            }
        }
    });
    for visit in visits {
        assert!(visit.await.expect("no panic"), "one that waits patiently was refused");
    }
    change.await.expect("no panic");
    expect_free(&gate, 2);
}

/// One key has asked three times before another asks once, and a small request comes last.
pub async fn turns_go_round_and_small_ones_come_first() {
    let gate = gate(1);
    let order = PlainArc::new(PlainMutex::new(Vec::new()));
    let held = gate.try_enter().expect("the gate is free");
    let mut waiting = Vec::new();
    for (place, (key, size)) in
        [("a", Size::Large), ("a", Size::Large), ("b", Size::Large), ("b", Size::Small)]
            .into_iter()
            .enumerate()
    {
        let (entering, order) = (PlainArc::clone(&gate), PlainArc::clone(&order));
        waiting.push(spawn(async move {
            let turn = entering.enter(&share(key), size).await;
            order.lock().expect("no panic").push(place);
            drop(turn.expect("none is refused"));
        }));
        while gate.usage().waiting <= place {
            yield_now().await;
        }
    }
    drop(held);
    for waiting in waiting {
        waiting.await.expect("no panic");
    }
    let order = std::mem::take(&mut *order.lock().expect("no panic"));
    assert_eq!(order, [3, 0, 2, 1], "a turn came out of order");
    expect_free(&gate, 1);
}
