//! What every request of the server shares: the edge, the keys, and the plan.

use std::io;
use std::time::Duration;

use drystone_edge::{Ceilings, ChangeError, Deadlines, Edge, EdgeConfig, Fault};
use drystone_limits::{Plan, constants};
use drystone_pool::WorkerPool;
use drystone_store::{Store, StoreError};
use drystone_sync::{Mutex, PlainArc};
use tokio::sync::oneshot;

use crate::ServerConfig;
use crate::keys::Keys;

/// The fields of a form that come before its file must be here in this time. A form holds its turn
/// for as long.
pub(crate) const FORM_FIELDS_MAX: Duration = Duration::from_secs(15);

/// The store behind its edge, and who may use it.
pub(crate) struct Engine {
    pub(crate) edge: PlainArc<Edge>,
    pub(crate) keys: Keys,
    /// Where documents are understood and made. Not the event loops: one takes a processor for up
    /// to a fifth of a second, and they have others to serve.
    makers: WorkerPool,
    /// What holds now, with where it comes from. A leaf, held for a copy of the pointer.
    plan: Mutex<PlainArc<Plan>>,
}

impl Engine {
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn new(store: Store, config: &ServerConfig) -> io::Result<Self> {
        let edge = EdgeConfig {
            connections: config.connections,
            transfers: config.transfers,
            transfers_max: constants::TRANSFERS_MAX as usize,
            ingests: config.ingests,
            calls: config.calls,
            documents: config.documents,
            transfers_per_form: constants::TRANSFERS_PER_FORM as usize,
            archives: constants::ARCHIVES as usize,
            form_patience: FORM_FIELDS_MAX,
            spool: PlainArc::clone(&config.spool),
            spool_slot_bytes: config.plan.spool_slot_bytes,
            deadlines: config.deadlines,
            give_back: config.give_back,
        };
        Ok(Self {
            edge: PlainArc::new(Edge::new(store, &edge)?),
            keys: Keys::default(),
            makers: WorkerPool::new("drystone-document", config.documents, config.documents)?,
            plan: Mutex::new(PlainArc::new(config.plan.clone())),
        })
    }

    /// Ends the threads when they have nothing left to do. Blocks.
    pub(crate) fn close(&self) {
        self.makers.shutdown();
        self.edge.close();
    }

    /// Runs what understands or makes a document on a thread of its own. `make` has the turn of
    /// that document, so there is a thread. Dropping the future ends it where it waits next.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        make: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Fault> {
        let (mut tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let submitted = self.makers.submit(move || {
            runtime.block_on(async move {
                let made = tokio::select! {
                    biased;
                    () = tell.closed() => return,
                    made = make => made,
                };
                // The client may have gone at this very moment.
                let _ = tell.send(made);
            });
        });
        submitted.map_err(|_| StoreError::Closed)?;
        told.await.map_err(|_| {
            tracing::error!("what makes a document panicked");
            Fault::Internal
        })
    }

    /// What holds now.
    pub(crate) fn plan(&self) -> PlainArc<Plan> {
        PlainArc::clone(&self.plan.lock())
    }

    /// Another plan for what comes from now on.
    ///
    /// # Errors
    /// The edge's.
    pub(crate) fn change(&self, plan: Plan, deadlines: Deadlines) -> Result<(), ChangeError> {
        let ceilings =
            |plan: &Plan| Ceilings { connections: plan.connections, transfers: plan.transfers };
        let before = ceilings(&self.plan());
        let has_room = |most: Ceilings| plan.has_room_for(most.connections, most.transfers);
        self.edge.change(before, ceilings(&plan), deadlines, has_room)?;
        *self.plan.lock() = PlainArc::new(plan);
        Ok(())
    }
}
