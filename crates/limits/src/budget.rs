//! The ceilings of this process, each with where it came from.

use serde::Serialize;

use crate::Probe;

/// A ceiling and the place that sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The ceiling, in the unit of the field that holds it. `u64::MAX` means that there is none.
    pub value: u64,
    /// Where it was read, for a person: `/sys/fs/cgroup/x/memory.max`.
    pub source: String,
}

impl Limit {
    /// A ceiling of `value`, set by `source`.
    pub fn new(value: u64, source: impl Into<String>) -> Self {
        Self { value, source: source.into() }
    }
}

/// The ceilings of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// CPUs that may be used: affinity and cgroup quota. At least 1.
    pub cpus: Limit,
    /// Bytes of memory that may be used. Never more than physical memory.
    pub memory_bytes: Limit,
    /// Descriptors that may be open: the soft limit, so call [`raise_nofile`](crate::raise_nofile)
    /// first.
    pub descriptors: Limit,
}

impl Budget {
    /// Reads the ceilings of this process. Blocking: it reads a few small files below `/proc` and
    /// `/sys`.
    pub fn detect() -> Self {
        Probe::system().budget()
    }
}
