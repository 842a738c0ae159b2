//! Collect: what nothing names goes, and its space comes back, while everything else runs.
//!
//! A run has four steps, each of short transactions of its own:
//! 1. *Condemn*: what dead sessions have left is stamped. Everything else has been stamped as it
//!    lost its last reference ([`rules`](crate::rules)).
//! 2. *Sweep*: an epoch is ended, and when no live session is in it any more, the manifests that
//!    were stamped in it go; then, after another epoch, their chunks.
//! 3. *Rewrite*: live chunks of segments with many dead bytes are copied to others.
//! 4. *Remove*: segments that no chunk is in go by the same rule: stamp, end of the epoch, wait.
//!
//! Nothing of a run is kept but the stamps. So one that is killed is gone on with by the next, and
//! two at once do each other no harm. A failure before the first epoch has ended changes nothing.

use crate::rewrite::Rewrite;
use crate::store::Inner;
use crate::{
    CondemnedTotals, Epoch, Result, ScanFrom, SegmentId, Store, StoreError, SweepFrom, Swept,
};
use drystone_sync::bound;

/// Rows that one transaction looks at or removes. Others wait for it, so not many.
const STEP_ROWS: usize = bound(1024, 1);
/// Segments, or their files, that are asked for at a time.
const SEGMENTS_PAGE: usize = bound(256, 2);

/// What a collect is to do.
#[derive(Clone, Copy, Debug)]
pub struct CollectOptions {
    /// Change nothing, and say what there is to do.
    pub dry_run: bool,
    /// Look at all rows for what nothing names, as the first collect does.
    pub full: bool,
    /// Go on although segments are missing that chunks are in. What was in them and was deleted
    /// counts as collected.
    pub despite_damage: bool,
    /// Segments are rewritten until there are at most so many dead bytes for each hundred live
    /// ones.
    pub dead_percent_max: u32,
    /// The lease of the session in which segments are rewritten, in milliseconds.
    pub lease_ms: u64,
}

/// Where a collect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectStage {
    /// It looks for what nothing names.
    Condemn,
    /// It removes rows.
    Sweep,
    /// It copies chunks.
    Rewrite,
    /// It removes segments.
    Remove,
    /// It waits for live sessions: the oldest of them is in this epoch.
    Wait(Epoch),
}

/// What a collect is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Go on; or wait on.
    GoOn,
    /// Go on without waiting. What is waited for is left to the next run.
    DoNotWait,
    /// Stop here.
    Stop,
}

/// What a collect has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests swept.
    pub manifests: u64,
    /// Chunks swept.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub chunk_bytes: u64,
    /// What was condemned and is named by something all the same. It stays.
    pub pardoned: u64,
    /// What could not be read, and stays: rows, and chunks of segments that were to be rewritten.
    pub unreadable: u64,
    /// Segments of which every live chunk was copied to others.
    pub rewritten: u64,
    /// Bytes of the copies.
    pub copied_bytes: u64,
    /// Segments removed.
    pub removed: u64,
    /// Bytes of these, as far as they had been committed.
    pub removed_bytes: u64,
    /// Files removed that no record told of.
    pub strays: u64,
    /// Segments with many dead bytes that another process appends to. They stay.
    pub busy: u64,
    /// What is condemned and was not swept. In a dry run, all that is condemned.
    pub left: CondemnedTotals,
    /// Bytes in segments that are no chunk's, without segments that only wait to be removed.
    pub dead_bytes: u64,
    /// Bytes in segments that are chunks'.
    pub live_bytes: u64,
    /// Segments were not rewritten because the disk is full.
    pub is_full: bool,
    /// Not everything was done: it was stopped, or did not wait for a session, or readers hold what
    /// was deleted.
    pub is_partial: bool,
}

/// Asked between any two transactions.
pub type AskPace<'a> = &'a mut dyn FnMut(CollectStage, &Collected) -> Pace;

/// Why a step ended early.
pub(crate) enum Ended {
    Stopped,
    Failed(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// One run.
pub(crate) struct Collect<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) options: CollectOptions,
    pub(crate) done: Collected,
    pace: AskPace<'a>,
}

impl Store {
    /// Gives the space back of what nothing names. Blocks; any number of other operations, also
    /// other collects, may run meanwhile.
    ///
    /// `pace` is asked between any two transactions. It may sleep for a second or two, so that a
    /// collect leaves room for others.
    ///
    /// # Errors
    /// [`StoreError::MissingSegment`], before anything is changed, when chunks are in a segment that
    /// is not there; [`StoreError::Inconsistent`] when there are later segments than the records
    /// know. The records' and the segments' own.
    pub fn collect(&self, options: CollectOptions, pace: AskPace<'_>) -> Result<Collected> {
        let mut run = Collect { inner: &self.inner, options, done: Collected::default(), pace };
        match run.run() {
            Ok(()) => {}
            Err(Ended::Stopped) => run.done.is_partial = true,
            Err(Ended::Failed(error)) => return Err(error),
        }
        Ok(run.done)
    }
}

