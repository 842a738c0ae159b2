//! A body on its way from a socket into the store.
//!
//! The asynchronous side waits for the client; a thread of the blocking pool feeds a lane and then waits for the commit. Between
//! them is a short channel: when it is full the socket is not read. What the client sends first is kept here until there is
//! enough of it to be worth a place and then a lane, so that a client who sends next to nothing holds next to nothing.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drystone_store::{Stored, Target};
use drystone_sync::PlainArc;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::crowd::Listed;
use crate::digest::{Algorithm, Digested, Digests, Expected};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::lanes::{Lane, Place};
use crate::places::Permit;
use crate::writer::Writer;

/// Bytes that are taken from a client before it gets a place among the transfers; all of a smaller body. The plan has them with
/// the connection.
pub(crate) const FIRST_BYTES: usize = 8 << 10;
/// A client that takes longer for them is slow.
const FIRST_WINDOW: Duration = Duration::from_secs(1);
/// Bytes that are taken from a client before it gets a lane; all of a smaller body.
const PREFIX_BYTES: usize = 64 << 10;
/// Messages between the two sides.
const CHANNEL_MESSAGES: usize = 3;
/// Over this window the rate of an upload is judged, if others wait for its place.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// Less than this in a window is too slow to keep a lane from others: 64 KiB/s.
const RATE_WINDOW_BYTES: u64 = 5 * (64 << 10);

/// Says what a body becomes, from its checksums and its length.
pub(crate) type Aim = Box<dyn FnOnce(&Digested, u64) -> Target + Send>;

/// What is to be known of a body, and where it goes.
pub(crate) struct Upload {
    /// The key that writes; looked up again when the body has come.
    pub(crate) writer: Writer,
    /// Its length, if it was announced.
    pub(crate) len: Option<u64>,
    pub(crate) algorithms: Vec<Algorithm>,
    /// Says where it goes when its checksums and its length are known: they are part of an object's description.
    pub(crate) target: Aim,
}

/// A body that has arrived whole and been stored.
pub(crate) struct Uploaded {
    pub(crate) stored: Stored,
    pub(crate) digested: Digested,
}

enum Message {
    Data(Bytes),
    /// The body is complete. Without it, an upload whose channel closes was abandoned.
    End(Expected),
}

impl Engine {
    /// Stores `body`. `expected` is asked for the promised checksums when the body has ended, because they may come behind it.
    ///
    /// Dropping the future gives the upload up: nothing of it becomes visible.
    pub(crate) async fn upload(
        self: &PlainArc<Self>,
        upload: Upload,
        body: impl Stream<Item = Result<Bytes, Fault>>,
        expected: impl FnOnce() -> Result<Expected, Fault>,
    ) -> Result<Uploaded, Fault> {
        self.upload_in(None, upload, body, expected).await
    }

    /// The same for a caller that may have a place among the transfers already.
    pub(crate) async fn upload_in(
        self: &PlainArc<Self>,
        transfer: Option<Permit>,
        upload: Upload,
        body: impl Stream<Item = Result<Bytes, Fault>>,
        expected: impl FnOnce() -> Result<Expected, Fault>,
    ) -> Result<Uploaded, Fault> {
        let leave = PlainArc::new(Notify::new());
        let pace = Pace::new(self, &leave);
        tokio::select! {
            uploaded = self.receive(transfer, upload, body, expected, pace) => uploaded,
            () = leave.notified() => Err(Fault::MadeWay),
        }
    }

