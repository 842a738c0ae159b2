//! An object on its way from the store to a socket.
//!
//! Chunks are verified in leased buffers and leave in pieces. A download has its *turn* while it
//! fetches a chunk and the client takes it; the turn and the buffer are taken from it when the
//! client has not asked for a moment, and the chunk is read again when it comes back. Between two
//! turns a download holds its connection, and in it a few small pieces: as many downloads go on at
//! a time as there are connections, however slow each is.
//!
//! A client that takes what it gets is sent large pieces, as long as there are places for that; and
//! a few buffers are *lent*: their pieces are views that go to the socket without being copied.

mod holding;

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use drystone_pool::Slice;
use drystone_store::{BucketName, Key, ObjectReader, ObjectRow, OpenObject, StoreError};
use drystone_sync::{Mutex, PlainArc};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::edge::{Blocked, Edge};
use crate::fault::Fault;
use crate::flight::Flight;
use crate::gate::{Busy, Share, Size, Turn};
use crate::semaphore::Permit;

pub(crate) use self::holding::Held;
use self::holding::{Holding, Holds, State};
pub use self::holding::{PATIENCE, PATIENCE_WHEN_WANTED};

/// The most that leaves at a time where the client takes large pieces; and the most that is read at
/// once, without a turn.
const PIECE_BYTES: usize = 256 << 10;
/// What a connection holds of such an answer at the most. The plan has it with the transfers.
const PIECES_BYTES_MAX: usize = 2 * PIECE_BYTES;
/// What leaves at a time otherwise.
const SMALL_PIECE_BYTES: usize = 16 << 10;
/// What a connection holds of such an answer at the most. The plan has it with the connection.
const SMALL_PIECES_BYTES_MAX: usize = 2 * SMALL_PIECE_BYTES;

/// An object that a request wants to read, and what was learnt with the first look at it.
pub struct Found {
    /// What the records say of it.
    pub object: ObjectRow,
    share: Share,
    opened: Opened,
}

enum Opened {
    /// All bytes of a small object, verified, and the permits for them.
    Whole(Bytes, Option<Permit>),
    Reader(Box<ObjectReader>),
}

/// The bytes of an object, or of a part of it, as the body of a response.
pub struct ObjectBody {
    edge: PlainArc<Edge>,
    share: Share,
    key: Key,
    /// Kept until the end, so that the object stays readable when the client is slow and it is
    /// deleted meanwhile. `None` if all of it is here.
    open: Option<OpenObject>,
    /// What is left to send.
    range: Range<u64>,
    /// All of it, when it is small: then nothing is leased any more.
    whole: Option<(Bytes, Option<Permit>)>,
    holding: PlainArc<Holding>,
    step: Step,
    flight: PlainArc<Flight>,
}

/// A part of a buffer that goes to the socket as it is.
struct Lent(Slice);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What a body waits for.
enum Step {
    Nothing,
    Turn(Pin<Box<dyn Future<Output = Result<Turn, Busy>> + Send + Sync>>),
    /// Whether it found anything.
    Fetch(Blocked<Result<bool, StoreError>>),
}

impl Edge {
    /// Looks an object up to read it, and reads it in the same call when it is small: to change
    /// threads costs more than either.
    pub async fn find(
        self: &PlainArc<Self>,
        share: Share,
        bucket: BucketName,
        key: Key,
    ) -> Result<Found, Fault> {
        let large = self.large.try_take();
        let whole_bytes_max = if large.is_some() { PIECE_BYTES } else { SMALL_PIECES_BYTES_MAX };
        let found = self.call(move |store| {
            let (reader, whole) = store.get_small(&bucket, &key, whole_bytes_max)?;
            let object = reader.object().clone();
            let opened = match whole {
                Some(bytes) => Opened::Whole(bytes.into(), large),
                None => Opened::Reader(Box::new(reader)),
            };
            Ok((object, opened))
        });
        let (object, opened) = found.await?;
        Ok(Found { object, share, opened })
    }
}

