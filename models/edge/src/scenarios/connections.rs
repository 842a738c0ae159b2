//! Connections: which are closed for others.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use drystone_sync::PlainArc;

use crate::connection::{Connection, Evictable};
use crate::deadlines::SharedDeadlines;
use crate::sync::Notify;
use crate::task::{spawn, yield_now};
use crate::time::Duration;
use crate::width::Wide;

fn open(idle: &PlainArc<Evictable>) -> PlainArc<Connection> {
    Connection::new(idle, &PlainArc::new(SharedDeadlines::default()), &Wide::new(1))
}

/// Somebody knocks while a request begins on the connection that has been idle for longest.
pub async fn one_with_a_request_is_not_closed_for_others() {
    let idle = PlainArc::new(Evictable::default());
    let connection = open(&idle);
    let (begun, done) = (PlainArc::new(AtomicBool::new(false)), PlainArc::new(Notify::new()));
    let request = spawn({
        let (connection, begun, done) =
            (PlainArc::clone(&connection), PlainArc::clone(&begun), PlainArc::clone(&done));
        async move {
            let active = connection.begin();
            begun.store(true, Ordering::Relaxed);
            for _ in 0..3 {
                yield_now().await;
            }
            begun.store(false, Ordering::Relaxed);
            drop(active);
            done.notify_one();
        }
    });
    let knock = spawn({
        let idle = PlainArc::clone(&idle);
        async move { idle.evict(Duration::ZERO) }
    });
    let mut watch = pin!(connection.watch());
    let mut done = pin!(done.notified());
    std::future::poll_fn(|context| {
        let active = begun.load(Ordering::Relaxed);
        if let Poll::Ready(why) = watch.as_mut().poll(context) {
            let still = begun.load(Ordering::Relaxed);
            assert!(!(active && still), "closed with a request under way: {why}");
            return Poll::Ready(());
        }
        done.as_mut().poll(context)
    })
    .await;
    request.await.expect("no panic");
    knock.await.expect("no panic");
}

/// Nobody moves the clock: the watch of a connection that was chosen hears of it, or this would wait for ever.
pub async fn one_that_is_chosen_hears_of_it() {
    let idle = PlainArc::new(Evictable::default());
    let (first, second) = (open(&idle), open(&idle));
    let watch = spawn({
        let first = PlainArc::clone(&first);
        async move { first.watch().await }
    });
    // A request that comes and goes makes `second` the one that has been idle for longest.
    let request = spawn({
        let second = PlainArc::clone(&second);
        async move { drop(second.begin()) }
    });
    request.await.expect("no panic");
    assert!(idle.evict(Duration::ZERO), "there was an idle connection");
    watch.await.expect("no panic");
    drop((first, second));
    assert!(!idle.evict(Duration::ZERO), "a connection that is gone can still be chosen");
}
