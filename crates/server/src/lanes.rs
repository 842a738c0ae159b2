//! Lanes: the ingests of the store, lent to one upload at a time.
//!
//! An ingest is expensive to begin (a session in the records, a thread) and cheap to use again, so it is kept for a while.
//! Not for long: its session's epoch holds a collect up.

use std::time::{Duration, Instant};

use drystone_store::{Ingest, SessionHandle, Store};
use drystone_sync::{Condvar, Mutex, PlainArc};

use crate::fault::Fault;
use crate::gate::Gate;
use crate::places::Permit;

/// How long a session lives without a heartbeat.
const LEASE_MS: u64 = 120_000;
/// How often the sessions of lanes are extended.
pub(crate) const BEAT: Duration = Duration::from_secs(30);
/// How old lanes become.
const AGE_MAX: Duration = Duration::from_secs(60);

/// The lanes of a store.
pub(crate) struct Lanes {
    store: Store,
    gate: Gate,
    idle: Mutex<Vec<Kept>>,
    /// Sessions of all lanes, idle or in use.
    sessions: Mutex<Vec<SessionHandle>>,
    /// A lane older than this is not used again; nor is one whose ingest has failed.
    age_max: Duration,
}

struct Kept {
    ingest: Ingest,
    begun: Instant,
    uncommitted: PlainArc<Uncommitted>,
}

/// How many objects of an ingest wait for their commit, for which its session must live.
#[derive(Default)]
struct Uncommitted {
    count: Mutex<usize>,
    none: Condvar,
}

impl Uncommitted {
    fn is_none(&self) -> bool {
        *self.count.lock() == 0
    }

    fn wait_for_none(&self) {
        let mut count = self.count.lock();
        while *count > 0 {
            count = self.none.wait(count);
        }
    }
}

/// Keeps a lane's session alive until an object is committed, although the lane is somebody else's by then.
pub(crate) struct Commit(PlainArc<Uncommitted>);

impl Drop for Commit {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.none.notify_all();
    }
}

/// A place at a lane; not yet an ingest, because beginning one blocks.
pub(crate) struct Place {
    lanes: PlainArc<Lanes>,
    permit: Permit,
}

/// A lane in use. Goes back when dropped.
pub(crate) struct Lane {
    lanes: PlainArc<Lanes>,
    kept: Option<Kept>,
    /// After `kept` in time: whoever gets the permit finds the ingest.
    _permit: Permit,
}

