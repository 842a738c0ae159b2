//! What every request shares: the store, and the ceilings in front of it.

use std::time::Duration;

use drystone_store::{Store, StoreError};
use drystone_sync::PlainArc;

use crate::ServerConfig;
use crate::access::Keys;
use crate::download::Held;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::lanes::Lanes;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests that may wait for one place.
const WAITING_PER_PLACE: usize = 8;

/// The store behind its gates.
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) lanes: PlainArc<Lanes>,
    /// Bodies that are sent or received at a time.
    pub(crate) transfers: Gate,
    /// Calls that only ask the records.
    pub(crate) calls: Gate,
    /// Requests whose body is a document, which has to be in memory to be understood.
    pub(crate) documents: Gate,
    pub(crate) held: Held,
    pub(crate) keys: Keys,
}

impl Engine {
    pub(crate) fn new(store: Store, config: &ServerConfig) -> Self {
        let waiting = config.transfers * WAITING_PER_PLACE;
        let lanes = Lanes::new(store.clone(), config.ingests, waiting, PATIENCE);
        Self {
            store,
            lanes: PlainArc::new(lanes),
            transfers: Gate::new("transfers at a time", config.transfers, waiting, PATIENCE),
            // Each connection has one request at a time, and these take microseconds: nobody need be turned away.
            calls: Gate::new("requests at a time", config.calls, config.connections, PATIENCE),
            documents: Gate::new("documents at a time", config.documents, waiting, PATIENCE),
            held: Held::default(),
            keys: Keys::default(),
        }
    }

    /// Runs a short call of the store on a thread that may block.
    pub(crate) async fn call<T: Send + 'static>(
        self: &PlainArc<Self>,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.calls.enter().await?;
        let store = self.store.clone();
        let called = tokio::task::spawn_blocking(move || {
            let _place = place;
            call(&store)
        });
        Ok(called.await??)
    }
}
