//! A whole store over memory, with the smallest of everything.

use std::io::Read;

use drystone_chunker::Chunking;
use drystone_models::explore::{finish, start};
pub(crate) use drystone_protocol::bucket;
use drystone_protocol::machine;
use drystone_store::{
    CollectOptions, CollectStage, Collected, Condition, Ingest, Key, ObjectMeta, Pace, PutFailure,
    PutTarget, Result, Store, StoreConfig, StoreError, Stored, Target,
};
use drystone_sync::thread::{JoinHandle, yield_now};
use drystone_testkit::memory::{Fault, FaultPlan, Io, Memory};

pub(crate) const CHUNK_BYTES: u64 = 4;
/// No multiple of the chunks, so that unfinished ones move from buffer to buffer.
pub(crate) const BUFFER_BYTES: usize = 17;

pub(crate) type PutResult = std::result::Result<Stored, PutFailure>;

/// A store and what is behind it.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) memory: Memory,
    pub(crate) store: Store,
}

/// Two buffers, two workers, chunks of four bytes.
pub(crate) fn config() -> StoreConfig {
    StoreConfig {
        chunking: Chunking::fixed(CHUNK_BYTES).expect("a valid size"),
        workers: 2,
        buffers: 2,
        ingests: 1,
        buffer_bytes: BUFFER_BYTES,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    }
}

impl Rig {
    pub(crate) fn new(config: StoreConfig, faults: &[FaultPlan]) -> Self {
        Self::with_steps_of(1024, config, faults)
    }

    /// With so many chunks in a step of a large object.
    pub(crate) fn with_steps_of(
        step_chunks_max: usize,
        mut config: StoreConfig,
        faults: &[FaultPlan],
    ) -> Self {
        config.ingests = config.buffers / 2;
        let memory = machine(faults);
        let (records, segments) = memory.open();
        let store = Store::with_steps_of(step_chunks_max, records, segments, config);
        Self { memory, store: store.expect("threads are to be had") }
    }

    pub(crate) fn with_buffers(buffers: usize) -> Self {
        Self::new(StoreConfig { buffers, ..config() }, &[])
    }

    pub(crate) fn ingest(&self) -> Result<Ingest> {
        self.store.ingest(1000)
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> PutResult {
        self.put_if(name, bytes, Condition::Always)
    }

    fn put_if(&self, name: &str, bytes: &[u8], condition: Condition) -> PutResult {
        self.put_at(PutTarget { condition, ..target(name) }, bytes)
    }

    pub(crate) fn put_at(&self, target: impl Into<Target>, mut bytes: &[u8]) -> PutResult {
        self.ingest()?.put_now(target, &mut bytes)
    }

    /// Puts from another thread.
    pub(crate) fn start_put(
        &self,
        name: &'static str,
        bytes: &'static [u8],
    ) -> JoinHandle<PutResult> {
        self.start_put_if(name, bytes, Condition::Always)
    }

    pub(crate) fn start_put_if(
        &self,
        name: &'static str,
        bytes: &'static [u8],
        condition: Condition,
    ) -> JoinHandle<PutResult> {
        let rig = self.clone();
        start(move || rig.put_if(name, bytes, condition))
    }

    /// `None` when there is no such object.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let mut reader = match self.store.get(&bucket(), &key(name), None) {
            Ok(reader) => reader,
            Err(StoreError::NotFound { .. }) => return None,
            Err(error) => panic!("a lookup failed: {error}"),
        };
        let mut bytes = Vec::new();
        let copied = reader
            .copy_to(&mut bytes)
            .unwrap_or_else(|error| panic!("a visible object is not whole: {error}"));
        assert_eq!(copied.ok(), Some(bytes.len() as u64));
        Some(bytes)
    }

    pub(crate) fn delete(&self, name: &str) -> bool {
        self.store.delete(&bucket(), &key(name)).expect("the records are well")
    }

    /// A collect that waits for nothing and rewrites whatever it can.
    pub(crate) fn collect(&self) -> Result<Collected> {
        self.store.collect(eager(), &mut |_, _| Pace::DoNotWait)
    }

    pub(crate) fn collect_now(&self) {
        self.collect().expect("nothing fails");
    }

    /// A collect that waits for the sessions under way.
    pub(crate) fn collect_all(&self) -> Result<Collected> {
        self.store.collect(eager(), &mut |stage, _| {
            if matches!(stage, CollectStage::Wait(_)) {
                // As a heartbeat does.
                let _ = self.store.move_readers_on();
                yield_now();
            }
            Pace::GoOn
        })
    }

    /// What an acknowledged put promises, and a refused one.
    pub(crate) fn assert_fate(&self, name: &str, bytes: &[u8], outcome: &PutResult) {
        match outcome {
            Ok(_) => {
                assert_eq!(
                    self.get(name).as_deref(),
                    Some(bytes),
                    "an acknowledged object is not there"
                );
            }
            Err(_) => assert_eq!(self.get(name), None, "a refused object is visible"),
        }
    }

    /// For the end of a scenario in which nothing is left under way.
    pub(crate) fn finish(self) {
        let usage = self.store.usage();
        assert_eq!(usage.buffers.now, 0, "a lease did not come back");
        assert_eq!(usage.ingests.now, 0, "an ingest's permit did not come back");
        self.memory.verify();
    }
}

/// No dead byte may stay.
pub(crate) fn eager() -> CollectOptions {
    CollectOptions {
        dry_run: false,
        full: false,
        despite_damage: false,
        dead_percent_max: 0,
        lease_ms: 1000,
    }
}

/// Both must succeed.
pub(crate) fn expect_stored<const N: usize>(puts: [JoinHandle<PutResult>; N]) {
    for put in puts {
        if let Err(failure) = finish(put) {
            panic!("a put failed: {failure}");
        }
    }
}

/// The `nth` I/O of its kind, from 1, goes wrong.
pub(crate) fn nth(io: Io, nth: u32, fault: Fault) -> FaultPlan {
    FaultPlan { io: Some(io), after: nth - 1, fault }
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).expect("a valid key")
}

pub(crate) fn target(name: &str) -> PutTarget {
    PutTarget {
        bucket: bucket(),
        key: key(name),
        meta: ObjectMeta::default(),
        condition: Condition::Always,
    }
}

/// A source that breaks off.
pub(crate) struct Broken<'a>(pub(crate) &'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Err(std::io::Error::other("the line went dead"));
        }
        self.0.read(into)
    }
}
