//! Which manifests a session of readers pins.

use std::collections::BTreeSet;

use super::{Tables, check_alive};
use crate::{Epoch, ManifestId, SessionId};

/// The tables of pins, in the same transaction.
pub trait PinTables: Tables {
    /// What the session pins.
    fn pins(&mut self, session: SessionId) -> Result<Vec<ManifestId>, Self::Halt>;

    /// Adds a pin that is not there.
    fn add_pin(&mut self, session: SessionId, manifest: ManifestId) -> Result<(), Self::Halt>;

    /// Removes a pin.
    fn remove_pin(&mut self, session: SessionId, manifest: ManifestId) -> Result<(), Self::Halt>;

    /// Moves a session to an epoch, unless it is in a later one, and renews its lease.
    fn move_session(
        &mut self,
        session: SessionId,
        epoch: Epoch,
        lease_ms: u64,
    ) -> Result<(), Self::Halt>;
}

/// Replaces the pins of a live session and moves it to `epoch`. Writes what is different only: a
/// manifest that is read for hours is written once.
///
/// # Errors
/// As for [`PinRecords::pin_manifests`](crate::PinRecords::pin_manifests), and the database's.
pub fn pin_manifests<T: PinTables>(
    tables: &mut T,
    session: SessionId,
    epoch: Epoch,
    lease_ms: u64,
    manifests: &[ManifestId],
) -> Result<(), T::Halt> {
    super::check_lease(lease_ms)?;
    check_alive(tables, session)?;
    let held: BTreeSet<_> = manifests.iter().copied().collect();
    let pinned: BTreeSet<_> = tables.pins(session)?.into_iter().collect();
    pinned.difference(&held).try_for_each(|old| tables.remove_pin(session, *old))?;
    held.difference(&pinned).try_for_each(|new| tables.add_pin(session, *new))?;
    tables.move_session(session, epoch, lease_ms)
}
