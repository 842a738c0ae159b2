//! What every request shares, as far as an upload needs it.

use drystone_store::Store;
use drystone_sync::PlainArc;

use crate::connection::Evictable;
use crate::deadlines::SharedDeadlines;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::lanes::Lanes;

/// Requests that may wait for one place.
const WAITING_MAX: usize = 4;

/// See the server's.
pub(crate) struct Engine {
    pub(crate) lanes: PlainArc<Lanes>,
    pub(crate) transfers: Gate,
    pub(crate) slow_uploads: Gate,
    pub(crate) slow: Evictable,
    pub(crate) deadlines: SharedDeadlines,
}

impl Engine {
    /// A task of shuttle's for each.
    pub(crate) fn block<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        tokio::task::spawn_blocking(job)
    }

    pub(crate) fn new(store: Store, ingests: usize, transfers: usize) -> PlainArc<Self> {
        let deadlines = SharedDeadlines::default();
        let patience = deadlines.get().turn;
        PlainArc::new(Self {
            lanes: PlainArc::new(Lanes::new(store, ingests, WAITING_MAX, patience)),
            transfers: Gate::new("transfers at a time", transfers, WAITING_MAX, patience),
            slow_uploads: Gate::new("uploads of slow clients", 1, WAITING_MAX, patience),
            slow: Evictable::default(),
            deadlines,
        })
    }
}

impl From<tokio::task::JoinError> for Fault {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Internal
    }
}
