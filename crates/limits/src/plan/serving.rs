//! What a server adds to the plan: connections, transfers, and the threads that carry them.
//!
//! What gives way first when memory or descriptors are short: connections and transfers together,
//! by halves, down to the least with which a server is of use; then buffers.

use super::constants::*;
use super::{Resource, Spend};

/// The part of the plan that serves clients; all zero when none are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Serving {
    pub(super) connections: u64,
    pub(super) transfers: u64,
    pub(super) tls: bool,
}

/// The most transfers beside so many connections. They are at most half of them, so that requests
/// without a transfer find connections, too.
pub(super) fn transfers_most(connections: u64) -> u64 {
    (connections / 2).max(TRANSFERS_MIN)
}

impl Serving {
    /// Candidates from what is wanted down to the least, each about half of the one before.
    pub(super) fn candidates(
        connections_wanted: Option<u64>,
        transfers_wanted: Option<u64>,
        tls: bool,
    ) -> Vec<Self> {
        let Some(wanted) = connections_wanted else { return vec![Self::default()] };
        let mut connections = wanted.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        let transfers = transfers_wanted.unwrap_or(TRANSFERS).clamp(TRANSFERS_MIN, TRANSFERS_MAX);
        let mut transfers = transfers.min(transfers_most(connections));
        let mut candidates = vec![Self { connections, transfers, tls }];
        while connections > CONNECTIONS_MIN || transfers > TRANSFERS_MIN {
            connections = (connections / 2).max(CONNECTIONS_MIN);
            transfers = (transfers / 2).max(TRANSFERS_MIN);
            candidates.push(Self { connections, transfers, tls });
        }
        candidates
    }

    pub(super) fn is_none(&self) -> bool {
        self.connections == 0
    }

    /// Threads on which a request may block: one for each transfer, and some for what takes no
    /// transfer.
    pub(super) fn blocking_threads(&self) -> u64 {
        if self.is_none() { 0 } else { self.transfers + THREADS_BLOCKING_BEYOND_TRANSFERS }
    }

    /// Forms that are read at a time.
    fn forms(&self) -> u64 {
        (self.transfers / TRANSFERS_PER_FORM).max(1)
    }

    /// What is taken beside the buffers. `ingests` uploads have buffers at a time.
    pub(super) fn memory_spends(&self, ingests: u64) -> Vec<Spend> {
        if self.is_none() {
            return Vec::new();
        }
        let row = |use_: &str, count, unit| Spend::new(Resource::Memory, use_, count, unit);
        let mut spends = vec![
            row("connections", self.connections, CONNECTION_BYTES),
            row("connections that read large pieces", self.transfers, WIDE_CONNECTION_BYTES),
            row("answers that leave in large pieces", self.transfers, LARGE_ANSWER_BYTES),
            row("uploads that have a turn", ingests, UPLOAD_BYTES),
            row("forms whose fields are read", self.forms(), FORM_BYTES),
            row("documents and lists in memory", DOCUMENTS, DOCUMENT_BYTES),
            row("archives that look up their files", ARCHIVES, ARCHIVE_BYTES),
            row("rows that are looked up", THREADS_CALLS, CALL_BYTES),
        ];
        spends.extend(
            self.tls.then(|| row("TLS of connections", self.connections, TLS_CONNECTION_BYTES)),
        );
        spends
    }

    pub(super) fn descriptor_spends(&self) -> Vec<Spend> {
        if self.is_none() {
            return Vec::new();
        }
        vec![
            Spend::new(Resource::Descriptors, "connections", self.connections, 1),
            Spend::new(
                Resource::Descriptors,
                "listener, event loop, signals, spool",
                DESCRIPTORS_SERVER,
                1,
            ),
        ]
    }
}
