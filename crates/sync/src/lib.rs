//! The synchronisation facade: the only crate of drystone that names `std::sync`, `std::thread`,
//! `loom` or `shuttle`.
//!
//! Production code writes `drystone_sync::{Mutex, Condvar, …}` and nothing else, so the code that
//! ships is the code that a model checker explores: `--cfg model_loom` and `--cfg model_shuttle`
//! exchange the implementation underneath, and the default is the standard library.
//!
//! Invariants:
//! - only what all three implementations offer is re-exported (no `Weak`, no `OnceLock`, no scoped
//!   threads);
//! - nothing here waits with a timeout: neither checker fires one. A deadline is an event that
//!   another thread sends;
//! - [`Mutex`] and [`Condvar`] do not poison. A holder that panics leaves the value as it was; the
//!   pools keep their invariants at every point where user code can run, so a guard can always be
//!   handed on.

mod lock;
pub mod thread;

pub use lock::{Condvar, Mutex, MutexGuard};

#[cfg(model_loom)]
pub use loom::sync::Arc;
#[cfg(model_shuttle)]
pub use shuttle::sync::Arc;
#[cfg(not(any(model_loom, model_shuttle)))]
pub use std::sync::Arc;

/// The standard library's `Arc` under every cfg: for trait objects and error sources, which the
/// models' own `Arc` cannot hold. A value behind it does its own synchronisation through this
/// facade.
pub use std::sync::Arc as PlainArc;
/// A [`PlainArc`] that does not keep its value alive.
pub use std::sync::Weak as PlainWeak;

/// A bound: `shipped` in the product, `explored` under the model checkers. No scenario has
/// thousands of steps, so a bound that large would hide the code that runs when it is reached. The
/// code that uses the bound asserts what holds of it, so that the small one speaks for the large
/// one.
pub const fn bound(shipped: usize, explored: usize) -> usize {
    if cfg!(any(model_loom, model_shuttle)) { explored } else { shipped }
}

/// Atomic integers. Every use states, where it stands, which access its ordering pairs with.
pub mod atomic {
    #[cfg(model_loom)]
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    #[cfg(model_shuttle)]
    pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(any(model_loom, model_shuttle)))]
    pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
}
