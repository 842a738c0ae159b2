//! An object on its way from the store to a socket.
//!
//! Chunks are verified in leased buffers and copied out in pieces; so a client that stops reading holds a piece, not a buffer.
//! What it leaves in a buffer is given up after a moment, and read again when the client comes back.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
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
                state.reader = None;
                state.slice = None;
            }
            true
        });
    }
}

/// What a body has leased.
struct Holding {
    state: Mutex<State>,
}

struct State {
    reader: Option<ObjectReader>,
    slice: Option<Slice>,
    asked: Instant,
}

/// A reader and the chunk that it has read; `None` at the end.
type Fetched = (ObjectReader, Option<Slice>);

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
    fetching: Option<Blocked<Result<Fetched, StoreError>>>,
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
        let state = State { reader, slice: None, asked: Instant::now() };
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
            let fetched = body.fetch().await??;
            body.keep(fetched);
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

    fn fetch(&self) -> Blocked<Result<Fetched, StoreError>> {
        let reader = self.holding.state.lock().reader.take();
        let (store, object, range) = (self.engine.store.clone(), self.object.clone(), self.range.clone());
        let transfer = PlainArc::clone(&self.transfer);
        self.engine.block(move || {
            let _transfer = transfer;
            let mut reader = reader.unwrap_or_else(|| store.read(object, Some(range)));
            let slice = reader.next_slice()?;
            Ok((reader, slice))
        })
    }

    fn keep(&self, (reader, slice): Fetched) {
        let mut state = self.holding.state.lock();
        (state.reader, state.slice, state.asked) = (Some(reader), slice, Instant::now());
    }

    /// Bytes that keep the place for as long as they are somewhere: the connection may hold them for long after hyper has let go of
    /// the body.
    fn paid(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Paid { bytes, _transfer: PlainArc::clone(&self.transfer) })
    }

    /// Copies the next piece out of the buffer, which goes back with its last piece.
    fn piece(&mut self) -> Option<Bytes> {
        let mut state = self.holding.state.lock();
        state.asked = Instant::now();
        let slice = state.slice.take()?;
        let len = slice.len().min(PIECE_BYTES);
        let piece = Bytes::copy_from_slice(&slice[..len]);
        if len < slice.len() {
            state.slice = Some(slice.part(len..slice.len()));
        }
        self.range.start += len as u64;
        if self.range.is_empty() {
            state.reader = None;
        }
        Some(piece)
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
            if let Some(fetching) = &mut self.fetching {
                let fetched = ready!(Pin::new(fetching).poll(context));
                self.fetching = None;
                match fetched.map_err(io::Error::other).and_then(|read| read.map_err(io::Error::other)) {
                    Ok(fetched) => self.keep(fetched),
                    Err(error) => {
                        tracing::error!(%error, key = %self.object.key, "a download broke off");
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                if self.holding.state.lock().slice.is_none() {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
            }
            if let Some(piece) = self.piece() {
                return Poll::Ready(Some(Ok(Frame::data(self.paid(piece)))));
            }
            let fetch = self.fetch();
            self.fetching = Some(fetch);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.range.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}
