//! A store's records and segments in memory, small enough for a model checker and stricter than a
//! real backend.
//!
//! Each method is one critical section, as a transaction or a system call is. What must never
//! happen whatever the interleaving is noted as a *violation* when it happens, and
//! [`Memory::verify`] panics with it: the store's threads contain panics, so an assertion in here
//! could go unnoticed. What a test wants to happen is a [`Fault`].
//!
//! It is deliberately not a whole backend: no page limits that matter, no clock. A lease runs
//! out when a scenario calls [`Memory::expire`]. The collector is the protocol of the design's
//! section 6 in three calls, each a transaction.

mod records;
mod segments;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Mutex as PlainMutex;

use drystone_chunker::ChunkId;
use drystone_models::explore::plotted_panic;
use drystone_store::{
    BucketName, ChunkRef, ContentHash, Epoch, Key, Location, ManifestId, ObjectRow, PlainSlice,
    Result, SegmentId, SegmentLen, SessionId, StoreError, UploadId,
};
use drystone_sync::{Condvar, Mutex, PlainArc};

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Appending to a segment.
    Append,
    /// Syncing a segment.
    Sync,
    /// Looking chunks up.
    Find,
    /// The records transaction of a group commit.
    Commit,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With an error.
    Error,
    /// The disk is full, for one call.
    Full,
    /// With a panic, for now, in the same way.
    PanicForNow,
    /// With an error, for now: a commit is there after the next loss of power, unless another came
    /// in between. As a database finds a transaction in its log whose write was reported as
    /// failed. Anything else just fails.
    ErrorForNow,
    /// With a panic.
    Panic,
}

/// The `nth` call (from 1) of `op` fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which operation.
    pub op: Op,
    /// Which of its calls, from 1.
    pub nth: u64,
    /// How.
    pub how: How,
}

/// The backend. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct Memory {
    shared: PlainArc<Shared>,
}

struct Shared {
    /// Taken before `disk`.
    tables: Mutex<Tables>,
    /// A leaf lock.
    disk: Mutex<Disk>,
    /// Look-ups that have been answered. A leaf lock.
    finds: Mutex<u64>,
    /// Signalled when one has been answered.
    found: Condvar,
    faults: Vec<Fault>,
    /// Calls so far; unseen by the checkers, like `violations`.
    calls: PlainMutex<BTreeMap<&'static str, u64>>,
    violations: PlainMutex<Vec<String>>,
}

#[derive(Clone, Default)]
struct Tables {
    epoch: u64,
    row_next: u64,
    /// Alive or dead, and the epoch.
    sessions: BTreeMap<SessionId, (bool, Epoch)>,
    chunks: BTreeMap<ChunkId, ChunkRow>,
    manifests: BTreeMap<ManifestId, Manifest>,
    objects: BTreeMap<(BucketName, Key), ObjectRow>,
    uploads: BTreeMap<UploadId, uploads::Upload>,
    segments: BTreeMap<SegmentId, SegmentLen>,
    /// What there would be after a loss of power: with a commit that has failed for now.
    logged: Option<Box<Tables>>,
}

#[derive(Clone)]
struct ChunkRow {
    row: ChunkRef,
    at: Location,
    /// By the collector, in this epoch.
    condemned: Option<Epoch>,
}

#[derive(Clone)]
struct Manifest {
    /// Of a pending one.
    session: Option<SessionId>,
    rows: Vec<(u64, ChunkId)>,
    /// Of a composite, which has no rows.
    slices: Vec<(u64, PlainSlice)>,
    /// Size and content of a committed one.
    whole: Option<(u64, ContentHash)>,
}

#[derive(Default)]
struct Disk {
    /// Bytes that all segments have room for, if there is a limit.
    room: Option<usize>,
    segments: BTreeMap<SegmentId, Segment>,
    appends: Vec<ChunkId>,
}

#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    synced: usize,
    /// What an append found after a failed sync is lost with the power.
    lost_from: Option<usize>,
    is_owned: bool,
}

impl Memory {
    /// An empty store in which nothing fails but `faults`.
    pub fn new(faults: &[Fault]) -> Self {
        let shared = Shared {
            tables: Mutex::new(Tables::default()),
            disk: Mutex::new(Disk::default()),
            finds: Mutex::new(0),
            found: Condvar::new(),
            faults: faults.to_vec(),
            calls: PlainMutex::default(),
            violations: PlainMutex::default(),
        };
        Self { shared: PlainArc::new(shared) }
    }

    /// Makes the disk so small, in bytes of all segments together.
    pub fn limit(&self, room: usize) {
        self.shared.disk.lock().room = Some(room);
    }

    /// Ends every live session, as its lease running out does. Returns how many.
    pub fn expire(&self) -> usize {
        let mut tables = self.shared.tables.lock();
        let alive = tables.sessions.values_mut().filter(|(alive, _)| *alive);
        alive.map(|session| session.0 = false).count()
    }

    /// The collector's first step: stamps unreferenced chunks with the epoch and begins the next.
    /// Returns the old one.
    pub fn condemn(&self) -> Epoch {
        let mut tables = self.shared.tables.lock();
        let epoch = Epoch(tables.epoch);
        for id in tables.unreferenced() {
            if let Some(chunk) = tables.chunks.get_mut(&id) {
                chunk.condemned.get_or_insert(epoch);
            }
        }
        tables.epoch += 1;
        epoch
    }

