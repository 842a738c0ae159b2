//! What the scenarios share: an engine over a store in memory, bodies that follow a script, and
//! somebody who gives up.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use drystone_chunker::Chunking;
use drystone_edge::gate::Share;
pub(super) use drystone_protocol::bucket;
use drystone_store::{
    Condition, Key, ObjectMeta, PutTarget, Store, StoreConfig, StoreError, SyncPolicy,
};
use drystone_sync::PlainArc;
use drystone_testkit::memory::Memory;
use futures_util::{Stream, stream};
use shuttle::rand::Rng as _;

use crate::digest::Expected;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::sync::Notify;
use crate::time::{Duration, advance};
use crate::upload::{Upload, Uploaded};
use crate::writer::Writer;

/// So much is kept of a body before it gets a lane.
pub(super) const PREFIX_BYTES: usize = 64 << 10;

static BYTES: [u8; 512 << 10] = [b'x'; 512 << 10];

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

/// An engine, and what is behind it.
pub(super) struct Rig {
    pub(super) engine: PlainArc<Engine>,
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
            sync: SyncPolicy::Commit,
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
        Self { engine: Engine::new(store.clone(), ingests, transfers), store, memory }
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

    /// For the end of a scenario in which nothing is left under way.
    pub(super) fn finish(self) {
        let Self { engine, store, memory } = self;
        let usage = engine.transfers.usage();
        assert_eq!((usage.places.now, usage.waiting), (0, 0), "a place was not given back");
        for gate in [&engine.reads, engine.lanes.gate()] {
            let usage = gate.usage();
            assert_eq!((usage.now, usage.waiting), (0, 0), "a turn was not given back");
        }
        assert_eq!(engine.large.usage().now, 0, "a place for large pieces was not given back");
        assert_eq!(engine.spool.usage().now, 0, "a slot was not given back");
        assert_eq!(engine.loans.usage().now, 0, "a loan was not given back");
        for list in [&engine.crowd.begun, &engine.crowd.slow] {
            assert!(
                !list.evict(Duration::ZERO),
                "an upload that has ended can still be asked to leave"
            );
        }
        engine.lanes.end_given_up();
        // Lanes end with the engine, if nobody has ended them before.
        drop(engine);
        let usage = store.usage();
        assert_eq!(usage.buffers.now, 0, "a buffer was not given back");
        assert_eq!(usage.ingests.now, 0, "an ingest has not ended");
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
    /// At this step somebody hears of it.
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
                crate::task::yield_now().await;
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
    engine: PlainArc<Engine>,
    name: &'static str,
    body: impl Stream<Item = Result<Bytes, Fault>> + Send,
    expected: Expected,
) -> Result<Uploaded, Fault> {
    let meta = ObjectMeta::default();
    let target = PutTarget { bucket: bucket(), key: key(name), meta, condition: Condition::Always };
    let target = Box::new(|_: &_, _| target.into());
    let share = Share::default();
    let upload = Upload { writer: Writer, share, len: None, algorithms: Vec::new(), target };
    engine.upload(upload, body, || Ok(expected)).await
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