impl Found {
    /// The body of a response with this part of the object. Waits for a turn and the first chunk,
    /// so that damage there becomes an error instead of a broken body.
    pub async fn body(self, edge: &PlainArc<Edge>, range: Range<u64>) -> Result<ObjectBody, Fault> {
        let Self { object, share, opened } = self;
        let is_whole = range == (0..object.size);
        let (whole, open, reader) = match opened {
            // A range lies inside the object, whose size is that of the bytes.
            Opened::Whole(bytes, large) => {
                let part = bytes.slice(range.start as usize..range.end as usize);
                let large = large.filter(|_| bytes.len() > SMALL_PIECES_BYTES_MAX);
                (Some((part, large)), None, None)
            }
            Opened::Reader(reader) => {
                (None, Some(reader.open().clone()), Some(*reader).filter(|_| is_whole))
            }
        };
        let state = State { holds: None, asked: Instant::now(), probation_bytes: 0 };
        let body = ObjectBody {
            edge: PlainArc::clone(edge),
            share,
            key: object.key,
            open,
            range,
            whole,
            holding: PlainArc::new(Holding { state: Mutex::new(state) }),
            step: Step::Nothing,
            flight: PlainArc::default(),
        };
        if body.whole.is_none() && !body.range.is_empty() {
            let is_small = body.bytes_left() <= SMALL_PIECE_BYTES as u64;
            let size = if is_small { Size::Small } else { Size::Large };
            let turn = edge.reads.enter(&body.share, size).await?;
            body.begin_turn(turn, reader);
            body.fetch(body.range.start).await??;
            edge.held.register(&body.holding);
        }
        Ok(body)
    }
}

