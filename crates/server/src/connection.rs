//! Connections: how many there may be, which of them are idle, and how long a silent one is kept.
//!
//! Each holds a permit. When all are taken and somebody knocks, the connection that has been idle for longest is closed in
//! favour of the new one, or that of an upload whose client sends next to nothing: a thousand idle clients, or slow ones, cannot
//! lock the others out.

use std::collections::BTreeMap;
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
use crate::width::{Wide, Width};

/// How often all that is looked after.
const TICK: Duration = Duration::from_secs(1);

/// Those who may be asked to leave in favour of others, whoever has been among them for longest first.
#[derive(Default)]
pub(crate) struct Evictable {
    state: Mutex<EvictableState>,
}

#[derive(Default)]
struct EvictableState {
    next: u64,
    waiting: BTreeMap<u64, (Instant, PlainArc<Notify>)>,
}

impl Evictable {
    /// Asks the one to leave who has been here for longest, and for `min` at least; `false` when there is none.
    pub(crate) fn evict(&self, min: Duration) -> bool {
        let mut state = self.state.lock();
        let Some(first) = state.waiting.first_entry() else { return false };
        if first.get().0.elapsed() < min {
            return false;
        }
        let (_, leave) = first.remove();
        leave.notify_one();
        true
    }

    pub(crate) fn add(&self, leave: &PlainArc<Notify>) -> u64 {
        let mut state = self.state.lock();
        let ticket = state.next;
        state.next += 1;
        state.waiting.insert(ticket, (Instant::now(), PlainArc::clone(leave)));
        ticket
    }

    /// From now on nobody asks it to leave; `false` when it has been asked already.
    pub(crate) fn remove(&self, ticket: u64) -> bool {
        self.state.lock().waiting.remove(&ticket).is_some()
    }
}

/// What is known of one connection; shared by its socket, its requests and its watch.
pub(crate) struct Connection {
    idle: PlainArc<Evictable>,
    deadlines: PlainArc<SharedDeadlines>,
    close: PlainArc<Notify>,
    state: Mutex<State>,
}

struct State {
    /// Requests whose response has not been sent to its end.
    active: usize,
    ticket: Option<u64>,
    /// When it became idle, or was opened.
    idle_since: Instant,
    /// The first byte since then.
    first_byte: Option<Instant>,
    /// When the kernel last refused to take more bytes, if it has not taken any since.
    write_blocked: Option<Instant>,
    width: Width,
}

/// Counts as a request under way until it is dropped.
pub(crate) struct Active(PlainArc<Connection>);

impl Connection {
    pub(crate) fn new(
        idle: &PlainArc<Evictable>,
        deadlines: &PlainArc<SharedDeadlines>,
        wide: &PlainArc<Wide>,
    ) -> PlainArc<Self> {
        let close = PlainArc::new(Notify::new());
        let state = State {
            active: 0,
            ticket: Some(idle.add(&close)),
            idle_since: Instant::now(),
            first_byte: None,
            write_blocked: None,
            width: Width::new(wide),
        };
        let (idle, deadlines) = (PlainArc::clone(idle), PlainArc::clone(deadlines));
        PlainArc::new(Self { idle, deadlines, close, state: Mutex::new(state) })
    }

    pub(crate) fn begin(self: &PlainArc<Self>) -> Active {
        let mut state = self.state.lock();
        state.active += 1;
        state.width.begin();
        if let Some(ticket) = state.ticket.take() {
            self.idle.remove(ticket);
        }
        Active(PlainArc::clone(self))
    }

    /// Ends when the connection should be closed.
    pub(crate) async fn watch(&self) -> &'static str {
        loop {
            tokio::select! {
                () = self.close.notified() => {
                    // A request may have begun between the choice and its arrival here, or the last bytes of a response wait for
                    // a slow client: hyper has let go of the response by then.
                    let mut state = self.state.lock();
                    if state.active == 0 && state.write_blocked.is_none() {
                        return "idle for longest while others wait";
                    }
                    if state.active == 0 {
                        // Whichever list it was chosen from, it is in both again.
                        if let Some(ticket) = state.ticket.replace(self.idle.add(&self.close)) {
                            self.idle.remove(ticket);
                        }
                        state.width.rest(&self.close);
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
            Some(first) if first.elapsed() > deadlines.head => Some("the head of a request takes too long"),
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
            state.ticket = Some(self.0.idle.add(&self.0.close));
            state.width.rest(&self.0.close);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(ticket) = self.state.lock().ticket.take() {
            self.idle.remove(ticket);
        }
    }
}

pin_project! {
    /// A socket that tells its connection what happens on it.
    pub(crate) struct Watched<S> {
        #[pin]
        socket: S,
        connection: PlainArc<Connection>,
    }
}

impl<S> Watched<S> {
    pub(crate) fn new(socket: S, connection: PlainArc<Connection>) -> Self {
        Self { socket, connection }
    }
}

fn note_write(connection: &Connection, written: &Poll<io::Result<usize>>) {
    let mut state = connection.state.lock();
    match written {
        Poll::Pending => {
            state.write_blocked.get_or_insert_with(Instant::now);
        }
        Poll::Ready(_) => {
            if state.write_blocked.take().is_some() {
                state.idle_since = Instant::now();
            }
        }
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
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.socket.poll_write(context, bytes);
        note_write(this.connection, &written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.socket.poll_write_vectored(context, slices);
        note_write(this.connection, &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().socket.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().socket.poll_shutdown(context)
    }
}
