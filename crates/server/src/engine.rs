//! What every request shares: the store, and the ceilings in front of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use drystone_edge::gate::Gate as FairGate;
use drystone_edge::spool::Spool;
use drystone_limits::{Plan, constants};
use drystone_pool::WorkerPool;
use drystone_store::{Store, StoreError};
use drystone_sync::{Mutex, PlainArc};
use tokio::sync::oneshot;

use crate::access::Keys;
use crate::crowd::Crowd;
use crate::deadlines::SharedDeadlines;
use crate::download::Held;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::lanes::Lanes;
use crate::places::Places;
use crate::s3::FIELDS_MAX;
use crate::width::Wide;
use crate::{Deadlines, ServerConfig};

/// Requests that may wait for one place.
const WAITING_PER_PLACE: usize = 8;
/// Calls that are let through for each thread that runs them: so that a thread finds the next one
/// when it has ended one.
const CALLS_PER_THREAD: usize = 4;

/// The store behind its gates.
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) lanes: PlainArc<Lanes>,
    /// Uploads that have a lane or wait for their commit, and forms that are read: each has a
    /// thread, or memory.
    pub(crate) transfers: Gate,
    /// Forms of which is not known yet who has signed them. Anybody may send one, so they get some
    /// of the transfers only.
    pub(crate) forms: Gate,
    /// Whoever may have to give his connection to others.
    pub(crate) crowd: PlainArc<Crowd>,
    /// Connections that read much at a time.
    pub(crate) wide: PlainArc<Wide>,
    /// Calls that only ask the records, or read a few bytes.
    pub(crate) calls: Gate,
    /// Where these run. Not the runtime's threads: it wakes one of those for every call, here
    /// whoever is awake goes on with the next.
    callers: WorkerPool,
    /// One for each transfer. Not the runtime's threads: it starts another where the last one has
    /// ended its job and does not wait yet for the next, so that there can be two for each.
    carriers: WorkerPool,
    /// Requests whose body or answer is a document, which has to be in memory to be understood or
    /// made.
    pub(crate) documents: FairGate,
    /// Where documents are understood and made. Not the event loops: one takes a processor for up
    /// to a fifth of a second, and they have others to serve.
    makers: WorkerPool,
    /// Where bytes wait for clients.
    pub(crate) spool: PlainArc<Spool>,
    /// Zip archives under way.
    pub(crate) zips: Gate,
    pub(crate) held: Held,
    /// Downloads that have buffers at a time.
    pub(crate) reads: FairGate,
    /// Answers that leave in large pieces.
    pub(crate) large: PlainArc<Places>,
    /// Buffers whose bytes may be in the hands of a connection, which cannot be asked to give them
    /// back.
    pub(crate) loans: PlainArc<Places>,
    pub(crate) keys: Keys,
    pub(crate) deadlines: PlainArc<SharedDeadlines>,
    /// What holds now, with where it comes from. A leaf, held for a copy of the pointer.
    plan: Mutex<PlainArc<Plan>>,
}

/// Jobs of transfers that wait for a thread: one for each, and one for each thread that is to end.
/// So nobody waits to queue one.
const JOBS_MAX: usize = 2 * constants::TRANSFERS_MAX as usize;

/// One of so many transfers may be that of a form whose signature is not known yet.
const FORMS_SHARE: usize = 4;
/// Forms that may wait for one such place.
const FORMS_WAITING: usize = 8;

/// One of so many buffers may be lent to connections.
const LOANS_SHARE: usize = 4;

/// As many downloads at a time as buffers that no upload can take.
fn reads(store: &Store) -> usize {
    let usage = store.usage();
    usage.buffers.ceiling.saturating_sub(2 * usage.ingests.ceiling).max(1)
}

fn form_places(transfers: usize) -> usize {
    (transfers / FORMS_SHARE).max(1)
}

