//! The command `fdwatch`, also as `drystone fdwatch`: parses, watches, draws, ends with the verdict.
//!
//! One thread, but for the one that traces where it is attached. [`run`] belongs into a `main` that
//! has called [`exec_stage`](crate::run::exec_stage) first.

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
mod watch;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::arguments::{Cli, Command};
use self::failure::{Failure, USAGE};

/// Runs the command with these arguments, the first of which is its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is there to be told that it cannot be told.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let ended = match cli.command {
        None => watch::run(&cli.watch),
        Some(Command::Run(run)) => launch::run(&run),
        Some(Command::Compare(arguments)) => compare::run(&arguments),
        Some(Command::Completions { shell }) => completions(shell),
        Some(Command::Man { folder }) => man(&folder),
    };
    let code = ended.unwrap_or_else(|failure| {
        failure.tell();
        failure.exit_code()
    });
    ExitCode::from(code)
}

fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fdwatch", &mut script);
    let written = std::io::stdout().lock().write_all(&script);
    written.map_err(|error| Failure::output("standard output", error)).map(|()| 0)
}

fn man(folder: &std::path::Path) -> Result<u8, Failure> {
    let made = clap_mangen::generate_to(Cli::command(), folder);
    made.map_err(|error| Failure::output(folder.display(), error)).map(|()| 0)
}
