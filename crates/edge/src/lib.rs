//! What stands between clients and a store.
//!
//! A client's pace never holds what others need. What is scarce is taken for a *turn*: for as long
//! as a machine works with it, not for as long as a line is slow. Between two turns a request holds
//! its connection, and what is its own lies in the [`spool`]. Turns are given out by [`gate`]s:
//! small requests first, then one after the other by key and by address.
//!
//! A request's way: [`admission`] (a permit for its connection) → [`connection`] (deadlines, and
//! how much is read at a time) → a face, which is not here → [`upload`], [`document`] (bodies in)
//! or [`download`], [`answer`] (bodies out) → [`edge`], whose threads call the store. Time is kept
//! here and nowhere below: deadlines, heartbeats of sessions, and the [`upkeep`] that takes turns
//! from downloads whose clients have stopped reading.
//!
//! This crate knows no protocol, no page and no configuration; what it needs is handed in.

#[cfg(model_shuttle)]
extern crate self as tokio;

pub mod admission;
pub mod answer;
pub mod checksums;
pub mod connection;
pub mod deadlines;
pub mod document;
pub mod download;
pub mod drain;
pub mod edge;
pub mod eviction;
pub mod fault;
pub mod flight;
pub mod gate;
pub mod ingest_slots;
#[cfg(model_shuttle)]
pub mod model;
mod pace;
pub mod read_size;
mod resting;
pub mod semaphore;
pub mod spool;
mod turns;
pub mod upkeep;
pub mod upload;

pub use deadlines::Deadlines;
pub use edge::{Ceilings, ChangeError, Edge, EdgeConfig};
pub use fault::Fault;
pub use pace::FIRST_BYTES;

#[cfg(model_shuttle)]
use model::{io, select, sync, task, time};
