//! Segments that are files: which of them an append goes to, and what of them is cut off again.
//!
//! Nothing in here knows what a file is: that is [`OwnedFiles`], and so the model checkers run this
//! over files in memory.
//!
//! Invariants:
//! - a segment has one appender at a time: the thread that has taken its file out of the idle ones;
//! - a file is let go of only when the records have its segment as sealed: one that is unsealed and
//!   unowned is for any process to adopt, and adopting cuts off what is not committed;
//! - a segment whose sync has failed is never appended to, cut, or let go of again;
//! - what may still be committed, or may have been, is not cut: [`Tails`].

use std::collections::BTreeMap;

use drystone_store::{
    Appended, CommitBatch, CommitOutcome, Location, Records, Result, SegmentId, SegmentLen,
    SegmentStorage, Settled, StoreError, SyncPolicy,
};
use drystone_sync::{Mutex, PlainArc};

use crate::room::{Appending, Room};
use crate::tails::{Floor, Tails};
use crate::{OwnedFile, OwnedFiles};

/// How many unsealed segments are looked at to find one to adopt. The first ones may be those of
/// this process, one for each thread that appends, so it is more than these.
const CANDIDATES_MAX: usize = 96;

/// The segments of a store that are files.
pub struct Appender {
    records: PlainArc<dyn Records>,
    files: PlainArc<dyn OwnedFiles>,
    sync: SyncPolicy,
    /// Files that nothing is appended to at the moment. A leaf lock; at most one file for each
    /// thread that appends.
    idle: Mutex<Vec<Box<dyn OwnedFile>>>,
    tails: PlainArc<Tails>,
    /// Which threads append, and which makes room when the disk is full. A transaction that must
    /// work on a full disk does not use it: making room may need such a transaction.
    room: Room,
    /// One sync at a time: the kernel reports a write-back error once for each open file, so of two
    /// syncs side by side one would believe that all is well. Taken before `failed`.
    syncing: Mutex<()>,
    /// Segments whose sync failed, and how: what they hold un-synced is lost, and a later sync
    /// would not say so. A leaf lock.
    failed: Mutex<BTreeMap<SegmentId, StoreError>>,
    /// Files of such segments. Kept, and so locked, until the end: a commit under way may still
    /// name what was synced of them before. One for each failed sync.
    broken: Mutex<Vec<Box<dyn OwnedFile>>>,
}

impl Appender {
    /// Segments in `files` that are registered in `records`.
    pub fn new(
        records: PlainArc<dyn Records>,
        files: PlainArc<dyn OwnedFiles>,
        sync: SyncPolicy,
    ) -> Self {
        Self {
            records,
            files,
            sync,
            idle: Mutex::new(Vec::new()),
            tails: PlainArc::default(),
            room: Room::default(),
            syncing: Mutex::new(()),
            failed: Mutex::new(BTreeMap::new()),
            broken: Mutex::new(Vec::new()),
        }
    }