impl Lanes {
    pub(crate) fn new(store: Store, ceiling: usize, waiting_max: usize, patience: Duration) -> Self {
        Self {
            store,
            gate: Gate::new("uploads at a time", ceiling, waiting_max, patience),
            idle: Mutex::new(Vec::with_capacity(ceiling)),
            sessions: Mutex::new(Vec::new()),
            age_max: AGE_MAX,
        }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Fault::Busy`].
    pub(crate) async fn enter(self: &PlainArc<Self>) -> Result<Place, Fault> {
        Ok(Place { permit: self.gate.enter().await?, lanes: PlainArc::clone(self) })
    }

    /// Extends every lane's session and ends lanes that have been idle for long. Blocks.
    pub(crate) fn beat(&self) {
        let old: Vec<Kept> = {
            let mut idle = self.idle.lock();
            let (old, young) =
                idle.drain(..).partition(|kept| self.is_spent(kept) && kept.uncommitted.is_none());
            *idle = young;
            old
        };
        old.into_iter().for_each(|kept| self.end(kept));
        let sessions = self.sessions.lock().clone();
        for session in sessions {
            // An expired session is reported by the commit that it refuses.
            if let Err(error) = session.extend() {
                tracing::warn!(%error, "a session could not be extended");
            }
        }
    }

    /// Ends every idle lane, so that the store can close.
    pub(crate) fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        idle.into_iter().for_each(|kept| {
            kept.uncommitted.wait_for_none();
            self.end(kept);
        });
    }

    /// Whether a lane is not to be used again: it is old, or its ingest has failed for good and every upload in it would.
    fn is_spent(&self, kept: &Kept) -> bool {
        kept.begun.elapsed() > self.age_max || !kept.ingest.is_usable()
    }

    fn end(&self, kept: Kept) {
        let id = kept.ingest.session().id();
        drop(kept);
        self.sessions.lock().retain(|session| session.id() != id);
    }
}

impl Place {
    /// Takes an idle ingest or begins one. Blocks.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn open(self) -> Result<Lane, Fault> {
        let Self { lanes, permit } = self;
        let idle = lanes.idle.lock().pop();
        let idle = match idle {
            Some(old) if lanes.is_spent(&old) => {
                // Ending its session any earlier would refuse what is being committed.
                old.uncommitted.wait_for_none();
                lanes.end(old);
                None
            }
            idle => idle,
        };
        let kept = match idle {
            Some(kept) => kept,
            None => {
                let ingest = lanes.store.ingest(LEASE_MS)?;
                lanes.sessions.lock().push(ingest.session().handle());
                Kept { ingest, begun: Instant::now(), uncommitted: PlainArc::default() }
            }
        };
        Ok(Lane { lanes, kept: Some(kept), _permit: permit })
    }
}

impl Lane {
    pub(crate) fn ingest(&mut self) -> &mut Ingest {
        &mut self.kept.as_mut().expect("a lane has its ingest until it is dropped").ingest
    }

    /// To be held from before the lane is given back until the commit is known.
    pub(crate) fn commit(&self) -> Commit {
        let kept = self.kept.as_ref().expect("a lane has its ingest until it is dropped");
        *kept.uncommitted.count.lock() += 1;
        Commit(PlainArc::clone(&kept.uncommitted))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.lanes.idle.lock().push(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use drystone_store::{BucketName, Condition, Key, ObjectMeta, PutTarget, StoreConfig, SyncPolicy};
    use drystone_testkit::local::LocalFolder;

    use super::*;

    /// A folder, a store in it with a bucket, and its lanes.
    fn lanes() -> (LocalFolder, BucketName, Lanes) {
        let chunking = "fixed:4KiB".parse().unwrap();
        let folder = LocalFolder::new(chunking, SyncPolicy::Commit, 1 << 30);
        let local = folder.open_store();
        let config = StoreConfig {
            chunking,
            sync: SyncPolicy::Commit,
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
        (folder, bucket, Lanes::new(store, 2, 64, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn a_lane_whose_cutter_died_is_not_used_again() {
        let (_folder, bucket, lanes) = lanes();
        let lanes = PlainArc::new(lanes);
        let open = async || lanes.enter().await.unwrap().open().unwrap();
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
        assert_eq!(lanes.sessions.lock().len(), 1, "a session of a lane that ended is still extended");
        // One that is idle for good ends with the next beat.
        lane.ingest().lose_cutter();
        drop(lane);
        lanes.beat();
        assert!(lanes.sessions.lock().is_empty() && lanes.idle.lock().is_empty());
    }

    #[test]
    fn a_lane_that_is_too_old_ends_after_its_commits() {
        let (_folder, bucket, mut lanes) = lanes();
        lanes.age_max = Duration::ZERO;
        let lanes = PlainArc::new(lanes);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let put = |number: usize| {
            let (lanes, bucket) = (PlainArc::clone(&lanes), bucket.clone());
            runtime.spawn(async move {
                let place = lanes.enter().await.unwrap();
                let put = move || {
                    let mut lane = place.open().unwrap();
                    let mut writing = lane.ingest().begin(None);
                    writing.push(number.to_string().as_bytes()).unwrap();
                    let key = Key::new(number.to_string()).unwrap();
                    let (meta, condition) = (ObjectMeta::default(), Condition::Always);
                    let pending = writing.finish(PutTarget { bucket, key, meta, condition }).unwrap();
                    lane.ingest().rest().unwrap();
                    let commit = lane.commit();
                    drop(lane);
                    lanes.beat();
                    // Time for others to take the lane, find it too old and end it.
                    std::thread::sleep(Duration::from_millis(5));
                    let stored = pending.join();
                    drop(commit);
                    stored.map(|_| ())
                };
                tokio::task::spawn_blocking(put).await.unwrap()
            })
        };
        let puts: Vec<_> = (0..64).map(put).collect();
        for put in puts {
            runtime.block_on(put).unwrap().unwrap();
        }
        lanes.close();
        assert!(lanes.sessions.lock().is_empty(), "a session of a lane that ended is still extended");
    }
}
