//! One row of the plan: what a part of a ceiling is spent on.

use std::fmt;

use serde::Serialize;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resource {
    /// Processors; they are a ceiling that sets the number of workers and are not spent themselves.
    Cpus,
    /// Resident memory, in bytes.
    Memory,
    /// Open files.
    Descriptors,
    /// Threads of this process.
    Threads,
    /// Child processes.
    Children,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpus => "CPUs",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::Children => "children",
        })
    }
}

/// A ceiling as the plan keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ceiling {
    /// What is limited.
    pub resource: Resource,
    /// The ceiling, in bytes for memory; `u64::MAX` means that there is none.
    pub value: u64,
    /// Where it comes from.
    pub source: String,
}

/// What a part of a ceiling is spent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spend {
    /// What is spent.
    pub resource: Resource,
    /// What it is spent on.
    #[serde(rename = "use")]
    pub use_: String,
    /// How many of them.
    pub count: u64,
    /// What one of them takes: bytes, or a number of descriptors, threads or children.
    pub unit: u64,
    /// `count` times `unit`.
    pub total: u64,
}

impl Spend {
    pub(super) fn new(resource: Resource, use_: impl Into<String>, count: u64, unit: u64) -> Self {
        Self { resource, use_: use_.into(), count, unit, total: count.saturating_mul(unit) }
    }
}

pub(super) fn total(spends: &[Spend], resource: Resource) -> u64 {
    let of_resource = spends.iter().filter(|spend| spend.resource == resource);
    of_resource.fold(0, |sum, spend| sum.saturating_add(spend.total))
}
