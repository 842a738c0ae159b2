//! What a group commit does: sync the segments that its chunks are in, then one records transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_chunker::ChunkId;
use drystone_pool::Landed;
use drystone_sync::{Mutex, PlainArc};

use crate::{
    CommitBatch, CommitResult, Entry, GroupCommit, Location, PartTarget, PutTarget, Records, Result,
    SegmentId, SegmentLen, SegmentStorage, SegmentWriter, Source, StoreError, Target, Ticket,
};

/// When data is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is acknowledged.
    Commit,
    /// When the operating system likes. A crash of the machine may lose acknowledged objects; a crash of the process
    /// does not.
    Never,
}

/// A step of an upload on its way into a group, with what keeps its chunks findable until they are in the records.
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
    grown: PlainArc<Grown>,
    records: PlainArc<dyn Records>,
    segments: PlainArc<dyn SegmentStorage>,
    policy: SyncPolicy,
}

/// Segments that grew since the records were last told.
#[derive(Default)]
struct Grown {
    /// A leaf lock. The length is the end of the last append, noted before any step that names it is submitted.
    segments: Mutex<BTreeMap<SegmentId, SegmentLen>>,
    /// Segments whose sync failed: what they hold un-synced is lost, and a later sync would not say so.
    broken: Mutex<BTreeSet<SegmentId>>,
    /// One sync at a time: the kernel reports a write-back error once for each open file, so of two syncs side by side one
    /// would believe that all is well. Taken before `broken`.
    syncing: Mutex<()>,
}

impl Grown {
    /// Notes a length; a longer one noted meanwhile stays.
    fn note(&self, len: SegmentLen) {
        let mut segments = self.segments.lock();
        let noted = segments.entry(len.segment).or_insert(len);
        noted.bytes = noted.bytes.max(len.bytes);
    }

    fn sync(&self, segments: &dyn SegmentStorage, policy: SyncPolicy, segment: SegmentId) -> Result<()> {
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
}

impl Committer {
    pub(crate) fn new(
        records: PlainArc<dyn Records>,
        segments: PlainArc<dyn SegmentStorage>,
        policy: SyncPolicy,
        queue_bytes_max: usize,
    ) -> Self {
        let grown = PlainArc::new(Grown::default());
        let commit = {
            let (records, segments, grown) =
                (PlainArc::clone(&records), PlainArc::clone(&segments), PlainArc::clone(&grown));
            move |steps: Vec<Step>| match commit(&*records, &*segments, &grown, policy, &steps) {
                Ok(results) => results,
                Err(error) => steps.iter().map(|_| Err(error.clone())).collect(),
            }
        };
        let lost = || Err(StoreError::Abandoned("its commit panicked"));
        // One half fills while the other is being committed.
        let group = GroupCommit::new(queue_bytes_max / 2, commit, lost);
        Self { group, grown, records, segments, policy }
    }

    /// Notes an append, before its location is used in a step.
    pub(crate) fn segment_grew(&self, segment: SegmentId, bytes: u64) {
        self.grown.note(SegmentLen { segment, bytes, sealed: false });
    }

    /// Syncs a full segment and seals it in the records. Its writer may be dropped afterwards, not before.
    pub(crate) fn seal(&self, writer: &dyn SegmentWriter) -> Result<()> {
        let len = SegmentLen { segment: writer.id(), bytes: writer.len(), sealed: true };
        self.grown.sync(&*self.segments, self.policy, len.segment)?;
        self.records.commit(&CommitBatch { entries: Vec::new(), segments: &[len] })?;
        // Only now need no group sync it any more.
        self.grown.segments.lock().remove(&len.segment);
        Ok(())
    }

    /// Whether nothing more should be appended to `segment`.
    pub(crate) fn is_broken(&self, segment: SegmentId) -> bool {
        self.grown.broken.lock().contains(&segment)
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
    records: &dyn Records,
    segments: &dyn SegmentStorage,
    grown: &Grown,
    policy: SyncPolicy,
    steps: &[Step],
) -> Result<Vec<CommitResult>> {
    // Take the lengths first: whatever a step of this group names was noted before the step was submitted.
    let lens: Vec<SegmentLen> = std::mem::take(&mut *grown.segments.lock()).into_values().collect();
    let mut told = Vec::with_capacity(lens.len());
    for len in lens {
        // A later sync of a broken segment may well succeed; it does not bring back what the failed one has lost.
        let is_broken = grown.broken.lock().contains(&len.segment);
        if !is_broken && grown.sync(segments, policy, len.segment).is_ok() {
            told.push(len);
        }
    }
    let broken = grown.broken.lock().clone();
    let refused: Vec<Option<StoreError>> =
        steps.iter().map(|step| lost_bytes(&step.entry, &broken)).collect();
    let entries =
        steps.iter().zip(&refused).filter(|(_, no)| no.is_none()).map(|(step, _)| &step.entry).collect();
    let transaction = || records.commit(&CommitBatch { entries, segments: &told });
    let committed = catch_unwind(AssertUnwindSafe(transaction))
        .unwrap_or_else(|_| Err(StoreError::Abandoned("its commit panicked")));
    if committed.is_err() {
        // Steps of a later group may name bytes that this group was the first to hear of.
        told.into_iter().for_each(|len| grown.note(len));
    }
    let mut results = committed?.into_iter();
    let answers = refused.into_iter().map(|refused| match refused {
        Some(error) => Err(error),
        None => results
            .next()
            .unwrap_or_else(|| Err(StoreError::Inconsistent("the records left a commit unanswered".into()))),
    });
    Ok(answers.collect())
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
