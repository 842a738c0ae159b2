//! Heals damaged chunks with bytes from elsewhere: a file, or another store.
//!
//! It is a put that makes no object. The bytes are appended and committed in an upload session like
//! any put's, so the rule by which a put heals a chunk is the only one there is. The manifest that
//! they come in stays pending, and goes with the session.

use std::io::{self, Read};

use drystone_chunker::{ChunkId, Chunks};
use drystone_sync::{PlainArc, bound};

use crate::commit::Step;
use crate::segments::Hold;
use crate::store::Inner;
use crate::{
    Appended, ChunkRef, Entry, Location, ManifestEntry, PlacedChunk, Result, SessionHandle, Source,
    Store, StoreError, UploadSession,
};

/// Chunks that are committed together, at most.
const BATCH_CHUNKS: usize = bound(256, 2);
/// Bytes that are committed together, but for the last chunk.
const BATCH_BYTES: u64 = bound(64 << 20, 8) as u64;
/// Damaged chunks that are read at a time.
const PAGE_ROWS: usize = bound(256, 2);

/// Heals damaged chunks, in an upload session of its own.
pub struct Healer {
    inner: PlainArc<Inner>,
    session: UploadSession,
    /// Appended, and not committed.
    batch: Vec<ManifestEntry>,
    batch_bytes: u64,
    /// What keeps the appended bytes until then.
    holds: Vec<PlainArc<dyn Hold>>,
    healed: u64,
}

impl Store {
    /// Begins to heal chunks, with a lease of `lease_ms` for its session.
    ///
    /// # Errors
    /// The records'.
    pub fn healer(&self, lease_ms: u64) -> Result<Healer> {
        let inner = PlainArc::clone(&self.inner);
        let begin = || {
            let (records, writer) =
                (PlainArc::clone(&inner.records), PlainArc::clone(&inner.writer));
            UploadSession::begin(records, writer, lease_ms)
        };
        let session = inner.writer.with_room(begin)?;
        let (batch, holds) = (Vec::new(), Vec::new());
        Ok(Healer { inner, session, batch, batch_bytes: 0, holds, healed: 0 })
    }
}

impl Healer {
    /// What a heartbeat needs, for as long as this works.
    pub fn handle(&self) -> SessionHandle {
        self.session.handle()
    }

    /// Cuts what `source` gives as a put does, and heals the damaged chunks that are among it.
    /// Calls `each` with the length of every chunk, in bytes; `false` stops. Returns how many were
    /// healed.
    ///
    /// # Errors
    /// The outer error is the store's, the inner one the source's.
    pub fn from_reader(
        mut self,
        source: &mut dyn Read,
        each: &mut dyn FnMut(u64) -> bool,
    ) -> Result<io::Result<u64>> {
        let mut chunks = Chunks::new(source, self.inner.config.chunking);
        let failed = loop {
            match chunks.next_chunk() {
                Ok(None) => break None,
                Err(error) => break Some(error),
                Ok(Some(bytes)) => {
                    self.offer(&ChunkId::of(bytes), bytes)?;
                    if !each(bytes.len() as u64) {
                        break None;
                    }
                }
            }
        };
        self.commit()?;
        Ok(failed.map_or(Ok(self.healed), Err))
    }

    /// Looks every damaged chunk up in another store, and heals those that are whole there. Calls
    /// `each` with the length of every chunk that it has looked for, in bytes; `false` stops.
    /// Returns how many were healed.
    ///
    /// # Errors
    /// This store's. What cannot be read in the other one is not healed.
    pub fn from_store(mut self, other: &Store, each: &mut dyn FnMut(u64) -> bool) -> Result<u64> {
        let owner = other.inner.buffers.owner();
        let mut lease = owner.acquire()?;
        let mut after = ChunkRef(0);
        'pages: loop {
            let page = self.inner.records.damaged_chunks(after, PAGE_ROWS)?;
            for chunk in &page {
                let Some((id, _)) = chunk.name else { continue };
                if let Some(len) = find_in(other, &id, &mut lease) {
                    self.offer(&id, &lease[..len])?;
                }
                if !each(u64::from(chunk.at().len)) {
                    break 'pages;
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE_ROWS => after = last.chunk,
                _ => break,
            }
        }
        self.commit()?;
        Ok(self.healed)
    }

    /// Writes a chunk if it is damaged here and these are its bytes.
    fn offer(&mut self, id: &ChunkId, bytes: &[u8]) -> Result<()> {
        let known = self.inner.records.find_chunks(&[*id])?;
        let is_damaged = known.first().copied().flatten().is_some_and(|known| known.damaged);
        if !is_damaged || self.batch.iter().any(|entry| entry.id == *id) {
            return Ok(());
        }
        let Appended { segment, offset, hold } = self.inner.segments.append(&[bytes])?;
        let len = u32::try_from(bytes.len()).expect("a chunk is at most 1 GiB");
        let source = Source::Written(Location { segment, offset, len });
        self.batch.push(ManifestEntry { offset: self.batch_bytes, id: *id, source });
        self.batch_bytes += u64::from(len);
        self.holds.push(hold);
        if self.batch.len() >= BATCH_CHUNKS || self.batch_bytes >= BATCH_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (session, count) = (self.session.id(), self.batch.len() as u64);
        let chunks = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let entry = Entry { session, manifest: None, chunks, complete: None, advance: false };
        // Other uploads may wait for their commits too; this one leads them if none does.
        self.inner.committer.submit(Step { entry, written: Vec::new() }).wait()?;
        self.holds.clear();
        self.healed += count;
        Ok(())
    }
}

/// Reads a chunk of another store. `None` unless it is there and whole.
fn find_in(other: &Store, id: &ChunkId, lease: &mut [u8]) -> Option<usize> {
    let mut before: Option<PlacedChunk> = None;
    loop {
        let chunk = other.inner.records.placed_chunk_of(id).ok()??;
        // A collect may have moved it while it was read; then it is somewhere else now.
        if before.is_some_and(|before| before.place() == chunk.place()) {
            return None;
        }
        let bytes = lease.get_mut(..chunk.at().len as usize)?;
        let read: Result<(), StoreError> = other.inner.segments.read(chunk.at(), bytes);
        if read.is_ok() && ChunkId::of(bytes) == *id {
            return Some(bytes.len());
        }
        before = Some(chunk);
    }
}
