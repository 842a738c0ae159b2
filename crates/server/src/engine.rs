//! What every request shares: the store, and the ceilings in front of it.

use std::io;

use drystone_limits::Plan;
use drystone_pool::WorkerPool;
use drystone_store::{Store, StoreError};
use drystone_sync::{Mutex, PlainArc};
use tokio::sync::oneshot;

use crate::access::Keys;
use crate::connection::Evictable;
use crate::deadlines::SharedDeadlines;
use crate::download::Held;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::lanes::Lanes;
use crate::s3::FIELDS_MAX;
use crate::{Deadlines, ServerConfig};

/// Requests that may wait for one place.
const WAITING_PER_PLACE: usize = 8;
/// Calls that are let through for each thread that runs them: so that a thread finds the next one when it has ended one.
const CALLS_PER_THREAD: usize = 4;

/// The store behind its gates.
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) lanes: PlainArc<Lanes>,
    /// Bodies that are sent or received at a time.
    pub(crate) transfers: Gate,
    /// Uploads of clients that send little, which get half of the transfers at most.
    pub(crate) slow_uploads: Gate,
    /// Forms of which is not known yet who has signed them. Anybody may send one, so they get some of the transfers only.
    pub(crate) forms: Gate,
    /// Of these, and of those who have not sent enough yet to be given a place.
    pub(crate) slow: Evictable,
    /// Calls that only ask the records, or read a few bytes.
    pub(crate) calls: Gate,
    /// Where these run. Not the runtime's threads: it wakes one of those for every call, here whoever is awake goes on with the next.
    callers: WorkerPool,
    /// Requests whose body is a document, which has to be in memory to be understood.
    pub(crate) documents: Gate,
    pub(crate) held: Held,
    pub(crate) keys: Keys,
    pub(crate) deadlines: PlainArc<SharedDeadlines>,
    /// What holds now, with where it comes from. A leaf, held for a copy of the pointer.
    plan: Mutex<PlainArc<Plan>>,
}

/// One of so many transfers may be that of a form whose signature is not known yet.
const FORMS_SHARE: usize = 4;
/// Forms that may wait for one such place.
const FORMS_WAITING: usize = 8;

fn form_places(transfers: usize) -> usize {
    (transfers / FORMS_SHARE).max(1)
}

fn slow_places(transfers: usize) -> usize {
    (transfers / 2).max(1)
}

impl Engine {
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn new(store: Store, config: &ServerConfig) -> io::Result<Self> {
        let waiting = config.transfers * WAITING_PER_PLACE;
        let patience = config.deadlines.turn;
        let lanes = Lanes::new(store.clone(), config.ingests, waiting, patience);
        let calls = config.calls * CALLS_PER_THREAD;
        Ok(Self {
            store,
            lanes: PlainArc::new(lanes),
            transfers: Gate::new("transfers at a time", config.transfers, waiting, patience),
            forms: Gate::new(
                "forms at a time",
                form_places(config.transfers),
                FORMS_WAITING * form_places(config.transfers),
                FIELDS_MAX,
            ),
            slow_uploads: Gate::new(
                "uploads of slow clients",
                slow_places(config.transfers),
                config.connections,
                patience,
            ),
            slow: Evictable::default(),
            // Each connection has one request at a time, and these take microseconds: nobody need be turned away.
            calls: Gate::new("requests at a time", calls, config.connections, patience),
            callers: WorkerPool::new("drystone-call", config.calls, calls)?,
            documents: Gate::new("documents at a time", config.documents, waiting, patience),
            held: Held::default(),
            keys: Keys::default(),
            deadlines: PlainArc::new(SharedDeadlines::new(config.deadlines)),
            plan: Mutex::new(PlainArc::new(config.plan.clone())),
        })
    }

    /// What holds now.
    pub(crate) fn plan(&self) -> PlainArc<Plan> {
        PlainArc::clone(&self.plan.lock())
    }

    /// Other ceilings for whoever comes from now on. What the store has taken is not among them: `ingests` and `documents`
    /// stay what they were.
    pub(crate) fn change(&self, plan: Plan, deadlines: Deadlines) {
        let (waiting, patience) = (plan.transfers * WAITING_PER_PLACE, deadlines.turn);
        self.deadlines.set(deadlines);
        self.transfers.change(plan.transfers, waiting, patience);
        let forms = form_places(plan.transfers);
        self.forms.change(forms, FORMS_WAITING * forms, FIELDS_MAX);
        self.slow_uploads.change(slow_places(plan.transfers), plan.connections, patience);
        let ceiling = |gate: &Gate| gate.usage().places.ceiling;
        self.calls.change(ceiling(&self.calls), plan.connections, patience);
        self.documents.change(ceiling(&self.documents), waiting, patience);
        self.lanes.gate().change(ceiling(self.lanes.gate()), waiting, patience);
        *self.plan.lock() = PlainArc::new(plan);
    }

    /// Runs a short call of the store on a thread that may block.
    pub(crate) async fn call<T: Send + 'static>(
        self: &PlainArc<Self>,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.calls.enter().await?;
        let store = self.store.clone();
        let (tell, told) = oneshot::channel();
        // As long as the gate lets through: never full, so the event loop does not wait here.
        let submitted = self.callers.submit(move || {
            let called = call(&store);
            drop((store, place));
            // Nobody listens any more where the client has gone.
            let _ = tell.send(called);
        });
        submitted.map_err(|_| StoreError::Closed)?;
        // A call that panicked tells nothing; the pool has contained it.
        let called = told.await.map_err(|_| {
            tracing::error!("a call of the store panicked");
            Fault::Internal
        });
        Ok(called??)
    }
}
