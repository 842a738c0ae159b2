//! What drystone is checked with; never part of a release binary.
//!
//! - [`memory`]: a backend in memory that can lose power, tear and garble what was not synced, and
//!   fail any I/O.
//! - `between`: what another process does between two calls of an operation (feature `checks`).
//! - `conformance`: what every backend must do; runs over a fixture (feature `checks`).
//! - `reference`: the specification as maps, one alphabet of operations, and a driver that holds a
//!   store against it (feature `checks`).
//! - `fuzz`: the bodies of the fuzz targets (feature `local`).
//! - `local`: real files and SQLite as a fixture and a backend of the driver (feature `local`).
//!
//! Everything is deterministic: seeds come in, no clock is read (the memory backend counts its own
//! milliseconds), and no thread is started but those of the store under test.

#[cfg(feature = "checks")]
pub mod between;
#[cfg(feature = "checks")]
pub mod conformance;
#[cfg(feature = "local")]
pub mod fuzz;
#[cfg(feature = "local")]
pub mod local;
pub mod memory;
pub mod noise;
#[cfg(feature = "checks")]
pub mod reference;
