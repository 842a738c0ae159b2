//! Cuts byte streams into chunks and names each by its content.
//!
//! - [`ChunkId`]: the BLAKE3-256 of a chunk's bytes.
//! - [`Chunking`]: how a store cuts (`fixed:N` or FastCDC), with a textual form that is part of the
//!   store's format.
//! - [`Cutter`]: the pure cut function over a window of bytes that begins at a chunk's first byte.
//! - [`Chunks`]: the same over any `Read`.
//!
//! Where a stream is cut depends on its bytes and the [`Chunking`] alone, never on how reads were
//! split. This crate has no locks, starts no threads and does no I/O but calling `read` on what it
//! is given.

mod chunks;
mod cutter;
mod id;
mod params;

pub use chunks::Chunks;
pub use cutter::{Cut, Cutter};
pub use id::{ChunkHasher, ChunkId, ParseChunkIdError};
pub use params::{Chunking, ParamsError};

/// What the README shows is a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
