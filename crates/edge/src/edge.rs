//! What every request shares: the store, and the ceilings in front of it.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use drystone_pool::WorkerPool;
use drystone_store::{Store, StoreError};
use drystone_sync::PlainArc;
use tokio::sync::oneshot;

use crate::admission::Admission;
use crate::connection::Connection;
use crate::deadlines::{Deadlines, SharedDeadlines};
use crate::download::Held;
use crate::fault::Fault;
use crate::gate::{Gate, Share, Size};
use crate::ingest_slots::IngestSlots;
use crate::read_size::Wide;
use crate::semaphore::ResizableSemaphore;
use crate::spool::Spool;

/// Requests that may wait for one place.
const WAITING_PER_PLACE: usize = 8;
/// Calls that are let through for each thread that runs them: so that a thread finds the next one
/// when it has ended one.
const CALLS_PER_THREAD: usize = 4;
/// Forms that may wait for one such place.
const FORMS_WAITING: usize = 8;
/// One buffer of this many may be lent to connections.
const LOANS_SHARE: usize = 4;

/// What an edge may use, beside what its store uses.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Connections at a time.
    pub connections: usize,
    /// Bodies that are sent or received at a time with a thread, or with large pieces.
    pub transfers: usize,
    /// The most that [`transfers`](Self::transfers) may be raised to.
    pub transfers_max: usize,
    /// Uploads that have buffers at a time: the store's ingests.
    pub ingests: usize,
    /// Threads for requests without a body.
    pub calls: usize,
    /// Documents and long answers in memory at a time.
    pub documents: usize,
    /// One of so many transfers may be that of a form whose signature is not known yet.
    pub transfers_per_form: usize,
    /// Archives that look up their files at a time.
    pub archives: usize,
    /// How long a form may wait for its turn.
    pub form_patience: Duration,
    /// Where bytes wait for clients: a file without a name, on a disk.
    pub spool: PlainArc<File>,
    /// The most that one request may have in it.
    pub spool_slot_bytes: u64,
    /// How long is waited for what.
    pub deadlines: Deadlines,
    /// Gives free memory back to the system. The edge calls this about each two seconds while no
    /// buffer is in use, on a thread for calls.
    pub give_back: fn(),
}

/// The ceilings that can be changed while the edge runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// See [`EdgeConfig::connections`].
    pub connections: usize,
    /// See [`EdgeConfig::transfers`].
    pub transfers: usize,
}

/// The store behind its gates.
pub struct Edge {
    /// The store that all requests read and write.
    pub store: Store,
    /// Connections, and which of them leaves when there are too many.
    pub admission: Admission,
    /// The ingests of the store, for the uploads that have a turn.
    pub ingest_slots: PlainArc<IngestSlots>,
    /// Uploads that have an ingest slot or wait for their commit, and forms that are read: each has
    /// a thread, or memory.
    pub transfers: Gate,
    /// Forms whose signature has not been read yet. A client needs no key to send one, so forms get
    /// a part of the transfers only.
    pub forms: Gate,
    /// Connections that read much at a time.
    pub wide: PlainArc<Wide>,
    /// Calls that only ask the records, or read a few bytes.
    pub calls: Gate,
    /// Requests whose body or answer is a document, which has to be in memory to be understood or
    /// made.
    pub documents: Gate,
    /// Archives that look up their files.
    pub archives: Gate,
    /// Where bytes wait for clients.
    pub spool: PlainArc<Spool>,
    /// Downloads that have buffers at a time.
    pub reads: Gate,
    /// Answers that leave in large pieces.
    pub large: PlainArc<ResizableSemaphore>,
    /// Buffers whose bytes may be in the hands of a connection, which cannot be asked to give them
    /// back.
    pub loans: PlainArc<ResizableSemaphore>,
    /// What holds now.
    pub deadlines: PlainArc<SharedDeadlines>,
    pub(crate) held: Held,
    pub(crate) give_back: fn(),
    form_patience: Duration,
    transfers_per_form: usize,
    /// Where calls run. Not the runtime's threads: it wakes one of those for every call, here the
    /// thread that is awake goes on with the next.
    callers: WorkerPool,
    /// One for each transfer. Not the runtime's threads: it starts another where the last one has
    /// ended its job and does not wait yet for the next, so that there can be two for each.
    carriers: WorkerPool,
}

