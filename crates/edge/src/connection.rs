//! Connections: what each of them does, when it may be closed for others, and how long a silent one
//! is kept.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use drystone_sync::{Mutex, PlainArc};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::deadlines::SharedDeadlines;
use crate::eviction::{EvictionOrder, Listed, UNREAD_MIN};
use crate::read_size::{Wide, Width};

/// How often all that is looked after.
const TICK: Duration = Duration::from_secs(1);

/// What is known of one connection; shared by its socket, its requests and its watch.
pub struct Connection {
    eviction: PlainArc<EvictionOrder>,
    deadlines: PlainArc<SharedDeadlines>,
    close: PlainArc<Notify>,
    state: Mutex<State>,
}

struct State {
    /// Requests whose response has not been sent to its end.
    active: usize,
    /// There has been a request.
    is_known: bool,
    /// Set while the connection may be closed for others: while it has no request and nothing left
    /// to send, and while its client does not read.
    listed: Option<Listed>,
    /// When it became idle, or was opened.
    idle_since: Instant,
    /// The first byte since then.
    first_byte: Option<Instant>,
    /// When the kernel last refused to take more bytes, if it has not taken any since.
    write_blocked: Option<Instant>,
    width: Width,
}

impl State {
    fn is_unread(&self) -> bool {
        self.write_blocked.is_some_and(|since| since.elapsed() >= UNREAD_MIN)
    }
}

/// Counts as a request under way until it is dropped.
pub struct Active(PlainArc<Connection>);

impl Connection {
    /// A connection that has just been admitted.
    pub fn new(
        eviction: &PlainArc<EvictionOrder>,
        deadlines: &PlainArc<SharedDeadlines>,
        wide: &PlainArc<Wide>,
    ) -> PlainArc<Self> {
        let close = PlainArc::new(Notify::new());
        let state = State {
            active: 0,
            is_known: false,
            listed: Some(eviction.fresh.add(&close)),
            idle_since: Instant::now(),
            first_byte: None,
            write_blocked: None,
            width: Width::new(wide),
        };
        let (eviction, deadlines) = (PlainArc::clone(eviction), PlainArc::clone(deadlines));
        PlainArc::new(Self { eviction, deadlines, close, state: Mutex::new(state) })
    }

    /// A request begins.
    pub fn begin(self: &PlainArc<Self>) -> Active {
        let mut state = self.state.lock();
        state.active += 1;
        state.is_known = true;
        state.width.begin();
        state.listed = None;
        Active(PlainArc::clone(self))
    }

    /// Ends when the connection should be closed.
    pub async fn watch(&self) -> &'static str {
        loop {
            tokio::select! {
                () = self.close.notified() => {
                    // A request may have begun between the choice and its arrival here, or the
                    // last bytes of a response wait for a slow client: hyper has let go of the
                    // response by then.
                    let state = self.state.lock();
                    if state.active == 0 && state.write_blocked.is_none() {
                        return "idle for longest while others wait";
                    }
                    if state.is_unread() {
                        return "the client does not read while others wait";
                    }
                }
                () = tokio::time::sleep(TICK) => {
                    if let Some(why) = self.overdue() {
                        return why;
                    }
                }
            }
        }
    }

    /// From now on the connection may be closed for others, unless it has something left to send.
    fn rest(&self, state: &mut State) {
        if state.active == 0 && state.write_blocked.is_none() {
            let list = if state.is_known { &self.eviction.idle } else { &self.eviction.fresh };
            state.listed = Some(list.add(&self.close));
            state.width.rest(&self.close);
        }
    }

    /// A TLS handshake begins: the first request cannot come yet.
    pub fn shakes_hands(&self) {
        self.state.lock().listed = Some(self.eviction.begun.add(&self.close));
    }

    /// The handshake has ended: now the first request can come.
    pub fn has_shaken_hands(&self) {
        self.state.lock().listed = Some(self.eviction.fresh.add(&self.close));
    }

    fn note_write<T>(&self, written: &Poll<T>) {
        let mut state = self.state.lock();
        if written.is_pending() {
            if state.write_blocked.is_none() {
                state.write_blocked = Some(Instant::now());
                state.listed = Some(self.eviction.unread.add(&self.close));
                state.width.stay();
            }
        } else if state.write_blocked.take().is_some() {
            state.idle_since = Instant::now();
            state.listed = None;
            self.rest(&mut state);
        }
    }

    fn overdue(&self) -> Option<&'static str> {
        let deadlines = self.deadlines.get();
        let state = self.state.lock();
        if state.write_blocked.is_some_and(|since| since.elapsed() > deadlines.unread) {
            return Some("the client does not read");
        }
        if state.active > 0 || state.write_blocked.is_some() {
            return None;
        }
        match state.first_byte {
            Some(first) if first.elapsed() > deadlines.head => {
                Some("the head of a request takes too long")
            }
            None if state.idle_since.elapsed() > deadlines.idle => Some("idle"),
            _ => None,
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.active -= 1;
        if state.active == 0 {
            (state.idle_since, state.first_byte) = (Instant::now(), None);
            self.0.rest(&mut state);
        }
    }
}

pin_project! {
    /// A socket that tells its connection what happens on it.
    pub struct Watched<S> {
        #[pin]
        socket: S,
        connection: PlainArc<Connection>,
    }
}

impl<S> Watched<S> {
    /// The connection is told what happens on this socket.
    pub fn new(socket: S, connection: PlainArc<Connection>) -> Self {
        Self { socket, connection }
    }
}

impl<S: AsyncRead> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let most = {
            let state = this.connection.state.lock();
            state.width.read_bytes_max(state.active > 0)
        };
        let before = buffer.filled().len();
        let read = match most {
            None => this.socket.poll_read(context, buffer),
            Some(most) => {
                let most = most.min(buffer.remaining());
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                let read = this.socket.poll_read(context, &mut part);
                let len = part.filled().len();
                buffer.advance(len);
                read
            }
        };
        let len = buffer.filled().len() - before;
        if len > 0 {
            let mut state = this.connection.state.lock();
            if state.active == 0 {
                state.first_byte.get_or_insert_with(Instant::now);
            } else {
                state.width.note_read(len);
            }
        }
        read
    }
}

impl<S: AsyncWrite> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.socket.poll_write(context, bytes);
        this.connection.note_write(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.socket.poll_write_vectored(context, slices);
        this.connection.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // With TLS the bytes of a response may wait here.
        let this = self.project();
        let flushed = this.socket.poll_flush(context);
        this.connection.note_write(&flushed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().socket.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
