//! What drystone does with its budget: pure arithmetic, from ceilings to numbers that the caller
//! obeys.
//!
//! The sum of every section is at most its ceiling, or there is no plan. Constants are in
//! `constants`, memory and descriptors have a file each, and `table` prints.

pub mod constants;
mod descriptors;
mod error;
mod memory;
mod refit;
mod serving;
mod spend;
mod table;

use serde::Serialize;

use self::constants::*;
use self::descriptors::DescriptorPlan;
use self::memory::MemoryPlan;
use self::serving::Serving;
use crate::{Budget, Limit, format_bytes};

pub use self::error::PlanError;
pub use self::spend::{Ceiling, Resource, Spend};

/// What the caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// `--memory`: the most to use, if less than the budget; 256 MiB if not given.
    pub memory_bytes: Option<u64>,
    /// `--workers`: as many as CPUs if not given. Kept between 1 and 64.
    pub workers: Option<usize>,
    /// The largest chunk that the store's chunker cuts.
    pub chunk_bytes_max: u64,
    /// What the user calls that chunker, for messages: the value of `--chunk`.
    pub chunk_name: String,
    /// `Some` for a server: how many clients may be connected at a time, if there is room.
    pub connections: Option<u64>,
    /// For a server: bodies that are sent or received at a time, if there is room; 40 if not
    /// given, and never more than half the connections.
    pub transfers: Option<u64>,
    /// For a server: it speaks TLS.
    pub tls: bool,
}

impl Ask {
    /// The defaults, for a store whose chunks have up to `chunk_bytes_max` bytes.
    pub fn new(chunk_bytes_max: u64, chunk_name: impl Into<String>) -> Self {
        Self {
            memory_bytes: None,
            workers: None,
            chunk_bytes_max,
            chunk_name: chunk_name.into(),
            connections: None,
            transfers: None,
            tls: false,
        }
    }
}

/// What is done with the budget. The fields are what the caller builds; `ceilings` and `spends`
/// explain them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Worker threads, which hash, look up and append chunks.
    pub workers: usize,
    /// Buffers in the pool.
    pub buffers: usize,
    /// Size of one buffer: headroom, then the data part.
    pub buffer_bytes: u64,
    /// The front of each buffer: the unfinished tail of the buffer before it is moved here. As
    /// large as the largest chunk.
    pub headroom_bytes: u64,
    /// Reading database connections.
    pub readers: usize,
    /// Page cache of each reading connection.
    pub reader_cache_bytes: u64,
    /// Page cache of the one writing connection.
    pub writer_cache_bytes: u64,
    /// Room for rows that wait for the group commit.
    pub commit_queue_bytes: u64,
    /// Segments open for appending: one for each worker.
    pub segment_writers: usize,
    /// Segments that are kept open for reading.
    pub segment_readers: usize,
    /// Directories that a folder walk may hold open.
    pub walk_depth_max: usize,
    /// Uploads that have buffers at a time.
    pub ingests: usize,
    /// Connections of clients; 0 when none are served.
    pub connections: usize,
    /// Bodies that are sent or received at a time; 0 when no clients are served.
    pub transfers: usize,
    /// The connections speak TLS.
    pub tls: bool,
    /// Downloads that have buffers at a time: one for each buffer that no upload can take; 0 when
    /// no clients are served.
    pub reads: usize,
    /// Documents and long answers in memory at a time; 0 when no clients are served.
    pub documents: usize,
    /// What a request may leave in the spool, on the disk; 0 when no clients are served.
    pub spool_slot_bytes: u64,
    /// Threads on which requests may block; 0 when no clients are served.
    pub blocking_threads: usize,
    /// Threads, the main one included.
    pub threads: usize,
    /// Sum of the memory rows; at most `memory_ceiling`.
    pub memory_total_bytes: u64,
    /// Memory ceiling in bytes.
    pub memory_ceiling: u64,
    /// Sum of the descriptor rows; at most `descriptors_ceiling`.
    pub descriptors_total: u64,
    /// Descriptors that may be open; `u64::MAX` if there is no limit.
    pub descriptors_ceiling: u64,
    /// Each ceiling with its source.
    pub ceilings: Vec<Ceiling>,
    /// How each ceiling is spent, row by row.
    pub spends: Vec<Spend>,
}

