//! Why a command could not be started.

use std::ffi::OsString;
use std::io;

/// A command that does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Nothing was given to run.
    #[error("no command to run; give it after `--`")]
    NoCommand,
    /// There is no such command.
    #[error("{}: command not found", .command.display())]
    NotFound {
        /// As it was given.
        command: OsString,
    },
    /// It is there, but the kernel does not execute it.
    #[error("{}: cannot be executed", .command.display())]
    NotExecutable {
        /// As it was given.
        command: OsString,
        /// What the kernel says.
        source: io::Error,
    },
    /// Our own binary could not be started for the step in between.
    #[error("cannot start the command: {step}")]
    Start {
        /// What was being done.
        step: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The process in between ended without becoming the command.
    #[error("the command was not started: the process that was to become it ended ({status})")]
    EndedEarly {
        /// How, in words.
        status: String,
    },
}

impl RunError {
    /// What a shell answers: 127 for a command that is not there, 126 for one that cannot be executed, 64 for none given; 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommand => 64,
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Start { .. } | Self::EndedEarly { .. } => 1,
        }
    }
}
