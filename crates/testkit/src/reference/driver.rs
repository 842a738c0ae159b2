//! Applies a script to a store and to the model.

use std::collections::BTreeMap;

use drystone_chunker::{ChunkId, Chunking, Cutter};
use drystone_store::{
    BucketName, CollectOptions, Key, Pace, Records, Store, StoreConfig, StoreError, SyncPolicy,
};
use drystone_sync::PlainArc;

use crate::conformance::Opened;
use crate::memory::{Memory, MemoryConfig};

use super::model::Model;
use super::uploads::{OpenUpload, SLOTS};
use super::{Op, Place, Script, Setup, cut_lens};

/// What the driver runs over.
pub trait Backend {
    /// Opens the store in a fresh process; there is no other by now.
    fn open(&mut self) -> Opened;

    /// The machine, where it can be made to fail. Without one, faults are passed over and a crash
    /// is a reopening.
    fn machine(&self) -> Option<&Memory> {
        None
    }
}

/// The memory backend with nothing in it, set up for a script.
pub struct Machine(Memory);

impl Machine {
    /// A machine for `setup`.
    pub fn new(setup: &Setup) -> Self {
        let segment_bytes_max = setup.segment_bytes_max();
        Self(Memory::new(MemoryConfig { sync: SyncPolicy::Commit, segment_bytes_max }))
    }
}

impl Backend for Machine {
    fn open(&mut self) -> Opened {
        let (records, segments) = self.0.open();
        Opened { records, segments, files: None }
    }

    fn machine(&self) -> Option<&Memory> {
        Some(&self.0)
    }
}

/// Runs a script.
///
/// # Panics
/// At the first step whose outcome the specification does not allow; the message has the step's
/// number and the operation.
pub fn run(script: &Script, backend: &mut dyn Backend) {
    let mut driver = Driver::new(script.setup, backend);
    for (number, op) in script.ops.iter().enumerate() {
        driver.doing = format!("step {number}, {op:?}");
        driver.step(op);
        driver.after_step();
    }
    driver.doing = "the end".to_owned();
    driver.calm();
    driver.reopen();
    driver.check_everything();
    driver.after_step();
}

pub(super) struct Driver<'a> {
    pub(super) setup: Setup,
    config: StoreConfig,
    cutter: Cutter,
    backend: &'a mut dyn Backend,
    /// `None` between two processes.
    store: Option<Store>,
    pub(super) records: PlainArc<dyn Records>,
    pub(super) model: Model,
    /// Every chunk of everything that was ever put, and its length.
    pub(super) tried: BTreeMap<ChunkId, u64>,
    /// Chunks of what was acknowledged.
    pub(super) stored: BTreeMap<ChunkId, u64>,
    /// Counts the puts; each has its own modification time.
    pub(super) puts: i64,
    /// For messages.
    pub(super) doing: String,
    /// Uploads under way.
    pub(super) uploads: [Option<OpenUpload>; SLOTS],
    /// A fault leaves open whether the second bucket is there.
    pub(super) bucket_may_be_gone: bool,
    /// Where a crash's seed comes from when a mishap cuts the power.
    crashes: u64,
}

pub(super) fn bucket(second: bool) -> BucketName {
    BucketName::new(if second { "stones" } else { "walls" }).expect("a good name")
}

pub(super) fn key(place: Place) -> Key {
    Key::new(place.key.text()).expect("a good key")
}

fn open(backend: &mut dyn Backend, config: &StoreConfig) -> (Store, PlainArc<dyn Records>) {
    let opened = backend.open();
    let records = PlainArc::clone(&opened.records);
    let store = Store::new(opened.records, opened.segments, config.clone())
        .expect("threads can be started");
    (store, records)
}

