//! A mutex and a condition variable whose locks never speak of poison.
//!
//! A condition variable may wake a thread without a signal. Neither checker does that by itself, so
//! they would miss a wait that does not look at its condition again. Under shuttle, therefore, some
//! waits end at once.

#[cfg(model_loom)]
use loom::sync as imp;
#[cfg(model_shuttle)]
use shuttle::sync as imp;
#[cfg(not(any(model_loom, model_shuttle)))]
use std::sync as imp;

use std::sync::PoisonError;

#[cfg(not(model_shuttle))]
pub use imp::MutexGuard;
#[cfg(model_shuttle)]
pub use waking::MutexGuard;
#[cfg(model_shuttle)]
use waking::guarding;

/// Mutual exclusion without poisoning.
#[derive(Debug)]
pub struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    /// Blocks until the lock is held.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guarding(held, self)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(not(model_shuttle))]
fn guarding<'a, T>(held: MutexGuard<'a, T>, _: &'a Mutex<T>) -> MutexGuard<'a, T> {
    held
}

/// A condition variable for [`Mutex`].
#[derive(Debug)]
pub struct Condvar(imp::Condvar);

impl Condvar {
    /// A condition variable without waiters.
    pub fn new() -> Self {
        Self(imp::Condvar::new())
    }

    /// Releases the guard, sleeps until notified (or spuriously), and takes the lock again.
    #[cfg(not(model_shuttle))]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the guard, sleeps until notified (or not at all), and takes the lock again.
    #[cfg(model_shuttle)]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        waking::wait(&self.0, guard)
    }

    /// Wakes one waiter, if there is one.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes every waiter.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits that may end for nothing.
#[cfg(model_shuttle)]
mod waking {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    use shuttle::rand::{RngCore as _, thread_rng};

    use super::{Mutex, imp};

    /// One wait in so many ends at once. Most waits must still need a signal: otherwise a signal
    /// that is never given would seldom be noticed.
    const ENDS_AT_ONCE: u32 = 16;

    /// A guard that knows its mutex, so that it can lock it again.
    pub struct MutexGuard<'a, T> {
        held: imp::MutexGuard<'a, T>,
        of: &'a Mutex<T>,
    }

    pub(super) fn guarding<'a, T>(
        held: imp::MutexGuard<'a, T>,
        of: &'a Mutex<T>,
    ) -> MutexGuard<'a, T> {
        MutexGuard { held, of }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.held
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.held
        }
    }

    pub(super) fn wait<'a, T>(
        condvar: &imp::Condvar,
        guard: MutexGuard<'a, T>,
    ) -> MutexGuard<'a, T> {
        let MutexGuard { held, of } = guard;
        // The random number comes from the schedule, so a replay draws the same one.
        if thread_rng().next_u32().is_multiple_of(ENDS_AT_ONCE) {
            drop(held);
            return of.lock();
        }
        guarding(condvar.wait(held).unwrap_or_else(PoisonError::into_inner), of)
    }
}
