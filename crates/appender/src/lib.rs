//! The segments of a store where they are files that grow: which file an append goes to, which
//! process owns it, and what of it may be cut off again.
//!
//! [`Appender`] is the [`SegmentStorage`](drystone_store::SegmentStorage); what it needs of the
//! files is [`OwnedFiles`]. There are real ones in `drystone-local`, and others in memory, over
//! which the model checkers run this very code. So nothing in here does I/O of its own, reads a
//! clock or names `std::sync`.

mod appender;
mod files;
mod room;
mod tails;

pub use appender::Appender;
pub use files::{OwnedFile, OwnedFiles};
pub use room::{Appending, Room};
