//! One object on its way in: bytes come, buffers are filled, full ones are passed on.

use std::io::{self, Read};

use drystone_pool::{Lease, Slice};
use drystone_sync::{Arc, PlainArc};

use crate::ingest::{Ingest, SEND_BYTES};
use crate::parked::Parked;
use crate::stream::{End, Message};
use crate::upload::UploadState;
use crate::{PendingPut, PutFailure, Result, StoreError, Target, UploadSession};

/// A buffer with less room than this is not begun with a new upload.
const ROOM_BYTES_MIN: usize = 64 << 10;
/// Bytes that a source must show before a fresh buffer is leased for it. They are copied once more,
/// so not many.
pub(crate) const PROBE_BYTES: usize = 512;

/// An object that is being given to an [`Ingest`], piece by piece. Dropped before
/// [`finish`](Self::finish), it is cancelled: nothing of it becomes visible, and the ingest is
/// ready for the next.
///
/// It holds a buffer for bytes that it has, never for bytes that it waits for; with what its cutter
/// keeps, two at most.
pub struct Writing<'a> {
    ingest: &'a mut Ingest,
    /// `None` once finished.
    upload: Option<Arc<UploadState>>,
    /// That of the ingest in which it began.
    session: PlainArc<UploadSession>,
    /// Whether anything was passed on.
    begun: bool,
    /// What must be left of a buffer to begin in it.
    room_bytes_min: usize,
    /// In front of the bytes to pass on next, when they are in another buffer than the ones
    /// before.
    headroom: Option<Lease>,
    /// How much of the ingest's buffer has been filled and not passed on.
    filled: usize,
}

impl<'a> Writing<'a> {
    pub(crate) fn begin(
        ingest: &'a mut Ingest,
        upload: Arc<UploadState>,
        session: PlainArc<UploadSession>,
        size_hint: Option<u64>,
    ) -> Self {
        let wanted =
            usize::try_from(size_hint.unwrap_or(0)).unwrap_or(usize::MAX).saturating_add(1);
        let room_bytes_min = wanted.clamp(1, ROOM_BYTES_MIN);
        let upload = Some(upload);
        Self { ingest, upload, session, begun: false, room_bytes_min, headroom: None, filled: 0 }
    }

    /// The object's next bytes. Waits while buffers are short or the store cannot keep up.
    ///
    /// # Errors
    /// The store failed; the object will not be stored.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let len = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(len);
            room[..len].copy_from_slice(now);
            bytes = later;
            self.took(len)?;
        }
        Ok(())
    }

    /// The object's next bytes, up to the end of `source`. They are read to where they will stay.
    ///
    /// # Errors
    /// The source's, or the store failed; the object will not be stored, or not by this call.
    pub fn push_all(&mut self, source: &mut dyn Read) -> std::result::Result<(), PutFailure> {
        loop {
            let len = if self.has_room() {
                let room = self.room()?;
                let len = read(source, room).map_err(PutFailure::Source)?;
                self.took(len)?;
                len
            } else {
                // The source may take its time, or be at its end. So no buffer is leased before it
                // gives something.
                let mut probe = [0; PROBE_BYTES];
                let len = read(source, &mut probe).map_err(PutFailure::Source)?;
                self.push(&probe[..len])?;
                len
            };
            if len == 0 {
                return Ok(());
            }
        }
    }

    /// There are no more bytes: this is what they become.
    ///
    /// # Errors
    /// The store failed, and the object will not be stored. Other errors are returned when the put
    /// is waited for.
    pub fn finish(mut self, target: impl Into<Target>) -> Result<PendingPut> {
        self.pass_on();
        let upload = self.upload.take().expect("only this takes it, and consumes the value");
        upload.aim(target.into());
        self.ingest.unsent.push(Message::End(End::of(Arc::clone(&upload))));
        self.ingest.flush_when_due()?;
        let (inner, session) =
            (PlainArc::clone(&self.ingest.inner), PlainArc::clone(&self.session));
        Ok(PendingPut { inner, upload, _session: session })
    }

    /// Lets the upload go for now, so that the ingest is free for others. Waits until its bytes are
    /// cut.
    ///
    /// With it comes its *tail*, the unfinished chunk at its end, in its buffer: the caller keeps a
    /// copy of these bytes, and [pushes](Self::push) them first when the upload [goes
    /// on](Ingest::resume).
    ///
    /// # Errors
    /// The store failed; the object will not be stored.
    pub fn park(mut self) -> Result<(Parked, Option<Slice>)> {
        self.pass_on();
        self.ingest.unsent.push(Message::Park(End::of(Arc::clone(self.upload()))));
        self.ingest.flush().map_err(|error| self.cause(error))?;
        let cut = self.upload().wait_for_cut()?;
        let upload = self.upload.take().expect("only this takes it, and consumes the value");
        let (inner, session) =
            (PlainArc::clone(&self.ingest.inner), PlainArc::clone(&self.session));
        Ok((Parked::new(inner, session, upload, cut.number, cut.offset), cut.tail))
    }

    fn upload(&self) -> &Arc<UploadState> {
        self.upload.as_ref().expect("it is there until the value is consumed")
    }

    /// Why the object cannot be stored: `error`, unless a worker that ended the upload knows
    /// better.
    fn cause(&self, error: StoreError) -> StoreError {
        self.upload().failure().unwrap_or(error)
    }

    fn has_room(&self) -> bool {
        let bytes_min = if self.begun || self.filled > 0 { 1 } else { self.room_bytes_min };
        self.ingest.lease.as_ref().is_some_and(|lease| lease.len() - self.filled >= bytes_min)
    }

    /// The room for the next bytes. It is not empty.
    fn room(&mut self) -> Result<&mut [u8]> {
        if !self.has_room() {
            self.headroom = match self.ingest.next_buffer(self.begun) {
                Ok(headroom) => headroom,
                Err(error) => return Err(self.cause(error)),
            };
        }
        let lease = self.ingest.lease.as_mut().expect("there is room in it");
        let end = lease.len().min(SEND_BYTES);
        Ok(&mut lease[self.filled..end])
    }

    /// Notes that `len` bytes of the room were filled.
    fn took(&mut self, len: usize) -> Result<()> {
        self.filled += len;
        let is_full = self
            .ingest
            .lease
            .as_ref()
            .is_some_and(|lease| self.filled >= lease.len().min(SEND_BYTES));
        if !is_full {
            return Ok(());
        }
        self.pass_on();
        let passed = self.ingest.flush_when_due();
        if self.upload().is_over() {
            // The upload is over, and its outcome says why. More bytes would be of no use.
            return Err(self.cause(StoreError::Cancelled));
        }
        passed.map_err(|error| self.cause(error))
    }

    /// Moves what was filled to the messages for the cutter.
    fn pass_on(&mut self) {
        let Some(lease) = self.ingest.lease.as_mut().filter(|_| self.filled > 0) else { return };
        let bytes = lease.split_to(std::mem::take(&mut self.filled)).freeze();
        self.begun = true;
        self.ingest.unsent_bytes += bytes.len();
        let (upload, headroom) = (Arc::clone(self.upload()), self.headroom.take());
        self.ingest.unsent.push(Message::Data { upload, headroom, bytes });
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        upload.fail(StoreError::Cancelled);
        // The cutter must still see an end, or it would add the next upload's bytes to this one's
        // tail.
        self.ingest.unsent.push(Message::End(End::of(Arc::clone(&upload))));
        upload.clean_up(&self.ingest.inner.writer);
    }
}

fn read(source: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