    /// The collector's second and third step: removes what was condemned up to `epoch`, unless a
    /// session that may know it is alive. Returns how many chunks went.
    pub fn sweep(&self, epoch: Epoch) -> usize {
        let mut tables = self.shared.tables.lock();
        if tables.sessions.values().any(|(alive, began)| *alive && *began <= epoch) {
            return 0;
        }
        let mut swept = 0;
        for id in tables.unreferenced() {
            if tables
                .chunks
                .get(&id)
                .is_some_and(|chunk| chunk.condemned.is_some_and(|at| at <= epoch))
            {
                tables.chunks.remove(&id);
                swept += 1;
            }
        }
        swept
    }

    /// Blocks until chunks have been looked up so many times: a collector that comes at the worst
    /// moment.
    pub fn wait_for_finds(&self, count: u64) {
        let mut finds = self.shared.finds.lock();
        while *finds < count {
            finds = self.shared.found.wait(finds);
        }
    }

    /// How often each chunk's bytes were appended, at the most.
    pub fn appends_of_one_chunk_max(&self) -> usize {
        let disk = self.shared.disk.lock();
        disk.appends
            .iter()
            .map(|id| disk.appends.iter().filter(|other| *other == id).count())
            .max()
            .unwrap_or(0)
    }

    /// How much there is in all segments together.
    pub fn bytes_in_segments(&self) -> usize {
        self.shared.disk.lock().used()
    }

    /// Manifests that are not of any object or part.
    pub fn pending_manifests(&self) -> usize {
        self.shared
            .tables
            .lock()
            .manifests
            .values()
            .filter(|manifest| manifest.session.is_some())
            .count()
    }

    /// Loses what was not synced, and finds what is in the log.
    pub fn lose_power(&self) {
        let mut tables = self.shared.tables.lock();
        if let Some(logged) = tables.logged.take() {
            *tables = *logged;
        }
        drop(tables);
        for segment in self.shared.disk.lock().segments.values_mut() {
            let kept = segment.lost_from.unwrap_or(segment.synced).min(segment.synced);
            segment.bytes.truncate(kept);
        }
    }

    /// Panics if anything happened that must never happen.
    pub fn verify(&self) {
        let violations = self.shared.violations.lock().expect("nobody panics under it");
        assert!(violations.is_empty(), "{}", violations.join("; "));
    }

    fn violated(&self, what: String) {
        self.shared.violations.lock().expect("nobody panics under it").push(what);
    }

    /// Counts a call, and fails it if it is to fail.
    fn call(&self, op: Op, name: &'static str) -> Result<()> {
        self.fault(op, name).map_or(Ok(()), |how| Err(how.error(name)))
    }

    /// Counts a call; whether it is to fail.
    fn fault(&self, op: Op, name: &'static str) -> Option<How> {
        let count = {
            let mut calls = self.shared.calls.lock().expect("nobody panics under it");
            let count = calls.entry(name).or_default();
            *count += 1;
            *count
        };
        let fault = self.shared.faults.iter().find(|fault| fault.op == op && fault.nth == count)?;
        if fault.how == How::Panic {
            plotted_panic("the backend panicked");
        }
        Some(fault.how)
    }
}

impl Disk {
    fn used(&self) -> usize {
        self.segments.values().map(|segment| segment.bytes.len()).sum()
    }
}

impl How {
    fn error(self, name: &str) -> StoreError {
        let kind = if self == Self::Full { ErrorKind::StorageFull } else { ErrorKind::Other };
        StoreError::storage(format!("cannot {name}"), io::Error::new(kind, "injected"))
    }
}

impl Tables {
    fn row(&mut self) -> u64 {
        self.row_next += 1;
        self.row_next
    }

    fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|(alive, _)| *alive)
    }

    /// Manifests of objects and of parts, and those that they have slices of.
    fn committed(&self) -> BTreeSet<ManifestId> {
        let objects = self.objects.values().map(|object| object.manifest);
        let parts = self
            .uploads
            .values()
            .flat_map(|upload| upload.parts.values().map(|part| part.manifest));
        let named: BTreeSet<ManifestId> = objects.chain(parts).collect();
        let slices =
            named.iter().filter_map(|id| self.manifests.get(id)).flat_map(|one| &one.slices);
        let sliced: Vec<ManifestId> = slices.map(|(_, slice)| slice.manifest).collect();
        named.into_iter().chain(sliced).collect()
    }

    /// Chunks that no manifest names, committed or pending in a live session.
    fn unreferenced(&self) -> Vec<ChunkId> {
        let committed = self.committed();
        let named = |id: &ChunkId| {
            self.manifests.iter().any(|(manifest, rows)| {
                let counts = match rows.session {
                    Some(session) => self.is_alive(session),
                    None => committed.contains(manifest),
                };
                counts && rows.rows.iter().any(|(_, chunk)| chunk == id)
            })
        };
        self.chunks.keys().filter(|id| !named(id)).copied().collect()
    }
}
