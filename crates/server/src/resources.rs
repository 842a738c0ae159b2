//! Every bounded resource and how much of it is in use: read in one place, shown by the metrics and
//! by the limits page.

use drystone_edge::Edge;
use drystone_edge::gate::GateUsage;
use drystone_edge::spool::SpoolUsage;
use drystone_pool::Usage;
use serde::Serialize;

/// A reading of one resource. `None` is not counted, because there is no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Resource {
    pub(crate) name: &'static str,
    /// What one unit is, for a person.
    #[serde(skip)]
    pub(crate) what: &'static str,
    pub(crate) now: u64,
    pub(crate) high_water: u64,
    pub(crate) ceiling: u64,
    /// How often a request or a connection had to wait, since the start.
    pub(crate) waits: u64,
    /// Requests or connections that wait now.
    pub(crate) waiting: Option<u64>,
    /// Requests that were turned away, since the start.
    pub(crate) refused: Option<u64>,
}

impl Resource {
    fn of_pool(name: &'static str, what: &'static str, usage: Usage) -> Self {
        Self {
            name,
            what,
            now: usage.now as u64,
            high_water: usage.high_water as u64,
            ceiling: usage.ceiling as u64,
            waits: usage.waits,
            waiting: None,
            refused: None,
        }
    }

    /// A slot belongs to a request, so there are no more of them than connections.
    fn of_spool(usage: SpoolUsage, ceiling: usize) -> Self {
        let SpoolUsage { now, high_water } = usage;
        let usage = Usage { now, high_water, ceiling, waits: 0 };
        Self::of_pool("spool", "requests whose bytes wait in the spool for their client", usage)
    }

    fn of_gate(name: &'static str, what: &'static str, usage: GateUsage) -> Self {
        Self {
            name,
            what,
            now: usage.now as u64,
            high_water: usage.high_water as u64,
            ceiling: usage.ceiling as u64,
            waits: usage.waits,
            waiting: Some(usage.waiting as u64),
            refused: Some(usage.refused),
        }
    }
}

/// All of them.
pub(crate) fn resources(edge: &Edge) -> [Resource; 14] {
    let usage = edge.store.usage();
    [
        Resource::of_pool("connections", "clients connected", edge.admission.usage()),
        Resource::of_pool(
            "wide_connections",
            "connections that read large bodies",
            edge.wide.usage(),
        ),
        Resource::of_gate("transfers", "uploads that have a thread", edge.transfers.usage()),
        Resource::of_spool(edge.spool.usage(), edge.admission.usage().ceiling),
        Resource::of_gate("uploads", "uploads that have buffers", edge.ingest_slots.gate().usage()),
        Resource::of_gate("downloads", "downloads that have buffers", edge.reads.usage()),
        Resource::of_pool(
            "large_answers",
            "answers that leave in large pieces",
            edge.large.usage(),
        ),
        Resource::of_gate("calls", "requests without a body", edge.calls.usage()),
        Resource::of_gate("documents", "documents and answers in memory", edge.documents.usage()),
        Resource::of_gate("archives", "archives that look up their files", edge.archives.usage()),
        Resource::of_pool("buffers", "buffers that bytes pass through", usage.buffers),
        Resource::of_pool("loans", "buffers that are sent without a copy", edge.loans.usage()),
        Resource::of_pool("jobs", "runs of chunks on their way to a worker", usage.jobs),
        Resource::of_pool(
            "ingests",
            "ingest slots, in use or kept for the next upload",
            usage.ingests,
        ),
    ]
}