impl Collect<'_> {
    fn run(&mut self) -> Result<(), Ended> {
        self.check_segments()?;
        if self.options.dry_run {
            self.done.left = self.inner.records.condemned()?;
            return self.count_bytes();
        }
        self.condemn()?;
        if self.sweep(Kind::Manifests)? {
            // A composite manifest that has gone may have been the last to name a plain one.
            self.sweep(Kind::Manifests)?;
        }
        self.sweep(Kind::Chunks)?;
        self.inner.segments.trim();
        // What only takes room goes before anything is copied: the disk may be full.
        self.remove_empty()?;
        self.remove_strays()?;
        Rewrite::new(self).run()?;
        self.remove_empty()?;
        self.done.left = self.inner.records.condemned()?;
        self.count_bytes()
    }

    fn remove_empty(&mut self) -> Result<(), Ended> {
        self.inner.records.condemn_segments()?;
        self.sweep(Kind::Segments).map(drop)
    }

    /// To be called between any two transactions. Returns whether waiting is worth it.
    pub(crate) fn pause(&mut self, stage: CollectStage) -> Result<bool, Ended> {
        match (self.pace)(stage, &self.done) {
            Pace::GoOn => Ok(true),
            Pace::DoNotWait => Ok(false),
            Pace::Stop => Err(Ended::Stopped),
        }
    }

    /// Stamps what no transaction could stamp as it lost its last reference. Nothing is swept if
    /// this fails: then the epoch has not ended.
    fn condemn(&mut self) -> Result<(), Ended> {
        let records = &self.inner.records;
        records.expire_sessions()?;
        while !records.condemn_left(STEP_ROWS)? {
            self.pause(CollectStage::Condemn)?;
        }
        if !self.options.full && records.is_scanned()? {
            return Ok(());
        }
        let mut from = Some(ScanFrom::BEGINNING);
        while let Some(at) = from {
            from = records.condemn_unreferenced(at, STEP_ROWS)?;
            self.pause(CollectStage::Condemn)?;
        }
        Ok(records.note_scanned()?)
    }

    /// Sweeps what is condemned of a kind, once no live session may know it. Returns whether
    /// anything is gone.
    fn sweep(&mut self, kind: Kind) -> Result<bool, Ended> {
        let records = &self.inner.records;
        let condemned = records.condemned()?;
        let Some(youngest) = condemned.youngest.filter(|_| kind.count(&condemned) > 0) else {
            return Ok(false);
        };
        let current = records.epochs()?.current;
        // A damaged row may say anything; it must not be waited for.
        let youngest = youngest.min(current);
        if current <= youngest {
            records.advance_epoch()?;
        }
        let mut gone = 0;
        loop {
            let epochs = records.epochs()?;
            let upto = epochs.sweepable();
            if let Some(upto) = upto {
                gone += match kind {
                    Kind::Segments => self.remove_segments(upto)?,
                    Kind::Manifests | Kind::Chunks => self.sweep_rows(kind, upto)?,
                };
            }
            if upto >= Some(youngest) {
                return Ok(gone > 0);
            }
            let oldest = epochs.oldest.unwrap_or(epochs.current);
            if !self.pause(CollectStage::Wait(oldest))? {
                self.done.is_partial = true;
                return Ok(gone > 0);
            }
            records.expire_sessions()?;
        }
    }

    fn sweep_rows(&mut self, kind: Kind, upto: Epoch) -> Result<u64, Ended> {
        let (mut from, mut gone) = (Some(SweepFrom::default()), 0);
        while let Some(after) = from {
            let records = &self.inner.records;
            let swept = match kind {
                Kind::Manifests => records.sweep_manifests(upto, after, STEP_ROWS)?,
                Kind::Chunks | Kind::Segments => records.sweep_chunks(upto, after, STEP_ROWS)?,
            };
            let Swept { gone: count, bytes, pardoned, pinned, unreadable, next } = swept;
            match kind {
                Kind::Manifests => self.done.manifests += count,
                Kind::Chunks | Kind::Segments => self.done.chunks += count,
            }
            self.done.chunk_bytes += bytes;
            self.done.pardoned += pardoned;
            self.done.is_partial |= pinned > 0;
            self.done.unreadable += unreadable;
            gone += count;
            from = next;
            self.pause(CollectStage::Sweep)?;
        }
        Ok(gone)
    }

    /// The row goes first: a file without a row is garbage, a row without its file is damage.
    fn remove_segments(&mut self, upto: Epoch) -> Result<u64, Ended> {
        let (mut after, mut gone) = (None, 0);
        loop {
            let page = self.inner.records.condemned_segments(upto, after, SEGMENTS_PAGE)?;
            let Some(last) = page.last() else { return Ok(gone) };
            after = Some(last.segment);
            for row in page {
                if self.inner.records.sweep_segment(row.segment, upto)? {
                    gone += 1;
                    match self.inner.segments.remove(row.segment) {
                        Ok(()) => {
                            self.done.removed += 1;
                            self.done.removed_bytes += row.bytes;
                        }
                        // The process that has just sealed it may not have closed the file yet.
                        // From now on the file is a stray.
                        Err(error) if error.is_busy() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                self.pause(CollectStage::Remove)?;
            }
        }
    }

    /// A store whose segments and records do not belong together is left as it is: who put an older
    /// one of the two back may still have the other.
    fn check_segments(&mut self) -> Result<(), Ended> {
        let last = self.inner.records.last_segment()?;
        let mut missing = None;
        self.compare(&mut |run, found| {
            match found {
                Found::File(id) if last.is_none_or(|last| id > last) => {
                    let detail = format!(
                        "there is a segment {id}, and the records know none after {}: they are \
                         older than the segments",
                        last.unwrap_or_default()
                    );
                    return Err(StoreError::Inconsistent(detail).into());
                }
                Found::File(_) => {}
                Found::Row(id) => {
                    // It may have been made since the files were listed.
                    let before = id.0.checked_sub(1).map(SegmentId);
                    if run.inner.segments.list(before, 1)? != [id] {
                        missing.get_or_insert(id);
                    }
                }
            }
            Ok(())
        })?;
        match missing.filter(|_| !self.options.despite_damage) {
            Some(id) => Err(StoreError::MissingSegment(id).into()),
            None => Ok(()),
        }
    }

    fn remove_strays(&mut self) -> Result<(), Ended> {
        self.compare(&mut |run, found| {
            if let Found::File(id) = found {
                match run.inner.segments.remove(id) {
                    Ok(()) => run.done.strays += 1,
                    Err(error) if error.is_busy() => run.done.busy += 1,
                    Err(error) => return Err(error.into()),
                }
                run.pause(CollectStage::Remove)?;
            }
            Ok(())
        })
    }

    /// Calls `each` with the segments that are there and have no row, and with the rows of those
    /// that chunks are in and that are not there.
    fn compare(&mut self, each: EachFound<'_>) -> Result<(), Ended> {
        let (mut after, mut is_end) = (None, false);
        while !is_end {
            // Files first. A row is written before its file is made, and removed before its file
            // is: so a file without a row is nothing's.
            let files = self.inner.segments.list(after, SEGMENTS_PAGE)?;
            is_end = files.len() < SEGMENTS_PAGE;
            let upto = if is_end { None } else { files.last().copied() };
            let mut files = files.into_iter().peekable();
            let mut rows_after = after;
            'rows: loop {
                let rows = self.inner.records.segments(rows_after, SEGMENTS_PAGE)?;
                let is_last = rows.len() < SEGMENTS_PAGE;
                for row in rows {
                    if upto.is_some_and(|upto| row.segment > upto) {
                        break 'rows;
                    }
                    rows_after = Some(row.segment);
                    while let Some(file) = files.next_if(|file| *file < row.segment) {
                        each(self, Found::File(file))?;
                    }
                    if files.next_if_eq(&row.segment).is_none() && row.live > 0 {
                        each(self, Found::Row(row.segment))?;
                    }
                }
                if is_last {
                    break;
                }
            }
            for file in files {
                each(self, Found::File(file))?;
            }
            after = upto;
        }
        Ok(())
    }

    /// How much of the segments is dead.
    pub(crate) fn count_bytes(&mut self) -> Result<(), Ended> {
        let (mut after, mut live, mut dead) = (None, 0, 0);
        loop {
            let page = self.inner.records.segments(after, SEGMENTS_PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.segment);
            // One that is sealed and that no chunk is in waits for its end.
            for row in page.iter().filter(|row| row.live > 0 || !row.sealed) {
                live += row.live;
                dead += row.dead();
            }
        }
        (self.done.live_bytes, self.done.dead_bytes) = (live, dead);
        Ok(())
    }
}

/// What is swept.
#[derive(Clone, Copy)]
enum Kind {
    Manifests,
    Chunks,
    Segments,
}

impl Kind {
    fn count(self, condemned: &CondemnedTotals) -> u64 {
        match self {
            Self::Manifests => condemned.manifests,
            Self::Chunks => condemned.chunks,
            Self::Segments => condemned.segments,
        }
    }
}

/// What is on one side only.
#[derive(Clone, Copy)]
enum Found {
    File(SegmentId),
    Row(SegmentId),
}

type EachFound<'a> = &'a mut dyn FnMut(&mut Collect<'_>, Found) -> Result<(), Ended>;
