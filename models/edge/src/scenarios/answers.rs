//! Long answers: made in turns, and read as slowly as a client likes.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use drystone_edge::Edge;
use drystone_edge::answer::ResponseBody;
use drystone_edge::gate::Share;
use drystone_sync::PlainArc;
use http_body::Body as _;
use shuttle::rand::Rng as _;

use super::rig::{Rig, unless};
use crate::sync::Notify;
use crate::task::{spawn, yield_now};

/// More than a connection keeps, and of five pieces.
const ANSWER_BYTES: usize = 80 << 10;

/// An answer in memory.
struct InMemory {
    bytes: Vec<u8>,
    now: PlainArc<AtomicUsize>,
}

impl AsRef<[u8]> for InMemory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes an answer in its turn. There is one turn, so there is one answer in memory.
async fn make(edge: &PlainArc<Edge>, now: &PlainArc<AtomicUsize>) -> ResponseBody {
    let turn = edge.turn_for_document(&Share::default()).await;
    let turn = turn.unwrap_or_else(|fault| panic!("there is no turn: {fault}"));
    let before = now.fetch_add(1, Ordering::Relaxed);
    assert_eq!(before, 0, "an answer is made that is not paid for");
    let answer = InMemory { bytes: vec![b'a'; ANSWER_BYTES], now: PlainArc::clone(now) };
    yield_now().await;
    edge.answer(Bytes::from_owner(answer), turn).await
}

/// Reads an answer to its end; its length.
async fn read(mut body: ResponseBody) -> usize {
    let mut bytes = 0;
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else { return bytes };
        let frame = frame.unwrap_or_else(|error| panic!("an answer broke off: {error}"));
        bytes += frame.data_ref().map_or(0, Bytes::len);
        yield_now().await;
    }
}

/// One client does not read its answer until another has read its own.
pub async fn one_that_is_not_read_holds_up_no_other() {
    let rig = Rig::new(1, 1);
    let now = PlainArc::new(AtomicUsize::new(0));
    let unread = make(&rig.edge, &now).await;
    let other = spawn({
        let (edge, now) = (PlainArc::clone(&rig.edge), PlainArc::clone(&now));
        async move { read(make(&edge, &now).await).await }
    });
    assert_eq!(other.await.expect("no panic"), ANSWER_BYTES, "an answer ended early");
    assert_eq!(read(unread).await, ANSWER_BYTES, "an answer ended early");
    // The maker of an answer gives its turn back after the last page was taken.
    rig.settle().await;
    rig.finish();
}

/// Two requests for a long answer are dropped at any moment, while it is made or read.
pub async fn those_that_are_given_up_give_everything_back() {
    let rig = Rig::new(1, 1);
    let now = PlainArc::new(AtomicUsize::new(0));
    let requests = [(); 2].map(|()| {
        let cue = PlainArc::new(Notify::new());
        let request = spawn({
            let (edge, now, cue) =
                (PlainArc::clone(&rig.edge), PlainArc::clone(&now), PlainArc::clone(&cue));
            async move { unless(&cue, async { read(make(&edge, &now).await).await }).await }
        });
        (request, cue)
    });
    for (request, cue) in requests {
        for _ in 0..shuttle::rand::thread_rng().gen_range(0..20) {
            yield_now().await;
        }
        cue.notify_one();
        if let Some(bytes) = request.await.expect("no panic") {
            assert_eq!(bytes, ANSWER_BYTES, "an answer ended early");
        }
    }
    rig.settle().await;
    rig.finish();
}
