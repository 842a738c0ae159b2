//! Uploads: given up, broken, slow, and the channel to their feeder.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use drystone_edge::Fault;

use drystone_sync::PlainArc;
use futures_util::StreamExt as _;
use shuttle::rand::Rng as _;

use super::rig::{Expected, PREFIX_BYTES, Rig, Script, Step, take_fed, unless, upload};
use crate::sync::Notify;
use crate::task::{spawn, yield_now};
use crate::time::{Duration, advance};

/// Over this window the server judges whether an upload is slow.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// In this time a client must have sent enough to be given a place.
const FIRST_WINDOW: Duration = Duration::from_secs(1);
/// As long as a pause.
const MOMENT: Duration = Duration::from_millis(20);
/// More than anything here takes, and less than any deadline.
const MOMENTS_MAX: usize = 8_000;
/// Messages in the channel, one that the sender holds, and one that the feeder holds.
const PIECES_MAX: usize = 3 + 1 + 1;

const LARGE: [Step; 4] = [Step::Send(PREFIX_BYTES), Step::Send(1), Step::Send(2), Step::Send(3)];
const SMALL: [Step; 1] = [Step::Send(5)];
/// Slow before it gets an ingest slot, and slow with it.
const SLOW: [Step; 7] = [
    Step::Send(1),
    Step::Pause(FIRST_WINDOW),
    Step::Send(1),
    Step::Send(PREFIX_BYTES),
    Step::Pause(RATE_WINDOW),
    Step::Send(1),
    Step::Send(1),
];

/// Makes one more upload. It succeeds only if no earlier request is still under way: there is one
/// place for all.
async fn expect_a_place_and_an_ingest_slot(rig: &Rig) {
    let healthy =
        upload(rig.edge.clone(), "healthy", Script::new(&LARGE).body(), Expected::default());
    if let Err(error) = healthy.await {
        panic!("an upload after it failed: {error}");
    }
    assert!(rig.is_stored("healthy"));
}

/// The request is dropped at any moment.
pub async fn one_that_is_given_up_leaves_nothing_and_gives_everything_back() {
    let rig = Rig::new(1, 1);
    let (script, cue) = Script::new(&LARGE).with_cue();
    let request = spawn({
        let (edge, script) = (rig.edge.clone(), script.clone());
        async move { unless(&cue, upload(edge, "given up", script.body(), Expected::default())).await }
    });
    let outcome = request.await.expect("no panic");
    expect_a_place_and_an_ingest_slot(&rig).await;
    match outcome {
        Some(Ok(_)) => assert!(rig.is_stored("given up"), "an acknowledged upload is not there"),
        Some(Err(error)) => panic!("an upload failed: {error}"),
        // After the body's end it may have been too late.
        None if script.has_ended() => {}
        None => assert!(!rig.is_stored("given up"), "an upload that was given up is there"),
    }
    rig.finish();
}

/// The body breaks off, or is not what was promised.
pub async fn one_that_fails_leaves_nothing_and_gives_everything_back() {
    let rig = Rig::new(1, 1);
    let wrong = shuttle::rand::thread_rng().gen_bool(0.5);
    let broken = [Step::Send(PREFIX_BYTES), Step::Send(1), Step::Break];
    let script = Script::new(if wrong { &LARGE } else { &broken });
    let failed =
        upload(rig.edge.clone(), "failed", script.body(), Expected { is_wrong: wrong }).await;
    match failed {
        Err(Fault::BadDigest(_)) if wrong => {}
        Err(Fault::Incomplete(_)) if !wrong => {}
        Err(error) => panic!("an upload failed for another reason: {error}"),
        Ok(_) => panic!("a failed upload was acknowledged"),
    }
    rig.expect_buffers_back().await;
    expect_a_place_and_an_ingest_slot(&rig).await;
    assert!(!rig.is_stored("failed"), "an upload that failed is there");
    rig.finish();
}

/// The client of the slow upload pauses. Meanwhile another upload waits for its ingest slot, or
/// begins to wait, or does not wait; and one may give up.
pub async fn a_slow_one_gives_way_and_ends() {
    let rig = Rig::new(1, 2);
    let slow = Script::new(&SLOW);
    let slow = spawn(upload(rig.edge.clone(), "slow", slow.body(), Expected::default()));
    let other =
        spawn(upload(rig.edge.clone(), "other", Script::new(&LARGE).body(), Expected::default()));
    for (upload, name, steps) in [(other, "other", &LARGE[..]), (slow, "slow", &SLOW[..])] {
        match upload.await.expect("no panic") {
            Ok(uploaded) => {
                let sent: usize = steps.iter().map(Step::bytes).sum();
                assert_eq!(uploaded.stored.size, sent as u64, "bytes of an upload are missing");
                assert!(rig.is_stored(name), "an acknowledged upload is not there");
            }
            Err(error) => panic!("an upload failed: {error}"),
        }
    }
    rig.finish();
}