    fn try_append(&self, parts: &[&[u8]]) -> Result<Appended> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut taken = self.take(bytes)?;
        let file = taken.file();
        let offset = file.append(parts)?;
        let segment = file.id();
        // Before the file is idle again: from then on what is not held may be cut.
        let hold = self.tails.hold(segment, offset + bytes);
        Ok(Appended { segment, offset, hold })
    }

    /// Leave to append `bytes`, and a file with room for them that nothing else is appended to.
    fn take(&self, bytes: u64) -> Result<Taken<'_>> {
        let mut taken = Taken::new(&self.idle);
        taken.leave = Some(self.room.enter(|| self.cut_tails()));
        loop {
            let idle = self.idle.lock().pop();
            let Some(file) = idle else { break };
            if self.is_broken(file.id()) {
                self.broken.lock().push(file);
                continue;
            }
            taken.files.push(file);
            if !taken.file().is_full(bytes) {
                return Ok(taken);
            }
            self.let_go(&mut taken)?;
        }
        self.adopt(bytes, &mut taken)?;
        Ok(taken)
    }

    /// Lets go of a full segment, which is sealed first. If that fails, this process keeps it.
    fn let_go(&self, taken: &mut Taken<'_>) -> Result<()> {
        self.seal(&**taken.file())?;
        taken.files.clear();
        Ok(())
    }

    /// Takes over a segment that an earlier process left open, or makes one.
    fn adopt(&self, bytes: u64, taken: &mut Taken<'_>) -> Result<()> {
        for id in self.records.unsealed_segments(CANDIDATES_MAX)? {
            // A segment that cannot be taken over (damaged, say) is no reason to refuse a put: its
            // reads will say so.
            let Ok(Some(mut file)) = self.files.adopt(id) else { continue };
            // Its last owner may have committed until the moment we became the owner, so the length
            // is read now.
            let Some(len) = self.records.segment_len(id)?.filter(|len| !len.sealed) else {
                continue;
            };
            if file.rewind(len.bytes).is_err() {
                continue;
            }
            self.tails.note_end(id, len.bytes);
            taken.files.push(file);
            if !taken.file().is_full(bytes) {
                return Ok(());
            }
            // Nothing as large as this will fit any more. Sealed, the segment is not tried again.
            // A segment that cannot be sealed is kept. Otherwise it would be adopted again for
            // something smaller, and it may be broken now.
            self.let_go(taken)?;
        }
        let id = self.records.create_segment()?;
        let made = self.files.create(id).inspect_err(|_| {
            // A row without a file would be looked at by every later put. If it stays, it costs no
            // more than that.
            let _ = self.records.forget_segment(id);
        })?;
        self.tails.note_end(id, 0);
        taken.files.push(made);
        Ok(())
    }

    /// Syncs a full segment and seals it in the records. Its file may be dropped afterwards, not
    /// before.
    fn seal(&self, file: &dyn OwnedFile) -> Result<()> {
        let len = SegmentLen { segment: file.id(), bytes: file.len(), sealed: true };
        self.sync_once(len.segment)?;
        let sealed = self.records.commit(&CommitBatch { entries: Vec::new(), segments: &[len] });
        match &sealed {
            Ok(_) => self.tails.forget(len.segment),
            Err(error) => {
                self.note_failure(error);
                self.tails.note_commit(&[len], CommitOutcome::Doubtful);
            }
        }
        sealed.map(drop)
    }

    fn sync_once(&self, segment: SegmentId) -> Result<()> {
        if self.sync == SyncPolicy::Never {
            return Ok(());
        }
        let _one_at_a_time = self.syncing.lock();
        if self.is_broken(segment) {
            return Err(not_synced(segment, "an earlier sync of it failed"));
        }
        self.files.sync(segment).inspect_err(|error| {
            self.failed.lock().insert(segment, error.clone());
        })
    }

    /// Whether nothing more should be appended to `segment`.
    fn is_broken(&self, segment: SegmentId) -> bool {
        self.failed.lock().contains_key(&segment)
    }

    fn note_failure(&self, error: &StoreError) {
        if error.is_full() {
            self.room.note_full();
        }
    }

    /// Cuts what failed uploads have left at the ends of segments that nothing is appended to, and
    /// what was reserved behind.
    fn cut_tails(&self) {
        let mut taken = Taken::new(&self.idle);
        taken.files = std::mem::take(&mut *self.idle.lock());
        for file in &mut taken.files {
            // A segment that cannot be cut is as it was.
            let _ = self.cut(&mut **file);
        }
        drop(taken);
        // Those of processes that have ended, which none may come to adopt.
        for id in self.records.unsealed_segments(CANDIDATES_MAX).unwrap_or_default() {
            if let Ok(Some(mut file)) = self.files.adopt(id)
                && let Ok(Some(len)) = self.records.segment_len(id)
                && !len.sealed
            {
                let _ = file.rewind(len.bytes);
            }
        }
    }

    /// Cuts off what is not needed of a segment that this process owns. Nothing may be appended to
    /// it meanwhile.
    fn cut(&self, file: &mut dyn OwnedFile) -> Result<()> {
        let segment = file.id();
        // At least what is reserved is given back.
        file.rewind(file.len())?;
        if self.is_broken(segment) {
            return Ok(());
        }
        let Floor { committed, held } = self.tails.floor(segment);
        // Not from the records, if it can be helped: on a full disk they may not answer.
        let committed = match committed {
            Some(end) => end,
            None => match self.records.segment_len(segment)? {
                Some(len) if !len.sealed => len.bytes,
                _ => return Ok(()),
            },
        };
        file.rewind(committed.max(held.unwrap_or(0)))?;
        // While something is held, a transaction may be under way that fails.
        if held.is_none() {
            self.tails.note_end(segment, committed);
        }
        Ok(())
    }
}

