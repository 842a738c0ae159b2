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

    /// The path of a program in it.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.home.join("bin").join(name)
    }

    /// Makes it if it does not exist. With `sees_system`, the packages of the machine's Python are
    /// also found in it.
    pub(crate) fn create(&self, context: &Context, log: &Log, sees_system: bool) -> Result<()> {
        // If the Python that made it is gone, there is a pip, but it does not run.
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

    /// Installs packages with these arguments to pip. Packages that are installed already are not
    /// fetched again.
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
