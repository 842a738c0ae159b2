//! What a download holds, and what it sends when that is taken from it.

use std::time::Duration;

use drystone_store::{Condition, ObjectMeta, PutTarget, Store, StoreConfig, SyncPolicy};
use drystone_testkit::local::LocalFolder;
use http_body_util::BodyExt as _;

use super::*;
use crate::{Deadlines, EdgeConfig};

const CHUNK_BYTES: usize = 2 * PIECE_BYTES;

/// An edge over a store with an object of five chunks of two pieces, and what the object holds.
fn edge(folder: &LocalFolder, buffers: usize) -> (PlainArc<Edge>, Vec<u8>) {
    let local = folder.open_store();
    let config = StoreConfig {
        chunking: CHUNKING.parse().unwrap(),
        workers: 2,
        buffers,
        ingests: 1,
        buffer_bytes: 2 * CHUNK_BYTES,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    };
    let store = Store::new(local.records, local.segments, config).unwrap();
    let bucket = BucketName::new("bucket").unwrap();
    store.create_bucket(&bucket).unwrap();
    // No two places alike.
    let bytes: Vec<u8> = (0..CHUNK_BYTES as u32 * 5 - 7)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let key = Key::new("object").unwrap();
    let (meta, condition) = (ObjectMeta::default(), Condition::Always);
    let mut ingest = store.ingest(60_000).unwrap();
    let mut writing = ingest.begin(None);
    writing.push(&bytes).unwrap();
    let pending = writing.finish(PutTarget { bucket, key, meta, condition }).unwrap();
    ingest.rest().unwrap();
    pending.join().unwrap();
    drop(ingest);
    let config = EdgeConfig {
        connections: 16,
        transfers: 8,
        transfers_max: 8,
        ingests: 1,
        calls: 2,
        documents: 2,
        transfers_per_form: 4,
        archives: 1,
        form_patience: Duration::from_secs(60),
        spool: PlainArc::new(tempfile::tempfile().unwrap()),
        spool_slot_bytes: 4 << 20,
        deadlines: Deadlines::default(),
        give_back: || {},
    };
    (PlainArc::new(Edge::new(store, &config).unwrap()), bytes)
}

const CHUNKING: &str = "fixed:512KiB";

fn folder() -> LocalFolder {
    LocalFolder::new(CHUNKING.parse().unwrap(), SyncPolicy::Never, 1 << 30)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

async fn body(edge: &PlainArc<Edge>) -> ObjectBody {
    let names = (BucketName::new("bucket").unwrap(), Key::new("object").unwrap());
    let found = edge.find(Share::default(), names.0, names.1).await.unwrap();
    let range = 0..found.object.size;
    found.body(edge, range).await.unwrap()
}

async fn piece(body: &mut ObjectBody) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

/// As a client reads it that takes everything: what is read is not under way any more.
async fn rest(mut body: ObjectBody) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        read.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    read
}

/// Once no read ahead is under way for a download that has ended: that returns its buffer when it
/// is done.
fn wait_for_buffers(edge: &Edge, expected: usize) {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let in_use = edge.store.usage().buffers.now;
        if in_use == expected {
            return;
        }
        assert!(Instant::now() < patience, "{in_use} buffers are in use instead of {expected}");
        std::thread::yield_now();
    }
}

#[test]
fn what_the_sweep_takes_during_a_fetch_is_read_again() {
    let folder = folder();
    let (edge, bytes) = edge(&folder, 6);
    runtime().block_on(async {
        let mut body = body(&edge).await;
        let mut read = piece(&mut body).await.to_vec();
        assert!(
            matches!(body.step, Step::Fetch(_)),
            "the next chunk is fetched while this one is sent"
        );
        edge.sweep(Duration::ZERO);
        assert!(!body.has_turn());
        read.extend(rest(body).await);
        assert!(read == bytes, "the rest of a chunk that was taken away is missing");
    });
    wait_for_buffers(&edge, 0);
}

#[test]
fn what_comes_before_a_damaged_chunk_is_sent() {
    let folder = folder();
    let (edge, bytes) = edge(&folder, 6);
    damage(folder.path(), &bytes[CHUNK_BYTES..2 * CHUNK_BYTES]);
    runtime().block_on(async {
        let mut body = body(&edge).await;
        let mut read = Vec::new();
        let error = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => read.extend(frame.into_data().unwrap()),
                Err(error) => break error,
            }
            // Long enough for the fetch ahead to have failed.
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(error.kind(), std::io::ErrorKind::Other);
        assert!(read == bytes[..CHUNK_BYTES], "{} bytes were sent", read.len());
    });
    wait_for_buffers(&edge, 0);
}

/// Changes a byte of a stored chunk, whichever of the workers' segments it is in.
fn damage(folder: &std::path::Path, chunk: &[u8]) {
    for shard in std::fs::read_dir(folder.join("segments")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let segment = file.unwrap().path();
            let mut stored = std::fs::read(&segment).unwrap();
            if let Some(at) = stored.windows(chunk.len()).position(|window| window == chunk) {
                stored[at] ^= 1;
                std::fs::write(&segment, stored).unwrap();
                return;
            }
        }
    }
    panic!("the chunk is in no segment");
}

#[test]
fn pieces_are_copied_when_all_loans_are_out() {
    let folder = folder();
    let (edge, bytes) = edge(&folder, 6);
    assert_eq!(edge.loans.usage().ceiling, 1);
    runtime().block_on(async {
        let mut stalled = body(&edge).await;
        let lent = [piece(&mut stalled).await, piece(&mut stalled).await];
        drop(stalled);
        assert_eq!(
            edge.loans.usage().now,
            1,
            "a connection that has not sent it yet holds the loan"
        );
        wait_for_buffers(&edge, 1);
        let mut other = body(&edge).await;
        let copied = piece(&mut other).await;
        let rest = rest(other).await;
        assert!([&copied[..], &rest].concat() == bytes);
        // A copied piece holds none.
        wait_for_buffers(&edge, 1);
        assert!(lent.concat() == bytes[..CHUNK_BYTES]);
    });
    wait_for_buffers(&edge, 0);
    assert_eq!(edge.loans.usage().now, 0);
}

#[test]
fn more_downloads_than_turns_go_on_and_a_slow_one_holds_little() {
    let folder = folder();
    // With one upload at a time there are four turns.
    let (edge, bytes) = edge(&folder, 6);
    assert_eq!(edge.reads.usage().ceiling, 4);
    runtime().block_on(async {
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut body = body(&edge).await;
            let first = piece(&mut body).await;
            assert!(bytes.starts_with(&first));
            slow.push((body, first));
            // The client does not read on, and another one wants the turn.
            edge.sweep(Duration::ZERO);
        }
        for (mut body, first) in slow {
            let at = first.len();
            drop(first);
            let mut under_way = vec![piece(&mut body).await];
            while let Poll::Ready(Some(next)) = poll_once(&mut body).await {
                under_way.push(next.unwrap().into_data().unwrap());
            }
            assert_eq!(under_way.concat(), bytes[at..][..SMALL_PIECES_BYTES_MAX], "it was slow");
            drop(under_way);
            let rest = rest(body).await;
            assert!(rest == bytes[at + SMALL_PIECES_BYTES_MAX..]);
        }
    });
    wait_for_buffers(&edge, 0);
}

/// What there is without waiting.
async fn poll_once(body: &mut ObjectBody) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *body).poll_frame(context))).await
}
