//! What every request of the server shares: the edge, the keys, and the plan.

use std::io;

use drystone_edge::{Ceilings, ChangeError, Deadlines, Edge, EdgeConfig};
use drystone_limits::{Plan, constants};
use drystone_store::Store;
use drystone_sync::{Mutex, PlainArc};

use crate::ServerConfig;
use crate::access::Keys;
use crate::s3::FIELDS_MAX;

/// The store behind its edge, and who may use it.
pub(crate) struct Engine {
    pub(crate) edge: PlainArc<Edge>,
    pub(crate) keys: Keys,
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
            form_patience: FIELDS_MAX,
            spool: PlainArc::clone(&config.spool),
            spool_slot_bytes: config.plan.spool_slot_bytes,
            deadlines: config.deadlines,
        };
        Ok(Self {
            edge: PlainArc::new(Edge::new(store, &edge)?),
            keys: Keys::default(),
            plan: Mutex::new(PlainArc::new(config.plan.clone())),
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
