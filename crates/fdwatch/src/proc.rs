//! Reading `/proc`: who is there, how many descriptors he has, and what they are.
//!
//! # Invariants
//! - **A pid is never mistaken.** Everything of a process is read through a handle of its folder
//!   `/proc/PID`, which the kernel ties to that process and not to the number; a number that was
//!   taken up again has another start time.
//! - **Descriptors are few**: [`ProcRoot`] holds one. Looking at a process takes at most
//!   [`LOOK_DESCRIPTORS`] more, for as long as the look lasts.
//! - **Memory is bounded** for any input: files are cut, lists have a most, tables are read line by
//!   line.
//! - **What the kernel does not tell is an error**, never a zero.
//! - **No call waits for another machine.** A link is followed only where the mount table says that
//!   its file system is local, and then asked with `AT_STATX_DONT_SYNC`.

mod ceilings;
mod cgroup;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod fixture_tests;
mod kcmp;
mod mounts;
pub mod parse;
mod process;
mod processes;
mod root;
mod scan;
mod select;
mod sockets;
mod tables;

pub use ceilings::{Bound, Ceiling};
pub(crate) use ceilings::{WATCHING_MAX, nearest_ceiling};
pub(crate) use files::{each_entry, each_line, open_folder};
pub(crate) use mounts::RemoteMounts;
pub(crate) use process::{Process, STAT_BYTES};
pub(crate) use processes::{Member, pass};
pub(crate) use root::ProcRoot;
pub(crate) use scan::{Position, Seen, scan};
pub(crate) use select::Names;
pub use select::Target;
pub(crate) use sockets::{Wanted, find_sockets};
pub(crate) use tables::{Counted, Tables};

/// The most that are open while one process is looked at: its folder, a folder in there, a file in
/// there.
pub const LOOK_DESCRIPTORS: usize = 3;
