//! Segments in an object store, as a sketch: a segment is one object, and an object is written
//! once.
//!
//! What is appended goes into an object that is being written: to the service in numbered parts as
//! soon as there is enough for one, and the rest is kept. No part can be read. *Settling* the
//! segment makes one object of its parts, or puts it whole where there is no part yet: it is there
//! at once, for every process, and never changes. The next append begins another. An object that
//! was never completed is nothing at all, whatever happens to its process; so nothing has to be
//! adopted, cut or held here, and a disk is never full.
//!
//! The service is the disk of a [`Memory`](super::Memory): a completed object lies there like a
//! synced segment, so that the records' checks hold for both.

use std::collections::BTreeSet;
use std::io;

use drystone_store::{
    Appended, Hold, Location, Records, Result, SegmentId, SegmentStorage, Settled,
};
use drystone_sync::{Condvar, Mutex, PlainArc};

use super::faults::Pass;
use super::segments::{self, failed};
use super::{Io, State};

/// A part has this many bytes, but for the last one. (S3: 5 MiB at least.)
const PART_BYTES: usize = 64;

/// One process's view of segments that are objects.
pub struct ObjectSegments {
    machine: PlainArc<Mutex<State>>,
    process: u64,
    records: PlainArc<dyn Records>,
    bytes_max: u64,
    /// Not held during I/O.
    writing: Mutex<Writing>,
    /// Signalled when an object is not busy any more.
    freed: Condvar,
}

#[derive(Default)]
struct Writing {
    /// Objects that nothing is being done to: one for each thread that appends, at most.
    idle: Vec<Object>,
    /// Those that are appended to, or completed.
    busy: BTreeSet<SegmentId>,
    /// Those that could not be completed.
    lost: BTreeSet<SegmentId>,
}

/// An object that is being written.
struct Object {
    id: SegmentId,
    /// What the service has, by number from 1.
    parts: Vec<Vec<u8>>,
    /// What it has not.
    rest: Vec<u8>,
    len: u64,
}

/// Nothing is ever given back.
struct Unneeded;

impl Hold for Unneeded {}

impl ObjectSegments {
    pub(super) fn new(
        machine: PlainArc<Mutex<State>>,
        process: u64,
        records: PlainArc<dyn Records>,
    ) -> Self {
        let bytes_max = machine.lock().config.segment_bytes_max;
        let (writing, freed) = (Mutex::new(Writing::default()), Condvar::new());
        Self { machine, process, records, bytes_max, writing, freed }
    }

    /// An object that nothing else appends to, and that has room for so many bytes.
    fn take(&self, bytes: u64) -> Result<Object> {
        loop {
            let mut writing = self.writing.lock();
            let Some(object) = writing.idle.pop() else { break };
            writing.busy.insert(object.id);
            drop(writing);
            if object.len + bytes <= self.bytes_max {
                return Ok(object);
            }
            // If it is lost, the threads that settle it are told.
            let _ = self.complete(object);
        }
        let id = self.records.create_segment()?;
        self.writing.lock().busy.insert(id);
        Ok(Object { id, parts: Vec::new(), rest: Vec::new(), len: 0 })
    }

    /// One request to the service.
    fn request(&self, io: Io) -> io::Result<Pass> {
        self.machine.lock().faults.gate(self.process, io)
    }

    fn send(&self, object: &mut Object, bytes: usize) -> io::Result<()> {
        self.request(Io::Append)?.done()?;
        let rest = object.rest.split_off(bytes);
        object.parts.push(std::mem::replace(&mut object.rest, rest));
        Ok(())
    }

    /// Makes the object of a busy one's parts.
    fn complete(&self, mut object: Object) -> Result<Settled> {
        let id = object.id;
        let completed = self.try_complete(&mut object);
        let mut writing = self.writing.lock();
        writing.busy.remove(&id);
        if completed.is_err() {
            writing.lost.insert(id);
        }
        drop(writing);
        self.freed.notify_all();
        completed.map(|()| Settled::Whole).map_err(|error| failed("complete", id, error))
    }

    fn try_complete(&self, object: &mut Object) -> io::Result<()> {
        if !object.parts.is_empty() && !object.rest.is_empty() {
            self.send(object, object.rest.len())?;
        }
        let mut bytes = object.parts.concat();
        bytes.append(&mut object.rest);
        let mut machine = self.machine.lock();
        let pass = machine.faults.gate(self.process, Io::Sync)?;
        machine.disk.put_object(object.id, bytes);
        pass.done()
    }

    fn settle_one(&self, id: SegmentId) -> Result<Settled> {
        let mut writing = self.writing.lock();
        while writing.busy.contains(&id) {
            writing = self.freed.wait(writing);
        }
        if writing.lost.contains(&id) {
            return Err(failed("complete", id, io::Error::other("it is lost")));
        }
        if let Some(at) = writing.idle.iter().position(|object| object.id == id) {
            let object = writing.idle.swap_remove(at);
            writing.busy.insert(id);
            drop(writing);
            return self.complete(object);
        }
        drop(writing);
        let is_there = self.machine.lock().disk.file(id).is_some();
        if is_there { Ok(Settled::Whole) } else { Err(segments::gone(id)) }
    }
}

impl SegmentStorage for ObjectSegments {
    fn append(&self, parts: &[&[u8]]) -> Result<Appended> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut object = self.take(bytes)?;
        let (segment, offset) = (object.id, object.len);
        // Where a part cannot be sent, these bytes stay in the object all the same, and mean
        // nothing there.
        parts.iter().for_each(|part| object.rest.extend_from_slice(part));
        object.len += bytes;
        let mut sent = Ok(());
        while sent.is_ok() && object.rest.len() >= PART_BYTES {
            sent = self.send(&mut object, PART_BYTES);
        }
        let mut writing = self.writing.lock();
        writing.busy.remove(&segment);
        writing.idle.push(object);
        drop(writing);
        self.freed.notify_all();
        sent.map_err(|error| failed("append to", segment, error))?;
        Ok(Appended { segment, offset, hold: PlainArc::new(Unneeded) })
    }

    fn settle(&self, segments: &[SegmentId]) -> Vec<Result<Settled>> {
        segments.iter().map(|id| self.settle_one(*id)).collect()
    }

    fn read(&self, at: Location, into: &mut [u8]) -> Result<()> {
        segments::read(&self.machine, self.process, at, into)
    }

    fn remove(&self, segment: SegmentId) -> Result<()> {
        segments::remove(&self.machine, self.process, segment)
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>> {
        segments::list(&self.machine, self.process, after, limit)
    }
}
