//! The server of drystone: S3 at `/`, everything else below `/_/`, over one store and inside its
//! plan.
//!
//! A request's way: `server` (a socket, and a permit for it) → `route` (who asks, and for what) →
//! `s3` or `files` → `drystone-edge`, where a bounded number of threads calls the store. This crate
//! knows the protocols; everything that a client's pace could hold is the edge's.

mod access;
mod cross_site;
mod digest;
mod engine;
mod entity_tags;
mod face;
mod files;
mod front;
#[cfg(test)]
#[allow(unreachable_pub, reason = "`fuzz/` includes this module, too, and exports the bodies")]
mod fuzzing;
mod keys;
mod listing;
mod meta;
mod metrics;
mod process;
mod range;
mod reason;
mod request_body;
mod request_head;
mod resources;
mod route;
mod s3;
mod server;
mod writer;

pub use access::bearer_token;
pub use drystone_edge::{ChangeError, Deadlines};
pub use files::plain_routes;
pub use s3::s3_operations;
pub use server::{Closing, Controls, Server, UnderWay};
pub use tokio_rustls::TlsAcceptor;

use std::fs::File;

use drystone_limits::Plan;
use drystone_sync::PlainArc;

/// What a server may use, beside what its store uses. The numbers come from a plan.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Connections at a time.
    pub connections: usize,
    /// Bodies that are sent or received at a time.
    pub transfers: usize,
    /// Uploads that have buffers at a time: the store's ingests.
    pub ingests: usize,
    /// Requests without a body at a time.
    pub calls: usize,
    /// Documents and long answers in memory at a time.
    pub documents: usize,
    /// Where bytes wait for clients: a file without a name, on a disk.
    pub spool: PlainArc<File>,
    /// How long is waited for what.
    pub deadlines: Deadlines,
    /// Where the numbers come from; the limits page shows it.
    pub plan: Plan,
    /// Gives free memory back to the system. The server calls this about each two seconds while no
    /// buffer is in use. [`new`](Self::new) sets one that does nothing: the binary chooses the
    /// allocator, so it knows how.
    pub give_back: fn(),
}

impl ServerConfig {
    /// What the plan of a server gives it.
    pub fn new(plan: Plan, deadlines: Deadlines, spool: File) -> Self {
        Self {
            connections: plan.connections,
            transfers: plan.transfers,
            ingests: plan.ingests,
            // One thread is left to the sessions' heartbeat, and one to each document.
            calls: plan.blocking_threads - plan.transfers - plan.documents - 1,
            documents: plan.documents,
            spool: PlainArc::new(spool),
            deadlines,
            plan,
            give_back: || {},
        }
    }
}
