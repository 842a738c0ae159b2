//! The records' role for readers: manifests that are being read count as referenced.

use crate::{Epoch, ManifestId, Result, Session, SessionId, SessionRecords};

/// Sessions of processes that read, and the manifests that they hold.
///
/// A session protects what loses its last reference in its epoch or later. What its readers looked
/// up before that is protected by a *pin*: a manifest that a live session pins counts as referenced.
/// The pins of a session go with it, in the transaction that ends it or makes it dead.
pub trait PinRecords: SessionRecords {
    /// Begins a session for readers. As [`begin_session`](SessionRecords::begin_session), and on a
    /// full disk too: what is to be collected there is read until then.
    ///
    /// # Errors
    /// As there.
    fn begin_reading(&self, lease_ms: u64) -> Result<Session>;

    /// The current epoch.
    fn epoch(&self) -> Result<Epoch>;

    /// Makes these manifests the ones that the session pins, in place of those before; moves the
    /// session to `epoch`, unless it is in a later one; and renews its lease.
    ///
    /// # Errors
    /// [`SessionExpired`](crate::StoreError::SessionExpired), and as for
    /// [`begin_session`](SessionRecords::begin_session).
    fn pin_manifests(
        &self,
        session: SessionId,
        epoch: Epoch,
        lease_ms: u64,
        manifests: &[ManifestId],
    ) -> Result<()>;

    /// Whether a live session pins a manifest.
    fn is_pinned(&self, manifest: ManifestId) -> Result<bool>;
}
