//! A body on its way from a socket into the store.
//!
//! An upload holds an ingest slot for a *turn*: while its client's bytes go to the store as fast as
//! the machine takes them. The asynchronous side waits for the client; a thread feeds the ingest
//! slot. Between them is a short channel: when it is full the socket is not read.
//!
//! When others wait for an ingest slot, an upload whose client pauses, or which has had its share,
//! is *parked*: it gives its ingest slot back, and what its client sends from then on goes to the
//! spool, until there is enough of it for another turn. So an ingest slot is never held at a
//! client's pace, and as many uploads go on at a time as there are connections, however slow each
//! is.
//!
//! What the client sends first is kept with the connection. A body that is whole by then comes up
//! before those that are not.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drystone_store::{Stored, Target};
use drystone_sync::PlainArc;
use futures_util::Stream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::checksums::Checksums;
use crate::edge::Edge;
use crate::fault::Fault;
use crate::gate::{Share, Size, Turn};
use crate::ingest_slots::{IngestSlot, ParkedUpload, SlotTurn};
use crate::pace::{FIRST_BYTES, Next, Pace};
use crate::resting::Resting;
use crate::spool::Spool;

/// A whole body of at most so many bytes comes up before the others.
const SMALL_BYTES: u64 = 64 << 10;
/// Messages between the two sides.
const CHANNEL_MESSAGES: usize = 3;
/// A client that sends nothing for so long pauses.
const PAUSE: Duration = Duration::from_millis(20);
/// What an upload may give to the store in one turn when others wait: so many bytes, or for so
/// long.
const TURN_BYTES: u64 = 16 << 20;
const TURN: Duration = Duration::from_millis(150);

/// Says what a body becomes, from its checksums and its length.
pub type Aim<C> = Box<dyn FnOnce(&<C as Checksums>::Computed, u64) -> Target + Send>;

/// Whether the client may still write. Asked when the body has come and before it becomes visible:
/// a body may take hours, and a key may be revoked meanwhile.
pub type LastLook = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// What is to be known of a body, and where it goes.
pub struct Upload<C: Checksums> {
    /// Whether the client may still write when the body has come.
    pub last_look: LastLook,
    /// Whose turn it takes.
    pub share: Share,
    /// Its length, if it was announced.
    pub len: Option<u64>,
    /// What is computed of it.
    pub checksums: C,
    /// Says where it goes when its checksums and its length are known: they are part of an object's
    /// description.
    pub target: Aim<C>,
}

/// A body that has arrived whole and been stored.
pub struct Uploaded<C: Checksums> {
    /// What the store says of it.
    pub stored: Stored,
    /// Its checksums.
    pub computed: C::Computed,
}

enum Message<C: Checksums> {
    Data(Bytes),
    /// The turn is over: the upload is parked.
    Park,
    /// The body is complete. Without it, an upload whose channel closes was abandoned.
    End(C::Expected, Aim<C>),
}

/// What came of a turn.
enum Fed<C: Checksums> {
    Stored(Uploaded<C>),
    Parked(Resting<C>),
}

impl Edge {
    /// Stores `body`. `expected` is asked for the promised checksums when the body has ended,
    /// because they may come behind it.
    ///
    /// Dropping the future gives the upload up: nothing of it becomes visible.
    ///
    /// # Errors
    /// The body's and the store's; when a checksum is not what was promised; and when the client is
    /// too slow while others wait.
    pub async fn upload<C: Checksums>(
        &self,
        upload: Upload<C>,
        body: impl Stream<Item = Result<Bytes, Fault>>,
        expected: impl FnOnce() -> Result<C::Expected, Fault>,
    ) -> Result<Uploaded<C>, Fault> {
        let leave = PlainArc::new(Notify::new());
        let pace = Pace::new(self, &leave);
        tokio::select! {
            uploaded = self.receive(upload, body, expected, pace) => uploaded,
            () = leave.notified() => Err(Fault::MadeWay),
        }
    }

    async fn receive<C: Checksums>(
        &self,
        upload: Upload<C>,
        body: impl Stream<Item = Result<Bytes, Fault>>,
        expected: impl FnOnce() -> Result<C::Expected, Fault>,
        pace: Pace<'_>,
    ) -> Result<Uploaded<C>, Fault> {
        let Upload { last_look, share, len, checksums, target } = upload;
        let end = End { last_look, announced: len, expected: Some(expected), target: Some(target) };
        let body = pin!(body);
        let mut receiving = Receiving {
            edge: self,
            share,
            len,
            body,
            pace,
            end,
            ended: None,
            here: Vec::new(),
            is_slow: false,
        };
        receiving.begin().await?;
        let mut resting = Resting::new(checksums);
        loop {
            let (rested, place) = receiving.turn(resting).await?;
            match receiving.feed(rested, place).await? {
                Fed::Stored(uploaded) => return Ok(uploaded),
                Fed::Parked(parked) => resting = parked,
            }
        }
    }
}

