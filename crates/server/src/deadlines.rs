//! How long the server waits for whom. Can be changed while it runs.

use std::time::Duration;

use drystone_sync::Mutex;
use serde::Serialize;

/// How long is waited for what. A request keeps what held when its wait began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a request's head, from its first byte or from the connection's beginning.
    pub head: Duration,
    /// For the next request on a connection.
    pub idle: Duration,
    /// For the next byte of a body that is received.
    pub body: Duration,
    /// For a client to read more of a response.
    pub unread: Duration,
    /// For a place in a gate, after which the request is refused with 503.
    pub turn: Duration,
    /// For requests under way to end after the first signal to stop.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(10),
            idle: seconds(75),
            body: seconds(30),
            unread: seconds(30),
            turn: seconds(30),
            drain: seconds(30),
        }
    }
}

/// One deadline, for whoever asks.
#[derive(Serialize)]
pub(crate) struct Deadline {
    /// The setting that changes it.
    pub(crate) setting: &'static str,
    pub(crate) seconds: f64,
    pub(crate) what: &'static str,
}

impl Deadlines {
    pub(crate) fn rows(&self) -> [Deadline; 6] {
        let row =
            |setting, time: Duration, what| Deadline { setting, seconds: time.as_secs_f64(), what };
        [
            row("head_seconds", self.head, "for the whole head of a request"),
            row("idle_seconds", self.idle, "for the next request on a connection"),
            row("body_seconds", self.body, "for the next byte of a body"),
            row("unread_seconds", self.unread, "for a client to read on"),
            row("turn_seconds", self.turn, "for a place, then 503"),
            row("drain_seconds", self.drain, "for requests to end when the server stops"),
        ]
    }
}

/// The deadlines that hold now, shared by everything that waits.
pub(crate) struct SharedDeadlines {
    /// A leaf, held for a copy.
    now: Mutex<Deadlines>,
}

impl SharedDeadlines {
    pub(crate) fn new(deadlines: Deadlines) -> Self {
        Self { now: Mutex::new(deadlines) }
    }

    pub(crate) fn get(&self) -> Deadlines {
        *self.now.lock()
    }

    pub(crate) fn set(&self, deadlines: Deadlines) {
        *self.now.lock() = deadlines;
    }
}
