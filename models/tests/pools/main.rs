//! The primitives of `drystone-pool`, one file per subject. A scenario's name is its property, and
//! the test's.

mod buffers;
mod flights;
mod gate;
mod groups;
mod map;
mod permits;
mod queue;
mod workers;
