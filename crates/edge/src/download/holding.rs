//! What a download holds during its turn, and the sweep that takes it from downloads that do not
//! use it.

use std::time::Duration;

use drystone_pool::Slice;
use drystone_store::ObjectReader;
use drystone_sync::{Mutex, PlainArc, PlainWeak};
use tokio::time::Instant;

use crate::gate::Turn;
use crate::semaphore::Permit;

/// What a client must take in small pieces, after it was slow, before it gets large ones again.
const PROBATION_BYTES: u64 = 1 << 20;
/// How long an unread buffer stays with its download.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// The same when other downloads wait for a turn.
pub const PATIENCE_WHEN_WANTED: Duration = Duration::from_millis(40);

/// Bodies that may hold buffers.
#[derive(Default)]
pub(crate) struct Held {
    all: Mutex<Vec<PlainWeak<Holding>>>,
}

impl Held {
    pub(super) fn register(&self, holding: &PlainArc<Holding>) {
        let mut all = self.all.lock();
        // Bounded by the connections: a body that has ended is dropped here or by the sweep.
        all.push(PlainArc::downgrade(holding));
    }

    /// Takes the turns and buffers of downloads whose clients have not asked for more in this time.
    pub(crate) fn sweep(&self, patience: Duration) {
        self.all.lock().retain(|weak| {
            let Some(holding) = weak.upgrade() else { return false };
            let mut state = holding.state.lock();
            let waits = state.holds.as_ref().is_some_and(Holds::waits_for_client);
            if waits && state.asked.elapsed() > patience {
                state.holds = None;
                state.probation_bytes = PROBATION_BYTES;
            }
            true
        });
    }
}

/// What a body has for a while, shared with the fetch that fills it and the sweep that takes it.
pub(super) struct Holding {
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) holds: Option<Holds>,
    /// When the client last had room for more, or a chunk came.
    pub(super) asked: Instant,
    /// Bytes that leave in small pieces before large ones are tried again.
    pub(super) probation_bytes: u64,
}

/// What comes with a turn and goes with it.
pub(super) struct Holds {
    /// `None` while a fetch has it.
    pub(super) reader: Option<ObjectReader>,
    /// What is left of the chunk that is being sent.
    pub(super) slice: Option<Slice>,
    /// Whether the chunk's buffer is lent.
    pub(super) loan: Option<PlainArc<Permit>>,
    /// The chunk after it, and where in the object its bytes begin.
    pub(super) next: Option<(u64, Slice)>,
    /// A place for large pieces.
    pub(super) large: Option<PlainArc<Permit>>,
    /// Last, so that what comes with the next turn finds the buffers of this one; kept by a fetch,
    /// too.
    pub(super) turn: PlainArc<Turn>,
}

impl Holds {
    /// Whether the client has to make the next step. It does not while a fetch has the reader and
    /// nothing is here to be sent. If the sweep took the turn then, a slow disk's chunk would be
    /// read again and again.
    fn waits_for_client(&self) -> bool {
        self.reader.is_some() || self.slice.is_some() || self.next.is_some()
    }
}
