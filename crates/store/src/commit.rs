//! What a group commit does: sync the segments that its chunks are in, then one records
//! transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_chunker::ChunkId;
use drystone_pool::Landed;
use drystone_sync::{Mutex, PlainArc};

use crate::{
    CommitBatch, CommitResult, Entry, GroupCommit, Location, PartTarget, PutTarget, Result, Room,
    SegmentId, SegmentLen, SegmentStorage, SegmentWriter, SessionRecords, Source, StoreError,
    Target, Ticket,
};

/// When data is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is acknowledged.
    Commit,
    /// When the operating system likes. A crash of the machine may lose acknowledged objects; a
    /// crash of the process does not.
    Never,
}

/// A step of an upload on its way into a group, with what keeps its chunks findable until they are
/// in the records.
pub(crate) struct Step {
    pub(crate) entry: Entry,
    pub(crate) written: Vec<Landed<ChunkId, Location>>,
}

impl Step {
    /// An estimate of the memory that a queued step holds, in bytes.
    fn cost(&self) -> usize {
        let named = |map: &BTreeMap<String, String>| -> usize {
            map.iter().map(|(name, value)| name.len() + value.len() + 128).sum()
        };
        let complete = self.entry.complete.as_ref().map_or(0, |complete| match &complete.target {
            Target::Object(PutTarget { key, meta, .. }) => {
                320 + 2 * key.as_str().len() + named(&meta.user) + named(&meta.system)
            }
            Target::Part(PartTarget { system, .. }) => 320 + named(system),
        });
        256 + complete + 96 * self.entry.chunks.len() + 144 * self.written.len()
    }
}

pub(crate) type CommitTicket = Ticket<Step, CommitResult>;

/// The group commit over a store's records and segments.
#[derive(Clone)]
pub(crate) struct Committer {
    group: GroupCommit<Step, CommitResult>,
    notes: PlainArc<Notes>,
    records: PlainArc<dyn SessionRecords>,
    segments: PlainArc<dyn SegmentStorage>,
    policy: SyncPolicy,
}

/// What the records do not say of segments.
#[derive(Default)]
struct Notes {
    /// Segments whose sync failed: what they hold un-synced is lost, and a later sync would not
    /// say so.
    broken: Mutex<BTreeSet<SegmentId>>,
    /// Where what is committed of our segments ends, in bytes. Not of those that a failed
    /// transaction named: it may have taken place, or be found in the database's log after a
    /// crash. A leaf lock; one for each writer at most.
    ends: Mutex<BTreeMap<SegmentId, u64>>,
    /// One sync at a time: the kernel reports a write-back error once for each open file, so of
    /// two syncs side by side one would believe that all is well. Taken before `broken`.
    syncing: Mutex<()>,
    room: Room,
}

impl Notes {
    fn sync(
        &self,
        segments: &dyn SegmentStorage,
        policy: SyncPolicy,
        segment: SegmentId,
    ) -> Result<()> {
        if policy == SyncPolicy::Never {
            return Ok(());
        }
        let _one_at_a_time = self.syncing.lock();
        if self.broken.lock().contains(&segment) {
            let source = std::io::Error::other("an earlier sync of it failed");
            return Err(StoreError::storage(format!("cannot sync segment {segment}"), source));
        }
        segments.sync(segment).inspect_err(|_| {
            self.broken.lock().insert(segment);
        })
    }

    fn note_failure(&self, error: &StoreError) {
        if error.is_full() {
            self.room.note_full();
        }
    }

    /// Notes how a transaction went that told of these segments.
    fn note(&self, told: &[SegmentLen], failure: Option<&StoreError>) {
        if let Some(error) = failure {
            self.note_failure(error);
        }
        let mut ends = self.ends.lock();
        for len in told {
            if failure.is_some() || len.sealed {
                ends.remove(&len.segment);
            } else if let Some(end) = ends.get_mut(&len.segment) {
                *end = (*end).max(len.bytes);
            }
        }
    }
}

impl Committer {
    pub(crate) fn new(
        records: PlainArc<dyn SessionRecords>,
        segments: PlainArc<dyn SegmentStorage>,
        policy: SyncPolicy,
        queue_bytes_max: usize,
    ) -> Self {
        let notes = PlainArc::new(Notes::default());
        let commit = {
            let (records, segments, notes) =
                (PlainArc::clone(&records), PlainArc::clone(&segments), PlainArc::clone(&notes));
            move |steps: Vec<Step>| match commit(&*records, &*segments, &notes, policy, &steps) {
                Ok(results) => results,
                Err(error) => steps.iter().map(|_| Err(error.clone())).collect(),
            }
        };
        let lost = || Err(StoreError::Abandoned("its commit panicked"));
        // One half fills while the other is being committed.
        let group = GroupCommit::new(queue_bytes_max / 2, commit, lost);
        Self { group, notes, records, segments, policy }
    }

