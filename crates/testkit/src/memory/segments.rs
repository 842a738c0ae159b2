//! Segment files on the disk.

use std::io;

use drystone_appender::{OwnedFile, OwnedFiles};
use drystone_store::{Location, Result, SegmentId, StoreError};
use drystone_sync::{Mutex, PlainArc};

use super::disk::{HEADER_BYTES, SegmentFile};
use super::faults::Pass;
use super::{Io, State};

/// One process's view of the segment files.
pub struct MemoryFiles {
    shared: PlainArc<Mutex<State>>,
    process: u64,
}

/// The appender of one segment.
struct MemoryWriter {
    shared: PlainArc<Mutex<State>>,
    process: u64,
    id: SegmentId,
    owner: u64,
    /// `None` from the adoption to the rewind.
    len: Option<u64>,
}

pub(super) fn failed(what: &str, id: SegmentId, error: io::Error) -> StoreError {
    StoreError::storage(format!("cannot {what} segment {id}"), error)
}

pub(super) fn gone(id: SegmentId) -> StoreError {
    failed("find", id, io::ErrorKind::NotFound.into())
}

/// Reads what any process may read.
pub(super) fn read(
    shared: &Mutex<State>,
    process: u64,
    at: Location,
    into: &mut [u8],
) -> Result<()> {
    let mut state = shared.lock();
    let pass =
        state.faults.gate(process, Io::Read).map_err(|error| failed("read", at.segment, error))?;
    let file = state.disk.file(at.segment).ok_or_else(|| gone(at.segment))?;
    let bytes = file
        .at(at)
        .ok_or_else(|| failed("read", at.segment, io::ErrorKind::UnexpectedEof.into()))?;
    into.copy_from_slice(bytes);
    if let (Pass::Garbled, Some(byte)) = (&pass, into.len().checked_sub(1)) {
        into[byte / 2] ^= 0x10;
    }
    pass.done().map_err(|error| failed("read", at.segment, error))
}

pub(super) fn remove(shared: &Mutex<State>, process: u64, id: SegmentId) -> Result<()> {
    let mut state = shared.lock();
    let pass = state.faults.gate(process, Io::Open).map_err(|error| failed("remove", id, error))?;
    state.watch_removal(id);
    let removed = if state.disk.remove(id) { Ok(()) } else { Err(io::ErrorKind::ResourceBusy) };
    let removed = removed.map_err(io::Error::from).and_then(|()| pass.done());
    removed.map_err(|error| failed("remove", id, error))
}

pub(super) fn list(
    shared: &Mutex<State>,
    process: u64,
    after: Option<SegmentId>,
    limit: usize,
) -> Result<Vec<SegmentId>> {
    let mut state = shared.lock();
    let pass = state.faults.gate(process, Io::Read);
    let listed = pass.and_then(|pass| pass.done().map(|()| state.disk.list(after, limit)));
    listed.map_err(|error| StoreError::storage("cannot list the segments", error))
}

impl MemoryFiles {
    pub(super) fn new(shared: PlainArc<Mutex<State>>, process: u64) -> Self {
        Self { shared, process }
    }

    fn writer(&self, id: SegmentId, owner: u64, len: Option<u64>) -> MemoryWriter {
        MemoryWriter {
            shared: PlainArc::clone(&self.shared),
            process: self.process,
            id,
            owner,
            len,
        }
    }
}

impl OwnedFiles for MemoryFiles {
    fn create(&self, id: SegmentId) -> Result<Box<dyn OwnedFile>> {
        let mut state = self.shared.lock();
        let pass = state
            .faults
            .gate(self.process, Io::Open)
            .map_err(|error| failed("create", id, error))?;
        let owner = state.disk.create(id);
        drop(state);
        let owner =
            owner.ok_or_else(|| failed("create", id, io::ErrorKind::AlreadyExists.into()))?;
        let writer = self.writer(id, owner, Some(HEADER_BYTES));
        pass.done().map_err(|error| failed("create", id, error))?;
        Ok(Box::new(writer))
    }

