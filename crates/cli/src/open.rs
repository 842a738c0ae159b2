//! From settings to a running store, by way of the plan.

use anyhow::Context;
use drystone_chunker::Chunking;
use drystone_limits::{Ask, Budget, Plan, raise_nofile};
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{Store, StoreConfig};

use crate::settings::Settings;

/// An open store and the plan it obeys.
pub(crate) struct Open {
    pub(crate) store: Store,
    pub(crate) plan: Plan,
}

/// What may be used by a store that is cut by `chunking`.
pub(crate) fn plan(settings: &Settings, chunking: Chunking) -> anyhow::Result<Plan> {
    // A refusal leaves the soft limit, which the plan then obeys.
    let _ = raise_nofile();
    let mut ask = Ask::new(chunking.chunk_bytes_max() as u64, chunking.to_string());
    ask.memory_bytes = settings.memory;
    ask.workers = settings.workers;
    Ok(Plan::new(&ask, &Budget::detect())?)
}

pub(crate) fn open(settings: &Settings) -> anyhow::Result<Open> {
    let folder = settings.store()?;
    let chunking = LocalStore::chunking(folder)?;
    let plan = plan(settings, chunking)?;
    open_planned(settings, folder, plan)
}

pub(crate) fn open_planned(
    settings: &Settings,
    folder: &std::path::Path,
    plan: Plan,
) -> anyhow::Result<Open> {
    let local = LocalConfig {
        sync: settings.sync,
        readers: plan.readers,
        reader_cache_bytes: plan.reader_cache_bytes,
        writer_cache_bytes: plan.writer_cache_bytes,
        segment_readers: plan.segment_readers,
        ..LocalConfig::default()
    };
    let local = LocalStore::open(folder, &local)?;
    let config = StoreConfig {
        chunking: local.chunking,
        sync: settings.sync,
        workers: plan.workers,
        buffers: plan.buffers,
        buffer_bytes: usize::try_from(plan.buffer_bytes).context("buffers larger than memory")?,
        read_ahead_max: plan.buffers,
        commit_queue_bytes: usize::try_from(plan.commit_queue_bytes).context("a queue larger than memory")?,
    };
    let store = Store::new(local.records, local.segments, config)?;
    Ok(Open { store, plan })
}