impl ObjectBody {
    /// Bytes left to send.
    pub fn bytes_left(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn begin_turn(&self, turn: Turn, reader: Option<ObjectReader>) {
        let mut state = self.holding.state.lock();
        state.asked = Instant::now();
        state.holds = Some(Holds {
            reader,
            slice: None,
            loan: None,
            next: None,
            large: None,
            turn: PlainArc::new(turn),
        });
    }

    /// Reads the chunk at `from`, the first that is not here yet, into `next`. The body has its
    /// turn.
    fn fetch(&self, from: u64) -> Blocked<Result<bool, StoreError>> {
        let (reader, turn) = {
            let mut state = self.holding.state.lock();
            match &mut state.holds {
                Some(holds) => (holds.reader.take(), Some(PlainArc::clone(&holds.turn))),
                // The sweep has taken the turn. The chunk is read again in the next one.
                None => (None, None),
            }
        };
        let (store, open, range) =
            (self.edge.store.clone(), self.open.clone(), from..self.range.end);
        let holding = PlainArc::clone(&self.holding);
        self.edge.want_buffers();
        self.edge.block(move || {
            let Some(turn) = turn else { return Ok(true) };
            // The turn is dropped last: the next turn finds the buffers of this one, except those
            // that a worker is still reading into.
            let (turn, holding, store) = (turn, holding, store);
            let reader = reader.or_else(|| open.map(|open| store.read(&open, Some(range))));
            // Only a body that has all of it is without: it fetches nothing.
            let Some(mut reader) = reader else { return Ok(false) };
            let slice = reader.next_slice();
            let mut state = holding.state.lock();
            state.asked = Instant::now();
            // The sweep may have taken this turn, and another may have begun: only what belongs to
            // this one is kept.
            let holds = state.holds.as_mut().filter(|holds| PlainArc::ptr_eq(&holds.turn, &turn));
            let Some(holds) = holds else { return slice.map(|slice| slice.is_some()) };
            let slice = slice?;
            let is_found = slice.is_some();
            (holds.reader, holds.next) = (Some(reader), slice.map(|slice| (from, slice)));
            Ok(is_found)
        })
    }

    /// Goes on with what the body waits for; ready when that has come.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.step {
                Step::Nothing => return Poll::Ready(Ok(())),
                Step::Turn(turn) => match ready!(turn.as_mut().poll(context)) {
                    Ok(turn) => {
                        self.begin_turn(turn, None);
                        self.step = Step::Fetch(self.fetch(self.range.start));
                    }
                    // What has been sent cannot be taken back, so a busy server makes a download
                    // wait again.
                    Err(Busy(_)) => self.step = Step::Turn(self.wait_for_turn()),
                },
                Step::Fetch(fetch) => {
                    let fetched = ready!(Pin::new(fetch).poll(context));
                    self.step = Step::Nothing;
                    let found = fetched
                        .map_err(io::Error::other)
                        .and_then(|read| read.map_err(io::Error::other));
                    return Poll::Ready(match found {
                        Ok(true) => Ok(()),
                        Ok(false) => Err(io::ErrorKind::UnexpectedEof.into()),
                        Err(error) => {
                            tracing::error!(%error, key = %self.key, "a download broke off");
                            Err(error)
                        }
                    });
                }
            }
        }
    }

    fn wait_for_turn(&self) -> Pin<Box<dyn Future<Output = Result<Turn, Busy>> + Send + Sync>> {
        let (edge, share) = (PlainArc::clone(&self.edge), self.share.clone());
        Box::pin(async move { edge.reads.enter(&share, Size::Large).await })
    }

    /// The next piece of what is here, if the connection has room for it. The buffer goes back with
    /// its last one.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.holding.state.lock();
        let State { holds, probation_bytes, asked } = &mut *state;
        let Some(holds) = holds else { return Poll::Ready(None) };
        if holds.slice.is_none() {
            let Some((from, next)) = holds.next.take() else { return Poll::Ready(None) };
            assert_eq!(from, self.range.start, "what a turn has fetched is what comes next in it");
            holds.slice = Some(next);
        }
        if *probation_bytes == 0 && holds.large.is_none() {
            holds.large = self.edge.large.try_take().map(PlainArc::new);
        }
        let (piece_bytes, under_way_max) = match &holds.large {
            Some(_) => (PIECE_BYTES, PIECES_BYTES_MAX - PIECE_BYTES),
            None => (SMALL_PIECE_BYTES, SMALL_PIECES_BYTES_MAX - SMALL_PIECE_BYTES),
        };
        if !self.flight.is_below(under_way_max, context) {
            return Poll::Pending;
        }
        *asked = Instant::now();
        if holds.loan.is_none() && holds.large.is_some() {
            holds.loan = self.edge.loans.try_take().map(PlainArc::new);
        }
        let Some(slice) = holds.slice.take() else { return Poll::Ready(None) };
        let len = slice.len().min(piece_bytes);
        let (bytes, loan) = match &holds.loan {
            Some(loan) => {
                (Bytes::from_owner(Lent(slice.part(0..len))), Some(PlainArc::clone(loan)))
            }
            None => (Bytes::copy_from_slice(&slice[..len]), None),
        };
        let piece = self.flight.send(bytes, (loan, holds.large.clone()));
        if len < slice.len() {
            holds.slice = Some(slice.part(len..slice.len()));
        } else {
            holds.loan = None;
        }
        *probation_bytes = probation_bytes.saturating_sub(len as u64);
        self.range.start += len as u64;
        if self.range.is_empty() {
            state.holds = None;
        }
        Poll::Ready(Some(piece))
    }

    /// Where to go on reading while a chunk is sent, if a buffer is free: a download that holds a
    /// buffer does not wait for another.
    fn next_ahead(&self) -> Option<u64> {
        let state = self.holding.state.lock();
        let holds = state.holds.as_ref()?;
        let is_ahead =
            holds.next.is_none() && holds.reader.as_ref().is_some_and(ObjectReader::is_ahead);
        is_ahead
            .then(|| self.range.start + holds.slice.as_ref().map_or(0, |slice| slice.len() as u64))
    }

    /// Whether the body has its turn.
    fn has_turn(&self) -> bool {
        self.holding.state.lock().holds.is_some()
    }
}

impl Body for ObjectBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if self.range.is_empty() {
                return Poll::Ready(None);
            }
            if let Some((whole, large)) = self.whole.take() {
                self.range.start = self.range.end;
                return Poll::Ready(Some(Ok(Frame::data(self.flight.send(whole, large)))));
            }
            if let Some(piece) = ready!(self.poll_piece(context)) {
                if let Step::Nothing = self.step
                    && let Some(from) = self.next_ahead()
                {
                    self.step = Step::Fetch(self.fetch(from));
                }
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            // Only now, after what is here has been sent: that is good also if what comes after it
            // is damaged.
            if let Step::Nothing = self.step {
                self.step = if self.has_turn() {
                    Step::Fetch(self.fetch(self.range.start))
                } else {
                    Step::Turn(self.wait_for_turn())
                };
            }
            // What it found is here now, unless the sweep has taken it.
            if let Err(error) = ready!(self.poll_step(context)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.range.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left())
    }
}

#[cfg(test)]
mod tests;
