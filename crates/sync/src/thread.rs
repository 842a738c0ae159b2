//! Threads with a name. The code that starts one holds a permit for it (see `drystone-pool`).

#[cfg(model_loom)]
use loom::thread as imp;
#[cfg(model_shuttle)]
use shuttle::thread as imp;
#[cfg(not(any(model_loom, model_shuttle)))]
use std::thread as imp;

pub use imp::{JoinHandle, yield_now};

/// Starts a named thread.
///
/// # Errors
/// The operating system's, when it refuses another thread.
pub fn spawn<F, T>(name: &str, body: F) -> std::io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    imp::Builder::new().name(name.to_owned()).spawn(body)
}
