//! A body on its way from a socket into the store.
//!
//! The asynchronous side waits for the client; a thread of the blocking pool feeds a lane and then waits for the commit. Between
//! them is a short channel: when it is full the socket is not read. What the client sends first is kept here until there is
//! enough of it to be worth a lane, so that a client who sends next to nothing holds next to nothing.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drystone_store::{Stored, Target};
use drystone_sync::PlainArc;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::digest::{Algorithm, Digested, Digests, Expected};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::lanes::{Lane, Place};
use crate::places::Permit;

/// Bytes that are taken from a client before it gets a lane; all of a smaller body.
const PREFIX_BYTES: usize = 64 << 10;
/// Messages between the two sides.
const CHANNEL_MESSAGES: usize = 3;
/// Over this window the rate of an upload is judged, if others wait for its lane.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// Less than this in a window is too slow to keep a lane from others: 64 KiB/s.
const RATE_WINDOW_BYTES: u64 = 5 * (64 << 10);

/// Says what a body becomes, from its checksums and its length.
pub(crate) type Aim = Box<dyn FnOnce(&Digested, u64) -> Target + Send>;

/// What is to be known of a body, and where it goes.
pub(crate) struct Upload {
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
        let transfer = self.transfers.enter().await?;
        let mut body = pin!(body);
        let silence_max = self.deadlines.get().body;
        let announced = upload.len;
        let mut received = 0u64;
        let mut prefix = BytesMut::with_capacity(prefix_capacity(announced));
        let mut ended = false;
        while prefix.len() < PREFIX_BYTES && !ended {
            match next(&mut body, silence_max).await? {
                Some(bytes) => prefix.extend_from_slice(&bytes),
                None => ended = true,
            }
        }
        received += prefix.len() as u64;
        let mut expected = Some(expected);
        let mut close = |received| match announced {
            Some(announced) if announced != received => {
                Err(Fault::Incomplete(format!("{received} of {announced} bytes came")))
            }
            _ => expected.take().map_or_else(|| Ok(Expected::default()), |expected| expected()),
        };
        // A whole small body that is wrong never costs a lane.
        let mut end = if ended { Some(close(received)?) } else { None };
        let place = self.lanes.enter().await?;
        let (sender, receiver) = mpsc::channel(CHANNEL_MESSAGES);
        let task = tokio::task::spawn_blocking(move || feed(place, transfer, upload, receiver));
        // A send fails only when the other side has ended, and then it knows why.
        let mut alive = prefix.is_empty() || sender.send(Message::Data(prefix.freeze())).await.is_ok();
        if end.is_none() {
            let mut window = (Instant::now(), received);
            while alive {
                let Some(bytes) = next(&mut body, silence_max).await? else { break };
                received += bytes.len() as u64;
                alive = bytes.is_empty() || sender.send(Message::Data(bytes)).await.is_ok();
                if window.0.elapsed() >= RATE_WINDOW {
                    if received - window.1 < RATE_WINDOW_BYTES && self.lanes.gate().is_wanted() {
                        return Err(Fault::TooSlow(RATE_WINDOW.as_secs()));
                    }
                    window = (Instant::now(), received);
                }
            }
            if alive {
                end = Some(close(received)?);
            }
        }
        if let Some(expected) = end {
            let _ = sender.send(Message::End(expected)).await;
        }
        drop(sender);
        task.await?
    }
}

fn prefix_capacity(announced: Option<u64>) -> usize {
    announced.map_or(PREFIX_BYTES, |len| usize::try_from(len).unwrap_or(PREFIX_BYTES).min(PREFIX_BYTES))
}

/// The next piece of a body, if the client is not silent for too long.
async fn next(
    body: &mut (impl Stream<Item = Result<Bytes, Fault>> + Unpin),
    silence_max: Duration,
) -> Result<Option<Bytes>, Fault> {
    match tokio::time::timeout(silence_max, body.next()).await {
        Ok(next) => next.transpose(),
        Err(_) => Err(Fault::TooSlow(silence_max.as_secs())),
    }
}

/// The blocking side.
fn feed(
    place: Place,
    transfer: Permit,
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
    drop(transfer);
    Ok(Uploaded { stored, digested })
}

/// Passes on what the lane has read and gives it back, its buffer too, before the commit is waited for: others may have both.
fn give_back(mut lane: Lane) -> Result<(), Fault> {
    Ok(lane.ingest().rest()?)
}
