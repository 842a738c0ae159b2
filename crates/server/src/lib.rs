//! The server of drystone: S3 at `/`, everything else below `/_/`, over one store and inside its
//! plan.
//!
//! This is the asynchronous edge; the store behind it is synchronous. A request's way: `connection`
//! (a permit, deadlines) → `route` (who is it, what does he want) → `s3` or `files` → `upload` or
//! `download`, where a bounded number of threads calls the store. Every wait for something bounded
//! goes through a `gate`: first come, first served, a bounded queue, and a refusal that says to
//! come back.
//!
//! Time is kept here and nowhere below: deadlines, heartbeats of sessions, and the sweep that takes
//! buffers from whoever stopped reading.

mod access;
mod answer;
mod connection;
mod cross_site;
mod crowd;
mod deadlines;
mod digest;
mod document;
mod download;
mod engine;
mod entity_tags;
mod fault;
mod files;
#[cfg(test)]
#[allow(unreachable_pub, reason = "`fuzz/` includes this module, too, and exports the bodies")]
mod fuzzing;
mod gate;
mod lanes;
mod listing;
mod meta;
mod metrics;
mod pace;
mod places;
mod process;
mod range;
mod reason;
mod request_head;
mod resources;
mod resting;
mod route;
mod s3;
mod server;
mod unread;
mod upload;
mod width;
mod writer;

pub use access::bearer_token;
pub use deadlines::Deadlines;
pub use engine::ChangeError;
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
    /// Where the numbers come from, for whoever asks the server.
    pub plan: Plan,
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
        }
    }
}