    async fn receive(
        self: &PlainArc<Self>,
        transfer: Option<Permit>,
        upload: Upload,
        body: impl Stream<Item = Result<Bytes, Fault>>,
        expected: impl FnOnce() -> Result<Expected, Fault>,
        mut pace: Pace<'_>,
    ) -> Result<Uploaded, Fault> {
        let mut body = pin!(body);
        let (announced, writer) = (upload.len, upload.writer.clone());
        if transfer.is_some() {
            pace.has_place();
        } else {
            pace.is_new();
        }
        let mut prefix = BytesMut::with_capacity(capacity(announced, FIRST_BYTES));
        let (mut ended, mut more) = (false, None);
        while prefix.len() < FIRST_BYTES && more.is_none() && !ended {
            match pace.next(&mut body).await? {
                // Not copied before there is a place for the copy.
                Some(bytes) if prefix.len() + bytes.len() > FIRST_BYTES => more = Some(bytes),
                Some(bytes) => prefix.extend_from_slice(&bytes),
                None => ended = true,
            }
        }
        pace.not_new()?;
        let is_slow = pace.is_slow() && !ended && transfer.is_none();
        let slow_place = if is_slow { Some(self.slow_uploads.enter().await?) } else { None };
        let transfer = match transfer {
            Some(transfer) => transfer,
            None => self.transfers.enter().await?,
        };
        pace.has_place();
        prefix.reserve(capacity(announced, PREFIX_BYTES).saturating_sub(prefix.len()));
        prefix.extend_from_slice(&more.unwrap_or_default());
        while prefix.len() < PREFIX_BYTES && !ended {
            match pace.next(&mut body).await? {
                Some(bytes) => prefix.extend_from_slice(&bytes),
                None => ended = true,
            }
        }
        let mut expected = Some(expected);
        let mut close = |received| match announced {
            Some(announced) if announced != received => {
                Err(Fault::Incomplete(format!("{received} of {announced} bytes came")))
            }
            _ => expected.take().map_or_else(|| Ok(Expected::default()), |expected| expected()),
        };
        // A whole small body that is wrong never costs a lane.
        let mut end = if ended { Some(close(pace.received)?) } else { None };
        let place = self.lanes.enter().await?;
        let (sender, receiver) = mpsc::channel(CHANNEL_MESSAGES);
        let places = (transfer, slow_place);
        let task = self.block(move || feed(place, places, upload, receiver));
        // A send fails only when the other side has ended, and then it knows why.
        let mut alive = prefix.is_empty() || sender.send(Message::Data(prefix.freeze())).await.is_ok();
        if end.is_none() {
            pace.begin_window();
            while alive {
                let Some(bytes) = pace.next(&mut body).await? else { break };
                let begun = Instant::now();
                alive = bytes.is_empty() || sender.send(Message::Data(bytes)).await.is_ok();
                pace.excuse(begun.elapsed());
            }
            if alive {
                end = Some(close(pace.received)?);
            }
        }
        // Nobody is asked to leave who has sent everything; and whoever has been asked leaves nothing.
        pace.not_slow()?;
        if let Some(expected) = end {
            self.still_writes(&writer).await?;
            let _ = sender.send(Message::End(expected)).await;
        }
        drop(sender);
        task.await?
    }
}

fn capacity(announced: Option<u64>, most: usize) -> usize {
    announced.map_or(most, |len| usize::try_from(len).unwrap_or(most).min(most))
}

/// How fast a client sends, and what follows from it.
///
/// One that sends little may be asked to leave when somebody else wants its connection; and it has to when somebody wants the
/// place that it holds.
struct Pace<'a> {
    engine: &'a Engine,
    leave: &'a PlainArc<Notify>,
    silence_max: Duration,
    received: u64,
    /// When the window that is judged began, and what had come by then.
    window: (Instant, u64),
    window_len: Duration,
    window_bytes_min: u64,
    has_place: bool,
    /// Among those who may be asked to leave: before its first bytes have come, or when few have come in a window.
    begun: Option<Listed>,
    slow: Option<Listed>,
}

impl<'a> Pace<'a> {
    fn new(engine: &'a Engine, leave: &'a PlainArc<Notify>) -> Self {
        Self {
            engine,
            leave,
            silence_max: engine.deadlines.get().body,
            received: 0,
            window: (Instant::now(), 0),
            window_len: FIRST_WINDOW,
            window_bytes_min: FIRST_BYTES as u64,
            has_place: false,
            begun: None,
            slow: None,
        }
    }

    fn is_slow(&self) -> bool {
        self.slow.is_some()
    }

