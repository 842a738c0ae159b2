//! The scenarios, one file per subject.

pub mod connections;
pub mod downloads;
pub mod gates;
pub mod lanes;
mod rig;
pub mod turns;
pub mod uploads;
