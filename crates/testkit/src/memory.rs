//! The backend in memory: the roles of [`Records`](drystone_store::Records), and
//! [`SegmentStorage`](drystone_store::SegmentStorage) whose disk loses what was not synced. The
//! conformance suite, the reference model and the model checkers all run over it.
//!
//! One [`Memory`] is the machine: its disk and its database. [`Memory::open`] is a process that has
//! the store open; any number may at once. Its segments are files, of which an
//! [`Appender`] makes the storage; with [`Memory::open_objects`] each
//! is an object that is written once. [`Memory::crash`] cuts the power: every process is dead
//! (all its I/O fails from then on, nothing takes effect), un-synced segment bytes are lost, torn
//! or garbled, committed transactions stay. [`Memory::arm`] makes I/Os go wrong.
//!
//! It also watches the protocol and keeps a list of [violations](Memory::violations): a commit that
//! names bytes that were not written, do not hash to their name, are not synced (under
//! `SyncPolicy::Commit`) or lie beyond the committed length of their segment; a pending manifest of
//! another session; a manifest with gaps; an append before the rewind. They are kept rather than
//! panicked, because a worker's panic is contained by the store.
//!
//! One lock holds everything: each call is atomic, which is what the traits promise of the records
//! anyway.

mod collect;
mod disk;
mod faults;
mod objects;
mod pins;
mod records;
mod scrub;
mod segments;
mod tables;
mod transaction;
mod watch;

use drystone_appender::Appender;
use drystone_chunker::ChunkId;
use drystone_store::{SegmentId, SyncPolicy};
use drystone_sync::{Condvar, Mutex, PlainArc};

pub use disk::HEADER_BYTES;
pub use faults::{Fault, FaultPlan, Io};
pub use objects::ObjectSegments;
pub use records::MemoryRecords;
pub use segments::MemoryFiles;

use disk::Disk;
use faults::Faults;
use tables::Tables;

/// How the memory backend behaves.
#[derive(Clone, Copy, Debug)]
pub struct MemoryConfig {
    /// Whether commits must name synced bytes only.
    pub sync: SyncPolicy,
    /// A segment is full beyond this length, in bytes.
    pub segment_bytes_max: u64,
}

/// The machine: a disk and a database that outlive the processes. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    shared: PlainArc<Mutex<State>>,
    /// Signalled when chunks have been looked up.
    found: PlainArc<Condvar>,
}

struct State {
    config: MemoryConfig,
    tables: Tables,
    /// What the database will be after a loss of power: with a commit that has failed and is in its
    /// log all the same. The next transaction takes the commit's place in the log.
    logged: Option<Tables>,
    disk: Disk,
    faults: Faults,
    /// Look-ups of chunks that were answered.
    finds: u64,
    violations: Vec<String>,
}

impl Memory {
    /// A machine with an empty store.
    pub fn new(config: MemoryConfig) -> Self {
        let state = State {
            config,
            tables: Tables::new(),
            logged: None,
            disk: Disk::default(),
            faults: Faults::default(),
            finds: 0,
            violations: Vec::new(),
        };
        Self { shared: PlainArc::new(Mutex::new(state)), found: PlainArc::default() }
    }

    /// A process that opens the store; after a power cut, the machine is up again.
    pub fn open(&self) -> (PlainArc<MemoryRecords>, PlainArc<Appender>) {
        let (records, segments, _) = self.open_with_files();
        (records, segments)
    }

    /// The same, and the files that its segments are: for tests of these.
    pub fn open_with_files(
        &self,
    ) -> (PlainArc<MemoryRecords>, PlainArc<Appender>, PlainArc<MemoryFiles>) {
        let (process, records) = self.open_records();
        let files = PlainArc::new(MemoryFiles::new(PlainArc::clone(&self.shared), process));
        let sync = self.shared.lock().config.sync;
        let shared = PlainArc::clone(&records);
        let segments = PlainArc::new(Appender::new(shared, PlainArc::clone(&files) as _, sync));
        (records, segments, files)
    }