impl SegmentStorage for Appender {
    fn append(&self, parts: &[&[u8]]) -> Result<Appended> {
        let try_once = || self.try_append(parts).inspect_err(|error| self.note_failure(error));
        // On a full disk room is made before the second time.
        try_once().or_else(|error| if error.is_full() { try_once() } else { Err(error) })
    }

    fn settle(&self, segments: &[SegmentId]) -> Vec<Result<Settled>> {
        // What fails here is remembered as broken.
        for segment in segments {
            let _ = self.sync_once(*segment);
        }
        let failed = self.failed.lock();
        let settled = |segment: &SegmentId| match failed.get(segment) {
            // A collect may have removed it, because its session was dead.
            Some(error) if error.is_missing() => Err(error.clone()),
            Some(_) => Err(not_synced(*segment, "its bytes may not have reached the disk")),
            None => Ok(Settled::Open),
        };
        segments.iter().map(settled).collect()
    }

    fn note_commit(&self, told: &[SegmentLen], outcome: CommitOutcome) {
        self.tails.note_commit(told, outcome);
    }

    fn note_full(&self) {
        self.room.note_full();
    }

    fn make_room(&self) {
        drop(self.room.enter(|| self.cut_tails()));
    }

    fn read(&self, at: Location, into: &mut [u8]) -> Result<()> {
        self.files.read(at, into)
    }

    fn seal(&self, segment: SegmentId) -> Result<bool> {
        let mut taken = Taken::new(&self.idle);
        taken.leave = Some(self.room.enter(|| self.cut_tails()));
        let idle = {
            let mut idle = self.idle.lock();
            let at = idle.iter().position(|file| file.id() == segment);
            at.map(|at| idle.swap_remove(at))
        };
        match idle {
            Some(file) => taken.files.push(file),
            None => match self.files.adopt(segment)? {
                None => return Ok(false),
                Some(mut file) => {
                    // As when it is taken over to be appended to.
                    let len = self.records.segment_len(segment)?;
                    let Some(len) = len.filter(|len| !len.sealed) else { return Ok(false) };
                    file.rewind(len.bytes)?;
                    self.tails.note_end(segment, len.bytes);
                    taken.files.push(file);
                }
            },
        }
        if self.is_broken(segment) {
            return Ok(false);
        }
        self.cut(&mut **taken.file())?;
        self.let_go(&mut taken)?;
        Ok(true)
    }

    fn trim(&self) {
        self.room.alone(|| self.cut_tails());
    }

    fn header_bytes(&self) -> u64 {
        self.files.header_bytes()
    }

    fn remove(&self, segment: SegmentId) -> Result<()> {
        self.files.remove(segment)
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>> {
        self.files.list(after, limit)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // Nothing is under way any more. A process that comes next, and may need this room to
        // begin, need not know of it.
        if self.room.was_full() {
            self.cut_tails();
        }
    }
}

/// Files that go back to the idle ones, whatever happens, and then the leave to append: of a thread
/// there is one file at most.
struct Taken<'a> {
    files: Vec<Box<dyn OwnedFile>>,
    idle: &'a Mutex<Vec<Box<dyn OwnedFile>>>,
    leave: Option<Appending<'a>>,
}

impl<'a> Taken<'a> {
    fn new(idle: &'a Mutex<Vec<Box<dyn OwnedFile>>>) -> Self {
        Self { files: Vec::new(), idle, leave: None }
    }

    fn file(&mut self) -> &mut Box<dyn OwnedFile> {
        self.files.last_mut().expect("one has been taken")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.idle.lock().append(&mut self.files);
    }
}

fn not_synced(segment: SegmentId, why: &'static str) -> StoreError {
    StoreError::storage(format!("cannot sync segment {segment}"), std::io::Error::other(why))
}
