//! Downloads: given up, stalled, and while their buffers are taken away.

use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use drystone_edge::Edge;
use drystone_edge::download::{ObjectBody, PATIENCE};
use drystone_edge::gate::Share;
use drystone_sync::PlainArc;
use http_body::Body as _;
use shuttle::rand::Rng as _;

use super::rig::{Rig, bucket, key, unless};
use crate::sync::Notify;
use crate::task::{JoinHandle, spawn, yield_now};
use crate::time::{Duration, advance};

/// Of two pieces.
const CHUNK_BYTES: usize = 512 << 10;
/// Longer than an unread buffer stays with its download.
const MOMENT: Duration = Duration::from_secs(1);
/// About as many as a download of the object takes.
const STEPS: usize = 100;
/// Each costs a fetch at the most.
const SWEEPS: usize = 4;
/// More sweeps than anything here takes.
const SWEEPS_MAX: usize = 2_000;

/// Two chunks, and no two places alike.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let at = 0..2 * CHUNK_BYTES as u32 - 7;
    at.map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
});

/// Of which a download reads ahead.
const MANY_BUFFERS: usize = 4;
/// Of which it does not.
const FEW_BUFFERS: usize = 2;

/// A store with an object.
fn rig(buffers: usize, transfers: usize) -> Rig {
    let rig = Rig::with_buffers(buffers, CHUNK_BYTES as u64, 1, transfers);
    rig.store("object", &BYTES);
    rig
}

async fn body(edge: &PlainArc<Edge>) -> ObjectBody {
    let found = edge.find(Share::default(), bucket(), key("object")).await;
    let found = found.unwrap_or_else(|fault| panic!("a lookup failed: {fault}"));
    let range = 0..found.object.size;
    found
        .body(edge, range)
        .await
        .unwrap_or_else(|fault| panic!("a download did not begin: {fault}"))
}

async fn piece(body: &mut ObjectBody) -> Option<Bytes> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    let frame = frame.unwrap_or_else(|error| panic!("a download broke off: {error}"));
    Some(frame.into_data().unwrap_or_else(|_| panic!("there are no trailers")))
}

/// Reads on, and compares.
async fn expect_piece(body: &mut ObjectBody, at: usize) -> Option<Bytes> {
    let piece = piece(body).await?;
    assert!(BYTES[at..].starts_with(&piece), "wrong bytes behind {at}");
    Some(piece)
}

async fn expect_rest(body: &mut ObjectBody, mut at: usize) {
    while let Some(piece) = expect_piece(body, at).await {
        at += piece.len();
        yield_now().await;
    }
    assert_eq!(at, BYTES.len(), "a download ended early");
}

/// The response is dropped at any moment, perhaps while a chunk is fetched. There are two turns.
pub async fn one_that_is_given_up_gives_everything_back() {
    let rig = rig(MANY_BUFFERS, 1);
    let cue = PlainArc::new(Notify::new());
    let download = spawn({
        let (edge, cue) = (PlainArc::clone(&rig.edge), PlainArc::clone(&cue));
        async move {
            let whole = async { expect_rest(&mut body(&edge).await, 0).await };
            unless(&cue, whole).await
        }
    });
    let gone = spawn(async move {
        for _ in 0..shuttle::rand::thread_rng().gen_range(0..STEPS) {
            yield_now().await;
        }
        cue.notify_one();
    });
    gone.await.expect("no panic");
    download.await.expect("no panic");
    expect_rest(&mut body(&rig.edge).await, 0).await;
    rig.settle().await;
    rig.finish();
}

/// The sweep comes at any moment: before, during and after a fetch, and with a chunk half sent.
pub async fn what_the_sweep_takes_is_read_again() {
    let rig = rig(MANY_BUFFERS, 1);
    let mut download = body(&rig.edge).await;
    let done = PlainArc::new(AtomicBool::new(false));
    let sweeps = spawn({
        let (edge, done) = (PlainArc::clone(&rig.edge), PlainArc::clone(&done));
        async move {
            for _ in 0..SWEEPS {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                for _ in 0..shuttle::rand::thread_rng().gen_range(0..STEPS / SWEEPS) {
                    yield_now().await;
                }
                advance(MOMENT);
                edge.sweep(PATIENCE);
            }
        }
    });
    expect_rest(&mut download, 0).await;
    drop(download);
    done.store(true, Ordering::Relaxed);
    sweeps.await.expect("no panic");
    rig.settle().await;
    rig.finish();
}

/// Two clients take the first piece and stop reading, while a connection still holds it: that of
/// one of them is lent. What is left of their chunks are all the buffers there are.
pub async fn those_that_stall_do_not_hold_up_another() {
    let rig = rig(FEW_BUFFERS, 3);
    let stalled = [(); 2].map(|()| {
        let edge = PlainArc::clone(&rig.edge);
        spawn(async move {
            let mut body = body(&edge).await;
            let piece = expect_piece(&mut body, 0).await.expect("there is more than one piece");
            (body, piece)
        })
    });
    let other = spawn({
        let edge = PlainArc::clone(&rig.edge);
        async move { expect_rest(&mut body(&edge).await, 0).await }
    });
    let mut sweeps = 0;
    while !(other.is_finished() && stalled.iter().all(JoinHandle::is_finished)) {
        assert!(sweeps < SWEEPS_MAX, "clients that do not read hold up others");
        sweeps += 1;
        advance(MOMENT);
        rig.edge.sweep(PATIENCE);
        yield_now().await;
    }
    other.await.expect("no panic");
    // Those two have had a turn since the last look, perhaps.
    advance(MOMENT);
    rig.edge.sweep(PATIENCE);
    for stalled in stalled {
        let (mut body, piece) = stalled.await.expect("no panic");
        let at = piece.len();
        drop(piece);
        expect_rest(&mut body, at).await;
    }
    rig.settle().await;
    rig.finish();
}
