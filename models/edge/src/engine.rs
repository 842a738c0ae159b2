//! What every request shares, as far as uploads and downloads need it.

use drystone_edge::gate::Gate as FairGate;
use drystone_edge::spool::Spool;
use drystone_store::{Store, StoreError};
use drystone_sync::PlainArc;

use crate::crowd::Crowd;
use crate::deadlines::SharedDeadlines;
use crate::download::Held;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::lanes::Lanes;
use crate::places::Places;

/// Requests that may wait for one place.
const WAITING_MAX: usize = 4;
/// Two of the rig's buffers.
const SLOT_BYTES: u64 = 1200 << 10;

/// See the server's.
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) lanes: PlainArc<Lanes>,
    pub(crate) transfers: Gate,
    pub(crate) crowd: PlainArc<Crowd>,
    pub(crate) spool: PlainArc<Spool>,
    pub(crate) held: Held,
    pub(crate) reads: FairGate,
    pub(crate) large: PlainArc<Places>,
    pub(crate) loans: PlainArc<Places>,
    pub(crate) deadlines: SharedDeadlines,
}

/// What is done on a thread that may block.
pub(crate) type Blocked<T> = tokio::task::JoinHandle<T>;

impl Engine {
    /// A task of shuttle's for each.
    pub(crate) fn block<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Blocked<T> {
        tokio::task::spawn_blocking(job)
    }

    /// The same for a short call of the store.
    pub(crate) async fn call<T: Send + 'static>(
        self: &PlainArc<Self>,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.store.clone();
        Ok(self.run(move || call(&store)).await??)
    }

    /// The same for any short job.
    pub(crate) async fn run<T: Send + 'static>(
        self: &PlainArc<Self>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        Ok(self.block(job).await?)
    }

    /// Here the scenarios sweep.
    pub(crate) fn want_buffers(&self) {}

    pub(crate) fn new(store: Store, ingests: usize, transfers: usize) -> PlainArc<Self> {
        let deadlines = SharedDeadlines::default();
        let patience = deadlines.get().turn;
        let spool = tempfile::tempfile().expect("a file can be made");
        PlainArc::new(Self {
            store: store.clone(),
            lanes: PlainArc::new(Lanes::new(store, ingests, WAITING_MAX, patience)),
            transfers: Gate::new("transfers at a time", transfers, WAITING_MAX, patience),
            crowd: PlainArc::default(),
            spool: Spool::new(&PlainArc::new(spool), SLOT_BYTES),
            held: Held::default(),
            reads: FairGate::new("downloads at a time", transfers, WAITING_MAX, patience),
            large: Places::new(transfers),
            loans: Places::new(1),
            deadlines,
        })
    }
}

impl From<tokio::task::JoinError> for Fault {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Internal
    }
}
