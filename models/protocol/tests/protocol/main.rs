//! The protocol of `drystone-store`, one file per subject. A scenario's name is its property, and
//! the test's.

mod group_commit;
mod room;

// Four threads and more for each store: beyond what loom can explore.
#[cfg(not(model_loom))]
mod collect;
#[cfg(not(model_loom))]
mod damage;
#[cfg(not(model_loom))]
mod doubt;
#[cfg(not(model_loom))]
mod moving;
#[cfg(not(model_loom))]
mod multipart;
#[cfg(not(model_loom))]
mod objects;
#[cfg(not(model_loom))]
mod one_key;
#[cfg(not(model_loom))]
mod parking;
#[cfg(not(model_loom))]
mod reading;
#[cfg(not(model_loom))]
mod rig;
#[cfg(not(model_loom))]
mod store;
