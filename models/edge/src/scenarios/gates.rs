//! Gates, and the places behind them.

use std::pin::{Pin, pin};
use std::sync::Mutex as PlainMutex;
use std::task::Poll;

use drystone_sync::PlainArc;

use super::rig::unless;
use crate::gate::Gate;
use crate::sync::Notify;
use crate::task::{JoinHandle, spawn, yield_now};
use crate::time::{Duration, advance};

const PATIENCE: Duration = Duration::from_secs(7);

fn gate(places: usize) -> PlainArc<Gate> {
    PlainArc::new(Gate::new("places", places, 4, PATIENCE))
}

/// Nobody is in the gate or at it, and so many get in.
async fn expect_free(gate: &Gate, places: usize) {
    let usage = gate.usage();
    assert_eq!(usage.waiting, 0, "somebody who left is still counted as waiting");
    assert_eq!(usage.places.now, 0, "somebody who left is still counted as inside");
    let mut inside = Vec::new();
    for _ in 0..places {
        inside.extend(poll_once(pin!(gate.enter())).await.map(Result::ok));
    }
    let inside: Vec<_> = inside.into_iter().flatten().collect();
    assert_eq!(inside.len(), places, "a place was lost");
    assert!(poll_once(pin!(gate.enter())).await.is_none(), "there are too many places");
}

async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Goes in and out again; whether it got in.
fn visit(gate: &PlainArc<Gate>) -> JoinHandle<bool> {
    let gate = PlainArc::clone(gate);
    spawn(async move {
        let inside = gate.enter().await;
        yield_now().await;
        inside.is_ok()
    })
}

/// Goes in and out again, unless the cue comes first.
fn visit_unless(cue: &PlainArc<Notify>, gate: &PlainArc<Gate>) -> JoinHandle<()> {
    let (gate, cue) = (PlainArc::clone(gate), PlainArc::clone(cue));
    spawn(async move {
        let entered = unless(&cue, gate.enter()).await;
        assert!(entered.is_none_or(|inside| inside.is_ok()), "one who has time was refused");
    })
}

/// Two give up at any moment, also when the place was already meant for them.
pub async fn one_who_gives_up_takes_no_place_with_him() {
    let gate = gate(1);
    let held = gate.enter().await.expect("the gate is free");
    let cues = [(); 2].map(|()| PlainArc::new(Notify::new()));
    let visits = cues.each_ref().map(|cue| visit_unless(cue, &gate));
    let leaving = spawn(async move { drop(held) });
    for cue in cues {
        cue.notify_one();
        yield_now().await;
    }
    for visit in visits {
        visit.await.expect("no panic");
    }
    leaving.await.expect("no panic");
    expect_free(&gate, 1).await;
}

/// A deadline comes up while the place is given back.
pub async fn one_who_loses_patience_takes_no_place_with_him() {
    let gate = gate(1);
    let held = gate.enter().await.expect("the gate is free");
    let waiting = [visit(&gate), visit(&gate)];
    let leaving = spawn(async move { drop(held) });
    advance(PATIENCE);
    let mut refused = 0;
    for one in waiting {
        refused += usize::from(!one.await.expect("no panic"));
    }
    leaving.await.expect("no panic");
    assert_eq!(gate.usage().refused, refused, "refusals are not counted");
    expect_free(&gate, 1).await;
}

/// Two wait, and while the place is given back a third comes.
pub async fn nobody_overtakes_one_who_waits() {
    let gate = gate(1);
    let held = gate.enter().await.expect("the gate is free");
    let order = PlainArc::new(PlainMutex::new(Vec::new()));
    let wait = |name: &'static str| {
        let (gate, order) = (PlainArc::clone(&gate), PlainArc::clone(&order));
        let queued = PlainArc::new(Notify::new());
        let says = PlainArc::clone(&queued);
        let waiting = spawn(async move {
            let mut entering = pin!(gate.enter());
            let at_once = poll_once(entering.as_mut()).await;
            says.notify_one();
            let inside = match at_once {
                Some(inside) => inside,
                None => entering.await,
            };
            order.lock().expect("no panic").push(name);
            yield_now().await;
            drop(inside.expect("nobody is refused"));
        });
        (waiting, queued)
    };
    let (first, queued) = wait("first");
    queued.notified().await;
    let (second, queued) = wait("second");
    queued.notified().await;
    let (newcomer, _) = wait("newcomer");
    drop(held);
    for waiting in [first, second, newcomer] {
        waiting.await.expect("no panic");
    }
    let order = std::mem::take(&mut *order.lock().expect("no panic"));
    assert_eq!(order, ["first", "second", "newcomer"], "somebody overtook one who waits");
    expect_free(&gate, 1).await;
}

/// The number of places goes down and up again while people come, wait, give up and leave.
pub async fn a_gate_that_is_changed_has_the_last_number_of_places() {
    let gate = gate(2);
    let cue = PlainArc::new(Notify::new());
    let quitter = visit_unless(&cue, &gate);
    let visits = [visit(&gate), visit(&gate)];
    let change = spawn({
        let gate = PlainArc::clone(&gate);
        async move {
            for places in [1, 3, 2] {
                gate.change(places, 4, PATIENCE);
                yield_now().await;
            }
        }
    });
    cue.notify_one();
    for visit in visits {
        assert!(visit.await.expect("no panic"), "one who waits patiently was refused");
    }
    quitter.await.expect("no panic");
    change.await.expect("no panic");
    expect_free(&gate, 2).await;
}
