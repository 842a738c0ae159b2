//! What keeps an object readable that is deleted or overwritten while it is read.
//!
//! All readers of a process share one session, which is begun by the first lookup. It protects
//! whatever loses its last reference in its epoch or later, and a lookup that came after it has
//! found an object whose reference was there then. So a get writes nothing.
//!
//! A session that stays in its epoch holds every collect up. So at each heartbeat the readers *move
//! on*, in one transaction: the records learn which manifests they still hold, and the session goes
//! to a later epoch. An object that was found before and is not among those manifests would lose its
//! protection there. There are two *phases*, and each lookup belongs to the one that it began in:
//!
//! 1. the current epoch E is read;
//! 2. the phase changes;
//! 3. once no lookup of the earlier phase is under way, all that those found is held, or was given
//!    up: the held manifests are pinned, and the session moves to E, not to the epoch of that time.
//!
//! A lookup of the later phase began after E was read: what it finds loses its reference in E or
//! later, and the session in E protects it whether or not it was held in time. Lookups wait for no
//! move. A move waits only for lookups from before the change of phase: if there still are any, it
//! is finished with the next heartbeat, so a disk that hangs holds no heartbeat up.
//!
//! If a session cannot be begun (a read-only store) or has expired, the readers go on without
//! protection. Every chunk is checked against its name and its place, so what a collect has taken
//! away becomes [`Replaced`](crate::StoreError::Replaced), never other bytes.

use std::collections::BTreeMap;

use drystone_sync::{Condvar, Mutex, PlainArc};

use crate::{Epoch, ManifestId, Records, Result, SessionId, StoreError};

/// How long a process that reads is protected after its last heartbeat, in milliseconds. Callers
/// beat several times in it: see [`Store::move_readers_on`](crate::Store::move_readers_on).
pub const READERS_LEASE_MS: u64 = 120_000;

/// The readers of a process.
pub(crate) struct ReaderPins {
    records: PlainArc<dyn Records>,
    /// A leaf lock: it is not held while the records are asked.
    state: Mutex<State>,
    /// Signalled when the session has been begun, or cannot be.
    begun: Condvar,
}

#[derive(Default)]
struct State {
    session: ReaderSession,
    /// Lookups under way, by phase.
    lookups: [usize; 2],
    /// The phase of new lookups: 0 or 1.
    phase: usize,
    /// The epoch that was read before the phase changed, until the session has moved there.
    turn: Option<Epoch>,
    /// Readers of each manifest.
    held: BTreeMap<ManifestId, usize>,
    /// Whether a heartbeat is at work: one is enough.
    is_moving: bool,
    /// Whether there was a lookup since the last heartbeat.
    is_used: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum ReaderSession {
    #[default]
    None,
    /// By a thread whose transaction is under way.
    Beginning,
    Live(SessionId),
    /// It could not be begun, and is not tried again before the next heartbeat.
    Refused,
}

/// A lookup under way.
pub(crate) struct Lookup {
    pins: PlainArc<ReaderPins>,
    phase: usize,
}

/// A manifest that is held.
pub(crate) struct Pin {
    pins: PlainArc<ReaderPins>,
    manifest: ManifestId,
}

impl State {
    /// Whether nothing is read and nothing is looked up.
    fn is_idle(&self) -> bool {
        self.held.is_empty() && self.lookups == [0, 0]
    }

    /// Lookups from before the last change of phase.
    fn earlier_lookups(&self) -> usize {
        self.lookups[1 - self.phase]
    }

    fn set_session(&mut self, session: ReaderSession) {
        self.session = session;
        // It belonged to the session before.
        self.turn = None;
    }
}

impl ReaderPins {
    pub(crate) fn new(records: PlainArc<dyn Records>) -> PlainArc<Self> {
        PlainArc::new(Self { records, state: Mutex::default(), begun: Condvar::new() })
    }

    /// Whether there is a session, so that a lookup costs no transaction.
    pub(crate) fn is_begun(&self) -> bool {
        matches!(self.state.lock().session, ReaderSession::Live(_))
    }

