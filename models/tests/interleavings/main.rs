//! The scenarios, one file per subject. A scenario's name is its property, and the test's.

mod buffers;
mod flights;
mod gate;
mod group_commit;
mod groups;
mod map;
mod permits;
mod queue;
mod room;
mod workers;

// Four threads and more for each store: beyond what loom can explore.
#[cfg(not(model_loom))]
mod damage;
#[cfg(not(model_loom))]
mod multipart;
#[cfg(not(model_loom))]
mod one_key;
#[cfg(not(model_loom))]
mod rig;
#[cfg(not(model_loom))]
mod store;

// Over shuttle's tokio.
#[cfg(model_shuttle)]
mod edge;