    /// [`open`](Self::open) with segments that are objects. The two do not go together in one
    /// store.
    pub fn open_objects(&self) -> (PlainArc<MemoryRecords>, PlainArc<ObjectSegments>) {
        let (process, records) = self.open_records();
        let (machine, shared) = (PlainArc::clone(&self.shared), PlainArc::clone(&records));
        let segments = PlainArc::new(ObjectSegments::new(machine, process, shared));
        (records, segments)
    }

    fn open_records(&self) -> (u64, PlainArc<MemoryRecords>) {
        let process = self.shared.lock().faults.open();
        let records = MemoryRecords::new(self.clone(), process);
        (process, PlainArc::new(records))
    }

    /// Makes one coming I/O go wrong; replaces what was armed before.
    pub fn arm(&self, plan: FaultPlan) {
        self.arm_all(&[plan]);
    }

    /// Makes coming I/Os go wrong, one for each plan; replaces what was armed before.
    pub fn arm_all(&self, plans: &[FaultPlan]) {
        self.shared.lock().faults.arm(plans);
    }

    /// Takes back what was armed and has not happened.
    pub fn disarm(&self) {
        self.arm_all(&[]);
    }

    /// Whether a fault is still to come.
    pub fn is_armed(&self) -> bool {
        self.shared.lock().faults.is_armed()
    }

    /// How many I/Os went wrong on demand so far, also those of dead processes.
    pub fn faults_fired(&self) -> u64 {
        self.shared.lock().faults.fired()
    }

    /// Whether the power was cut since the last [`open`](Self::open).
    pub fn is_off(&self) -> bool {
        self.shared.lock().faults.is_off()
    }

    /// Every process is dead from now on. What it had written stays as it is: by itself this is a
    /// SIGKILL.
    pub fn power_off(&self) {
        let mut state = self.shared.lock();
        state.faults.power_off();
        state.disk.release_all();
    }

    /// Cuts the power: [`power_off`](Self::power_off), and what was not synced is lost as `seed`
    /// says.
    pub fn crash(&self, seed: u64) {
        let mut state = self.shared.lock();
        state.faults.power_off();
        state.find_what_is_logged();
        state.disk.crash(seed);
    }

    /// What a loss of power would leave at the worst, for a process that reads on as if nothing had
    /// happened, and writes no more.
    pub fn lose_power(&self) {
        let mut state = self.shared.lock();
        state.find_what_is_logged();
        state.disk.lose();
    }

    /// Makes the disk so small: `room` bytes for all segments together, without their headers.
    pub fn limit(&self, room: u64) {
        self.shared.lock().disk.limit(room);
    }

    /// Loses every segment, as a disk that is replaced does.
    pub fn lose_segments(&self) {
        self.shared.lock().disk.remove_all();
    }

    /// Bytes of all segments together, without their headers.
    pub fn segment_bytes(&self) -> u64 {
        self.shared.lock().disk.used()
    }

    /// Manifests that are pending in a session.
    pub fn pending_manifests(&self) -> usize {
        self.shared.lock().tables.pending_manifests()
    }

    /// Blocks until chunks have been looked up so many times, to come at the worst moment.
    pub fn wait_for_finds(&self, count: u64) {
        let mut state = self.shared.lock();
        while state.finds < count {
            state = self.found.wait(state);
        }
    }

    /// What a collector does with a chunk that it finds unreferenced. Returns whether there is such
    /// a chunk.
    pub fn condemn(&self, id: &ChunkId) -> bool {
        self.shared.lock().tables.condemn(id)
    }

    /// What the store did that it must never do, in order.
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().violations.clone()
    }

    /// Panics when there are violations.
    ///
    /// # Panics
    /// With all of them.
    pub fn verify(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "the protocol was broken: {}", violations.join("\n"));
    }

    /// Length of a segment as a process sees it, in bytes, with what was appended and never
    /// committed.
    pub fn segment_file_len(&self, segment: SegmentId) -> Option<u64> {
        self.shared.lock().disk.file(segment).map(disk::SegmentFile::len)
    }
}

impl State {
    fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    fn find_what_is_logged(&mut self) {
        if let Some(logged) = self.logged.take() {
            self.tables = logged;
        }
    }
}
