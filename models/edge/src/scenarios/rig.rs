//! What the scenarios share: an edge over a store in memory, bodies that follow a script, and a
//! request that is given up.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use drystone_chunker::Chunking;
use drystone_edge::checksums::Checksums;
use drystone_edge::deadlines::Deadlines;
use drystone_edge::gate::{Share, Size};
use drystone_edge::upload::{Upload, Uploaded};
use drystone_edge::{Edge, EdgeConfig, Fault};
pub(super) use drystone_protocol::bucket;
use drystone_store::{Condition, Key, ObjectMeta, PutTarget, Store, StoreConfig, StoreError};
use drystone_sync::PlainArc;
use drystone_testkit::memory::Memory;
use futures_util::{Stream, stream};
use shuttle::rand::Rng as _;

use crate::sync::Notify;
use crate::task::yield_now;
use crate::time::{Duration, advance};

/// So much is kept of a body before it gets an ingest slot.
pub(super) const PREFIX_BYTES: usize = 64 << 10;

static BYTES: [u8; 512 << 10] = [b'x'; 512 << 10];

/// Requests that may wait for one place.
const WAITING_MAX: usize = 4;
/// More than a job takes to end.
const MOMENTS_MAX: usize = 1000;
/// Two of the rig's buffers.
const SLOT_BYTES: u64 = 1200 << 10;

/// No checksums, but a count of what would have been summed.
#[derive(Default)]
pub(super) struct Fed;

/// What the client says the checksums are.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) is_wrong: bool,
}

thread_local! {
    /// Shuttle runs all of an execution on one thread of the system.
    static FED: Cell<usize> = const { Cell::new(0) };
}

/// Pieces of bodies that have been fed to an ingest slot since the last call.
pub(super) fn take_fed() -> usize {
    FED.replace(0)
}

impl Checksums for Fed {
    type Expected = Expected;
    type Computed = ();

    fn update(&mut self, _: &[u8]) {
        FED.set(FED.get() + 1);
    }

    fn finish(self, expected: &Expected) -> Result<(), Fault> {
        if expected.is_wrong { Err(Fault::BadDigest("checksum")) } else { Ok(()) }
    }
}

/// What a client does next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Send(usize),
    /// Lets time pass first.
    Pause(Duration),
    Break,
}

impl Step {
    pub(super) fn bytes(&self) -> usize {
        if let Self::Send(len) = self { *len } else { 0 }
    }
}

/// An edge, and what is behind it.
pub(super) struct Rig {
    pub(super) edge: PlainArc<Edge>,
    store: Store,
    memory: Memory,
}

impl Rig {
    pub(super) fn new(ingests: usize, transfers: usize) -> Self {
        // Bodies are larger than the prefix; in few chunks, there is less to schedule.
        Self::with_buffers(2 * ingests, 256 << 10, ingests, transfers)
    }

    /// With so many buffers, and chunks of a size that fits them.
    pub(super) fn with_buffers(
        buffers: usize,
        chunk_bytes: u64,
        ingests: usize,
        transfers: usize,
    ) -> Self {
        let memory = drystone_protocol::machine(&[]);
        let config = StoreConfig {
            chunking: Chunking::fixed(chunk_bytes).expect("a valid size"),
            workers: 1,
            buffers,
            ingests,
            buffer_bytes: 600 << 10,
            // And half of the buffers at the most.
            read_ahead_max: 2,
            commit_queue_bytes: 1 << 20,
        };
        let (records, segments) = memory.open();
        let store = Store::new(records, segments, config).expect("threads are to be had");
        let config = EdgeConfig {
            connections: WAITING_MAX,
            transfers,
            transfers_max: transfers,
            ingests,
            calls: 1,
            documents: 1,
            transfers_per_form: 4,
            archives: 1,
            form_patience: Duration::from_secs(30),
            spool: PlainArc::new(tempfile::tempfile().expect("a file can be made")),
            spool_slot_bytes: SLOT_BYTES,
            // No scenario moves the clock that far while a request waits for its turn.
            deadlines: Deadlines { turn: Duration::from_secs(3600), ..Deadlines::default() },
            give_back: || {},
        };
        let edge = Edge::new(store.clone(), &config).expect("threads are to be had");
        Self { edge: PlainArc::new(edge), store, memory }
    }

    /// With no upload under way, no ingest slot holds a buffer: other requests may want them.
    pub(super) async fn expect_buffers_back(&self) {
        // The cutter has to come to the end of what broke off.
        for _ in 0..MOMENTS_MAX {
            if self.store.usage().buffers.now == 0 {
                return;
            }
            yield_now().await;
        }
        panic!("an idle ingest slot holds a buffer");
    }

    pub(super) fn is_stored(&self, name: &str) -> bool {
        match self.store.get(&bucket(), &key(name), None) {
            Ok(_) => true,
            Err(StoreError::NotFound { .. }) => false,
            Err(error) => panic!("a lookup failed: {error}"),
        }
    }

    /// Stores an object without the server.
    pub(super) fn store(&self, name: &str, bytes: &[u8]) {
        let (meta, condition) = (ObjectMeta::default(), Condition::Always);
        let mut ingest = self.store.ingest(60_000).expect("a session begins");
        let mut writing = ingest.begin(None);
        writing.push(bytes).expect("there are buffers");
        let target = PutTarget { bucket: bucket(), key: key(name), meta, condition };
        let pending = writing.finish(target).expect("nothing fails here");
        ingest.rest().expect("nothing fails here");
        pending.join().expect("nothing fails here");
    }

