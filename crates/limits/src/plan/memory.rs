//! How memory is spent.
//!
//! What gives way first when it is short: the data part of the buffers (a little more copying),
//! then the commit queue (more syncs), then the writer's cache (a few more page reads), then the
//! number of buffers (idle workers). Then the plan is refused.

use super::constants::*;
use super::descriptors::DescriptorPlan;
use super::serving::Serving;
use super::{Ask, PlanError, Resource, Spend, threads_total};
use crate::{Budget, Limit, PHYSICAL_MEMORY_SOURCE};

/// Memory in numbers. Sums saturate, and a saturated sum never fits: an absurd chunk size is
/// refused like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    pub(super) buffers: u64,
    pub(super) headroom_bytes: u64,
    pub(super) data_bytes: u64,
    pub(super) readers: u64,
    pub(super) writer_cache_bytes: u64,
    pub(super) commit_queue_bytes: u64,
    pub(super) workers: u64,
    pub(super) serving: Serving,
}

impl MemoryPlan {
    /// The least that works.
    fn least(workers: u64, readers: u64, chunk_bytes_max: u64, serving: Serving) -> Self {
        Self {
            buffers: BUFFERS_MIN,
            headroom_bytes: chunk_bytes_max,
            data_bytes: data_bytes(BUFFER_DATA_BYTES_MIN, chunk_bytes_max),
            readers,
            writer_cache_bytes: WRITER_CACHE_BYTES_MIN,
            commit_queue_bytes: COMMIT_QUEUE_BYTES_MIN,
            workers,
            serving,
        }
    }

    /// The best that fits below the ceiling.
    pub(super) fn fit(
        workers: u64,
        readers: u64,
        chunk_bytes_max: u64,
        serving: Serving,
        buffers_min: u64,
        ceiling_bytes: u64,
    ) -> Option<Self> {
        let least = Self::least(workers, readers, chunk_bytes_max, serving);
        let (data, buffers) = if serving.is_none() {
            (BUFFER_DATA_BYTES, workers + BUFFERS_BEYOND_WORKERS)
        } else {
            // Memory buys concurrency: uploads and downloads at a time follow from the buffers.
            let times =
                (ceiling_bytes / MEMORY_ASK_DEFAULT_BYTES).clamp(1, BUFFERS_SERVING_TIMES_MAX);
            let buffers = (BUFFERS_SERVING * times).max(workers + BUFFERS_BEYOND_WORKERS);
            (BUFFER_DATA_SERVING_BYTES, buffers)
        };
        let data_bytes_wanted = data_bytes(data, chunk_bytes_max);
        (buffers_min..=buffers.max(BUFFERS_MIN))
            .rev()
            .find_map(|buffers| Self { buffers, ..least }.grown(data_bytes_wanted, ceiling_bytes))
    }

    /// This least plan, grown. The memory that remains below the ceiling goes to the writer's cache
    /// first, then to the commit queue, then to the data parts.
    fn grown(self, data_bytes_wanted: u64, ceiling_bytes: u64) -> Option<Self> {
        let total = Some(self.total_bytes()).filter(|&total| total < u64::MAX);
        let remains = ceiling_bytes.checked_sub(total?)?;
        let cache = aligned_down(remains).min(WRITER_CACHE_BYTES - self.writer_cache_bytes);
        let queue = aligned_down(remains - cache).min(COMMIT_QUEUE_BYTES - self.commit_queue_bytes);
        let data = aligned_down((remains - cache - queue) / self.buffers)
            .min(data_bytes_wanted - self.data_bytes);
        Some(Self {
            writer_cache_bytes: self.writer_cache_bytes + cache,
            commit_queue_bytes: self.commit_queue_bytes + queue,
            data_bytes: self.data_bytes + data,
            ..self
        })
    }

    pub(super) fn buffer_bytes(&self) -> u64 {
        self.headroom_bytes.saturating_add(self.data_bytes)
    }

    /// The number of threads follows the buffers: each upload that has buffers has a cutter thread.
    fn threads(&self) -> u64 {
        threads_total(self.workers, self.buffers, self.serving)
    }

    pub(super) fn total_bytes(&self) -> u64 {
        super::spend::total(&self.spends(), Resource::Memory)
    }

