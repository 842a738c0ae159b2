//! Developer commands of drystone: `cargo xtask verify` and its companions.
//!
//! Entry points: `verify.rs` runs the stages that `stages.rs` lists, and [`stage`] says what a
//! stage is. [`process`] is the only module that starts a child, always with a wall-clock limit.
//! Nothing here is shipped. The public items are for `bench/`.

mod cargo_stages;
pub mod clients;
mod deb;
mod demo;
mod deny;
mod faults;
mod fuzz;
mod libtest;
mod models;
pub mod process;
mod python;
mod report;
mod scratch;
mod seeded;
mod side_by_side;
pub mod stage;
mod stages;
mod suites;
mod test_stage;
mod tidy;
mod tools;
mod venv;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::Talk;
use crate::stage::{Context, Mode};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of drystone")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check and close with one table
    Verify(verify::Args),
    /// Check the rules of this repository that neither rustc nor clippy knows
    Tidy,
    /// Fuzz one target and minimise its corpus; without a target, list them
    Fuzz(fuzz::Args),
    /// Store a real tree, restore it and compare every byte
    Demo(demo::Args),
    /// Test the shipped binary under real faults: failing calls, power cuts, full disks, small
    /// limits
    Faults(faults::Args),
    /// Build the Debian packages, look through them and try what is in them
    Deb(deb::Args),
    /// Build the Python package of fdwatch, install it and test it
    Python,
    /// Install what the verification uses: pinned tools, strace, the S3 clients that the server is
    /// tested with, maturin and pytest
    Setup,
}

/// Runs the command that the arguments of this process name.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Verify(args) => verify::run(&args),
        Command::Tidy => tidy::run(&Context::new(Mode::Quick, Talk::Stdout)?),
        Command::Fuzz(args) => fuzz::run(&args, &Context::new(Mode::Full, Talk::Stdout)?),
        Command::Demo(args) => demo::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Deb(args) => deb::run(&args, &Context::new(Mode::Full, Talk::Stdout)?),
        Command::Python => python::run(&Context::new(Mode::Full, Talk::Stdout)?),
        Command::Setup => tools::setup(&Context::new(Mode::Full, Talk::Stdout)?),
    }
}
