//! An object on its way from the store to a socket.
//!
//! Chunks are verified in leased buffers and leave in pieces. The next chunk is fetched while one is sent, as far as that takes
//! no waiting for a buffer. A few buffers are *lent*: their pieces are views that go to the socket without being copied, and a
//! client that stops reading holds such a buffer until its deadline. When all loans are out, pieces are copied; then such a
//! client holds a piece, and what it leaves in its buffers is given up after a moment and read again when it comes back.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use drystone_pool::Slice;
use drystone_store::{BucketName, Key, ObjectReader, ObjectRow, StoreError};
use drystone_sync::{Mutex, PlainArc, PlainWeak};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::engine::{Blocked, Engine};
use crate::fault::Fault;
use crate::places::Permit;

/// The most that is copied out of a buffer at a time.
const PIECE_BYTES: usize = 256 << 10;
/// How long an unread buffer stays with its download.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often that is looked after.
pub(crate) const SWEEP: Duration = Duration::from_millis(250);

/// Bodies that hold buffers, so that the patient ones can be asked to let go.
#[derive(Default)]
pub(crate) struct Held {
    all: Mutex<Vec<PlainWeak<Holding>>>,
}

impl Held {
    fn register(&self, holding: &PlainArc<Holding>) {
        let mut all = self.all.lock();
        // Bounded by the transfers: whoever has ended is dropped here or by the sweep.
        all.push(PlainArc::downgrade(holding));
    }

    /// Takes the buffers of downloads whose clients have not asked for more lately.
    pub(crate) fn sweep(&self) {
        self.all.lock().retain(|weak| {
            let Some(holding) = weak.upgrade() else { return false };
            let mut state = holding.state.lock();
            if state.asked.elapsed() > PATIENCE {
                // Dropped outside would be kinder to the lock; a slice is only a count and a shelf.
                state.buffers = Buffers::default();
            }
            true
        });
    }
}

/// What a body has leased.
struct Holding {
    state: Mutex<State>,
}

#[derive(Default)]
struct Buffers {
    reader: Option<ObjectReader>,
    /// What is left of the chunk that is being sent.
    slice: Option<Slice>,
    /// Whether the chunk's buffer is lent.
    loan: Option<PlainArc<Permit>>,
    /// The chunk after it, and where in the object its bytes begin: when the sweep takes `slice` during a fetch, that is not where
    /// sending goes on.
    next: Option<(u64, Slice)>,
}

struct State {
    buffers: Buffers,
    asked: Instant,
}

/// An object that somebody wants to read, and what was learnt with the first look at it.
pub(crate) struct Found {
    pub(crate) object: ObjectRow,
    opened: Opened,
    transfer: Permit,
}

enum Opened {
    /// All of a small one, verified.
    Whole(Bytes),
    Reader(Box<ObjectReader>),
}

/// The bytes of an object, or of a part of it, as the body of a response.
pub(crate) struct ObjectBody {
    engine: PlainArc<Engine>,
    object: ObjectRow,
    /// What is left to send.
    range: Range<u64>,
    /// All of it, when it is small: then nothing is leased any more.
    whole: Option<Bytes>,
    holding: PlainArc<Holding>,
    /// Whether it found anything.
    fetching: Option<Blocked<Result<bool, StoreError>>>,
    /// Kept by a fetch, too: when a body is dropped meanwhile, its thread still counts.
    transfer: PlainArc<Permit>,
}

impl Engine {
    /// Looks an object up to read it, and reads it at once when it is small: changing threads costs more than either. Waits for a
    /// place among the transfers.
    pub(crate) async fn find(self: &PlainArc<Self>, bucket: BucketName, key: Key) -> Result<Found, Fault> {
        let transfer = self.transfers.enter().await?;
        let found = self.call(move |store| {
            let mut reader = store.get(&bucket, &key, None)?;
            let object = reader.object().clone();
            let opened = match reader.read_small(PIECE_BYTES)? {
                Some(bytes) => Opened::Whole(bytes.into()),
                None => Opened::Reader(Box::new(reader)),
            };
            Ok((object, opened))
        });
        let (object, opened) = found.await?;
        Ok(Found { object, opened, transfer })
    }
}

impl Found {
    /// The body of a response with this part of the object. Waits for the first chunk, so that damage there becomes an error
    /// instead of a broken body.
    pub(crate) async fn body(
        self,
        engine: &PlainArc<Engine>,
        range: Range<u64>,
    ) -> Result<ObjectBody, Fault> {
        let Self { object, opened, transfer } = self;
        let is_whole = range == (0..object.size);
        let (whole, reader) = match opened {
            // A range lies inside the object, whose size is that of the bytes.
            Opened::Whole(bytes) => (Some(bytes.slice(range.start as usize..range.end as usize)), None),
            Opened::Reader(reader) => (None, Some(*reader).filter(|_| is_whole)),
        };
        let state = State { buffers: Buffers { reader, ..Buffers::default() }, asked: Instant::now() };
        let body = ObjectBody {
            engine: PlainArc::clone(engine),
            object,
            range,
            whole,
            holding: PlainArc::new(Holding { state: Mutex::new(state) }),
            fetching: None,
            transfer: PlainArc::new(transfer),
        };
        if body.whole.is_none() && !body.range.is_empty() {
            body.fetch(body.range.start).await??;
            engine.held.register(&body.holding);
        }
        Ok(body)
    }
}

