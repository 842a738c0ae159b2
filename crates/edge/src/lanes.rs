//! Lanes: the ingests of the store, lent to one upload at a time, for a turn.
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
/// How often the sessions of lanes are extended.
pub(crate) const BEAT: Duration = Duration::from_secs(30);
/// How old lanes become.
const AGE_MAX: Duration = Duration::from_secs(60);
/// Parked uploads that may wait for their end; with more, whoever gives one up ends it itself.
const GIVEN_UP_MAX: usize = 256;

/// The lanes of a store.
pub struct Lanes {
    store: Store,
    gate: Gate,
    idle: Mutex<Vec<Kept>>,
    /// Sessions of all lanes, and of uploads whose lane has ended.
    sessions: Mutex<Vec<PlainWeak<UploadSession>>>,
    /// Uploads whose clients went away while they were parked. To end one blocks. A leaf.
    given_up: Mutex<Vec<Parked>>,
    /// A lane older than this is not used again; nor is one whose ingest has failed.
    age_max: Duration,
}

struct Kept {
    ingest: Ingest,
    begun: Instant,
}

/// A place at a lane; not yet an ingest, because beginning one blocks.
pub(crate) struct Place {
    lanes: PlainArc<Lanes>,
    turn: Turn,
}

/// A lane in use. Goes back when dropped.
pub(crate) struct Lane {
    lanes: PlainArc<Lanes>,
    kept: Option<Kept>,
    /// After `kept` in time: whoever gets the turn finds the ingest.
    _turn: Turn,
}

/// A parked upload, which is given up when this is dropped. The drop does not block.
pub(crate) struct Waiting {
    lanes: PlainArc<Lanes>,
    parked: Option<Parked>,
}