    fn has_place(&mut self) {
        (self.has_place, self.window_len, self.window_bytes_min) = (true, RATE_WINDOW, RATE_WINDOW_BYTES);
        self.begin_window();
    }

    /// What went before is not judged: the client may have had to wait.
    fn begin_window(&mut self) {
        self.window = (Instant::now(), self.received);
    }

    /// The client had to wait for us.
    fn excuse(&mut self, time: Duration) {
        self.window.0 += time;
    }

    /// The next piece of a body, if the client is not silent for too long, nor too slow while others wait.
    async fn next(
        &mut self,
        body: &mut (impl Stream<Item = Result<Bytes, Fault>> + Unpin),
    ) -> Result<Option<Bytes>, Fault> {
        let begun = Instant::now();
        loop {
            let window_left = self.window_len.saturating_sub(self.window.0.elapsed());
            let silence_left = self.silence_max.saturating_sub(begun.elapsed());
            if let Ok(next) = tokio::time::timeout(window_left.min(silence_left), body.next()).await {
                let next = next.transpose()?;
                self.received += next.as_ref().map_or(0, |bytes| bytes.len() as u64);
                if next.is_some() {
                    self.judge()?;
                }
                return Ok(next);
            }
            if begun.elapsed() >= self.silence_max {
                return Err(Fault::TooSlow(self.silence_max.as_secs()));
            }
            self.judge()?;
        }
    }

    /// At the end of a window.
    fn judge(&mut self) -> Result<(), Fault> {
        if self.window.0.elapsed() < self.window_len {
            return Ok(());
        }
        if self.received - self.window.1 >= self.window_bytes_min {
            self.not_slow()?;
        } else {
            if self.has_place && (self.engine.lanes.gate().is_wanted() || self.engine.transfers.is_wanted()) {
                return Err(Fault::TooSlow(self.window_len.as_secs()));
            }
            self.not_new()?;
            self.slow.get_or_insert_with(|| self.engine.crowd.slow.add(self.leave));
        }
        self.begin_window();
        Ok(())
    }

    fn is_new(&mut self) {
        self.begun = Some(self.engine.crowd.begun.add(self.leave));
    }

    fn not_new(&mut self) -> Result<(), Fault> {
        stays(self.begun.take())
    }

    fn not_slow(&mut self) -> Result<(), Fault> {
        stays(self.slow.take())
    }
}

/// Fails when it has been asked to leave: then nobody will store what it sends.
fn stays(listed: Option<Listed>) -> Result<(), Fault> {
    if listed.is_none_or(Listed::withdraw) { Ok(()) } else { Err(Fault::MadeWay) }
}

/// The blocking side.
fn feed(
    place: Place,
    places: (Permit, Option<Permit>),
    upload: Upload,
    mut messages: mpsc::Receiver<Message>,
) -> Result<Uploaded, Fault> {
    let mut lane = place.open()?;
    let mut digests = Digests::new(upload.algorithms);
    let (pending, digested) = {
        let mut writing = lane.ingest().begin(upload.len);
        let mut len = 0;
        loop {
            match messages.blocking_recv() {
                Some(Message::Data(bytes)) => {
                    digests.update(&bytes);
                    writing.push(&bytes)?;
                    len += bytes.len() as u64;
                }
                Some(Message::End(expected)) => {
                    let digested = digests.finish();
                    digested.check(&expected)?;
                    let target = (upload.target)(&digested, len);
                    break (writing.finish(target)?, digested);
                }
                // Dropping `writing` takes back what was written of it.
                None => return Err(Fault::Incomplete("the client went away".into())),
            }
        }
    };
    let commit = lane.commit();
    give_back(lane)?;
    let stored = pending.join()?;
    drop(commit);
    drop(places);
    Ok(Uploaded { stored, digested })
}

/// Passes on what the lane has read and gives it back, its buffer too, before the commit is waited for: others may have both.
fn give_back(mut lane: Lane) -> Result<(), Fault> {
    Ok(lane.ingest().rest()?)
}
