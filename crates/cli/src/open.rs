//! From settings to a running store, by way of the plan.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context;
use drystone_chunker::Chunking;
use drystone_limits::constants::CONNECTIONS;
use drystone_limits::{Ask, Budget, Plan, raise_nofile};
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{Store, StoreConfig};

use crate::exit::NotAFolder;
use crate::serving::Serving;
use crate::settings::Settings;

/// An open store and the plan it obeys.
pub(crate) struct Open {
    pub(crate) store: Store,
    pub(crate) plan: Plan,
}

/// The plan of a store that is cut by `chunking`.
pub(crate) fn plan(settings: &Settings, chunking: Chunking) -> anyhow::Result<Plan> {
    plan_with(settings, chunking, None, false)
}

/// The same for a server.
pub(crate) fn plan_serving(
    settings: &Settings,
    chunking: Chunking,
    serving: &Serving,
    tls: bool,
) -> anyhow::Result<Plan> {
    plan_with(settings, chunking, Some(serving), tls)
}

fn plan_with(
    settings: &Settings,
    chunking: Chunking,
    serving: Option<&Serving>,
    tls: bool,
) -> anyhow::Result<Plan> {
    // If the limit cannot be raised, the soft limit stays, and the plan obeys it.
    let _ = raise_nofile();
    let mut ask = Ask::new(chunking.chunk_bytes_max() as u64, chunking.to_string());
    ask.memory_bytes = settings.memory;
    ask.workers = settings.workers;
    ask.connections = serving.map(|serving| serving.connections.unwrap_or(CONNECTIONS));
    ask.transfers = serving.and_then(|serving| serving.transfers);
    ask.tls = tls;
    Ok(Plan::new(&ask, &Budget::detect())?)
}

/// Refuses a path that cannot be the folder of a store. The message fits better than "there is no
/// store in it".
pub(crate) fn check_folder(folder: &Path) -> Result<(), NotAFolder> {
    if folder.exists() && !folder.is_dir() { Err(NotAFolder(folder.to_owned())) } else { Ok(()) }
}

pub(crate) fn open(settings: &Settings) -> anyhow::Result<Open> {
    let folder = settings.store()?;
    check_folder(folder)?;
    let chunking = LocalStore::chunking(folder)?;
    let plan = plan(settings, chunking)?;
    open_planned(settings, folder, plan)
}

pub(crate) fn open_planned(settings: &Settings, folder: &Path, plan: Plan) -> anyhow::Result<Open> {
    let local = LocalConfig {
        sync: settings.sync,
        readers: plan.readers,
        reader_cache_bytes: plan.reader_cache_bytes,
        writer_cache_bytes: plan.writer_cache_bytes,
        segment_readers: plan.segment_readers,
        ..LocalConfig::default()
    };
    let local = LocalStore::open(folder, &local)?;
    if local.was_open_to_others {
        tell_of_others(folder);
    }
    let config = StoreConfig {
        chunking: local.chunking,
        workers: plan.workers,
        buffers: plan.buffers,
        ingests: plan.ingests,
        buffer_bytes: usize::try_from(plan.buffer_bytes).context("buffers larger than memory")?,
        read_ahead_max: plan.buffers,
        commit_queue_bytes: usize::try_from(plan.commit_queue_bytes)
            .context("a queue larger than memory")?,
    };
    let store = Store::new(local.records, local.segments, config)?;
    Ok(Open { store, plan })
}

/// Printed also with `--quiet`. Other users may have read what is in the store, and a user who
/// shared it on purpose has to know that they no longer can.
fn tell_of_others(folder: &Path) {
    let folder = folder.display();
    let told = format!(
        "drystone: {folder}: other users could read this store; now only its owner can. Share it \
         by `drystone serve` and keys"
    );
    let _ = writeln!(io::stderr(), "{told}");
}
