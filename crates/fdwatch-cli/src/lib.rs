//! The command `fdwatch`, as a library, so that another program can have it as a subcommand:
//!
//! ```no_run
//! // `fdwatch run` starts commands by way of the program that it is part of.
//! let code = fdwatch_cli::exec_stage();
//! code.unwrap_or_else(|| fdwatch_cli::execute(std::env::args_os()));
//! ```
//!
//! What is counted and judged is in the library [`fdwatch`]; here it is drawn (`report.rs`), shown
//! while it happens, and asked for by arguments (`cli.rs`). `run.rs` starts a command, stays beside
//! it, and says which call stacks opened what it leaks.
//!
//! # Invariants
//! - Never starts a thread, but for the one that traces what it is attached to (`run/attached.rs`).
//! - Traces, stops and signals no process but the one that it has started or was told to attach to.

mod cli;
#[cfg(test)]
mod fuzzing;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod run;

pub use cli::execute;
pub use run::exec_stage;