impl ObjectBody {
    /// Bytes left to send.
    pub(crate) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Reads the chunk at `from`, the first that is not here yet, into `next`.
    fn fetch(&self, from: u64) -> Blocked<Result<bool, StoreError>> {
        let reader = self.holding.state.lock().buffers.reader.take();
        let (store, object, range) = (self.engine.store.clone(), self.object.clone(), from..self.range.end);
        let transfer = PlainArc::clone(&self.transfer);
        let holding = PlainArc::clone(&self.holding);
        self.engine.block(move || {
            // The place goes last: whoever gets it finds the buffers of this one, but for what a worker is still reading ahead.
            let (_transfer, holding, store) = (transfer, holding, store);
            let mut reader = reader.unwrap_or_else(|| store.read(object, Some(range)));
            let slice = reader.next_slice()?;
            let mut state = holding.state.lock();
            (state.buffers.reader, state.buffers.next) = (Some(reader), slice.map(|slice| (from, slice)));
            state.asked = Instant::now();
            Ok(state.buffers.next.is_some())
        })
    }

    /// Bytes that keep the place for as long as they are somewhere: the connection may hold them for long after hyper has let go of
    /// the body.
    fn paid(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Paid { bytes, _transfer: PlainArc::clone(&self.transfer) })
    }

    /// `None` if no chunk is being fetched. What a fetch has found is in `next` when it is ready, or has been taken from there already.
    fn poll_fetch(&mut self, context: &mut Context<'_>) -> Option<Poll<io::Result<()>>> {
        let fetching = self.fetching.as_mut()?;
        let Poll::Ready(fetched) = Pin::new(fetching).poll(context) else { return Some(Poll::Pending) };
        self.fetching = None;
        let found = fetched.map_err(io::Error::other).and_then(|read| read.map_err(io::Error::other));
        let found = found.inspect_err(|error| {
            tracing::error!(%error, key = %self.object.key, "a download broke off");
        });
        let is_there = |is_found| if is_found { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        Some(Poll::Ready(found.and_then(is_there)))
    }

    /// The next piece of what is here. The buffer goes back with its last one.
    fn piece(&mut self) -> Option<Bytes> {
        let mut state = self.holding.state.lock();
        state.asked = Instant::now();
        let buffers = &mut state.buffers;
        if buffers.slice.is_none() {
            let (from, next) = buffers.next.take()?;
            if from != self.range.start {
                *buffers = Buffers::default();
                return None;
            }
            buffers.slice = Some(next);
            buffers.loan = self.engine.loans.try_take().map(PlainArc::new);
        }
        let slice = buffers.slice.take()?;
        let len = slice.len().min(PIECE_BYTES);
        let piece = match &buffers.loan {
            Some(loan) => Bytes::from_owner(Lent { slice: slice.part(0..len), _loan: PlainArc::clone(loan) }),
            None => Bytes::copy_from_slice(&slice[..len]),
        };
        if len < slice.len() {
            buffers.slice = Some(slice.part(len..slice.len()));
        } else {
            buffers.loan = None;
        }
        self.range.start += len as u64;
        if self.range.is_empty() {
            *buffers = Buffers::default();
        }
        Some(piece)
    }

    /// Where to go on reading while a chunk is sent, if that takes no waiting for a buffer: whoever holds one does not wait for
    /// another.
    fn next_ahead(&self) -> Option<u64> {
        let state = self.holding.state.lock();
        let buffers = &state.buffers;
        let is_ahead = buffers.next.is_none() && buffers.reader.as_ref().is_some_and(ObjectReader::is_ahead);
        is_ahead.then(|| self.range.start + buffers.slice.as_ref().map_or(0, |slice| slice.len() as u64))
    }
}

/// A part of a buffer that goes to the socket as it is.
struct Lent {
    slice: Slice,
    _loan: PlainArc<Permit>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.slice
    }
}

struct Paid {
    bytes: Bytes,
    _transfer: PlainArc<Permit>,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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
            if let Some(whole) = self.whole.take() {
                self.range.start = self.range.end;
                return Poll::Ready(Some(Ok(Frame::data(self.paid(whole)))));
            }
            if let Some(piece) = self.piece() {
                // The reader is back, so the fetch before this one has ended well.
                if let Some(from) = self.next_ahead() {
                    self.fetching = Some(self.fetch(from));
                }
                return Poll::Ready(Some(Ok(Frame::data(self.paid(piece)))));
            }
            // Not asked before: what is here is sent also if what comes after it is damaged.
            match self.poll_fetch(context) {
                None => self.fetching = Some(self.fetch(self.range.start)),
                Some(Poll::Pending) => return Poll::Pending,
                // What it found is here now, unless the sweep has taken it.
                Some(Poll::Ready(Ok(()))) => {}
                Some(Poll::Ready(Err(error))) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.range.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

// By its path, because another crate includes this file by its own.
#[cfg(test)]
#[path = "download/tests.rs"]
mod tests;