/// As many downloads at a time as buffers that no upload can take.
fn reads(store: &Store) -> usize {
    let usage = store.usage();
    usage.buffers.ceiling.saturating_sub(2 * usage.ingests.ceiling).max(1)
}

/// Requests that may wait for their turn with a document. One takes a processor for up to a fifth
/// of a second, and while it waits, its connection cannot be asked to make way. If as many waited
/// as there are connections, the clients that are served would be the only ones to lose theirs.
fn documents_waiting(connections: usize) -> usize {
    connections / 4
}

impl Edge {
    /// In front of this store.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(store: Store, config: &EdgeConfig) -> io::Result<Self> {
        let EdgeConfig { connections, transfers, deadlines, .. } = *config;
        let (waiting, patience) = (transfers * WAITING_PER_PLACE, deadlines.turn);
        let forms = (transfers / config.transfers_per_form).max(1);
        // Each connection has one request at a time, and one that waits holds nothing: so where as
        // many may wait as there are connections, none is turned away before its patience ends.
        let gate = |what, ceiling| Gate::new(what, ceiling, connections, patience);
        let calls = config.calls * CALLS_PER_THREAD;
        let loans = (store.usage().buffers.ceiling / LOANS_SHARE).max(1);
        // One job for each transfer, and one for each thread that is to end: so the event loop
        // never waits to queue one.
        let jobs = 2 * transfers.max(config.transfers_max);
        Ok(Self {
            admission: Admission::new(connections),
            ingest_slots: PlainArc::new(IngestSlots::new(
                store.clone(),
                gate("uploads at a time", config.ingests),
            )),
            transfers: Gate::new("transfers at a time", transfers, waiting, patience),
            forms: Gate::new("forms at a time", forms, FORMS_WAITING * forms, config.form_patience),
            wide: Wide::new(transfers),
            calls: gate("requests at a time", calls),
            callers: WorkerPool::new("drystone-call", config.calls, calls)?,
            carriers: WorkerPool::new("drystone-carry", transfers, jobs)?,
            documents: Gate::new(
                "documents at a time",
                config.documents,
                documents_waiting(connections),
                patience,
            ),
            spool: Spool::new(&config.spool, config.spool_slot_bytes),
            archives: gate("archives at a time", config.archives),
            held: Held::default(),
            give_back: config.give_back,
            form_patience: config.form_patience,
            transfers_per_form: config.transfers_per_form,
            reads: gate("downloads at a time", reads(&store)),
            large: ResizableSemaphore::new(transfers),
            loans: ResizableSemaphore::new(loans),
            deadlines: PlainArc::new(SharedDeadlines::new(deadlines)),
            store,
        })
    }

    /// What is known of a connection that has been admitted.
    pub fn connection(&self) -> PlainArc<Connection> {
        Connection::new(&self.admission.eviction, &self.deadlines, &self.wide)
    }

    /// Other ceilings for what comes from now on, in place of `before`. What the store has taken is
    /// not among them: `ingests` and `documents` stay what they were.
    ///
    /// `has_room` says whether so much fits into the plan together.
    ///
    /// # Errors
    /// When what is under way does not fit beside what is new, or a thread cannot be started: then
    /// everything is as it was.
    pub fn change(
        &self,
        before: Ceilings,
        after: Ceilings,
        deadlines: Deadlines,
        has_room: impl FnOnce(Ceilings) -> bool,
    ) -> Result<(), ChangeError> {
        // Nothing new gets in where a ceiling is lowered, so what is counted now is the most that
        // there will be.
        self.set_ceilings(Ceilings {
            connections: before.connections.min(after.connections),
            transfers: before.transfers.min(after.transfers),
        });
        let under_way = self.under_way();
        let most = Ceilings {
            connections: after.connections.max(under_way.connections),
            transfers: after.transfers.max(under_way.transfers),
        };
        if !has_room(most) {
            self.set_ceilings(before);
            return Err(ChangeError::UnderWay(under_way));
        }
        if let Err(error) = self.carriers.resize(after.transfers) {
            self.set_ceilings(before);
            // Fewer, or as many as there are.
            let _ = self.carriers.resize(before.transfers);
            return Err(ChangeError::Threads(error));
        }
        self.deadlines.set(deadlines);
        self.set_ceilings(after);
        let Ceilings { connections, transfers } = after;
        let (waiting, patience) = (transfers * WAITING_PER_PLACE, deadlines.turn);
        self.transfers.set_queue(waiting, patience);
        self.forms.set_queue(FORMS_WAITING * self.form_places(transfers), self.form_patience);
        self.documents.set_queue(documents_waiting(connections), patience);
        for gate in [&self.reads, &self.calls, &self.archives, self.ingest_slots.gate()] {
            gate.set_queue(connections, patience);
        }
        // Idle connections above their ceiling.
        self.admission.close_surplus();
        Ok(())
    }

    fn set_ceilings(&self, ceilings: Ceilings) {
        let Ceilings { connections, transfers } = ceilings;
        self.admission.resize(connections);
        self.transfers.resize(transfers);
        self.forms.resize(self.form_places(transfers));
        self.large.resize(transfers);
        self.wide.resize(transfers);
    }

    fn form_places(&self, transfers: usize) -> usize {
        (transfers / self.transfers_per_form).max(1)
    }

    /// How much is in use of the ceilings that can be changed.
    fn under_way(&self) -> Ceilings {
        let transfers =
            self.transfers.usage().now.max(self.wide.usage().now).max(self.large.usage().now);
        Ceilings { connections: self.admission.usage().now, transfers }
    }

    /// Ends the threads when they have nothing left to do, and the ingest slots. Blocks.
    pub fn close(&self) {
        self.carriers.shutdown();
        self.ingest_slots.close();
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
    /// must hold the transfer's turn.
    pub(crate) fn block<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Blocked<T> {
        let (tell, told) = oneshot::channel();
        // Refused only by a pool that is shut down, which is when no request has the edge any more.
        let _ = self.carriers.submit(move || {
            // No request listens any more where the client has gone.
            let _ = tell.send(job());
        });
        Blocked(told)
    }

    /// Runs a short call of the store on a thread that may block.
    ///
    /// # Errors
    /// The store's; and when the call panicked, or had to wait for its turn for too long.
    pub async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.store.clone();
        Ok(self.run(move || call(&store)).await??)
    }

    /// Runs a short job on a thread that may block.
    ///
    /// # Errors
    /// When the job panicked, or had to wait for its turn for too long.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        // Calls take microseconds: first come, first served.
        let turn = self.calls.enter(&Share::default(), Size::Small).await?;
        let (tell, told) = oneshot::channel();
        // As long as the gate lets through: never full, so the event loop does not wait here.
        let submitted = self.callers.submit(move || {
            // No request listens any more where the client has gone: then what was done is dropped
            // here, and the turn after it.
            let _ = tell.send(job());
            drop(turn);
        });
        submitted.map_err(|_| StoreError::Closed)?;
        // A job that panicked tells nothing; the pool has contained it.
        told.await.map_err(|_| {
            tracing::error!("a call of the store panicked");
            Fault::Internal
        })
    }
}

/// Why a running edge could not be given other ceilings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// A ceiling was to be raised while what another, lowered one allowed is still under way.
    #[error(
        "{} connections and {} transfers are under way, and do not fit beside the ceiling that is \
         raised: lower the other one first, and raise this one with another reload when they have \
         ended",
        .0.connections, .0.transfers
    )]
    UnderWay(Ceilings),
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
