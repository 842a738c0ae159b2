//! Sessions of readers, and the manifests that they pin.

use drystone_store::rules::{self, PinTables};
use drystone_store::{
    Epoch, ManifestId, PinRecords, Result, Session, SessionId, SessionRecords as _,
};

use super::State;
use super::records::MemoryRecords;
use super::tables::Tables;

impl Tables {
    /// Whether a live session pins a manifest.
    pub(super) fn is_pinned(&self, manifest: ManifestId) -> bool {
        self.pins.iter().any(|(session, pinned)| *pinned == manifest && self.is_live(*session))
    }
}

impl PinRecords for MemoryRecords {
    fn begin_reading(&self, lease_ms: u64) -> Result<Session> {
        self.begin_session(lease_ms)
    }

    fn epoch(&self) -> Result<Epoch> {
        self.query(|State { tables, .. }| Ok(tables.epoch()))
    }

    fn pin_manifests(
        &self,
        session: SessionId,
        epoch: Epoch,
        lease_ms: u64,
        manifests: &[ManifestId],
    ) -> Result<()> {
        self.transact(|state| rules::pin_manifests(state, session, epoch, lease_ms, manifests))
    }

    fn is_pinned(&self, manifest: ManifestId) -> Result<bool> {
        self.query(|State { tables, .. }| Ok(tables.is_pinned(manifest)))
    }
}

impl PinTables for State {
    fn pins(&mut self, session: SessionId) -> Result<Vec<ManifestId>> {
        let pins = self.tables.pins.iter().filter(|(of, _)| *of == session);
        Ok(pins.map(|(_, manifest)| *manifest).collect())
    }

    fn add_pin(&mut self, session: SessionId, manifest: ManifestId) -> Result<()> {
        self.tables.pins.insert((session, manifest));
        Ok(())
    }

    fn remove_pin(&mut self, session: SessionId, manifest: ManifestId) -> Result<()> {
        self.tables.pins.remove(&(session, manifest));
        Ok(())
    }

    fn move_session(&mut self, session: SessionId, epoch: Epoch, lease_ms: u64) -> Result<()> {
        let expires_ms = self.tables.now_ms.saturating_add(lease_ms);
        self.tables.sessions.entry(session).and_modify(|row| {
            row.epoch = row.epoch.max(epoch);
            row.expires_ms = expires_ms;
        });
        Ok(())
    }
}
