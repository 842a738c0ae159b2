//! Shuttle's; a blocking task is one more of them, and may block.

pub use shuttle_tokio::task::{JoinError, JoinHandle, spawn, spawn_blocking, yield_now};
