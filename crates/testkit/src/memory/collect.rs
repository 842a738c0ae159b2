//! The collector's protocol (condemn, wait, sweep) in three calls, each one transaction: what the
//! store must bear, until there is a collector of its own.

use std::collections::BTreeSet;

use drystone_chunker::ChunkId;
use drystone_store::{Epoch, ManifestId};

use super::Memory;
use super::tables::Tables;

impl Memory {
    /// Ends every live session, as its lease running out does. Returns how many.
    pub fn expire(&self) -> usize {
        let mut state = self.shared.lock();
        let live = state.tables.sessions.values_mut().filter(|row| !row.dead);
        live.map(|row| row.dead = true).count()
    }

    /// The first step: stamps unreferenced chunks with the epoch, and begins the next. Returns the
    /// old one.
    pub fn condemn_unreferenced(&self) -> Epoch {
        let mut state = self.shared.lock();
        let epoch = state.tables.epoch();
        for id in state.tables.unreferenced() {
            let row = state.tables.chunk_mut(&id);
            row.map(|row| row.condemned.get_or_insert(epoch));
        }
        state.tables.advance_epoch()
    }

    /// The second and third step: removes what was condemned up to `epoch`, unless a session that
    /// may know it is alive. Returns how many chunks went.
    pub fn sweep(&self, epoch: Epoch) -> usize {
        let tables = &mut self.shared.lock().tables;
        if tables.oldest_epoch().is_some_and(|oldest| oldest <= epoch) {
            return 0;
        }
        let is_doomed = |id: &ChunkId| {
            let condemned = tables.chunk(id).and_then(|row| row.condemned);
            condemned.is_some_and(|at| at <= epoch)
        };
        let doomed: Vec<_> = tables.unreferenced().into_iter().filter(is_doomed).collect();
        for id in &doomed {
            let row = tables.chunk_ids.remove(id);
            row.map(|row| tables.chunks.remove(&row));
        }
        doomed.len()
    }
}

impl Tables {
    /// Manifests of objects and of parts, and those that they have slices of.
    fn committed(&self) -> BTreeSet<ManifestId> {
        let objects = self.objects.values().flat_map(|objects| objects.values());
        let parts = self.uploads.values().flat_map(|upload| upload.parts.values());
        let named = objects.map(|row| row.manifest).chain(parts.map(|part| part.manifest));
        let mut committed: BTreeSet<ManifestId> = named.collect();
        let composites: Vec<_> = committed.iter().filter_map(|id| self.manifests.get(id)).collect();
        let slices = composites.into_iter().flat_map(|composite| &composite.slices);
        committed.extend(slices.map(|(_, slice)| slice.manifest).collect::<Vec<_>>());
        committed
    }

    /// Chunks that no manifest names, committed or pending in a live session.
    fn unreferenced(&self) -> Vec<ChunkId> {
        let committed = self.committed();
        let counts =
            |(id, manifest): &(&ManifestId, &super::tables::Manifest)| match manifest.session {
                Some(session) => self.is_live(session),
                None => committed.contains(id),
            };
        let counting = self.manifests.iter().filter(counts);
        let named: BTreeSet<_> =
            counting.flat_map(|(_, manifest)| manifest.rows.values()).collect();
        let ids = self.chunk_ids.iter().filter(|(_, row)| !named.contains(row));
        ids.map(|(id, _)| *id).collect()
    }
}
