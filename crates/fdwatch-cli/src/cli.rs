//! The command `fdwatch`, also as `drystone fdwatch`: parses, watches, draws, ends with the
//! verdict.
//!
//! Nothing is written by `println!` and its like, which end the process where they fail: see
//! `streams`.
//!
//! One thread, but for the one that traces where it is attached. [`execute`] belongs into a
//! `main` that has called [`exec_stage`](crate::exec_stage) first.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod attached_watch;
mod clock;
mod compare;
mod failure;
mod launch;
mod length;
mod live;
mod on_leak;
mod outputs;
mod stacks_seen;
mod streams;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::arguments::{Cli, Command};
use self::failure::Failure;

/// Runs the command with these arguments, the first of which is its name.
pub fn execute(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let ended = match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(cli),
        Err(told) => streams::tell(&told),
    };
    let code = ended.unwrap_or_else(|failure| {
        failure.tell();
        failure.exit_code()
    });
    ExitCode::from(code)
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        None => watch::run(&cli.watch),
        Some(Command::Run(run)) => launch::run(&run),
        Some(Command::Compare(arguments)) => compare::run(&arguments),
        Some(Command::Completions { shell }) => completions(shell),
        Some(Command::Man { folder }) => man(&folder),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fdwatch", &mut script);
    streams::print(|out| out.write_all(&script)).map(|()| 0)
}

fn man(folder: &std::path::Path) -> Result<u8, Failure> {
    let made = clap_mangen::generate_to(Cli::command(), folder);
    made.map_err(|error| Failure::output(folder.display(), error)).map(|()| 0)
}
