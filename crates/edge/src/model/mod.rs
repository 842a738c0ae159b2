//! What `tokio` is to this crate under shuttle: shuttle's own, with what that lacks.

pub mod sync;
pub mod task;
pub mod time;

pub use shuttle_tokio::{io, select};
