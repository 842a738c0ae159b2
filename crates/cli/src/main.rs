//! The `drystone` binary: parses, calls the library, maps errors to exit codes.

mod args;
mod bench;
mod bucket;
mod cat;
mod check;
mod collect;
mod commands;
mod counting_alloc;
mod exit;
mod get;
mod heartbeat;
mod home;
mod interrupt;
mod key;
mod made_folders;
mod malloc;
mod new_folder;
mod open;
mod output;
mod progress;
mod put;
mod restore;
mod scrub;
mod serve;
mod serving;
mod settings;
mod streams;
mod tls;
mod variables;
mod walk;
mod weak_key;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Outcome};
use crate::output::Output;
use crate::settings::Settings;

#[global_allocator]
static ALLOCATOR: counting_alloc::Counting = counting_alloc::Counting;

fn main() -> ExitCode {
    // `fdwatch run` starts commands through this binary.
    if let Some(code) = fdwatch_cli::exec_stage() {
        return code;
    }
    // The command line of `fdwatch` is its own, with its own `--json` and `--help`.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == args::FDWATCH) {
        return fdwatch_cli::execute(std::iter::once(args::FDWATCH.into()).chain(arguments));
    }
    let cli = match Cli::from_command_line() {
        Ok(cli) => cli,
        Err(told) => return end(output::tell(&told), &Output::plain()),
    };
    let output = Output::new(&cli.global);
    variables::warn_of_unknown(&output);
    end(run(cli, &output), &output)
}

fn end(outcome: Outcome, output: &Output) -> ExitCode {
    let exit = outcome.unwrap_or_else(|error| {
        let exit = Exit::of(&error);
        if exit != Exit::Success {
            output.error(&error);
        }
        exit
    });
    ExitCode::from(exit as u8)
}

fn run(cli: Cli, output: &Output) -> Outcome {
    let settings = Settings::resolve(&cli.global)?;
    match cli.command {
        Command::Init(args) => commands::init(&settings, &args, output),
        Command::Put(args) => put::run(&settings, &args, output),
        Command::Get(args) => get::run(&settings, &args, output),
        Command::Cat(args) => cat::run(&settings, &args),
        Command::Ls(args) => commands::ls(&settings, &args, output),
        Command::Rm(args) => commands::rm(&settings, &args, output),
        Command::Stat(args) => commands::stat(&settings, &args, output),
        Command::Collect(args) => collect::run(&settings, &args, output),
        Command::Scrub(args) => scrub::run(&settings, &args, output),
        Command::Check => check::run(&settings, output),
        Command::Serve(args) => serve::run(&settings, &args, output),
        Command::Key(command) => key::run(&settings, &command, output),
        Command::Bucket(command) => bucket::run(&settings, &command, output),
        Command::Plan(args) => commands::plan(&settings, &args, output),
        Command::Bench(args) => bench::run(&settings, &args, output),
        Command::Fdwatch { arguments } => {
            let given: Vec<_> =
                arguments.iter().map(|argument| argument.to_string_lossy()).collect();
            let told = format!(
                "flags of drystone do not go with this command: drystone fdwatch {}",
                given.join(" ")
            );
            Err(exit::Usage(told).into())
        }
        Command::Completions { shell } => commands::completions(shell),
        Command::Man { folder } => commands::man(&folder),
    }
}
