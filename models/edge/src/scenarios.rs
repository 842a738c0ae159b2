//! The scenarios, one file per subject.

pub mod answers;
pub mod connections;
pub mod downloads;
pub mod flights;
pub mod gates;
pub mod ingest_slots;
pub mod resizing;
mod rig;
pub mod semaphores;
pub mod uploads;
