//! What this process may use, and what drystone does with it.
//!
//! [`Budget::detect`] reads the ceilings (CPU, memory, descriptors), each with where it came from.
//! [`Plan::new`] spends them: pure arithmetic from a [`Budget`] and an [`Ask`] to numbers that the
//! caller obeys, and to a table that a person can check. What does not fit is refused with the line
//! to change; nothing is trimmed silently below its stated minimum.
//!
//! ```
//! use drystone_limits::{Ask, Budget, Plan};
//!
//! let ask = Ask { workers: Some(2), ..Ask::new(1 << 20, "1MiB") };
//! let plan = Plan::new(&ask, &Budget::detect())?;
//! assert!(plan.memory_total_bytes <= plan.memory_ceiling);
//! println!("{plan}");
//! # Ok::<(), drystone_limits::PlanError>(())
//! ```
//!
//! # Invariants
//! - Never reads a clock, starts no thread, keeps no global state, contains no `unsafe`.
//! - Memory does not grow with what is read: each file is cut at 1 MiB.
//! - The only thing it changes is this process's soft limit of open files, and only in
//!   [`raise_nofile`].
//! - A file that is missing or unreadable never ends the program: it sets no limit, and physical
//!   memory remains.
//! - The functions in [`parse`] take arbitrary text and never panic (they are fuzzed).
//!
//! The rules for finding the memory limit are in `cgroup.rs`; the arithmetic is in `plan/`.

mod budget;
mod byte_size;
mod cgroup;
mod descriptors;
pub mod parse;
mod plan;
mod probe;

pub use budget::{Budget, Limit};
pub use byte_size::{ByteSizeError, format_bytes, parse_bytes};
pub use descriptors::{Nofile, RaiseError, Raised, nofile, raise_nofile};
pub use plan::constants;
pub use plan::{Ask, Ceiling, Plan, PlanError, Resource, Spend};
pub use probe::{PHYSICAL_MEMORY_SOURCE, Probe};
