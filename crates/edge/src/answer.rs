//! Answers that may be long: made at once, and then sent as the client reads them.
//!
//! An answer is made in memory, for which there is a turn (`documents`). What is more than a
//! connection may hold is then moved to the spool, and the turn is over: a client that reads slowly
//! keeps a slot of a file, not memory that others need.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use drystone_sync::PlainArc;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::edge::Edge;
use crate::fault::Fault;
use crate::flight::Flight;
use crate::gate::Turn;
use crate::spool::Slot;

/// What can go wrong while a body is sent.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of any response.
pub type ResponseBody = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is in memory; only for what is small by construction.
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// What leaves at a time.
const PIECE_BYTES: usize = 16 << 10;
/// What a connection holds of an answer; the plan has it with the connection.
const PIECES_BYTES_MAX: usize = 2 * PIECE_BYTES;

/// What is kept of an answer that grows.
const GROWING_BYTES_MAX: usize = 4 << 10;

impl Edge {
    /// The body of a response with these bytes, which were made in `turn`.
    pub async fn answer(self: &PlainArc<Self>, bytes: Bytes, turn: Turn) -> ResponseBody {
        if bytes.len() <= PIECES_BYTES_MAX {
            return full(bytes);
        }
        let mut slot = self.spool.slot();
        if bytes.len() as u64 > self.spool.slot_bytes() {
            return Kept::body(bytes, PlainArc::new(turn));
        }
        // The job has the turn, too: if the client goes away, the bytes are in memory until the
        // job ends.
        let turn = PlainArc::new(turn);
        let moved = {
            let (bytes, turn) = (bytes.clone(), PlainArc::clone(&turn));
            let write = move || {
                let written = slot.write(0, &bytes).map(|()| slot);
                drop((bytes, turn));
                written
            };
            self.run(write).await
        };
        match moved {
            Ok(Ok(slot)) => {
                Spooled::new(self, slot, bytes.len() as u64).map_err(Into::into).boxed_unsync()
            }
            // A full disk, most likely. The turn goes on until the client has read everything.
            Ok(Err(error)) => {
                tracing::debug!(%error, "an answer could not be moved to the spool");
                Kept::body(bytes, turn)
            }
            Err(_) => Kept::body(bytes, turn),
        }
    }
}

/// An answer that grows while a request goes on, at its client's pace: what is more than a little
/// of it is in the spool.
pub struct Growing {
    edge: PlainArc<Edge>,
    /// What is not in the spool yet.
    text: String,
    spooled: Option<(Slot, u64)>,
}

impl Growing {
    /// An empty one.
    pub fn new(edge: &PlainArc<Edge>) -> Self {
        Self { edge: PlainArc::clone(edge), text: String::new(), spooled: None }
    }

    /// # Errors
    /// When the disk has no room for it, or the answer becomes longer than a slot.
    pub async fn push(&mut self, text: &str) -> Result<(), Fault> {
        self.text.push_str(text);
        if self.text.len() > GROWING_BYTES_MAX { self.spool().await } else { Ok(()) }
    }

    async fn spool(&mut self) -> Result<(), Fault> {
        let (mut slot, at) = self.spooled.take().unwrap_or_else(|| (self.edge.spool.slot(), 0));
        let text = std::mem::take(&mut self.text);
        let end = at + text.len() as u64;
        if end > self.edge.spool.slot_bytes() {
            return Err(Fault::Internal);
        }
        let write = move || slot.write(at, text.as_bytes()).map(|()| slot);
        let slot = self.edge.run(write).await?.map_err(Fault::spool)?;
        self.spooled = Some((slot, end));
        Ok(())
    }

    /// The body of a response with all of it.
    ///
    /// # Errors
    /// As of [`push`](Self::push).
    pub async fn into_body(mut self) -> Result<ResponseBody, Fault> {
        if self.spooled.is_some() {
            self.spool().await?;
        }
        Ok(match self.spooled {
            Some((slot, len)) => {
                Spooled::new(&self.edge, slot, len).map_err(Into::into).boxed_unsync()
            }
            None => full(self.text),
        })
    }
}

/// An answer that stays in memory, and keeps its turn.
struct Kept {
    bytes: Bytes,
    _turn: PlainArc<Turn>,
}

impl Kept {
    fn body(bytes: Bytes, turn: PlainArc<Turn>) -> ResponseBody {
        full(Bytes::from_owner(Self { bytes, _turn: turn }))
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<(Slot, io::Result<Bytes>), Fault>> + Send>>;

/// An answer in the spool.
struct Spooled {
    edge: PlainArc<Edge>,
    /// What is left to read.
    range: Range<u64>,
    /// `None` while it is read from.
    slot: Option<Slot>,
    reading: Option<Reading>,
    flight: PlainArc<Flight>,
}

impl Spooled {
    fn new(edge: &PlainArc<Edge>, slot: Slot, len: u64) -> Self {
        let edge = PlainArc::clone(edge);
        Self { edge, range: 0..len, slot: Some(slot), reading: None, flight: PlainArc::default() }
    }

    fn read(&self, slot: Slot) -> Reading {
        let (edge, from) = (PlainArc::clone(&self.edge), self.range.start);
        let len = (self.range.end - from).min(PIECE_BYTES as u64) as usize;
        Box::pin(async move {
            let read = move || {
                let mut bytes = vec![0; len];
                let read = slot.read(from, &mut bytes);
                (slot, read.map(|()| bytes.into()))
            };
            edge.run(read).await
        })
    }
}

impl Body for Spooled {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.as_mut().poll(context));
                self.reading = None;
                let (slot, bytes) = read.map_err(io::Error::other)?;
                let bytes = bytes?;
                self.slot = Some(slot);
                self.range.start += bytes.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(self.flight.send(bytes, ())))));
            }
            if self.range.is_empty() {
                return Poll::Ready(None);
            }
            if !self.flight.is_below(PIECES_BYTES_MAX - PIECE_BYTES, context) {
                return Poll::Pending;
            }
            let Some(slot) = self.slot.take() else { return Poll::Ready(None) };
            self.reading = Some(self.read(slot));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.range.is_empty() && self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // A piece that is being read is still in the range.
        SizeHint::with_exact(self.range.end - self.range.start)
    }
}
