//! How fast a client sends its body, and what follows from it.
//!
//! An upload that comes slowly holds its connection and nothing else, so it may take its time. It
//! may be asked to leave when another client wants its connection; and one that is silent for too
//! long is ended.

use std::time::Duration;

use bytes::Bytes;
use drystone_sync::PlainArc;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::edge::Edge;
use crate::eviction::Listed;
use crate::fault::Fault;

/// Bytes that a client must send before its upload is more than begun.
pub const FIRST_BYTES: usize = 8 << 10;
/// A client that takes longer for its first bytes is slow.
const FIRST_WINDOW: Duration = Duration::from_secs(1);
/// From then on the rate of an upload is judged over windows of this length.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// A client that sends less than this in a window is slow: 32 KiB/s.
const RATE_WINDOW_BYTES: u64 = 32 << 10;

/// What came of waiting for a client.
pub(crate) enum Next {
    Bytes(Bytes),
    End,
    /// It sent nothing for that long.
    Pause,
}

/// How fast a client sends.
pub(crate) struct Pace<'a> {
    edge: &'a Edge,
    leave: &'a PlainArc<Notify>,
    silence_max: Duration,
    pub(crate) received: u64,
    /// When something last came from the client, or it was first waited for.
    heard: Instant,
    /// When the window that is judged began, and what had come by then.
    window: (Instant, u64),
    window_len: Duration,
    window_bytes_min: u64,
    /// Set while the connection may be asked to leave: before its first bytes have come, or when
    /// few have come in a window.
    begun: Option<Listed>,
    slow: Option<Listed>,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(edge: &'a Edge, leave: &'a PlainArc<Notify>) -> Self {
        let now = Instant::now();
        Self {
            edge,
            leave,
            silence_max: edge.deadlines.get().body,
            received: 0,
            heard: now,
            window: (now, 0),
            window_len: FIRST_WINDOW,
            window_bytes_min: FIRST_BYTES as u64,
            begun: Some(edge.admission.eviction.begun.add(leave)),
            slow: None,
        }
    }

    /// The upload's first bytes have come.
    ///
    /// # Errors
    /// When the connection has been asked to leave.
    pub(crate) fn has_begun(&mut self) -> Result<(), Fault> {
        (self.window_len, self.window_bytes_min) = (RATE_WINDOW, RATE_WINDOW_BYTES);
        self.begin_window();
        stays(self.begun.take())
    }

    /// Begins a new window: in the one before, the client may have had to wait.
    pub(crate) fn begin_window(&mut self) {
        self.heard = Instant::now();
        self.window = (self.heard, self.received);
    }

    /// The client had to wait for us.
    pub(crate) fn excuse(&mut self, time: Duration) {
        self.heard += time;
        self.window.0 += time;
    }

    /// The next piece of a body, if the client is not silent for too long.
    ///
    /// # Errors
    /// The body's; and when the client is silent for too long, or has been asked to leave.
    pub(crate) async fn next(
        &mut self,
        body: &mut (impl Stream<Item = Result<Bytes, Fault>> + Unpin),
    ) -> Result<Option<Bytes>, Fault> {
        loop {
            match self.next_within(Duration::MAX, body).await? {
                Next::Bytes(bytes) => return Ok(Some(bytes)),
                Next::End => return Ok(None),
                Next::Pause => {}
            }
        }
    }

    /// As [`next`](Self::next), but returns when nothing comes for a while.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub(crate) async fn next_within(
        &mut self,
        pause: Duration,
        body: &mut (impl Stream<Item = Result<Bytes, Fault>> + Unpin),
    ) -> Result<Next, Fault> {
        let window_left = self.window_len.saturating_sub(self.window.0.elapsed());
        let silence_left = self.silence_max.saturating_sub(self.heard.elapsed());
        let patience = pause.min(window_left).min(silence_left);
        let Ok(next) = tokio::time::timeout(patience, body.next()).await else {
            if self.heard.elapsed() >= self.silence_max {
                return Err(Fault::TooSlow(self.silence_max.as_secs()));
            }
            self.judge()?;
            return Ok(Next::Pause);
        };
        let Some(bytes) = next.transpose()? else { return Ok(Next::End) };
        self.received += bytes.len() as u64;
        self.heard = Instant::now();
        self.judge()?;
        Ok(Next::Bytes(bytes))
    }

    /// At the end of a window.
    fn judge(&mut self) -> Result<(), Fault> {
        if self.window.0.elapsed() < self.window_len {
            return Ok(());
        }
        if self.received - self.window.1 >= self.window_bytes_min {
            self.not_slow()?;
        } else {
            stays(self.begun.take())?;
            self.slow.get_or_insert_with(|| self.edge.admission.eviction.slow.add(self.leave));
        }
        self.window = (Instant::now(), self.received);
        Ok(())
    }

    /// From now on the connection is not asked to leave.
    ///
    /// # Errors
    /// When it has been.
    pub(crate) fn not_slow(&mut self) -> Result<(), Fault> {
        stays(self.slow.take())
    }
}

/// Fails when the connection has been asked to leave: then what it sends is not stored.
fn stays(listed: Option<Listed>) -> Result<(), Fault> {
    if listed.is_none_or(Listed::withdraw) { Ok(()) } else { Err(Fault::MadeWay) }
}