    /// Ingests that have not ended.
    pub(super) fn ingests(&self) -> usize {
        self.store.usage().ingests.now
    }

    /// Waits for the jobs of requests that have gone.
    pub(super) async fn settle(&self) {
        for gate in [&self.edge.transfers, &self.edge.reads, &self.edge.calls] {
            let mut turns = Vec::new();
            for _ in 0..gate.usage().ceiling {
                turns.push(gate.enter(&Share::default(), Size::Large).await);
            }
            assert!(turns.iter().all(Result::is_ok), "a turn was not given back");
        }
        // What a job brings is dropped after its turn, where the request has gone.
        for _ in 0..MOMENTS_MAX {
            if self.edge.spool.usage().now == 0 {
                break;
            }
            yield_now().await;
        }
    }

    /// For the end of a scenario in which nothing is left under way.
    pub(super) fn finish(self) {
        let Self { edge, store, memory } = self;
        let usage = edge.transfers.usage();
        assert_eq!((usage.now, usage.waiting), (0, 0), "a place was not given back");
        for gate in [&edge.reads, edge.ingest_slots.gate(), &edge.documents, &edge.calls] {
            let usage = gate.usage();
            assert_eq!((usage.now, usage.waiting), (0, 0), "a turn was not given back");
        }
        assert_eq!(edge.large.usage().now, 0, "a place for large pieces was not given back");
        assert_eq!(edge.spool.usage().now, 0, "a slot was not given back");
        assert_eq!(edge.loans.usage().now, 0, "a loan was not given back");
        for list in [&edge.admission.eviction.begun, &edge.admission.eviction.slow] {
            assert!(
                !list.evict(Duration::ZERO),
                "an upload that has ended can still be asked to leave"
            );
        }
        edge.ingest_slots.end_given_up();
        // Ingest slots end with the edge, if they have not ended before; and so do its threads.
        drop(edge);
        let usage = store.usage();
        assert_eq!(usage.buffers.now, 0, "a buffer was not given back");
        assert_eq!(usage.ingests.now, 0, "an ingest has not ended");
        // The session of its readers ends with it.
        drop(store);
        assert_eq!(memory.expire(), 0, "a session outlives its uploads");
        memory.verify();
    }
}

/// A client's body: its steps, in schedules of shuttle's choice.
#[derive(Clone)]
pub(super) struct Script {
    steps: PlainArc<[Step]>,
    /// Steps that have been made; one more when the body has come to its end.
    made: PlainArc<AtomicUsize>,
    /// The step at which to notify, and what to notify.
    cue: Option<(usize, PlainArc<Notify>)>,
}

impl Script {
    pub(super) fn new(steps: &[Step]) -> Self {
        Self { steps: steps.into(), made: PlainArc::default(), cue: None }
    }

    /// Gives the cue at a step of shuttle's choice.
    pub(super) fn with_cue(mut self) -> (Self, PlainArc<Notify>) {
        let at = shuttle::rand::thread_rng().gen_range(0..=self.steps.len());
        let cue = PlainArc::new(Notify::new());
        self.cue = Some((at, PlainArc::clone(&cue)));
        (self, cue)
    }

    /// Whether the body came to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.made.load(Ordering::Relaxed) > self.steps.len()
    }

    /// Steps that have been made.
    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    pub(super) fn body(self) -> impl Stream<Item = Result<Bytes, Fault>> + Send {
        stream::unfold(self, |script| async move {
            loop {
                yield_now().await;
                let at = script.made.fetch_add(1, Ordering::Relaxed);
                if let Some((_, cue)) = script.cue.as_ref().filter(|(cued, _)| *cued == at) {
                    cue.notify_one();
                }
                match *script.steps.get(at)? {
                    Step::Send(len) => {
                        return Some((Ok(Bytes::from_static(&BYTES[..len])), script));
                    }
                    Step::Pause(time) => advance(time),
                    Step::Break => {
                        return Some((Err(Fault::Incomplete("the line went dead".into())), script));
                    }
                }
            }
        })
    }
}

/// Uploads a body under a name.
pub(super) async fn upload(
    edge: PlainArc<Edge>,
    name: &'static str,
    body: impl Stream<Item = Result<Bytes, Fault>> + Send,
    expected: Expected,
) -> Result<Uploaded<Fed>, Fault> {
    let meta = ObjectMeta::default();
    let target = PutTarget { bucket: bucket(), key: key(name), meta, condition: Condition::Always };
    let target = Box::new(|_: &_, _| target.into());
    let share = Share::default();
    // As long as it takes to look.
    let last_look = Box::pin(async {
        yield_now().await;
        Ok(())
    });
    let upload = Upload { last_look, share, len: None, checksums: Fed, target };
    edge.upload(upload, body, || Ok(expected)).await
}

/// Drops the future, wherever it is, when the cue comes first.
pub(super) async fn unless<T>(cue: &Notify, future: impl Future<Output = T>) -> Option<T> {
    crate::select! {
        biased;
        () = cue.notified() => None,
        value = future => Some(value),
    }
}

pub(super) fn key(name: &str) -> Key {
    Key::new(name).expect("a valid key")
}
