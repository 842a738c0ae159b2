//! What an upload is between two turns: no ingest slot, no buffer, no thread.
//!
//! What its client sends meanwhile goes to the spool, and from there to the store at the speed of
//! the machine when its turn has come.

use bytes::Bytes;
use drystone_pool::Slice;
use drystone_store::{PutFailure, StoreError, Writing};
use drystone_sync::PlainArc;

use crate::checksums::Checksums;
use crate::edge::Edge;
use crate::fault::Fault;
use crate::ingest_slots::{IngestSlot, ParkedUpload};
use crate::spool::{Slot, Spool};

/// So much of a slow client's bytes is worth a turn.
const BURST_BYTES: u64 = 4 << 20;

/// An upload between two turns.
pub(crate) struct Resting<C> {
    /// What the store has of it, if anything.
    parked: Option<ParkedUpload>,
    /// Where the bytes lie that come next, when there are any.
    slot: Option<Slot>,
    spooled: u64,
    /// How many of these have been in the store's buffers before: the upload's unfinished chunk.
    tail: u64,
    /// Of all bytes that have come.
    pub(crate) checksums: C,
    pub(crate) len: u64,
}

impl<C: Checksums> Resting<C> {
    pub(crate) fn new(checksums: C) -> Self {
        Self { parked: None, slot: None, spooled: 0, tail: 0, checksums, len: 0 }
    }

    /// Whether a piece of this length can be spooled, and is not better given to the store first.
    pub(crate) fn has_room(&self, spool: &Spool, len: usize) -> bool {
        // A long tail is written again after the next turn: more must come with it to be worth
        // that.
        let burst = BURST_BYTES.max(self.tail);
        self.spooled - self.tail < burst && self.spooled + len as u64 <= spool.slot_bytes()
    }

    /// Whether enough has come to be worth a turn.
    pub(crate) fn has_burst(&self, spool: &Spool) -> bool {
        !self.has_room(spool, 0)
    }

    /// Moves a piece to the spool.
    ///
    /// # Errors
    /// When the disk is full, for example.
    pub(crate) async fn spool(self, edge: &Edge, bytes: Bytes) -> Result<Self, Fault> {
        let Self { parked, slot, spooled, tail, checksums, len } = self;
        let (mut slot, mut checksums) = (slot.unwrap_or_else(|| edge.spool.slot()), checksums);
        let more = bytes.len() as u64;
        let written = edge.run(move || {
            checksums.update(&bytes);
            slot.write(spooled, &bytes).map(|()| (slot, checksums))
        });
        let (slot, checksums) = written.await?.map_err(failed)?;
        Ok(Self {
            parked,
            slot: Some(slot),
            spooled: spooled + more,
            tail,
            checksums,
            len: len + more,
        })
    }

    /// Goes on in an ingest slot: the store gets what was spooled. Blocks.
    ///
    /// # Errors
    /// The store's, or the spool's.
    pub(crate) fn resume<'a>(
        &mut self,
        ingest_slot: &'a mut IngestSlot,
        size_hint: Option<u64>,
    ) -> Result<Writing<'a>, Fault> {
        let mut writing = match self.parked.take() {
            Some(waiting) => ingest_slot.ingest().resume(waiting.go_on()),
            None => ingest_slot.ingest().begin(size_hint),
        };
        if let Some(slot) = self.slot.take() {
            let pushed = writing.push_all(&mut slot.reader(self.spooled));
            pushed.map_err(|failure| match failure {
                PutFailure::Source(error) => failed(error),
                PutFailure::Store(error) => error.into(),
            })?;
        }
        (self.tail, self.spooled) = (0, 0);
        Ok(writing)
    }

    /// The upload's turn is over, and this is its unfinished chunk. Blocks.
    ///
    /// # Errors
    /// When the disk is full, for example.
    pub(crate) fn rest(
        mut self,
        spool: &PlainArc<Spool>,
        parked: ParkedUpload,
        tail: Option<&Slice>,
    ) -> Result<Self, Fault> {
        self.parked = Some(parked);
        if let Some(tail) = tail {
            let mut slot = spool.slot();
            slot.write(0, tail).map_err(failed)?;
            (self.slot, self.tail) = (Some(slot), tail.len() as u64);
            self.spooled = self.tail;
        }
        Ok(self)
    }
}

fn failed(error: std::io::Error) -> Fault {
    StoreError::storage("cannot keep an upload in the spool", error).into()
}