/// What is done when the last byte has come.
struct End<C: Checksums, E> {
    last_look: LastLook,
    announced: Option<u64>,
    /// Until it was asked.
    expected: Option<E>,
    /// Until the end is passed on.
    target: Option<Aim<C>>,
}

impl<C: Checksums, E: FnOnce() -> Result<C::Expected, Fault>> End<C, E> {
    fn close(&mut self, received: u64) -> Result<C::Expected, Fault> {
        match self.announced {
            Some(announced) if announced != received => {
                Err(Fault::Incomplete(format!("{received} of {announced} bytes came")))
            }
            _ => self
                .expected
                .take()
                .map_or_else(|| Ok(C::Expected::default()), |expected| expected()),
        }
    }
}

/// The asynchronous side.
struct Receiving<'a, C: Checksums, B, E> {
    edge: &'a Edge,
    share: Share,
    len: Option<u64>,
    body: Pin<&'a mut B>,
    pace: Pace<'a>,
    end: End<C, E>,
    /// What was promised of the body, once it has ended.
    ended: Option<C::Expected>,
    /// What has come and was not passed on: the first bytes and the piece after them, or a piece
    /// that did not fit into the spool.
    here: Vec<Bytes>,
    /// Whether the client was slower than the store. Then its next turn waits for more of its
    /// bytes.
    is_slow: bool,
}

impl<C, B, E> Receiving<'_, C, B, E>
where
    C: Checksums,
    B: Stream<Item = Result<Bytes, Fault>>,
    E: FnOnce() -> Result<C::Expected, Fault>,
{
    /// Receives the first bytes, or all of a smaller body. They are kept with the connection.
    async fn begin(&mut self) -> Result<(), Fault> {
        let capacity =
            self.len.map_or(FIRST_BYTES, |len| usize::try_from(len).unwrap_or(FIRST_BYTES));
        let mut first = BytesMut::with_capacity(capacity.min(FIRST_BYTES));
        while first.len() < FIRST_BYTES && self.here.is_empty() && self.ended.is_none() {
            match self.pace.next(&mut self.body).await? {
                // Not copied before there is a place for the copy.
                Some(bytes) if first.len() + bytes.len() > FIRST_BYTES => self.here.push(bytes),
                Some(bytes) => first.extend_from_slice(&bytes),
                None => self.has_ended()?,
            }
        }
        if !first.is_empty() {
            self.here.insert(0, first.freeze());
        }
        self.pace.has_begun()
    }

    /// A whole body that is wrong costs no turn.
    fn has_ended(&mut self) -> Result<(), Fault> {
        self.ended = Some(self.end.close(self.pace.received)?);
        Ok(())
    }

    /// Waits for an ingest slot. Until there is one, what the client sends goes to the spool; while
    /// it is waited for, nothing is read.
    async fn turn(&mut self, mut resting: Resting<C>) -> Result<(Resting<C>, SlotTurn), Fault> {
        let place = match self.edge.ingest_slots.try_enter() {
            Some(place) => place,
            None => {
                if self.ended.is_none() && (self.is_slow || !self.here.is_empty()) {
                    resting = self.spool(resting).await?;
                }
                let is_small = self.ended.is_some() && self.pace.received <= SMALL_BYTES;
                let size = if is_small { Size::Small } else { Size::Large };
                self.edge.ingest_slots.enter(&self.share, size).await?
            }
        };
        self.pace.begin_window();
        Ok((resting, place))
    }

    /// Moves to the spool what is here, and what comes, until there is enough of it or the body has
    /// ended.
    async fn spool(&mut self, mut resting: Resting<C>) -> Result<Resting<C>, Fault> {
        let spool = &self.edge.spool;
        loop {
            while let Some(bytes) = self.here.first()
                && resting.has_room(spool, bytes.len())
            {
                let begun = Instant::now();
                resting = resting.spool(self.edge, self.here.remove(0)).await?;
                self.pace.excuse(begun.elapsed());
            }
            if !self.here.is_empty() || resting.has_burst(spool) {
                return Ok(resting);
            }
            match self.pace.next(&mut self.body).await? {
                Some(bytes) => self.here.push(bytes),
                None => {
                    self.has_ended()?;
                    return Ok(resting);
                }
            }
        }
    }

    /// Gives the store what is here and what comes, for a turn.
    async fn feed(&mut self, resting: Resting<C>, place: SlotTurn) -> Result<Fed<C>, Fault> {
        // Transfers that have a thread wait for the store only, so this wait is short.
        let transfer = self.edge.transfers.enter(&self.share, Size::Large).await?;
        let (sender, receiver) = mpsc::channel(CHANNEL_MESSAGES);
        let (len, spool) = (self.len, PlainArc::clone(&self.edge.spool));
        let task = self.edge.block(move || feed(place, transfer, resting, len, &spool, receiver));
        // A send fails only when the other side has ended, and then it knows why.
        let mut is_fed = true;
        for bytes in std::mem::take(&mut self.here) {
            is_fed =
                is_fed && (bytes.is_empty() || sender.send(Message::Data(bytes)).await.is_ok());
        }
        let mut share = Quantum::new(self.pace.received);
        while is_fed && self.ended.is_none() {
            let is_wanted = self.edge.ingest_slots.gate().is_wanted();
            if is_wanted && (self.is_slow || share.is_used_up(self.pace.received)) {
                self.is_slow |= share.is_slow();
                let _ = sender.send(Message::Park).await;
                break;
            }
            let begun = Instant::now();
            let next = self.pace.next_within(PAUSE, &mut self.body).await?;
            share.client += begun.elapsed();
            match next {
                Next::Bytes(bytes) => {
                    // From here on the client counts as slow only if it pauses again.
                    self.is_slow = false;
                    let begun = Instant::now();
                    is_fed = bytes.is_empty() || sender.send(Message::Data(bytes)).await.is_ok();
                    self.pace.excuse(begun.elapsed());
                }
                Next::End => self.has_ended()?,
                Next::Pause => self.is_slow = true,
            }
        }
        // An upload that has sent all of its bytes is not asked to leave any more. If it was asked
        // before, it ends here and nothing of it is stored.
        if let Some(expected) = self.ended.take().filter(|_| is_fed) {
            self.pace.not_slow()?;
            self.end.last_look.as_mut().await?;
            if let Some(target) = self.end.target.take() {
                let _ = sender.send(Message::End(expected, target)).await;
            }
        }
        drop(sender);
        task.await?
    }
}

