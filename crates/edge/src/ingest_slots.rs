//! Ingest slots: the ingests of the store, lent to one upload at a time, for a turn.
//!
//! An ingest is expensive to begin (a session in the records, a thread) and cheap to use again, so
//! it is kept for a while. Not for long: its session's epoch holds a collect up.

use std::time::{Duration, Instant};

use drystone_store::{Ingest, Parked, Store, UploadSession};
use drystone_sync::{Mutex, PlainArc, PlainWeak};

use crate::fault::Fault;
use crate::gate::{Gate, Share, Size, Turn};

/// How long a session lives without a heartbeat.
const LEASE_MS: u64 = 120_000;
/// How often the sessions of ingest slots are extended.
pub(crate) const BEAT: Duration = Duration::from_secs(30);
/// An ingest that is older is not lent again.
const AGE_MAX: Duration = Duration::from_secs(60);
/// Given-up uploads that may wait for their end. Above that, the request that gives one up ends it
/// itself.
const GIVEN_UP_MAX: usize = 256;

/// The ingest slots of a store.
pub struct IngestSlots {
    store: Store,
    gate: Gate,
    idle: Mutex<Vec<Kept>>,
    /// Sessions of all ingest slots, and of uploads whose ingest slot has ended.
    sessions: Mutex<Vec<PlainWeak<UploadSession>>>,
    /// Uploads whose clients went away while they were parked. To end one blocks. A leaf.
    given_up: Mutex<Vec<Parked>>,
    /// An ingest slot older than this is not used again; nor is one whose ingest has failed.
    age_max: Duration,
}

struct Kept {
    ingest: Ingest,
    begun: Instant,
}

/// A turn at an ingest slot. It has no ingest yet, because to begin one blocks.
pub(crate) struct SlotTurn {
    slots: PlainArc<IngestSlots>,
    turn: Turn,
}

/// An ingest slot in use. Goes back when dropped, which blocks.
pub(crate) struct IngestSlot {
    slots: PlainArc<IngestSlots>,
    kept: Option<Kept>,
    /// Dropped after `kept` has gone back: the upload that gets the turn next finds the ingest.
    _turn: Turn,
}

/// A parked upload, which is given up when this is dropped. The drop does not block.
pub(crate) struct ParkedUpload {
    slots: PlainArc<IngestSlots>,
    parked: Option<Parked>,
}

impl IngestSlots {
    pub(crate) fn new(store: Store, gate: Gate) -> Self {
        Self {
            store,
            idle: Mutex::new(Vec::with_capacity(gate.usage().ceiling)),
            gate,
            sessions: Mutex::new(Vec::new()),
            given_up: Mutex::new(Vec::new()),
            age_max: AGE_MAX,
        }
    }

