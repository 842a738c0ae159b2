//! Connections are counted before they are served. When there are as many as allowed, one of them
//! has to leave before the next is served.

use std::time::Duration;

use drystone_pool::Usage;
use drystone_sync::PlainArc;
use drystone_sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

use crate::eviction::EvictionOrder;
use crate::semaphore::{Permit, ResizableSemaphore};

/// After this, another connection is asked to leave.
const RETRY: Duration = Duration::from_millis(100);
/// After this the edge looks again whether a connection can be asked to leave.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How many connections there are, and which of them leaves for another.
pub struct Admission {
    permits: PlainArc<ResizableSemaphore>,
    /// The connections and uploads that may be asked to leave.
    pub eviction: PlainArc<EvictionOrder>,
    admitted: AtomicU64,
    evicted: AtomicU64,
}

impl Admission {
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            permits: ResizableSemaphore::new(connections),
            eviction: PlainArc::default(),
            admitted: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// A permit for a connection that has just come. Waits until there is one, and asks others to
    /// leave meanwhile. The connection keeps it until it is closed.
    pub async fn admit(&self) -> Permit {
        let permit = match self.permits.try_take() {
            Some(permit) => {
                self.eviction.note_room();
                permit
            }
            None => self.make_room().await,
        };
        self.admitted.fetch_add(1, Ordering::Relaxed);
        permit
    }

    async fn make_room(&self) -> Permit {
        self.permits.note_wait();
        let since = Instant::now();
        let mut is_any_asked = false;
        loop {
            // One connection for this client, and those above a ceiling that was lowered.
            let asked = self.ask(1 + self.permits.surplus(), || self.eviction.make_room(since));
            is_any_asked |= asked > 0;
            let patience = if asked > 0 { RETRY } else { LOOK_AGAIN };
            if let Ok(permit) = tokio::time::timeout(patience, self.permits.take()).await {
                if !is_any_asked {
                    self.eviction.note_room();
                }
                return permit;
            }
        }
    }

    /// Another number of connections from now on.
    pub(crate) fn resize(&self, connections: usize) {
        self.permits.resize(connections);
    }

    /// Asks idle connections to leave, as many as there are above a ceiling that was lowered.
    pub(crate) fn close_surplus(&self) {
        // The chosen connections give their permits back later, so the surplus is counted once.
        self.ask(self.permits.surplus(), || self.eviction.close_idle());
    }

    /// Asks up to this many connections to leave. Returns how many were asked.
    fn ask(&self, count: usize, ask: impl Fn() -> bool) -> usize {
        let asked = (0..count).take_while(|_| ask()).count();
        self.evicted.fetch_add(asked as u64, Ordering::Relaxed);
        asked
    }

    /// A reading.
    pub fn usage(&self) -> Usage {
        self.permits.usage()
    }

    /// Connections that have been admitted since the start.
    pub fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Connections that have been asked to leave for others since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}