/// What an upload has had of a turn.
struct Quantum {
    begun: Instant,
    received: u64,
    /// Time in which its client was waited for.
    client: Duration,
}

impl Quantum {
    fn new(received: u64) -> Self {
        Self { begun: Instant::now(), received, client: Duration::ZERO }
    }

    fn is_used_up(&self, received: u64) -> bool {
        received - self.received >= TURN_BYTES || self.begun.elapsed() >= TURN
    }

    /// Whether the client was waited for more than the store.
    fn is_slow(&self) -> bool {
        self.client > self.begun.elapsed() / 2
    }
}

/// The blocking side, for one turn.
fn feed<C: Checksums>(
    place: SlotTurn,
    transfer: Turn,
    mut resting: Resting<C>,
    len: Option<u64>,
    spool: &PlainArc<Spool>,
    mut messages: mpsc::Receiver<Message<C>>,
) -> Result<Fed<C>, Fault> {
    let mut ingest_slot = place.open()?;
    let ingest_slots = PlainArc::clone(ingest_slot.slots());
    let mut writing = resting.resume(&mut ingest_slot, len)?;
    let (pending, computed) = loop {
        match messages.blocking_recv() {
            Some(Message::Data(bytes)) => {
                resting.checksums.update(&bytes);
                writing.push(&bytes)?;
                resting.len += bytes.len() as u64;
            }
            Some(Message::Park) => {
                let (parked, tail) = writing.park()?;
                // The ingest slot is given back after the tail's buffer: what comes next finds
                // both.
                let resting =
                    resting.rest(spool, ParkedUpload::new(&ingest_slots, parked), tail.as_ref())?;
                drop(tail);
                give_back(ingest_slot)?;
                return Ok(Fed::Parked(resting));
            }
            Some(Message::End(expected, target)) => {
                let computed = resting.checksums.finish(&expected)?;
                let target = target(&computed, resting.len);
                break (writing.finish(target)?, computed);
            }
            // Dropping `writing` takes back what was written of it.
            None => return Err(Fault::Incomplete("the client went away".into())),
        }
    };
    give_back(ingest_slot)?;
    let stored = pending.join()?;
    drop(transfer);
    Ok(Fed::Stored(Uploaded { stored, computed }))
}

/// Passes on what the ingest slot has read and gives it back, its buffer too, before the commit is
/// waited for: others may have both.
fn give_back(mut ingest_slot: IngestSlot) -> Result<(), Fault> {
    Ok(ingest_slot.ingest().rest()?)
}
