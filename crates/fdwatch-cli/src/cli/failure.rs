//! What ends the command without a verdict.

use std::fmt::Display;
use std::io;

use fdwatch::Error;

use super::streams;
use crate::run::{RunError, StacksError};

/// Wrong usage, as in sysexits.h.
pub(super) const USAGE: u8 = 64;
const IO: u8 = 74;
const GONE: u8 = 3;
const NOT_PERMITTED: u8 = 4;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("no process {0}; with --wait the watch begins when there is one")]
    NoProcess(String),
    #[error(transparent)]
    Watch(#[from] Error),
    #[error("call stacks cannot be traced (watch without --stacks to do without)")]
    Stacks(#[source] StacksError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{what} is no recording of `fdwatch --json`: {why}")]
    Recording { what: String, why: String },
    #[error("{what} cannot be read")]
    Input { what: String, source: io::Error },
    #[error("{what} cannot be written")]
    Output { what: String, source: io::Error },
    #[error("cannot {what}")]
    System { what: &'static str, source: io::Error },
}

impl Failure {
    pub(super) fn output(what: impl Display, source: io::Error) -> Self {
        Self::Output { what: what.to_string(), source }
    }

    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::NoProcess(_) | Self::Watch(Error::Gone { .. }) => GONE,
            Self::Watch(Error::NotPermitted { .. }) | Self::Stacks(_) => NOT_PERMITTED,
            Self::Run(error) => error.exit_code(),
            // The reader has seen enough.
            Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Watch(_) | Self::Output { .. } | Self::System { .. } => IO,
            Self::Input { .. } | Self::Recording { .. } => IO,
        }
    }

    pub(super) fn tell(&self) {
        if self.exit_code() == 0 {
            return;
        }
        streams::note(Self::with_causes(self));
    }

    /// In one line.
    pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
        let causes = std::iter::successors(error.source(), |error| error.source());
        let causes: String = causes.map(|cause| format!(": {cause}")).collect();
        format!("{error}{causes}")
    }
}