    pub(super) fn spends(&self) -> Vec<Spend> {
        let row = |use_: &str, count, unit| Spend::new(Resource::Memory, use_, count, unit);
        let mut spends = vec![
            row("buffers (headroom for a tail, then data)", self.buffers, self.buffer_bytes()),
            row("database cache, readers", self.readers, READER_CACHE_BYTES),
            row("database cache, writer", 1, self.writer_cache_bytes),
            row("commit queue", 1, self.commit_queue_bytes),
            row("thread stacks (resident part)", self.threads(), THREAD_STACK_BYTES),
            row("program, allocator, libc, SQLite", 1, FIXED_BYTES),
        ];
        let ingests = super::ingests(self.buffers, self.serving);
        spends.extend(self.serving.memory_spends(ingests));
        spends
    }
}

/// The data part holds at least one whole chunk, also when less is wanted.
fn data_bytes(wanted: u64, chunk_bytes_max: u64) -> u64 {
    wanted.max(chunk_bytes_max).checked_next_multiple_of(BUFFER_ALIGN_BYTES).unwrap_or(u64::MAX)
}

fn aligned_down(bytes: u64) -> u64 {
    bytes - bytes % BUFFER_ALIGN_BYTES
}

/// The lower of what was asked for and what there is.
pub(super) fn ceiling(ask: &Ask, budget: &Budget) -> Limit {
    let asked = match ask.memory_bytes {
        Some(bytes) => Limit::new(bytes, "--memory"),
        None => Limit::new(MEMORY_ASK_DEFAULT_BYTES, "the default of --memory"),
    };
    if budget.memory_bytes.value < asked.value { budget.memory_bytes.clone() } else { asked }
}

/// The refusal, with what to change. Each remedy that it names is enough by itself.
pub(super) fn too_small(
    ask: &Ask,
    budget: &Budget,
    workers: u64,
    readers: u64,
    serving: Serving,
) -> PlanError {
    let ceiling = ceiling(ask, budget);
    let least = |workers, readers, chunk_bytes| {
        MemoryPlan::least(workers, readers, chunk_bytes, serving).total_bytes()
    };
    let needed_bytes = least(workers, readers, ask.chunk_bytes_max);
    let needed = format!("{}MiB", needed_bytes.div_ceil(MIB));

    let mut remedies = Vec::new();
    let budget_fits = budget.memory_bytes.value >= needed_bytes;
    let ask_fits = ask.memory_bytes.unwrap_or(MEMORY_ASK_DEFAULT_BYTES) >= needed_bytes;
    let source = &budget.memory_bytes.source;
    match (budget_fits, ask_fits) {
        // Advice must work: a group's limit can be raised, physical memory cannot.
        (true, _) => remedies.push(format!("--memory {needed}")),
        (false, _) if source == PHYSICAL_MEMORY_SOURCE => {}
        (false, true) => {
            remedies.push(format!("raise the memory limit of the group ({source}) to {needed}"));
        }
        (false, false) => remedies.push(format!(
            "--memory {needed} and raise the memory limit of the group ({source}) to {needed}"
        )),
    }
    // With fewer workers more descriptors are left for readers, and each reader has a cache. So
    // fewer workers can need more memory, and each number has to be tried.
    let fits_with = |workers: &u64| {
        DescriptorPlan::fit(*workers, serving, &budget.descriptors)
            .is_ok_and(|plan| least(*workers, plan.readers, ask.chunk_bytes_max) <= ceiling.value)
    };
    if let Some(fewer) = (1..workers).rev().find(fits_with) {
        // The chunk size sets headroom and data parts. If even the smallest chunk does not fit,
        // another store would not help.
        remedies.push(format!("--workers {fewer}"));
    }
    if least(workers, readers, ask.chunk_bytes_max.min(BUFFER_ALIGN_BYTES)) <= ceiling.value {
        remedies.push(format!("a store with a smaller --chunk (this one: {})", ask.chunk_name));
    }
    let hint = if remedies.is_empty() {
        format!("this machine is too small: {needed} are needed")
    } else {
        format!("try {}", remedies.join(", or "))
    };
    PlanError::MemoryTooSmall {
        needed_bytes,
        ceiling_bytes: ceiling.value,
        ceiling_source: ceiling.source,
        hint,
    }
}