    /// To be called before the records are asked for an object. Begins the session if there is none.
    pub(crate) fn enter(self: &PlainArc<Self>) -> Lookup {
        let mut state = self.state.lock();
        loop {
            match state.session {
                ReaderSession::Live(_) | ReaderSession::Refused => break,
                ReaderSession::Beginning => state = self.begun.wait(state),
                ReaderSession::None => {
                    state.session = ReaderSession::Beginning;
                    drop(state);
                    Beginning { pins: self, session: ReaderSession::Refused }.begin();
                    state = self.state.lock();
                }
            }
        }
        state.is_used = true;
        let phase = state.phase;
        state.lookups[phase] += 1;
        Lookup { pins: PlainArc::clone(self), phase }
    }

    /// The heartbeat of all readers.
    pub(crate) fn move_on(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.is_moving {
            return Ok(());
        }
        let was_used = std::mem::take(&mut state.is_used);
        let session = match state.session {
            ReaderSession::None | ReaderSession::Beginning => return Ok(()),
            ReaderSession::Refused => {
                state.set_session(ReaderSession::None);
                return Ok(());
            }
            ReaderSession::Live(session) => session,
        };
        if state.is_idle() && !was_used {
            state.set_session(ReaderSession::None);
            drop(state);
            return self.records.end_session(session);
        }
        state.is_moving = true;
        drop(state);
        let moving = Moving(self);
        let moved = self.try_to_move(session);
        if matches!(moved, Err(StoreError::SessionExpired)) {
            self.state.lock().set_session(ReaderSession::None);
        }
        drop(moving);
        moved
    }

    fn try_to_move(&self, session: SessionId) -> Result<()> {
        let extend = || self.records.extend_session(session, READERS_LEASE_MS);
        let Some(epoch) = self.turn() else { return extend() };
        let held: Vec<ManifestId> = {
            let state = self.state.lock();
            if state.earlier_lookups() > 0 {
                drop(state);
                return extend();
            }
            state.held.keys().copied().collect()
        };
        match self.records.pin_manifests(session, epoch, READERS_LEASE_MS, &held) {
            // The session stays in its epoch, which protects everything.
            Err(error) if error.is_full() => extend(),
            moved => {
                moved?;
                self.state.lock().turn = None;
                Ok(())
            }
        }
    }

    /// The epoch to move to: of the turn that is under way, or of a new one. `None` when a new one
    /// cannot begin.
    fn turn(&self) -> Option<Epoch> {
        {
            let state = self.state.lock();
            if state.turn.is_some() {
                return state.turn;
            }
            // Of a turn that ended with its session: they must not be taken for later ones.
            if state.earlier_lookups() > 0 {
                return None;
            }
        }
        // Before the phase changes, so that every lookup of the new phase comes after it.
        let epoch = self.records.epoch().ok()?;
        let mut state = self.state.lock();
        state.phase = 1 - state.phase;
        state.turn = Some(epoch);
        Some(epoch)
    }
}

impl Drop for ReaderPins {
    fn drop(&mut self) {
        let session = self.state.lock().session;
        if let ReaderSession::Live(session) = session {
            // If this fails the lease runs out by itself.
            let _ = self.records.end_session(session);
        }
    }
}

impl Lookup {
    /// Holds what was found.
    pub(crate) fn hold(self, manifest: ManifestId) -> Pin {
        *self.pins.state.lock().held.entry(manifest).or_default() += 1;
        // The lookup ends after that: a move that waits for it finds the manifest held.
        Pin { pins: PlainArc::clone(&self.pins), manifest }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.pins.state.lock().lookups[self.phase] -= 1;
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.pins.state.lock();
        if let Some(readers) = state.held.get_mut(&self.manifest) {
            *readers -= 1;
            if *readers == 0 {
                state.held.remove(&self.manifest);
            }
        }
    }
}

/// Begins the session, and tells those that wait for it, also if that panics.
struct Beginning<'a> {
    pins: &'a ReaderPins,
    session: ReaderSession,
}

impl Beginning<'_> {
    fn begin(mut self) {
        if let Ok(session) = self.pins.records.begin_reading(READERS_LEASE_MS) {
            self.session = ReaderSession::Live(session.id);
        }
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.pins.state.lock().set_session(self.session);
        self.pins.begun.notify_all();
    }
}

/// Ends a move, however it ends.
struct Moving<'a>(&'a ReaderPins);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_moving = false;
    }
}