impl Lanes {
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
    pub(crate) fn try_enter(self: &PlainArc<Self>) -> Option<Place> {
        Some(Place { turn: self.gate.try_enter()?, lanes: PlainArc::clone(self) })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Fault::Busy`].
    pub(crate) async fn enter(
        self: &PlainArc<Self>,
        share: &Share,
        size: Size,
    ) -> Result<Place, Fault> {
        Ok(Place { turn: self.gate.enter(share, size).await?, lanes: PlainArc::clone(self) })
    }

    /// Extends every session and ends lanes that have been idle for long. Blocks.
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

    /// Ends every idle lane, so that the store can close. Blocks.
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

    /// Whether a lane is not to be used again: it is old, or its ingest has failed for good and
    /// every upload in it would.
    fn is_spent(&self, kept: &Kept) -> bool {
        kept.begun.elapsed() > self.age_max || !kept.ingest.is_usable()
    }
}

impl Place {
    /// Takes an idle ingest or begins one. Blocks.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn open(self) -> Result<Lane, Fault> {
        let Self { lanes, turn } = self;
        let idle = lanes.idle.lock().pop();
        // An old one ends here; its session lives on while an upload needs it.
        let kept = match idle.filter(|kept| !lanes.is_spent(kept)) {
            Some(kept) => kept,
            None => {
                let ingest = lanes.store.ingest(LEASE_MS)?;
                let mut sessions = lanes.sessions.lock();
                sessions.retain(|session| session.strong_count() > 0);
                sessions.push(PlainArc::downgrade(ingest.session()));
                drop(sessions);
                Kept { ingest, begun: Instant::now() }
            }
        };
        Ok(Lane { lanes, kept: Some(kept), _turn: turn })
    }
}

impl Lane {
    pub(crate) fn ingest(&mut self) -> &mut Ingest {
        &mut self.kept.as_mut().expect("a lane has its ingest until it is dropped").ingest
    }

    /// The lanes that it is one of.
    pub(crate) fn lanes(&self) -> &PlainArc<Lanes> {
        &self.lanes
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.lanes.idle.lock().push(kept);
        }
    }
}

impl Waiting {
    pub(crate) fn new(lanes: &PlainArc<Lanes>, parked: Parked) -> Self {
        Self { lanes: PlainArc::clone(lanes), parked: Some(parked) }
    }

    /// It goes on.
    pub(crate) fn go_on(mut self) -> Parked {
        self.parked.take().expect("only this takes it, and consumes the value")
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(parked) = self.parked.take() else { return };
        parked.cancel();
        let mut given_up = self.lanes.given_up.lock();
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

    /// A folder, a store in it with a bucket, and its lanes.
    fn lanes() -> (LocalFolder, BucketName, Lanes) {
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
        (folder, bucket, Lanes::new(store, Gate::new("uploads", 2, 64, Duration::from_secs(60))))
    }

    #[tokio::test]
    async fn a_lane_whose_cutter_died_is_not_used_again() {
        let (_folder, bucket, lanes) = lanes();
        let lanes = PlainArc::new(lanes);
        let open = async || lanes.try_enter().unwrap().open().unwrap();
        let put = |lane: &mut Lane, name: &str| {
            let (key, bucket) = (Key::new(name).unwrap(), bucket.clone());
            let (meta, condition) = (ObjectMeta::default(), Condition::Always);
            lane.ingest().put_now(PutTarget { bucket, key, meta, condition }, &mut name.as_bytes())
        };
        let mut lane = open().await;
        put(&mut lane, "before").unwrap();
        let first = lane.ingest().session().id();
        lane.ingest().lose_cutter();
        put(&mut lane, "meanwhile").unwrap_err();
        drop(lane);
        let mut lane = open().await;
        put(&mut lane, "after").unwrap();
        assert_ne!(lane.ingest().session().id(), first);
        assert_eq!(alive(&lanes), 1, "a session of a lane that ended is still extended");
        // One that is idle for good ends with the next beat.
        lane.ingest().lose_cutter();
        drop(lane);
        lanes.beat();
        assert!(alive(&lanes) == 0 && lanes.idle.lock().is_empty());
    }

    #[test]
    fn a_lane_that_is_too_old_ends_after_its_commits() {
        let (_folder, bucket, mut lanes) = lanes();
        lanes.age_max = Duration::ZERO;
        let lanes = PlainArc::new(lanes);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let put = |number: usize| {
            let (lanes, bucket) = (PlainArc::clone(&lanes), bucket.clone());
            runtime.spawn(async move {
                let place = lanes.enter(&Share::default(), Size::Large).await.unwrap();
                let put = move || {
                    let mut lane = place.open().unwrap();
                    let mut writing = lane.ingest().begin(None);
                    writing.push(number.to_string().as_bytes()).unwrap();
                    let key = Key::new(number.to_string()).unwrap();
                    let (meta, condition) = (ObjectMeta::default(), Condition::Always);
                    let pending =
                        writing.finish(PutTarget { bucket, key, meta, condition }).unwrap();
                    lane.ingest().rest().unwrap();
                    drop(lane);
                    lanes.beat();
                    // Time for others to take the lane, find it too old and end it.
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
        lanes.close();
        assert_eq!(alive(&lanes), 0, "a session of a lane that ended is still extended");
    }

    /// Sessions that the next beat extends.
    fn alive(lanes: &Lanes) -> usize {
        lanes.sessions.lock().iter().filter(|session| session.strong_count() > 0).count()
    }

    #[tokio::test]
    async fn a_parked_upload_is_kept_alive_and_ends_when_it_is_given_up() {
        let (_folder, _bucket, mut lanes) = lanes();
        lanes.age_max = Duration::ZERO;
        let lanes = PlainArc::new(lanes);
        let mut lane = lanes.try_enter().unwrap().open().unwrap();
        let mut writing = lane.ingest().begin(None);
        writing.push(&[7; 5000]).unwrap();
        let (parked, tail) = writing.park().unwrap();
        assert_eq!(tail.unwrap().len(), 5000 - 4096);
        let waiting = Waiting::new(&lanes, parked);
        lane.ingest().rest().unwrap();
        drop(lane);
        // The lane is too old, so this ends it.
        lanes.beat();
        assert!(lanes.idle.lock().is_empty());
        assert_eq!(alive(&lanes), 1, "the session of a parked upload is not extended");
        drop(waiting);
        assert!(lanes.has_given_up());
        lanes.end_given_up();
        assert_eq!((alive(&lanes), lanes.has_given_up()), (0, false));
    }
}