    /// Where uploads wait for one.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// A place, if there is one and no upload waits for it.
    pub(crate) fn try_enter(self: &PlainArc<Self>) -> Option<SlotTurn> {
        Some(SlotTurn { turn: self.gate.try_enter()?, slots: PlainArc::clone(self) })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Fault::Busy`].
    pub(crate) async fn enter(
        self: &PlainArc<Self>,
        share: &Share,
        size: Size,
    ) -> Result<SlotTurn, Fault> {
        Ok(SlotTurn { turn: self.gate.enter(share, size).await?, slots: PlainArc::clone(self) })
    }

    /// Extends every session and ends ingest slots that have been idle for long. Blocks.
    pub fn beat(&self) {
        let old: Vec<Kept> = {
            let mut idle = self.idle.lock();
            let (old, young) = idle.drain(..).partition(|kept| self.is_spent(kept));
            *idle = young;
            old
        };
        drop(old);
        self.end_given_up();
        // Kept alive until here, outside the lock: the last user of a session ends it, which
        // blocks.
        let sessions: Vec<_> = {
            let mut sessions = self.sessions.lock();
            sessions.retain(|session| session.strong_count() > 0);
            sessions.iter().filter_map(PlainWeak::upgrade).collect()
        };
        for session in sessions {
            // An expired session is reported by the commit that it refuses.
            if let Err(error) = session.handle().extend() {
                tracing::warn!(%error, "a session could not be extended");
            }
        }
    }

    /// Ends every idle ingest slot, so that the store can close. Blocks.
    pub fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
        self.end_given_up();
    }

    /// Whether uploads were given up while they were parked.
    pub fn has_given_up(&self) -> bool {
        !self.given_up.lock().is_empty()
    }

    /// Takes back what uploads have left that were given up while they were parked. Blocks.
    pub fn end_given_up(&self) {
        let given_up = std::mem::take(&mut *self.given_up.lock());
        drop(given_up);
    }

    /// Whether an ingest slot is not to be used again: it is old, or its ingest has failed for good
    /// and every upload in it would.
    fn is_spent(&self, kept: &Kept) -> bool {
        kept.begun.elapsed() > self.age_max || !kept.ingest.is_usable()
    }
}

impl SlotTurn {
    /// Takes an idle ingest or begins one. Blocks.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn open(self) -> Result<IngestSlot, Fault> {
        let Self { slots, turn } = self;
        let idle = slots.idle.lock().pop();
        // An old one ends here; its session lives on while an upload needs it.
        let kept = match idle.filter(|kept| !slots.is_spent(kept)) {
            Some(kept) => kept,
            None => {
                let ingest = slots.store.ingest(LEASE_MS)?;
                let mut sessions = slots.sessions.lock();
                sessions.retain(|session| session.strong_count() > 0);
                sessions.push(PlainArc::downgrade(ingest.session()));
                drop(sessions);
                Kept { ingest, begun: Instant::now() }
            }
        };
        Ok(IngestSlot { slots, kept: Some(kept), _turn: turn })
    }
}

impl IngestSlot {
    pub(crate) fn ingest(&mut self) -> &mut Ingest {
        &mut self.kept.as_mut().expect("an ingest slot has its ingest until it is dropped").ingest
    }

    /// The ingest slots that it is one of.
    pub(crate) fn slots(&self) -> &PlainArc<IngestSlots> {
        &self.slots
    }
}

impl Drop for IngestSlot {
    fn drop(&mut self) {
        if let Some(mut kept) = self.kept.take() {
            // Also after an upload that broke off: a slot may be idle for long, and other uploads
            // and downloads want the buffer. An ingest that cannot pass on what it has is not used
            // again.
            let _ = kept.ingest.rest();
            self.slots.idle.lock().push(kept);
        }
    }
}

impl ParkedUpload {
    pub(crate) fn new(slots: &PlainArc<IngestSlots>, parked: Parked) -> Self {
        Self { slots: PlainArc::clone(slots), parked: Some(parked) }
    }

    /// It goes on.
    pub(crate) fn go_on(mut self) -> Parked {
        self.parked.take().expect("only this takes it, and consumes the value")
    }
}

impl Drop for ParkedUpload {
    fn drop(&mut self) {
        let Some(parked) = self.parked.take() else { return };
        parked.cancel();
        let mut given_up = self.slots.given_up.lock();
        if given_up.len() < GIVEN_UP_MAX {
            given_up.push(parked);
        }
    }
}

#[cfg(test)]
mod tests {
    use drystone_store::{
        BucketName, Condition, Key, ObjectMeta, PutTarget, StoreConfig, SyncPolicy,
    };
    use drystone_testkit::local::LocalFolder;

    use super::*;

    /// A folder, a store in it with a bucket, and its ingest slots.
    fn slots() -> (LocalFolder, BucketName, IngestSlots) {
        let chunking = "fixed:4KiB".parse().unwrap();
        let folder = LocalFolder::new(chunking, SyncPolicy::Commit, 1 << 30);
        let local = folder.open_store();
        let config = StoreConfig {
            chunking,
            workers: 2,
            buffers: 6,
            ingests: 2,
            buffer_bytes: 64 << 10,
            read_ahead_max: 2,
            commit_queue_bytes: 1 << 20,
        };
        let store = Store::new(local.records, local.segments, config).unwrap();
        let bucket = BucketName::new("bucket").unwrap();
        store.create_bucket(&bucket).unwrap();
        (
            folder,
            bucket,
            IngestSlots::new(store, Gate::new("uploads", 2, 64, Duration::from_secs(60))),
        )
    }

    #[tokio::test]
    async fn an_ingest_slot_whose_cutter_died_is_not_used_again() {
        let (_folder, bucket, slots) = slots();
        let slots = PlainArc::new(slots);
        let open = async || slots.try_enter().unwrap().open().unwrap();
        let put = |slot: &mut IngestSlot, name: &str| {
            let (key, bucket) = (Key::new(name).unwrap(), bucket.clone());
            let (meta, condition) = (ObjectMeta::default(), Condition::Always);
            slot.ingest().put_now(PutTarget { bucket, key, meta, condition }, &mut name.as_bytes())
        };
        let mut slot = open().await;
        put(&mut slot, "before").unwrap();
        let first = slot.ingest().session().id();
        slot.ingest().lose_cutter();
        put(&mut slot, "meanwhile").unwrap_err();
        drop(slot);
        let mut slot = open().await;
        put(&mut slot, "after").unwrap();
        assert_ne!(slot.ingest().session().id(), first);
        assert_eq!(alive(&slots), 1, "a session of an ingest slot that ended is still extended");
        // One that is idle for good ends with the next beat.
        slot.ingest().lose_cutter();
        drop(slot);
        slots.beat();
        assert!(alive(&slots) == 0 && slots.idle.lock().is_empty());
    }

    #[tokio::test]
    async fn an_ingest_slot_is_idle_without_a_buffer_when_its_upload_breaks_off() {
        let (_folder, _bucket, slots) = slots();
        let slots = PlainArc::new(slots);
        let mut slot = slots.try_enter().unwrap().open().unwrap();
        slot.ingest().begin(None).push(&[7; 5000]).unwrap();
        drop(slot);
        // Its cutter has to come to the end of the upload.
        let deadline = Instant::now() + Duration::from_secs(10);
        while slots.store.usage().buffers.now > 0 {
            assert!(Instant::now() < deadline, "an idle ingest slot holds a buffer");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_ingest_slot_that_is_too_old_ends_after_its_commits() {
        let (_folder, bucket, mut slots) = slots();
        slots.age_max = Duration::ZERO;
        let slots = PlainArc::new(slots);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let put = |number: usize| {
            let (slots, bucket) = (PlainArc::clone(&slots), bucket.clone());
            runtime.spawn(async move {
                let place = slots.enter(&Share::default(), Size::Large).await.unwrap();
                let put = move || {
                    let mut slot = place.open().unwrap();
                    let mut writing = slot.ingest().begin(None);
                    writing.push(number.to_string().as_bytes()).unwrap();
                    let key = Key::new(number.to_string()).unwrap();
                    let (meta, condition) = (ObjectMeta::default(), Condition::Always);
                    let pending =
                        writing.finish(PutTarget { bucket, key, meta, condition }).unwrap();
                    slot.ingest().rest().unwrap();
                    drop(slot);
                    slots.beat();
                    // Time for others to take the ingest slot, find it too old and end it.
                    std::thread::sleep(Duration::from_millis(5));
                    pending.join().map(|_| ())
                };
                tokio::task::spawn_blocking(put).await.unwrap()
            })
        };
        let puts: Vec<_> = (0..64).map(put).collect();
        for put in puts {
            runtime.block_on(put).unwrap().unwrap();
        }
        slots.close();
        assert_eq!(alive(&slots), 0, "a session of an ingest slot that ended is still extended");
    }

    /// Sessions that the next beat extends.
    fn alive(slots: &IngestSlots) -> usize {
        slots.sessions.lock().iter().filter(|session| session.strong_count() > 0).count()
    }

    #[tokio::test]
    async fn a_parked_upload_is_kept_alive_and_ends_when_it_is_given_up() {
        let (_folder, _bucket, mut slots) = slots();
        slots.age_max = Duration::ZERO;
        let slots = PlainArc::new(slots);
        let mut slot = slots.try_enter().unwrap().open().unwrap();
        let mut writing = slot.ingest().begin(None);
        writing.push(&[7; 5000]).unwrap();
        let (parked, tail) = writing.park().unwrap();
        assert_eq!(tail.unwrap().len(), 5000 - 4096);
        let waiting = ParkedUpload::new(&slots, parked);
        slot.ingest().rest().unwrap();
        drop(slot);
        // The ingest slot is too old, so this ends it.
        slots.beat();
        assert!(slots.idle.lock().is_empty());
        assert_eq!(alive(&slots), 1, "the session of a parked upload is not extended");
        drop(waiting);
        assert!(slots.has_given_up());
        slots.end_given_up();
        assert_eq!((alive(&slots), slots.has_given_up()), (0, false));
    }
}
