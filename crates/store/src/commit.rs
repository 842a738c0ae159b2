//! What a group commit does: settle the segments that its chunks are in, then one records
//! transaction.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_pool::Landed;
use drystone_sync::PlainArc;

use crate::segments::Placed;
use crate::write::Name;
use crate::{
    CommitBatch, CommitOutcome, CommitResult, Entry, GroupCommit, PartTarget, PutTarget, Result,
    SegmentId, SegmentLen, SegmentStorage, SessionRecords, Settled, Source, StoreError, Target,
    Ticket,
};

/// When a backend makes data durable.
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
    pub(crate) written: Vec<Landed<Name, Placed>>,
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
        256 + complete + 96 * self.entry.chunks.len() + 176 * self.written.len()
    }
}

pub(crate) type CommitTicket = Ticket<Step, CommitResult>;

/// How it went for each segment that a group names.
type SettledSegments = BTreeMap<SegmentId, Result<Settled>>;

/// The group commit over a store's records and segments.
#[derive(Clone)]
pub(crate) struct Committer {
    group: GroupCommit<Step, CommitResult>,
}

impl Committer {
    pub(crate) fn new(
        records: PlainArc<dyn SessionRecords>,
        segments: PlainArc<dyn SegmentStorage>,
        queue_bytes_max: usize,
    ) -> Self {
        let commit = move |steps: Vec<Step>| match commit(&*records, &*segments, &steps) {
            Ok(results) => results,
            Err(error) => steps.iter().map(|_| Err(error.clone())).collect(),
        };
        let lost = || Err(StoreError::Abandoned("its commit panicked"));
        // One half fills while the other is being committed.
        Self { group: GroupCommit::new(queue_bytes_max / 2, commit, lost) }
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
    steps: &[Step],
) -> Result<Vec<CommitResult>> {
    let named: Vec<SegmentId> = ends(steps.iter().map(|step| &step.entry)).into_keys().collect();
    let settled: SettledSegments = named.iter().copied().zip(segments.settle(&named)).collect();
    let refused: Vec<Option<StoreError>> =
        steps.iter().map(|step| lost_bytes(&step.entry, &settled)).collect();
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
        .map(|(segment, bytes)| {
            let sealed = matches!(settled.get(&segment), Some(Ok(Settled::Whole)));
            SegmentLen { segment, bytes, sealed }
        })
        .collect();
    let transaction = || records.commit(&CommitBatch { entries, segments: &told });
    let committed = catch_unwind(AssertUnwindSafe(transaction))
        .unwrap_or_else(|_| Err(StoreError::Abandoned("its commit panicked")));
    let outcome = match &committed {
        Ok(_) => CommitOutcome::Committed,
        Err(error) => {
            if error.is_full() {
                segments.note_full();
            }
            CommitOutcome::Doubtful
        }
    };
    segments.note_commit(&told, outcome);
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

/// Refuses a step whose bytes may be gone: they lie in a segment that could not be settled.
fn lost_bytes(entry: &Entry, settled: &SettledSegments) -> Option<StoreError> {
    let mut last = None;
    for chunk in &entry.chunks {
        let Source::Written(at) = chunk.source else { continue };
        // Most of a step's chunks follow one another in one segment.
        if last == Some(at.segment) {
            continue;
        }
        match settled.get(&at.segment) {
            Some(Ok(_)) => last = Some(at.segment),
            // Only a collect removes it, and only when the session is dead: then what the session
            // had written is garbage.
            Some(Err(error)) if error.is_missing() => return Some(StoreError::SessionExpired),
            Some(Err(error)) => return Some(error.clone()),
            None => {
                let detail = format!("segment {} was left unsettled", at.segment);
                return Some(StoreError::Inconsistent(detail));
            }
        }
    }
    None
}
