//! Upload sessions: the lease under which chunks are written and found.
//!
//! A session lives as long as anything that needs it: the ingest that began it, and each upload
//! that was begun in it and is written, parked or not yet acknowledged.

use drystone_sync::PlainArc;

use crate::write::Writer;
use crate::{Epoch, Result, Session, SessionId, SessionRecords, rules};

/// The longest lease of an upload session, in milliseconds: a thousand years of 365 days, so that
/// sums with any clock stay small.
pub const LEASE_MS_MAX: u64 = 1000 * 365 * 24 * 3_600_000;

/// A live upload session; its last user ends it. A caller that has a clock calls
/// [`SessionHandle::extend`] well before the lease runs out.
pub struct UploadSession {
    handle: SessionHandle,
    epoch: Epoch,
    writer: PlainArc<Writer>,
}

/// Extends an upload session's lease, from another thread for as long as that one uploads.
#[derive(Clone)]
pub struct SessionHandle {
    records: PlainArc<dyn SessionRecords>,
    id: SessionId,
    lease_ms: u64,
}

impl UploadSession {
    pub(crate) fn begin(
        records: PlainArc<dyn SessionRecords>,
        writer: PlainArc<Writer>,
        lease_ms: u64,
    ) -> Result<Self> {
        // Also for the heartbeats to come, which ask for the same lease.
        rules::check_lease(lease_ms)?;
        let session = records.begin_session(lease_ms)?;
        let handle = SessionHandle { records, id: session.id, lease_ms };
        Ok(Self { handle, epoch: session.epoch, writer })
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.handle.id
    }

    /// The epoch it began in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn begun(&self) -> Session {
        Session { id: self.id(), epoch: self.epoch }
    }

    /// What a heartbeat needs.
    pub fn handle(&self) -> SessionHandle {
        self.handle.clone()
    }
}

impl SessionHandle {
    /// The session.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The heartbeat: renews the lease in full.
    ///
    /// # Errors
    /// [`SessionExpired`](crate::StoreError::SessionExpired) when it came too late;
    /// uploads of this session will be refused at their commit.
    pub fn extend(&self) -> Result<()> {
        self.records.extend_session(self.id, self.lease_ms)
    }
}

impl Drop for UploadSession {
    fn drop(&mut self) {
        // If this fails the lease runs out by itself.
        let _ = self.handle.records.end_session(self.handle.id);
        // Only now, when no step of it is committed any more.
        self.writer.clean_up(self.handle.id, None);
    }
}
