//! The executable specification: maps, one alphabet of operations, and a driver that holds a store
//! against them.
//!
//! [`run`] applies a [`Script`] to a store over a [`Backend`] and to the [model], and compares
//! after every step. What is checked, always:
//! - an acknowledged object is there, with its bytes and its metadata, also after a crash;
//! - an object whose put failed because of a fault or a crash is the old one or the new one, whole;
//!   a put that failed for any other reason has changed nothing;
//! - wrong bytes are never returned, not even before an error;
//! - an operation fails only if a fault fell into it; after a fault or a crash everything works
//!   again;
//! - what is stored already is not stored again, and the totals add up.

mod body;
mod check;
mod driver;
mod faults;
pub mod model;
mod op;
mod put;
mod reader;
mod setup;
#[cfg(feature = "proptest")]
pub mod strategy;
mod uploads;

pub use body::{Anchor, Body, Delta, Flavour, Size};
pub use driver::{Backend, Machine, run};
pub use faults::{ErrorKind, How, Mishap};
pub use op::{Kind, Name, Op, Place, Script, When};
pub use reader::{Manner, ScriptedReader};
pub use setup::{CutBy, Setup, cut_lens};
