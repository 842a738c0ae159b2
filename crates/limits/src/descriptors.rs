//! The ceiling of open files, `RLIMIT_NOFILE`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Limit;

/// The two limits of open files of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nofile {
    /// What the kernel enforces now.
    pub soft: Limit,
    /// How far the process may raise `soft` by itself.
    pub hard: Limit,
}

/// What [`raise_nofile`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// The soft limit before the call.
    pub before: u64,
    /// The soft limit that the kernel reports after it.
    pub after: u64,
    /// The hard limit.
    pub hard: u64,
}

/// The soft limit could not be raised. The old one stays in force, so going on is safe.
#[derive(Debug, thiserror::Error)]
#[error("cannot raise the limit of open files from {before} to {hard}")]
pub struct RaiseError {
    /// The soft limit, unchanged.
    pub before: u64,
    /// The hard limit that was asked for.
    pub hard: u64,
    /// What the kernel answered.
    pub source: std::io::Error,
}

/// Reads the limits of open files of this process.
pub fn nofile() -> Nofile {
    let limit = getrlimit(Resource::Nofile);
    Nofile {
        soft: Limit::new(number(limit.current), "RLIMIT_NOFILE soft (ulimit -n)"),
        hard: Limit::new(number(limit.maximum), "RLIMIT_NOFILE hard (ulimit -Hn)"),
    }
}

/// Raises the soft limit of open files of this process to the hard one.
///
/// Call it once, at start, before [`Budget::detect`](crate::Budget::detect): children inherit the
/// limit, and a program that uses `select` breaks above 1,024.
pub fn raise_nofile() -> Result<Raised, RaiseError> {
    let limit = getrlimit(Resource::Nofile);
    let (before, hard) = (number(limit.current), number(limit.maximum));
    if before < hard {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
            .map_err(|errno| RaiseError { before, hard, source: errno.into() })?;
    }
    Ok(Raised { before, after: number(getrlimit(Resource::Nofile).current), hard })
}

fn number(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}