/// The client sends the rest only when another has had the ingest slot.
pub async fn one_that_pauses_does_not_hold_up_another() {
    let rig = Rig::new(1, 2);
    let go_on = PlainArc::new(Notify::new());
    let first = Script::new(&[Step::Send(PREFIX_BYTES), Step::Send(PREFIX_BYTES)]);
    let waits = {
        let go_on = PlainArc::clone(&go_on);
        futures_util::stream::once(async move {
            go_on.notified().await;
            Ok(Bytes::from_static(b"rest"))
        })
    };
    let slow = upload(rig.edge.clone(), "slow", first.body().chain(waits), Expected::default());
    let slow = spawn(slow);
    let other =
        spawn(upload(rig.edge.clone(), "other", Script::new(&SMALL).body(), Expected::default()));
    let mut moments = 0;
    while !other.is_finished() {
        assert!(moments < MOMENTS_MAX, "an upload that pauses holds up another");
        moments += 1;
        if moments % 8 == 0 {
            advance(MOMENT);
        }
        yield_now().await;
    }
    assert!(other.await.expect("no panic").is_ok(), "an upload that waited for a slow one failed");
    go_on.notify_one();
    match slow.await.expect("no panic") {
        Ok(uploaded) => {
            let sent = (2 * PREFIX_BYTES + 4) as u64;
            assert_eq!(uploaded.stored.size, sent, "bytes of an upload are missing");
        }
        Err(error) => panic!("a slow upload failed: {error}"),
    }
    rig.finish();
}

/// A slow one and two small ones take turns at one ingest slot, and the request of the slow one is
/// dropped at any moment, perhaps while it is parked.
pub async fn one_that_is_given_up_while_it_is_parked_leaves_nothing() {
    let rig = Rig::new(1, 2);
    let mut steps = vec![Step::Send(PREFIX_BYTES)];
    for _ in 0..3 {
        steps.extend([Step::Pause(RATE_WINDOW), Step::Send(1)]);
    }
    let (script, cue) = Script::new(&steps).with_cue();
    let request = spawn({
        let (edge, script) = (rig.edge.clone(), script.clone());
        async move { unless(&cue, upload(edge, "given up", script.body(), Expected::default())).await }
    });
    let others = ["first", "second"].map(|name| {
        spawn(upload(rig.edge.clone(), name, Script::new(&SMALL).body(), Expected::default()))
    });
    let outcome = request.await.expect("no panic");
    for other in others {
        if let Err(error) = other.await.expect("no panic") {
            panic!("an upload failed: {error}");
        }
    }
    rig.settle().await;
    match outcome {
        Some(Ok(_)) => assert!(rig.is_stored("given up"), "an acknowledged upload is not there"),
        Some(Err(error)) => panic!("an upload failed: {error}"),
        None if script.has_ended() => {}
        None => assert!(!rig.is_stored("given up"), "an upload that was given up is there"),
    }
    rig.finish();
}

/// A new client needs the connection of an upload that sends next to nothing, while the upload
/// ends.
pub async fn one_that_is_asked_to_leave_leaves_nothing_or_ends() {
    let rig = Rig::new(1, 1);
    let (script, cue) = Script::new(&SLOW).with_cue();
    let knock = spawn({
        let edge = rig.edge.clone();
        async move {
            cue.notified().await;
            edge.admission.eviction.slow.evict(Duration::ZERO)
                || edge.admission.eviction.begun.evict(Duration::ZERO)
        }
    });
    let slow = upload(rig.edge.clone(), "slow", script.body(), Expected::default()).await;
    let asked = knock.await.expect("no panic");
    expect_a_place_and_an_ingest_slot(&rig).await;
    match slow {
        Ok(_) => assert!(rig.is_stored("slow"), "an acknowledged upload is not there"),
        Err(Fault::MadeWay) => {
            assert!(asked, "a slow upload was turned away without need");
            assert!(!rig.is_stored("slow"), "an upload that was turned away is there");
        }
        Err(error) => panic!("a slow upload failed: {error}"),
    }
    rig.finish();
}

/// No other upload waits for the ingest slot, so a slow one may keep it.
pub async fn a_slow_one_that_is_alone_may_take_its_time() {
    let rig = Rig::new(1, 1);
    let slow = Script::new(&SLOW);
    if let Err(error) = upload(rig.edge.clone(), "slow", slow.body(), Expected::default()).await {
        panic!("a slow upload was turned away without need: {error}");
    }
    rig.finish();
}

/// Its client was slow for a while, and has sent enough since then.
pub async fn one_that_makes_progress_is_not_asked_to_leave() {
    let rig = Rig::new(1, 1);
    let steps = [
        Step::Send(PREFIX_BYTES),
        Step::Pause(RATE_WINDOW),
        Step::Send(1),
        Step::Send(7 * PREFIX_BYTES),
        Step::Pause(RATE_WINDOW),
        Step::Send(1),
        Step::Send(1),
    ];
    let (edge, mut pieces) = (rig.edge.clone(), 0);
    let body = Script::new(&steps).body().inspect(move |_| {
        pieces += 1;
        // The piece before the last one has ended the second window.
        if pieces == 5 {
            let was_asked = edge.admission.eviction.slow.evict(Duration::ZERO);
            assert!(!was_asked, "an upload that makes progress was asked to leave");
        }
    });
    if let Err(error) = upload(rig.edge.clone(), "upload", body, Expected::default()).await {
        panic!("an upload failed: {error}");
    }
    rig.finish();
}

/// The client is faster than the store.
pub async fn few_pieces_wait_for_the_store() {
    let rig = Rig::new(1, 1);
    let mut steps = vec![Step::Send(PREFIX_BYTES)];
    steps.extend([Step::Send(1); 12]);
    let script = Script::new(&steps);
    let (made, fed) = (script.clone(), PlainArc::new(AtomicUsize::new(0)));
    take_fed();
    let body = script.body().inspect(move |_| {
        let now = take_fed();
        let fed = fed.fetch_add(now, Ordering::Relaxed) + now;
        let waiting = made.made() - fed;
        assert!(waiting <= PIECES_MAX, "{waiting} pieces wait in memory");
    });
    if let Err(error) = upload(rig.edge.clone(), "fast", body, Expected::default()).await {
        panic!("an upload failed: {error}");
    }
    rig.finish();
}