    fn adopt(&self, id: SegmentId) -> Result<Option<Box<dyn OwnedFile>>> {
        let mut state = self.shared.lock();
        let pass =
            state.faults.gate(self.process, Io::Open).map_err(|error| failed("open", id, error))?;
        let owner = state.disk.own(id);
        drop(state);
        let writer = owner.map(|owner| self.writer(id, owner, None));
        pass.done().map_err(|error| failed("open", id, error))?;
        Ok(writer.map(|writer| Box::new(writer) as Box<dyn OwnedFile>))
    }

    fn header_bytes(&self) -> u64 {
        HEADER_BYTES
    }

    fn read(&self, at: Location, into: &mut [u8]) -> Result<()> {
        read(&self.shared, self.process, at, into)
    }

    fn remove(&self, id: SegmentId) -> Result<()> {
        remove(&self.shared, self.process, id)
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>> {
        list(&self.shared, self.process, after, limit)
    }

    fn sync(&self, id: SegmentId) -> Result<()> {
        let mut state = self.shared.lock();
        let pass = state.faults.gate(self.process, Io::Sync);
        let is_dead = state.faults.is_dead(self.process);
        let file = state.disk.file_mut(id).ok_or_else(|| gone(id))?;
        match &pass {
            Ok(_) => file.sync(),
            Err(_) if is_dead => {}
            Err(_) => file.fail_sync(),
        }
        pass.and_then(Pass::done).map_err(|error| failed("sync", id, error))
    }
}

impl MemoryWriter {
    /// Runs `body` on the segment that this writer owns.
    fn with_file<T>(
        &self,
        what: &str,
        (io, bytes): (Io, u64),
        body: impl FnOnce(&mut SegmentFile, io::Result<()>) -> io::Result<T>,
    ) -> Result<T> {
        let mut state = self.shared.lock();
        let pass = state.faults.gate(self.process, io);
        let is_dead = state.faults.is_dead(self.process);
        if !state.disk.has_room_for(bytes) {
            return Err(failed(what, self.id, io::ErrorKind::StorageFull.into()));
        }
        let file = state.disk.file_mut(self.id).ok_or_else(|| gone(self.id))?;
        let done = match pass {
            Ok(pass) => body(file, Ok(())).and_then(|value| pass.done().map(|()| value)),
            Err(error) if is_dead => Err(error),
            Err(error) => body(file, Err(error)),
        };
        done.map_err(|error| failed(what, self.id, error))
    }
}

impl OwnedFile for MemoryWriter {
    fn id(&self) -> SegmentId {
        self.id
    }

    fn len(&self) -> u64 {
        self.len.unwrap_or(HEADER_BYTES)
    }

    fn is_empty(&self) -> bool {
        self.len() <= HEADER_BYTES
    }

    fn rewind(&mut self, bytes: u64) -> Result<()> {
        let len = self.with_file("rewind", (Io::Rewind, 0), |file, gate| {
            gate?;
            if file.len() < bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if bytes < HEADER_BYTES {
                file.write_header();
                return Ok(HEADER_BYTES);
            }
            file.cut(bytes);
            Ok(bytes)
        })?;
        self.len = Some(len);
        Ok(())
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<u64> {
        let Some(offset) = self.len else {
            self.shared
                .lock()
                .violate(format!("segment {} is appended to before its rewind", self.id));
            return Err(failed("append to", self.id, io::ErrorKind::InvalidInput.into()));
        };
        let bytes: Vec<u8> = parts.concat();
        self.with_file("append to", (Io::Append, bytes.len() as u64), |file, gate| {
            // A failed append leaves a part of its bytes behind.
            let written = if gate.is_ok() { bytes.len() } else { bytes.len() / 2 };
            file.write(offset, &bytes[..written]);
            gate
        })?;
        self.len = Some(offset + bytes.len() as u64);
        Ok(offset)
    }

    fn is_full(&self, bytes: u64) -> bool {
        !self.is_empty() && self.len() + bytes > self.shared.lock().config.segment_bytes_max
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.shared.lock().disk.release(self.id, self.owner);
    }
}