impl Plan {
    /// Spends the budget, or says what to change. A function of its arguments: reads nothing,
    /// changes nothing.
    pub fn new(ask: &Ask, budget: &Budget) -> Result<Self, PlanError> {
        let workers = worker_count(ask, budget);
        let memory_ceiling = memory::ceiling(ask, budget);
        let (descriptors, memory) = fit(ask, budget, workers, memory_ceiling.value)?;
        Ok(Self::assembled(
            workers,
            memory,
            descriptors,
            memory_ceiling.value,
            ceilings(budget, memory_ceiling),
        ))
    }

    /// The plan of the same process with other ceilings for its clients. What the store has taken
    /// stays as it is, and the rest must fit beside it. For a ceiling that is `None`, the plan
    /// takes what a start would take, or as much of it as fits.
    ///
    /// # Errors
    /// [`PlanError::ServingTooLarge`] when what was asked for does not fit.
    ///
    /// # Panics
    /// When this is not the plan of a server.
    pub fn with_serving(
        &self,
        connections: Option<u64>,
        transfers: Option<u64>,
    ) -> Result<Self, PlanError> {
        assert!(self.connections > 0, "only a server has clients");
        refit::refit(self, connections, transfers)
    }

    /// Whether so many clients fit beside what the store has taken. Only the ceilings are looked
    /// at, not the rule that transfers are at most half of the connections.
    pub fn has_room_for(&self, connections: usize, transfers: usize) -> bool {
        refit::has_room_for(self, connections as u64, transfers as u64)
    }

    fn assembled(
        workers: u64,
        memory: MemoryPlan,
        descriptors: DescriptorPlan,
        memory_ceiling: u64,
        ceilings: Vec<Ceiling>,
    ) -> Self {
        let (readers, serving) = (descriptors.readers, memory.serving);
        let mut spends = memory.spends();
        spends.extend(descriptors.spends());
        spends.extend(thread_spends(workers, memory.buffers, serving));
        spends.push(Spend::new(Resource::Children, "none are started", 0, 1));
        let descriptors_ceiling =
            ceilings.iter().find(|ceiling| ceiling.resource == Resource::Descriptors);
        let plan = Self {
            workers: small(workers),
            buffers: small(memory.buffers),
            buffer_bytes: memory.buffer_bytes(),
            headroom_bytes: memory.headroom_bytes,
            readers: small(readers),
            reader_cache_bytes: READER_CACHE_BYTES,
            writer_cache_bytes: memory.writer_cache_bytes,
            commit_queue_bytes: memory.commit_queue_bytes,
            segment_writers: small(descriptors.segment_writers),
            segment_readers: small(descriptors.segment_readers),
            walk_depth_max: small(descriptors.walk_depth),
            ingests: small(ingests(memory.buffers, serving)),
            connections: small(serving.connections),
            transfers: small(serving.transfers),
            tls: serving.tls,
            reads: if serving.is_none() { 0 } else { small(reads(memory.buffers, serving)) },
            // A request leaves at most one document there, or the two buffers of its upload.
            spool_slot_bytes: if serving.is_none() {
                0
            } else {
                DOCUMENT_BYTES.max(2 * memory.buffer_bytes())
            },
            documents: if serving.is_none() { 0 } else { small(DOCUMENTS) },
            blocking_threads: small(serving.blocking_threads()),
            threads: small(spend::total(&spends, Resource::Threads)),
            memory_total_bytes: spend::total(&spends, Resource::Memory),
            memory_ceiling,
            descriptors_total: spend::total(&spends, Resource::Descriptors),
            descriptors_ceiling: descriptors_ceiling.map_or(u64::MAX, |ceiling| ceiling.value),
            ceilings,
            spends,
        };
        assert!(
            plan.memory_total_bytes <= plan.memory_ceiling,
            "a plan that passes its memory ceiling"
        );
        assert!(
            plan.descriptors_total <= plan.descriptors_ceiling,
            "a plan that passes its descriptors"
        );
        plan
    }
}

