//! Bounded concurrency for programs that state their ceilings: permits, reusable buffers, a fixed
//! worker pool and single-flight by key.
//!
//! Everything here is synchronous, does no I/O and reads no clock. Blocking calls must not be made
//! from an async task. Every resource is an RAII value: dropping it, also while unwinding, gives
//! the unit back.
//!
//! What this crate denies: unbounded queues, threads started on demand, allocation that grows with
//! the input.
//!
//! Lock order: a pool takes at most one of its own locks at a time and never calls user code under
//! one. There is one exception: a worker pool that shuts down holds a lock that only another
//! shutdown takes.

mod buffer;
mod group;
mod lease;
mod map;
mod permits;
mod queue;
mod single_flight;
mod usage;
mod workers;

pub use buffer::{BufferOwner, BufferPool};
pub use group::{JobError, JobGroup};
pub use lease::{Lease, NotAdjacent, Slice};
pub use map::{Map, Order};
pub use permits::{AcquireError, Owner, Permit, Permits};
pub use queue::{Closed, Queue};
pub use single_flight::{Claim, Flight, Landed, SingleFlight, Waiting};
pub use usage::Usage;
pub use workers::{JobPanic, WorkerPool};

/// What the README shows is a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
