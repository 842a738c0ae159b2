//! Which bytes at the end of a segment may be cut off.
//!
//! A segment grows by what uploads append, and an upload may fail. What it has appended by then is
//! of no use to anything; on a full disk it is in the way. Two things keep bytes from being cut:
//! a [`Held`], for as long as some upload may still commit them, and a commit that names them. A
//! commit that has *failed* may have taken place all the same, or come to light after a crash: from
//! then on only the records can say where the committed bytes end.

use std::collections::BTreeMap;

use drystone_store::{CommitOutcome, Hold, SegmentId, SegmentLen};
use drystone_sync::{Mutex, PlainArc};

/// The ends of the segments that this process appends to: one entry for each.
#[derive(Default)]
pub(crate) struct Tails {
    /// A leaf lock.
    ends: Mutex<BTreeMap<SegmentId, Ends>>,
}

/// Of one segment, in bytes from its beginning.
#[derive(Clone, Default)]
struct Ends {
    /// Where the committed bytes end. `None` if only the records can say.
    committed: Option<u64>,
    /// Where held bytes end, and how many holds there are of each end.
    held: BTreeMap<u64, usize>,
}

/// What keeps a segment from being cut any further, in bytes from its beginning.
#[derive(Clone, Copy)]
pub(crate) struct Floor {
    /// Where the committed bytes end. `None` if only the records can say.
    pub(crate) committed: Option<u64>,
    /// Where the last of the held bytes end.
    pub(crate) held: Option<u64>,
}

impl Tails {
    /// Notes where the committed bytes of a segment end. This process owns it from here on.
    pub(crate) fn note_end(&self, segment: SegmentId, bytes: u64) {
        self.ends.lock().entry(segment).or_default().committed = Some(bytes);
    }

    /// The segment is sealed: nothing of it is cut any more.
    pub(crate) fn forget(&self, segment: SegmentId) {
        self.ends.lock().remove(&segment);
    }

    /// Keeps what lies before `end`. To be called while the segment is owned by an appender, so
    /// that it is not being cut.
    pub(crate) fn hold(self: &PlainArc<Self>, segment: SegmentId, end: u64) -> PlainArc<dyn Hold> {
        *self.ends.lock().entry(segment).or_default().held.entry(end).or_default() += 1;
        PlainArc::new(Held { tails: PlainArc::clone(self), segment, end })
    }

    /// Both are read at once: a commit is noted before its bytes are held no more, so they are in
    /// one of the two.
    pub(crate) fn floor(&self, segment: SegmentId) -> Floor {
        let ends = self.ends.lock();
        let Some(ends) = ends.get(&segment) else { return Floor { committed: None, held: None } };
        let held = ends.held.last_key_value().map(|(end, _)| *end);
        Floor { committed: ends.committed, held }
    }

    pub(crate) fn note_commit(&self, told: &[SegmentLen], outcome: CommitOutcome) {
        let mut all = self.ends.lock();
        for len in told {
            let Some(ends) = all.get_mut(&len.segment) else { continue };
            match outcome {
                CommitOutcome::Doubtful => ends.committed = None,
                CommitOutcome::Committed => {
                    // After a doubtful one the end stays unknown until the records have been asked.
                    ends.committed = ends.committed.map(|end| end.max(len.bytes));
                }
            }
        }
    }
}

/// Keeps bytes from being cut until it is dropped.
struct Held {
    tails: PlainArc<Tails>,
    segment: SegmentId,
    end: u64,
}

impl Hold for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.tails.ends.lock();
        // A sealed segment is not here any more.
        let Some(ends) = all.get_mut(&self.segment) else { return };
        if let Some(holds) = ends.held.get_mut(&self.end) {
            *holds -= 1;
            if *holds == 0 {
                ends.held.remove(&self.end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SegmentId = SegmentId(1);

    fn told(bytes: u64) -> [SegmentLen; 1] {
        [SegmentLen { segment: ONE, bytes, sealed: false }]
    }

    #[test]
    fn the_last_of_what_is_held_keeps_the_rest() {
        let tails: PlainArc<Tails> = PlainArc::default();
        tails.note_end(ONE, 64);
        let [low, high, again] = [80, 100, 100].map(|end| tails.hold(ONE, end));
        let held = || tails.floor(ONE).held;
        assert_eq!(held(), Some(100));
        drop(high);
        assert_eq!(held(), Some(100), "two hold the same end");
        drop(again);
        assert_eq!(held(), Some(80));
        tails.note_end(ONE, 70);
        assert_eq!(held(), Some(80), "what is held outlives a cut");
        drop(low);
        assert_eq!(held(), None);
        assert_eq!(tails.floor(ONE).committed, Some(70));
    }

    #[test]
    fn after_a_doubtful_commit_only_the_records_know() {
        let tails: PlainArc<Tails> = PlainArc::default();
        let committed = || tails.floor(ONE).committed;
        tails.note_end(ONE, 64);
        tails.note_commit(&told(90), CommitOutcome::Committed);
        tails.note_commit(&told(80), CommitOutcome::Committed);
        assert_eq!(committed(), Some(90), "a group may tell of less than one before it");
        tails.note_commit(&told(100), CommitOutcome::Doubtful);
        assert_eq!(committed(), None);
        tails.note_commit(&told(110), CommitOutcome::Committed);
        assert_eq!(committed(), None, "one that goes well says nothing of the other");
        tails.note_end(ONE, 100);
        assert_eq!(committed(), Some(100));
        let held = tails.hold(ONE, 120);
        tails.forget(ONE);
        drop(held);
        tails.note_commit(&told(130), CommitOutcome::Committed);
        assert_eq!(committed(), None, "a sealed segment is not remembered");
    }
}
