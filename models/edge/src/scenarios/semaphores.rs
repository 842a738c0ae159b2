//! The resizable semaphore.

use std::pin::{Pin, pin};
use std::sync::Mutex as PlainMutex;
use std::task::Poll;

use drystone_edge::semaphore::ResizableSemaphore;
use drystone_sync::PlainArc;

use super::rig::unless;
use crate::sync::Notify;
use crate::task::{JoinHandle, spawn, yield_now};
use crate::time::{Duration, advance, timeout};

const PATIENCE: Duration = Duration::from_secs(7);

/// No permit is taken, and so many can be.
fn expect_free(semaphore: &PlainArc<ResizableSemaphore>, permits: usize) {
    assert_eq!(semaphore.usage().now, 0, "a permit was not given back");
    assert_eq!(semaphore.surplus(), 0, "permits that were removed are still counted");
    let taken: Vec<_> = (0..permits).map_while(|_| semaphore.try_take()).collect();
    assert_eq!(taken.len(), permits, "a permit was lost");
    assert!(semaphore.try_take().is_none(), "there are too many permits");
}

async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Takes a permit and gives it back.
fn visit(semaphore: &PlainArc<ResizableSemaphore>) -> JoinHandle<()> {
    let semaphore = PlainArc::clone(semaphore);
    spawn(async move {
        let permit = semaphore.take().await;
        yield_now().await;
        drop(permit);
    })
}

/// Two give up at any moment, also when the permit was already meant for them.
pub async fn one_that_gives_up_takes_no_permit_with_it() {
    let semaphore = ResizableSemaphore::new(1);
    let held = semaphore.try_take().expect("a permit is free");
    let cues = [(); 2].map(|()| PlainArc::new(Notify::new()));
    let visits = cues.each_ref().map(|cue| {
        let (semaphore, cue) = (PlainArc::clone(&semaphore), PlainArc::clone(cue));
        spawn(async move { drop(unless(&cue, semaphore.take()).await) })
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
    expect_free(&semaphore, 1);
}

/// A deadline comes up while the permit is given back.
pub async fn one_that_loses_patience_takes_no_permit_with_it() {
    let semaphore = ResizableSemaphore::new(1);
    let held = semaphore.try_take().expect("a permit is free");
    let waiting = [(); 2].map(|()| {
        let semaphore = PlainArc::clone(&semaphore);
        spawn(async move { drop(timeout(PATIENCE, semaphore.take()).await) })
    });
    let leaving = spawn(async move { drop(held) });
    advance(PATIENCE);
    for one in waiting {
        one.await.expect("no panic");
    }
    leaving.await.expect("no panic");
    expect_free(&semaphore, 1);
}

/// Two wait, and while the permit is given back a third comes.
pub async fn a_newcomer_overtakes_none_that_waits() {
    let semaphore = ResizableSemaphore::new(1);
    let held = semaphore.try_take().expect("a permit is free");
    let order = PlainArc::new(PlainMutex::new(Vec::new()));
    let wait = |name: &'static str| {
        let (semaphore, order) = (PlainArc::clone(&semaphore), PlainArc::clone(&order));
        let queued = PlainArc::new(Notify::new());
        let says = PlainArc::clone(&queued);
        let waiting = spawn(async move {
            let mut taking = pin!(semaphore.take());
            let at_once = poll_once(taking.as_mut()).await;
            says.notify_one();
            let permit = match at_once {
                Some(permit) => permit,
                None => taking.await,
            };
            order.lock().expect("no panic").push(name);
            yield_now().await;
            drop(permit);
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
    assert_eq!(order, ["first", "second", "newcomer"], "a newcomer overtook one that waits");
    expect_free(&semaphore, 1);
}

/// The number of permits goes down and up again while some come, wait, give up and leave.
pub async fn a_semaphore_that_is_resized_has_the_last_number_of_permits() {
    let semaphore = ResizableSemaphore::new(2);
    let cue = PlainArc::new(Notify::new());
    let quitter = spawn({
        let (semaphore, cue) = (PlainArc::clone(&semaphore), PlainArc::clone(&cue));
        async move { drop(unless(&cue, semaphore.take()).await) }
    });
    let visits = [visit(&semaphore), visit(&semaphore)];
    let resize = spawn({
        let semaphore = PlainArc::clone(&semaphore);
        async move {
            for permits in [1, 3, 2] {
                semaphore.resize(permits);
                yield_now().await;
            }
        }
    });
    cue.notify_one();
    for visit in visits {
        visit.await.expect("no panic");
    }
    quitter.await.expect("no panic");
    resize.await.expect("no panic");
    expect_free(&semaphore, 2);
}
