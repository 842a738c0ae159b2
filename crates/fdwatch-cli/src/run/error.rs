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
    /// The stacks cannot be had here; the command was not started.
    #[error("call stacks cannot be traced here (run without --stacks to do without)")]
    Stacks(#[from] StacksError),
    /// The process in between ended without becoming the command.
    #[error("the command was not started: the process that was to become it ended ({status})")]
    EndedEarly {
        /// How, in words.
        status: String,
    },
}

impl RunError {
    /// What a shell answers: 127 for a command that is not there, 126 for one that cannot be
    /// executed, 64 for none given; 4 where stacks are not permitted; 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommand => 64,
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Stacks(_) => 4,
            Self::Start { .. } | Self::EndedEarly { .. } => 1,
        }
    }
}

/// Why call stacks cannot be traced, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StacksError {
    /// Another architecture.
    #[error("this build has no support for it: it takes Linux on x86-64 or aarch64")]
    NotBuilt,
    /// The kernel lacks what it takes.
    #[error("the kernel is {found}; it takes {needed}")]
    Kernel {
        /// Its release.
        found: String,
        /// What it takes.
        needed: &'static str,
    },
    /// The machine's settings forbid it.
    #[error(
        "kernel.yama.ptrace_scope is {scope}, which forbids to trace even our own child: {remedy}"
    )]
    Yama {
        /// The setting.
        scope: u32,
        /// What helps.
        remedy: &'static str,
    },
    /// The machine's settings forbid to attach to what runs already.
    #[error("kernel.yama.ptrace_scope is {scope}: {remedy}")]
    YamaAttaching {
        /// The setting.
        scope: u32,
        /// What helps.
        remedy: &'static str,
    },
    /// Attaching is refused.
    #[error(
        "the kernel refuses to let us trace process {pid}: run as its user or as root; in a \
         container allow ptrace (docker: \
         --cap-add SYS_PTRACE); a security module may forbid it, too"
    )]
    Attaching {
        /// Which.
        pid: u32,
        /// What the kernel says.
        source: io::Error,
    },
    /// A process has one tracer at most.
    #[error(
        "process {pid} is traced already, by process {by} (a debugger, strace, or another \
         fdwatch): end that first"
    )]
    Traced {
        /// Which.
        pid: u32,
        /// Its tracer.
        by: u32,
    },
    /// There is no such process, or no longer.
    #[error("there is no process {pid} any more")]
    Gone {
        /// Which.
        pid: u32,
    },
    /// Too much to trace.
    #[error(
        "there are more than {threads_max} threads, and each would be stopped at its system calls"
    )]
    Threads {
        /// So many can be traced.
        threads_max: usize,
    },
    /// What traces could not be started.
    #[error("the thread that traces could not be started")]
    Thread {
        /// What the kernel says.
        source: io::Error,
    },
    /// A part of us ended early.
    #[error("the thread that traces has ended; all processes run on")]
    Ended,
    /// Tracing is refused.
    #[error(
        "the kernel refuses ptrace; in a container allow it (docker: --cap-add SYS_PTRACE, or a \
         seccomp \
         profile that lets ptrace through); a security module may forbid it, too"
    )]
    Ptrace {
        /// What the kernel says.
        source: io::Error,
    },
    /// The filter is refused.
    #[error(
        "the kernel refuses a seccomp filter; in a container use a seccomp profile that lets \
         seccomp through"
    )]
    Seccomp {
        /// What the kernel says.
        source: io::Error,
    },
}
