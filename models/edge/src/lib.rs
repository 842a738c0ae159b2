//! The asynchronous edge under shuttle: `drystone-edge` as it ships, over shuttle's tokio, and the
//! scenarios.
//!
//! `drystone-edge` is compiled with `--cfg model_shuttle` and linked. In it `tokio` is its module
//! `model`: `sync`, `task` and `io` are shuttle's, and `time` is a clock that only a scenario
//! moves. What a protocol hands in comes from the scenarios: bodies, checksums, and whether a key
//! may still write.
//!
//! A scenario is an `async fn` run by `run`, which `drystone-models` calls once for each schedule.
//! Without `--cfg model_shuttle` this crate is empty.
#![cfg(model_shuttle)]

pub mod scenarios;

pub use drystone_edge::model::{io, select, sync, task, time};

/// Runs a scenario to its end, with the clock at its beginning.
pub fn run(scenario: impl Future<Output = ()>) {
    time::reset();
    shuttle::future::block_on(scenario);
}
