//! Reads a run of neighbouring chunks with one request, and verifies each.

use std::io;

use drystone_chunker::ChunkId;
use drystone_pool::Lease;
use drystone_sync::{Arc, Condvar, Mutex, PlainArc};

use super::PlacedChunk;
use crate::{Location, Records, Result, SegmentStorage, StoreError};

/// What a damaged disk answers; the standard library has no name for it.
const EIO: i32 = 5;
/// Garbage between two chunks that is read along rather than making two reads of one, in bytes.
const GAP_BYTES_MAX: u64 = 64 << 10;

/// Chunks that lie one behind the other in a segment.
pub(super) struct Run {
    pub(super) chunks: Vec<PlacedChunk>,
}

/// What became of a chunk.
pub(super) enum Verdict {
    /// It is whole, at this place.
    Well(PlacedChunk),
    /// It is not, and its row still names this place.
    Bad(PlacedChunk, String),
    /// It has been swept.
    Gone,
}

impl Run {
    /// Whether a chunk can be read together with these, into a buffer of so many bytes.
    pub(super) fn has_room_for(&self, next: &PlacedChunk, buffer_bytes: usize) -> bool {
        let (Some(first), Some(last)) = (self.chunks.first(), self.chunks.last()) else {
            return true;
        };
        let is_near = next.segment == last.segment
            && next.offset >= last.end()
            && next.offset - last.end() <= GAP_BYTES_MAX;
        is_near && next.end() - first.offset <= buffer_bytes as u64
    }

    /// All of it, if that fits into the buffer.
    fn at(&self, buffer_bytes: usize) -> Option<Location> {
        let (first, last) = (self.chunks.first()?, self.chunks.last()?);
        let len = last.end().checked_sub(first.offset)?;
        let fits = len <= buffer_bytes as u64;
        let len = u32::try_from(len).ok().filter(|_| fits)?;
        Some(Location { segment: first.segment, offset: first.offset, len })
    }
}

/// What a worker needs to verify chunks. Not the whole store: a worker that is the last to hold it
/// would end the workers and wait for itself.
#[derive(Clone)]
pub(super) struct Verifier {
    pub(super) records: PlainArc<dyn Records>,
    pub(super) segments: PlainArc<dyn SegmentStorage>,
}

impl Verifier {
    /// The outcome of each chunk of a run, in order.
    ///
    /// # Errors
    /// What is the matter with the store or the machine, and not with a chunk.
    pub(super) fn verify(&self, run: &Run, lease: &mut Lease) -> Result<Vec<Verdict>> {
        let at = run.at(lease.len());
        let read = at.filter(|at| self.segments.read(*at, &mut lease[..at.len as usize]).is_ok());
        let is_well = |chunk: &PlacedChunk| {
            let (Some(at), Some((id, len))) = (read, chunk.name) else { return false };
            let from = (chunk.offset - at.offset) as usize;
            ChunkId::of(&lease[from..from + len as usize]) == id
        };
        let well: Vec<bool> = run.chunks.iter().map(is_well).collect();
        // The buffer is used again for what is read once more.
        let judge = |(chunk, well): (&PlacedChunk, bool)| {
            if well { Ok(Verdict::Well(*chunk)) } else { self.look_again(*chunk, lease) }
        };
        run.chunks.iter().zip(well).map(judge).collect()
    }

    /// A chunk by itself. A collect may have moved or swept it since its row was read.
    fn look_again(&self, mut chunk: PlacedChunk, lease: &mut Lease) -> Result<Verdict> {
        loop {
            let Some(detail) = self.fault(&chunk, lease)? else { return Ok(Verdict::Well(chunk)) };
            match self.records.placed_chunk(chunk.chunk)? {
                None => return Ok(Verdict::Gone),
                // Each time round it has been moved once more: this ends.
                Some(now) if now.place() != chunk.place() => chunk = now,
                Some(now) => return Ok(Verdict::Bad(now, detail)),
            }
        }
    }

    /// What is wrong with a chunk's bytes, if anything is.
    fn fault(&self, chunk: &PlacedChunk, lease: &mut Lease) -> Result<Option<String>> {
        let Some((id, len)) = chunk.name else {
            return Ok(Some("its row holds no name or no length".into()));
        };
        let Some(bytes) = lease.get_mut(..len as usize) else {
            return Ok(Some(format!("{len} bytes are longer than any chunk of this store")));
        };
        if let Err(error) = self.segments.read(chunk.at(), bytes) {
            return what_is_missing(error, chunk).map(Some);
        }
        let found = ChunkId::of(bytes);
        Ok((found != id).then(|| format!("its {len} bytes hash to {found}")))
    }
}

/// Why a chunk could not be read, if that is the chunk's own fault.
fn what_is_missing(error: StoreError, chunk: &PlacedChunk) -> Result<String> {
    let StoreError::Storage { source, .. } = &error else { return Err(error) };
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Ok(format!("the segment ends before byte {}", chunk.end())),
        io::ErrorKind::NotFound => Ok("the segment is missing".into()),
        io::ErrorKind::InvalidData => Ok(format!("the segment cannot be read: {source}")),
        _ if source.raw_os_error() == Some(EIO) => Ok("the disk cannot read it".into()),
        _ => Err(error),
    }
}

/// What a worker found out about a run, on its way.
pub(super) struct Slot {
    /// A leaf lock.
    state: Mutex<Option<Result<Vec<Verdict>>>>,
    arrived: Condvar,
}

/// Fills its slot once, also when it is dropped without a result.
pub(super) struct Delivery(Option<Arc<Slot>>);

impl Slot {
    /// A slot, and what fills it.
    pub(super) fn new() -> (Arc<Self>, Delivery) {
        let slot = Arc::new(Self { state: Mutex::new(None), arrived: Condvar::new() });
        let delivery = Delivery(Some(Arc::clone(&slot)));
        (slot, delivery)
    }

    pub(super) fn take(&self) -> Result<Vec<Verdict>> {
        let mut state = self.state.lock();
        loop {
            if let Some(result) = state.take() {
                return result;
            }
            state = self.arrived.wait(state);
        }
    }
}

impl Delivery {
    pub(super) fn deliver(mut self, result: Result<Vec<Verdict>>) {
        self.fill(result);
    }

    fn fill(&mut self, result: Result<Vec<Verdict>>) {
        if let Some(slot) = self.0.take() {
            *slot.state.lock() = Some(result);
            slot.arrived.notify_one();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.fill(Err(StoreError::Closed));
    }
}
