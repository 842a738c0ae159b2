//! Which threads append, and which one makes room when the disk is full: never both at a time.

use drystone_sync::{Condvar, Mutex};

/// Whether the disk was full, and which threads append or make room.
#[derive(Default)]
pub struct Room {
    /// A leaf lock.
    state: Mutex<State>,
    /// Signalled when room has been made, and when the last append ends for which a maker waits.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    appending: usize,
    /// Something failed for want of room, and none has been made since.
    is_full: bool,
    /// Something has ever failed for want of room.
    was_full: bool,
    /// A thread makes room, or waits for the appends to end before it makes room.
    is_making: bool,
}

impl Room {
    /// Notes that something failed for want of room.
    pub fn note_full(&self) {
        let mut state = self.state.lock();
        (state.is_full, state.was_full) = (true, true);
    }

    /// Whether anything has ever failed for want of room.
    pub(crate) fn was_full(&self) -> bool {
        self.state.lock().was_full
    }

    /// Leave to append. When the disk was full, one makes room first and the others wait for it.
    pub fn enter(&self, make: impl Fn()) -> Appending<'_> {
        let mut state = self.state.lock();
        // In a loop: after this thread has made room, another may have found the disk full again,
        // and may be making room, before this one has the lock.
        while state.is_making || state.is_full {
            if state.is_making {
                state = self.changed.wait(state);
                continue;
            }
            state.is_making = true;
            // What an append under way leaves behind can only be cut when it has ended.
            while state.appending > 0 {
                state = self.changed.wait(state);
            }
            // Cleared before, not after: what fails meanwhile did not have the room that is made
            // now.
            state.is_full = false;
            drop(state);
            let made = Made(self);
            make();
            drop(made);
            state = self.state.lock();
        }
        state.appending += 1;
        Appending(self)
    }

    /// Runs `act` while nothing is appended and no room is made: what it sets free, no append takes
    /// away.
    pub fn alone<T>(&self, act: impl FnOnce() -> T) -> T {
        let mut state = self.state.lock();
        while state.is_making {
            state = self.changed.wait(state);
        }
        // From here on appends wait.
        state.is_making = true;
        while state.appending > 0 {
            state = self.changed.wait(state);
        }
        drop(state);
        let _made = Made(self);
        act()
    }
}

/// Leave to append, until it is dropped. A thread that has it must not ask for another.
pub struct Appending<'a>(&'a Room);

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.appending -= 1;
        if state.appending == 0 && state.is_making {
            self.0.changed.notify_all();
        }
    }
}

/// Lets the others go on, also after a panic.
struct Made<'a>(&'a Room);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_making = false;
        self.0.changed.notify_all();
    }
}
