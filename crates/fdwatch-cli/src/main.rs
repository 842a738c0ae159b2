//! The `fdwatch` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    fdwatch_cli::exec_stage().unwrap_or_else(|| fdwatch_cli::execute(std::env::args_os()))
}
