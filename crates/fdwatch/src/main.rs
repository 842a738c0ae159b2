//! The `fdwatch` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    fdwatch::run::exec_stage().unwrap_or_else(|| fdwatch::cli::run(std::env::args_os()))
}