fn worker_count(ask: &Ask, budget: &Budget) -> u64 {
    let wanted = ask.workers.map_or(budget.cpus.value, |workers| workers as u64);
    wanted.clamp(1, WORKERS_MAX as u64)
}

fn readers_wanted(workers: u64) -> u64 {
    (workers + READERS_BEYOND_WORKERS).min(READERS_MAX)
}

/// The plan that spends the most within both ceilings. Descriptors come first: they bound the
/// database connections, and each connection has a cache.
fn fit(
    ask: &Ask,
    budget: &Budget,
    workers: u64,
    memory_bytes: u64,
) -> Result<(DescriptorPlan, MemoryPlan), PlanError> {
    let candidates = Serving::candidates(ask.connections, ask.transfers, ask.tls);
    let least = candidates.last().copied().unwrap_or_default();
    let memory_of = |serving: Serving, descriptors: DescriptorPlan, buffers_min| {
        let readers = descriptors.readers;
        MemoryPlan::fit(workers, readers, ask.chunk_bytes_max, serving, buffers_min, memory_bytes)
            .map(|memory| (descriptors, memory))
    };
    for serving in candidates {
        let Ok(descriptors) = DescriptorPlan::fit(workers, serving, &budget.descriptors) else {
            continue;
        };
        let buffers_min = if serving.is_none() { BUFFERS_MIN } else { BUFFERS_SERVING_MIN };
        if let Some(plan) = memory_of(serving, descriptors, buffers_min) {
            return Ok(plan);
        }
    }
    let descriptors = DescriptorPlan::fit(workers, least, &budget.descriptors)?;
    memory_of(least, descriptors, BUFFERS_MIN)
        .ok_or_else(|| memory::too_small(ask, budget, workers, descriptors.readers, least))
}

/// How many uploads have buffers at a time. The uploads of a command may take every buffer; those
/// of a server leave some to downloads.
fn ingests(buffers: u64, serving: Serving) -> u64 {
    let each = if serving.is_none() { BUFFERS_MIN } else { BUFFERS_PER_INGEST_SERVING };
    (buffers / each).max(1)
}

/// The buffers that no upload can take: each upload may have two.
fn reads(buffers: u64, serving: Serving) -> u64 {
    buffers.saturating_sub(2 * ingests(buffers, serving)).max(1)
}

fn threads_total(workers: u64, buffers: u64, serving: Serving) -> u64 {
    spend::total(&thread_spends(workers, buffers, serving), Resource::Threads)
}

fn thread_spends(workers: u64, buffers: u64, serving: Serving) -> Vec<Spend> {
    let threads = |use_: &str, count| Spend::new(Resource::Threads, use_, count, 1);
    if serving.is_none() {
        return vec![
            threads("reader (the main thread)", THREADS_READER),
            threads("cutter", THREADS_CUTTER),
            threads("workers", workers),
            threads("signals and heartbeat", THREADS_SIGNAL_AND_HEARTBEAT),
        ];
    }
    vec![
        threads("main", THREADS_READER),
        threads("event loops", workers),
        threads("cutters, one for each upload", ingests(buffers, serving)),
        threads("workers", workers),
        threads("requests", serving.blocking_threads()),
        threads("heartbeat and reload", THREADS_HEARTBEAT_AND_RELOAD),
    ]
}

/// A ceiling that `--memory` or its default has set also says how far it could be raised.
fn ceilings(budget: &Budget, mut memory: Limit) -> Vec<Ceiling> {
    if memory.source != budget.memory_bytes.source {
        let Limit { value, source } = &budget.memory_bytes;
        memory.source = format!("{}; at most {}: {source}", memory.source, format_bytes(*value));
    }
    let ceiling = |resource, Limit { value, source }| Ceiling { resource, value, source };
    vec![
        ceiling(Resource::Cpus, budget.cpus.clone()),
        ceiling(Resource::Memory, memory),
        ceiling(Resource::Descriptors, budget.descriptors.clone()),
    ]
}

/// The counts of a plan are bounded by the constants: a few hundred at most.
fn small(count: u64) -> usize {
    usize::try_from(count).expect("counts of a plan are bounded by small constants")
}
