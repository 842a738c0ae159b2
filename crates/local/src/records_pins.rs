//! Sessions of readers, and the manifests that they pin.

use drystone_store::rules::{self, PinTables};
use drystone_store::{Epoch, ManifestId, PinRecords, Result, Session, SessionId};
use rusqlite::params;

use crate::connection::Halt;
use crate::database::{NOW_MS, SqliteRecords, int, uint};
use crate::records::begin_session;
use crate::records_collect;
use crate::records_tables::SqlTables;

impl PinRecords for SqliteRecords {
    fn begin_reading(&self, lease_ms: u64) -> Result<Session> {
        rules::check_lease(lease_ms)?;
        self.write_on_a_full_disk("cannot begin a session of readers", |tx| {
            begin_session(tx, int(lease_ms))
        })
    }

    fn epoch(&self) -> Result<Epoch> {
        self.read("cannot look the epoch up", |db| {
            let sql = "SELECT value FROM meta WHERE name = 'epoch'";
            db.query_row(sql, [], |row| uint(row.get(0)?).map(Epoch))
        })
    }

    fn pin_manifests(
        &self,
        session: SessionId,
        epoch: Epoch,
        lease_ms: u64,
        manifests: &[ManifestId],
    ) -> Result<()> {
        self.write_on_a_full_disk("cannot note what is read", |tx| {
            rules::pin_manifests(&mut SqlTables::of(tx), session, epoch, lease_ms, manifests)
        })
    }

    fn is_pinned(&self, manifest: ManifestId) -> Result<bool> {
        self.read("cannot look for readers", |db| records_collect::is_pinned(db, manifest))
    }
}

impl PinTables for SqlTables<'_> {
    fn pins(&mut self, session: SessionId) -> Result<Vec<ManifestId>, Halt> {
        let mut statement =
            self.db().prepare_cached("SELECT manifest FROM pins WHERE session = ?1")?;
        let rows =
            statement.query_map([int(session.0)], |row| uint(row.get(0)?).map(ManifestId))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn add_pin(&mut self, session: SessionId, manifest: ManifestId) -> Result<(), Halt> {
        let sql = "INSERT INTO pins (session, manifest) VALUES (?1, ?2)";
        self.db().prepare_cached(sql)?.execute(params![int(session.0), int(manifest.0)])?;
        Ok(())
    }

    fn remove_pin(&mut self, session: SessionId, manifest: ManifestId) -> Result<(), Halt> {
        let sql = "DELETE FROM pins WHERE session = ?1 AND manifest = ?2";
        self.db().prepare_cached(sql)?.execute(params![int(session.0), int(manifest.0)])?;
        Ok(())
    }

    fn move_session(
        &mut self,
        session: SessionId,
        epoch: Epoch,
        lease_ms: u64,
    ) -> Result<(), Halt> {
        let sql = format!(
            "UPDATE sessions SET epoch = max(epoch, ?2), expires_ms = {NOW_MS} + ?3 WHERE id = ?1"
        );
        let values = params![int(session.0), int(epoch.0), int(lease_ms)];
        self.db().prepare_cached(&sql)?.execute(values)?;
        Ok(())
    }
}