    /// Syncs a full segment and seals it in the records. Its writer may be dropped afterwards, not
    /// before.
    pub(crate) fn seal(&self, writer: &dyn SegmentWriter) -> Result<()> {
        let len = SegmentLen { segment: writer.id(), bytes: writer.len(), sealed: true };
        self.notes.sync(&*self.segments, self.policy, len.segment)?;
        let sealed = self.records.commit(&CommitBatch { entries: Vec::new(), segments: &[len] });
        self.notes.note(&[len], sealed.as_ref().err());
        sealed.map(drop)
    }

    /// Whether nothing more should be appended to `segment`.
    pub(crate) fn is_broken(&self, segment: SegmentId) -> bool {
        self.notes.broken.lock().contains(&segment)
    }

    /// Notes where what is committed of a segment ends that is ours from here on.
    pub(crate) fn note_end(&self, segment: SegmentId, bytes: u64) {
        self.notes.ends.lock().insert(segment, bytes);
    }

    /// Where what is committed of `segment` ends, in bytes. `None` if only the records can say.
    ///
    /// Does not change while nobody has a landed chunk in the segment.
    pub(crate) fn end(&self, segment: SegmentId) -> Option<u64> {
        self.notes.ends.lock().get(&segment).copied()
    }

    /// Notes that something failed, for want of room perhaps.
    pub(crate) fn note_failure(&self, error: &StoreError) {
        self.notes.note_failure(error);
    }

    pub(crate) fn room(&self) -> &Room {
        &self.notes.room
    }

    pub(crate) fn submit(&self, step: Step) -> CommitTicket {
        let cost = step.cost();
        self.group.submit(step, cost)
    }

    pub(crate) fn groups(&self) -> u64 {
        self.group.groups()
    }
}

fn commit(
    records: &dyn SessionRecords,
    segments: &dyn SegmentStorage,
    notes: &Notes,
    policy: SyncPolicy,
    steps: &[Step],
) -> Result<Vec<CommitResult>> {
    // What fails here is remembered as broken.
    for segment in ends(steps.iter().map(|step| &step.entry)).into_keys() {
        let _ = notes.sync(segments, policy, segment);
    }
    let broken = notes.broken.lock().clone();
    let refused: Vec<Option<StoreError>> =
        steps.iter().map(|step| lost_bytes(&step.entry, &broken)).collect();
    let entries: Vec<&Entry> = steps
        .iter()
        .zip(&refused)
        .filter(|(_, no)| no.is_none())
        .map(|(step, _)| &step.entry)
        .collect();
    // No more than what is named: what failed uploads have left behind it is not kept.
    let told = ends(entries.iter().copied());
    let told: Vec<SegmentLen> = told
        .into_iter()
        .map(|(segment, bytes)| SegmentLen { segment, bytes, sealed: false })
        .collect();
    let transaction = || records.commit(&CommitBatch { entries, segments: &told });
    let committed = catch_unwind(AssertUnwindSafe(transaction))
        .unwrap_or_else(|_| Err(StoreError::Abandoned("its commit panicked")));
    notes.note(&told, committed.as_ref().err());
    let mut results = committed?.into_iter();
    let answers = refused.into_iter().map(|refused| match refused {
        Some(error) => Err(error),
        None => results.next().unwrap_or_else(|| {
            Err(StoreError::Inconsistent("the records left a commit unanswered".into()))
        }),
    });
    Ok(answers.collect())
}

/// Where the last of the entries' bytes in each segment ends.
fn ends<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<SegmentId, u64> {
    let mut ends = BTreeMap::new();
    for chunk in entries.flat_map(|entry| &entry.chunks) {
        let Source::Written(at) = chunk.source else { continue };
        let end: &mut u64 = ends.entry(at.segment).or_default();
        *end = (*end).max(at.offset + u64::from(at.len));
    }
    ends
}

/// Refuses a step whose bytes may be gone: they lie in a segment that could not be synced.
fn lost_bytes(entry: &Entry, broken: &BTreeSet<SegmentId>) -> Option<StoreError> {
    if broken.is_empty() {
        return None;
    }
    entry.chunks.iter().find_map(|chunk| match chunk.source {
        Source::Written(at) if broken.contains(&at.segment) => {
            let source = std::io::Error::other("its bytes may not have reached the disk");
            Some(StoreError::storage(format!("cannot sync segment {}", at.segment), source))
        }
        _ => None,
    })
}
