//! How long the server waits for clients and for turns. Can be changed while it runs.

use std::time::Duration;

use drystone_sync::Mutex;

/// The longest waits. A request keeps the deadline that held when its wait began.
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

/// The deadlines that hold now, shared by everything that waits.
pub struct SharedDeadlines {
    /// A leaf, held for a copy.
    now: Mutex<Deadlines>,
}

impl SharedDeadlines {
    /// These hold.
    pub fn new(deadlines: Deadlines) -> Self {
        Self { now: Mutex::new(deadlines) }
    }

    /// Those that hold now.
    pub fn get(&self) -> Deadlines {
        *self.now.lock()
    }

    /// From now on these hold.
    pub fn set(&self, deadlines: Deadlines) {
        *self.now.lock() = deadlines;
    }
}
