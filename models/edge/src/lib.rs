//! The server's asynchronous edge under shuttle: its own files, compiled over shuttle's tokio, and
//! the scenarios.
//!
//! What is explored is what ships: `gate`, `places`, `lanes`, `upload`, `pace`, `resting`,
//! `download`, `connection`, `crowd` and `width` are included from `crates/server/src` as they are,
//! and `drystone-edge` is linked. `tokio` is this crate itself there: `sync` and `task` are
//! shuttle's (`shuttle-tokio`), `time` is a clock that only a scenario moves. There are stand-ins
//! for the engine (its fields, and the threads that it runs jobs on), the checksums (which
//! count what was fed), the key that writes (never revoked) and the deadlines.
//!
//! A scenario is an `async fn` run by `run`, which `drystone-models` calls once for each schedule.
//! Without `--cfg model_shuttle` this crate is empty: the same files run over the real tokio in
//! `crates/server`.
#![cfg(model_shuttle)]
#![allow(dead_code, reason = "the scenarios need less of the server's files than the server")]

extern crate self as tokio;

#[path = "../../../crates/server/src/connection.rs"]
mod connection;
#[path = "../../../crates/server/src/crowd.rs"]
mod crowd;
#[path = "../../../crates/server/src/download.rs"]
mod download;
#[path = "../../../crates/server/src/fault.rs"]
mod fault;
#[path = "../../../crates/server/src/gate.rs"]
mod gate;
#[path = "../../../crates/server/src/lanes.rs"]
mod lanes;
#[path = "../../../crates/server/src/pace.rs"]
mod pace;
#[path = "../../../crates/server/src/places.rs"]
mod places;
#[path = "../../../crates/server/src/resting.rs"]
mod resting;
#[path = "../../../crates/server/src/upload.rs"]
mod upload;
#[path = "../../../crates/server/src/width.rs"]
mod width;

mod deadlines;
mod digest;
mod engine;
pub mod scenarios;
mod writer;

pub use drystone_edge::model::{io, select, sync, task, time};

/// Runs a scenario to its end, with the clock at its beginning.
pub fn run(scenario: impl Future<Output = ()>) {
    time::reset();
    shuttle::future::block_on(scenario);
}