impl Engine {
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn new(store: Store, config: &ServerConfig) -> io::Result<Self> {
        let waiting = config.transfers * WAITING_PER_PLACE;
        let patience = config.deadlines.turn;
        // Each connection has one upload at a time, and one that waits holds nothing: so none need
        // be turned away.
        let lanes = Lanes::new(store.clone(), config.ingests, config.connections, patience);
        let calls = config.calls * CALLS_PER_THREAD;
        let loans = (store.usage().buffers.ceiling / LOANS_SHARE).max(1);
        Ok(Self {
            lanes: PlainArc::new(lanes),
            transfers: Gate::new("transfers at a time", config.transfers, waiting, patience),
            forms: Gate::new(
                "forms at a time",
                form_places(config.transfers),
                FORMS_WAITING * form_places(config.transfers),
                FIELDS_MAX,
            ),
            crowd: PlainArc::default(),
            wide: Wide::new(config.transfers),
            // Each connection has one request at a time, and these take microseconds: nobody need
            // be turned away.
            calls: Gate::new("requests at a time", calls, config.connections, patience),
            callers: WorkerPool::new("drystone-call", config.calls, calls)?,
            carriers: WorkerPool::new("drystone-carry", config.transfers, JOBS_MAX)?,
            documents: FairGate::new(
                "documents at a time",
                config.documents,
                config.connections,
                patience,
            ),
            makers: WorkerPool::new("drystone-document", config.documents, config.documents)?,
            spool: Spool::new(&config.spool, config.plan.spool_slot_bytes),
            zips: Gate::new("zip archives at a time", constants::ZIPS as usize, waiting, patience),
            held: Held::default(),
            reads: FairGate::new(
                "downloads at a time",
                reads(&store),
                config.connections,
                patience,
            ),
            large: Places::new(config.transfers),
            loans: Places::new(loans),
            keys: Keys::default(),
            deadlines: PlainArc::new(SharedDeadlines::new(config.deadlines)),
            plan: Mutex::new(PlainArc::new(config.plan.clone())),
            store,
        })
    }

    /// What holds now.
    pub(crate) fn plan(&self) -> PlainArc<Plan> {
        PlainArc::clone(&self.plan.lock())
    }

    /// Other ceilings for whoever comes from now on. What the store has taken is not among them:
    /// `ingests` and `documents` stay what they were.
    ///
    /// # Errors
    /// When what is under way does not fit beside what is new, or a thread cannot be started: then
    /// everything is as it was.
    pub(crate) fn change(
        &self,
        connections: &Places,
        plan: Plan,
        deadlines: Deadlines,
    ) -> Result<(), ChangeError> {
        let before = self.plan();
        let set = |connections_max: usize, transfers_max: usize| {
            connections.resize(connections_max);
            self.transfers.resize(transfers_max);
            self.large.resize(transfers_max);
            self.wide.resize(transfers_max);
        };
        // Nobody new gets in where a ceiling is lowered, so what is counted now is the most that
        // there will be.
        set(before.connections.min(plan.connections), before.transfers.min(plan.transfers));
        let connected = connections.usage().now;
        let carried = self
            .transfers
            .usage()
            .places
            .now
            .max(self.wide.usage().now)
            .max(self.large.usage().now);
        if !plan.has_room_for(plan.connections.max(connected), plan.transfers.max(carried)) {
            set(before.connections, before.transfers);
            return Err(ChangeError::UnderWay { connections: connected, transfers: carried });
        }
        if let Err(error) = self.carriers.resize(plan.transfers) {
            set(before.connections, before.transfers);
            // Fewer, or as many as there are.
            let _ = self.carriers.resize(before.transfers);
            return Err(ChangeError::Threads(error));
        }
        connections.resize(plan.connections);
        self.wide.resize(plan.transfers);
        self.large.resize(plan.transfers);
        let (waiting, patience) = (plan.transfers * WAITING_PER_PLACE, deadlines.turn);
        self.deadlines.set(deadlines);
        self.transfers.change(plan.transfers, waiting, patience);
        self.reads.change(self.reads.usage().ceiling, plan.connections, patience);
        let forms = form_places(plan.transfers);
        self.forms.change(forms, FORMS_WAITING * forms, FIELDS_MAX);
        let ceiling = |gate: &Gate| gate.usage().places.ceiling;
        self.calls.change(ceiling(&self.calls), plan.connections, patience);
        self.documents.change(self.documents.usage().ceiling, plan.connections, patience);
        self.zips.change(ceiling(&self.zips), waiting, patience);
        let lanes = self.lanes.gate();
        lanes.change(lanes.usage().ceiling, plan.connections, patience);
        *self.plan.lock() = PlainArc::new(plan);
        Ok(())
    }

