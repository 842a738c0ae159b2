//! How long is waited; it never changes here.

use std::time::Duration;

/// See the server's.
#[derive(Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) body: Duration,
    pub(crate) unread: Duration,
    pub(crate) turn: Duration,
}

/// See the server's.
pub(crate) struct SharedDeadlines(pub(crate) Deadlines);

impl SharedDeadlines {
    pub(crate) fn get(&self) -> Deadlines {
        self.0
    }
}

impl Default for SharedDeadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let (head, idle, body, unread, turn) =
            (seconds(10), seconds(75), seconds(30), seconds(30), seconds(30));
        Self(Deadlines { head, idle, body, unread, turn })
    }
}
