//! A virtual environment of Python below the target folder, with pinned packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::Log;
use crate::stage::{Context, minutes};

pub(crate) struct Venv {
    pub(crate) home: PathBuf,
}

impl Venv {
    /// `target/tools/NAME`, which need not exist yet.
    pub(crate) fn new(context: &Context, name: &str) -> Self {
        Self { home: context.target.join("tools").join(name) }
    }

    /// A program of it.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.home.join("bin").join(name)
    }

    /// Makes it unless it is there. `sees_system`: also what the machine's Python has is found in
    /// it.
    pub(crate) fn create(&self, context: &Context, log: &Log, sees_system: bool) -> Result<()> {
        // One that was made by a Python that is no longer there has a pip, too, but not one that
        // runs.
        let probe = Command::new(self.program("python")).args(["-m", "pip", "--version"]).output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            return Ok(());
        }
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"])
            .args(sees_system.then_some("--system-site-packages"))
            .arg(&self.home);
        step(
            context,
            log,
            "python3 cannot make a virtual environment, by hand: apt-get install python3-venv",
            venv,
        )
    }

    /// Installs, with these arguments to pip. What is there already is not asked for again.
    pub(crate) fn install(&self, context: &Context, log: &Log, arguments: &[&str]) -> Result<()> {
        let mut pip = Command::new(self.program("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(arguments);
        step(context, log, &format!("pip cannot install {}", arguments.join(" ")), pip)
    }
}

fn step(context: &Context, log: &Log, failure: &str, command: Command) -> Result<()> {
    let done = match context.runner.run(command, log, minutes(10)) {
        Ok(done) => done,
        Err(error) => bail!("{failure}: {error:#}"),
    };
    match done.reason() {
        None => Ok(()),
        Some(how) => bail!("{failure} ({how}): see {}", log.path().display()),
    }
}
