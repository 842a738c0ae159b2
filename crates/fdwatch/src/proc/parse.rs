//! The formats of `/proc`: arbitrary bytes in, no I/O, no panic (they are fuzzed).
//!
//! Names and paths in these files are any bytes that a process chose, so nothing here asks for
//! UTF-8. Formats are described in `proc(5)` and in the kernel's
//! `Documentation/filesystems/proc.rst`.

mod cgroup;
mod link;
mod mounts;
mod net;
mod numbers;
mod perf_map;
mod process;

pub use cgroup::{Cgroup, cgroup};
pub use link::{Link, link};
pub use mounts::{Mount, mount};
pub use net::{Table, TableLine, table_line};
pub use perf_map::{PerfMapEntry, perf_map_entry};
pub use process::{OpenFiles, Stat, fd_flags, first_argument, open_files, stat};

pub(crate) use cgroup::{CgroupMount, cgroup_mount};
pub(crate) use mounts::is_remote;
pub(crate) use numbers::{number, words};