impl<'a> Driver<'a> {
    fn new(setup: Setup, backend: &'a mut dyn Backend) -> Self {
        let config = setup.config();
        let (store, records) = open(backend, &config);
        for second in [false, true] {
            store.create_bucket(&bucket(second)).expect("nothing fails yet");
        }
        let chunking: Chunking = setup.chunking();
        Self {
            setup,
            config,
            cutter: Cutter::new(chunking),
            backend,
            store: Some(store),
            records,
            model: Model::default(),
            tried: BTreeMap::new(),
            stored: BTreeMap::new(),
            puts: 0,
            doing: "the beginning".to_owned(),
            uploads: Default::default(),
            bucket_may_be_gone: false,
            crashes: 0,
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Put { place, body, when, manner, kind } => {
                self.put(*place, *body, *when, *manner, *kind);
            }
            Op::PutMany { puts, manner, failing } => self.put_many(puts, *manner, *failing),
            Op::Get(place) => self.get(*place, None),
            Op::Range { place, from, len } => {
                let from = from.bytes(&self.setup) as u64;
                self.get(*place, Some(&(from..from + len.bytes(&self.setup) as u64)));
            }
            Op::Stat(place) => self.stat(*place),
            Op::Delete { place, when } => self.delete(*place, *when),
            Op::List { second_bucket, prefix, prefix_bytes, after, limit } => {
                let name = prefix.text();
                let prefix =
                    name.get(..usize::from(*prefix_bytes) % (name.len() + 1)).unwrap_or(name);
                let limit = if *limit == 0 { 99 } else { usize::from(*limit % 8) };
                self.list(*second_bucket, prefix, after.map(|name| name.text()), limit);
            }
            Op::Copy { from, to, when } => self.copy(*from, *to, *when),
            Op::Begin { slot, place } => self.begin(*slot, *place),
            Op::Part { slot, number, body, step, cancelled } => {
                self.part(*slot, *number, *body, *step, *cancelled);
            }
            Op::CopyPart { slot, number, from, start, len } => {
                self.copy_part(*slot, *number, *from, *start, *len);
            }
            Op::Complete { slot, which, when } => self.complete(*slot, *which, *when),
            Op::Abort(slot) => self.abort(*slot),
            Op::RemoveBucket => self.remove_bucket(),
            Op::Collect => self.collect(),
            Op::Expire => {
                if let Some(machine) = self.backend.machine() {
                    machine.expire();
                }
            }
            Op::Reopen => self.reopen(),
            Op::Crash(seed) => self.crash(u64::from(*seed)),
            Op::Mishap(mishap) => {
                if let Some(machine) = self.backend.machine() {
                    machine.arm(mishap.plan());
                }
            }
            Op::Calm => self.calm(),
        }
    }

    /// How much went wrong on demand so far.
    pub(super) fn fired(&self) -> u64 {
        self.backend.machine().map_or(0, Memory::faults_fired)
    }

    fn calm(&self) {
        if let Some(machine) = self.backend.machine() {
            machine.disarm();
        }
    }

    fn open(&mut self) {
        let (store, records) = open(self.backend, &self.config);
        (self.store, self.records) = (Some(store), records);
        self.make_bucket_again();
    }

    /// The store of the process that is running.
    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("between two operations a store is open")
    }

    /// Nothing that anything names may go. How much else goes depends on sessions that have not
    /// ended.
    fn collect(&mut self) {
        let options = CollectOptions {
            dry_run: false,
            full: false,
            despite_damage: false,
            dead_percent_max: 5,
            lease_ms: 1000,
        };
        let fired = self.fired();
        let collected = self.store().collect(options, &mut |_, _| Pace::DoNotWait);
        if let Err(error) = collected {
            self.excuse(&error, fired);
        }
        // What was acknowledged once may have been deleted since, and be gone.
        self.stored.clear();
        if self.backend.machine().is_none_or(|machine| !machine.is_armed() && !machine.is_off()) {
            self.check_everything();
        }
    }

    fn reopen(&mut self) {
        // The old process must be gone before the new one begins, or it would still own its
        // segments.
        self.store = None;
        self.open();
    }

    fn crash(&mut self, seed: u64) {
        if let Some(machine) = self.backend.machine() {
            machine.disarm();
            machine.power_off();
        }
        self.store = None;
        if let Some(machine) = self.backend.machine() {
            machine.crash(seed);
        }
        self.open();
        self.check_everything();
    }

    /// What must be true between any two steps.
    fn after_step(&mut self) {
        if let Some(machine) = self.backend.machine() {
            let violations = machine.violations();
            assert!(violations.is_empty(), "{}: {}", self.doing, violations.join("; "));
            if machine.is_off() {
                self.crashes += 1;
                self.crash(0xC4A5_4000 + self.crashes);
            } else if machine.is_armed() {
                // Looking would use the fault up.
                return;
            }
        }
        self.check_totals();
    }

    /// An error is only in order when a fault fell into the operation, and some never are.
    #[track_caller]
    pub(super) fn excuse(&self, error: &StoreError, fired_before: u64) {
        let what = &self.doing;
        assert!(self.fired() > fired_before, "{what}: failed without a fault: {error} ({error:?})");
        assert!(
            !matches!(error, StoreError::Abandoned(_) | StoreError::Inconsistent(_)),
            "{what}: a fault must not lead to: {error}"
        );
    }

    pub(super) fn chunks_of(&self, bytes: &[u8]) -> BTreeMap<ChunkId, u64> {
        let mut rest = bytes;
        let mut chunks = BTreeMap::new();
        for len in cut_lens(&self.cutter, bytes) {
            let (chunk, others) = rest.split_at(len);
            chunks.insert(ChunkId::of(chunk), len as u64);
            rest = others;
        }
        chunks
    }
}