    /// Ends the threads when they have nothing left to do, and the lanes. Blocks.
    pub(crate) fn close(&self) {
        self.carriers.shutdown();
        self.lanes.close();
        self.makers.shutdown();
        self.callers.shutdown();
    }

    /// Whether every buffer is taken.
    pub(crate) fn has_no_buffer(&self) -> bool {
        let buffers = self.store.usage().buffers;
        buffers.now >= buffers.ceiling
    }

    /// Before a buffer is waited for: has it taken from downloads that do not use theirs.
    pub(crate) fn want_buffers(&self) {
        if self.has_no_buffer() {
            self.reads.want();
        }
    }

    /// Runs what belongs to a transfer, and may block for long, on one of their threads. The job
    /// must hold the transfer's place.
    pub(crate) fn block<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Blocked<T> {
        let (tell, told) = oneshot::channel();
        // Refused only by a pool that is shut down, which is when nobody has the engine any more.
        let _ = self.carriers.submit(move || {
            // Nobody listens any more where the client has gone.
            let _ = tell.send(job());
        });
        Blocked(told)
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
        Ok(Blocked(told).await?)
    }

    /// Runs a short call of the store on a thread that may block.
    pub(crate) async fn call<T: Send + 'static>(
        self: &PlainArc<Self>,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.store.clone();
        Ok(self.run(move || call(&store)).await??)
    }

    /// Runs a short job on a thread that may block.
    pub(crate) async fn run<T: Send + 'static>(
        self: &PlainArc<Self>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.calls.enter().await?;
        let (tell, told) = oneshot::channel();
        // As long as the gate lets through: never full, so the event loop does not wait here.
        let submitted = self.callers.submit(move || {
            let done = job();
            drop(place);
            // Nobody listens any more where the client has gone.
            let _ = tell.send(done);
        });
        submitted.map_err(|_| StoreError::Closed)?;
        // A job that panicked tells nothing; the pool has contained it.
        told.await.map_err(|_| {
            tracing::error!("a call of the store panicked");
            Fault::Internal
        })
    }
}

/// Why a running server could not be given other ceilings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// A ceiling was to be raised while what another, lowered one allowed is still under way.
    #[error(
        "{connections} connections and {transfers} transfers are under way, and do not fit beside the ceiling that is raised: \
         lower the other one first, and raise this one with another reload when they have ended"
    )]
    UnderWay {
        /// Connections at the moment.
        connections: usize,
        /// Bodies on their way at the moment.
        transfers: usize,
    },
    /// The system has no more threads.
    #[error("a thread for the transfers cannot be started")]
    Threads(#[source] io::Error),
}

/// What a thread is doing for a transfer.
pub(crate) struct Blocked<T>(oneshot::Receiver<T>);

/// A job panicked; the pool has contained it.
#[derive(Debug, thiserror::Error)]
#[error("a thread of the server panicked")]
pub(crate) struct Panicked;

impl From<Panicked> for Fault {
    fn from(error: Panicked) -> Self {
        tracing::error!(%error, "a request failed");
        Self::Internal
    }
}

impl<T> Future for Blocked<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|_| Panicked)
    }
}
