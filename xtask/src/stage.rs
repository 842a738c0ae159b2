//! What a stage of `cargo xtask verify` is, what it is given and what it returns. `stages.rs` has
//! the list of stages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::process::{Log, Runner, Talk};

/// One stage of the verification.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// What it does, for the line that is printed while it runs.
    pub(crate) about: &'static str,
    /// Whether this checkout has anything for the stage. A stage that is asked for by name runs in
    /// any case.
    pub(crate) listed: fn(&Context) -> bool,
    pub(crate) run: fn(&Context) -> Result<Outcome>,
}

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What fits into about ten minutes.
    Quick,
    /// Everything.
    Full,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// What every stage is given.
pub struct Context {
    /// The root of the workspace.
    pub root: PathBuf,
    /// `target/`, or the folder that the caller's `CARGO_TARGET_DIR` names.
    pub target: PathBuf,
    pub(crate) mode: Mode,
    /// Where lines for the reader go.
    pub talk: Talk,
    /// Starts children.
    pub runner: Runner,
    /// Stages that were asked for by name.
    pub(crate) asked: BTreeSet<String>,
}

impl Context {
    /// The context of the workspace that this process was started in.
    ///
    /// # Errors
    /// When it was started elsewhere, or Ctrl-C cannot be watched for.
    pub fn new(mode: Mode, talk: Talk) -> Result<Self> {
        let root = workspace_root()?;
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target, mode, talk, runner: Runner::new(talk)?, asked: BTreeSet::new() })
    }

    pub(crate) fn is_asked(&self, stage: &str) -> bool {
        self.asked.contains(stage)
    }

    /// The log `verify/STAGE.log` in the target folder, emptied.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn log(&self, stage: &str) -> Result<Log> {
        Log::create(&self.target.join("verify"), stage)
    }

    /// `cargo` in the workspace root.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = self.of_workspace(Command::new("cargo"));
        command.current_dir(&self.root).args(args);
        command
    }

    /// `command` without the variables that the outer `cargo run` sets for xtask itself, and
    /// without those that change how libtest runs tests.
    pub(crate) fn of_workspace(&self, mut command: Command) -> Command {
        command.env("CARGO_TERM_COLOR", "never");
        command.env("CARGO_TARGET_DIR", &self.target).env_remove("LD_LIBRARY_PATH");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "RUST_TEST_"]
                .iter()
                .any(|start| text.starts_with(start))
            {
                command.env_remove(&name);
            }
        }
        command
    }
}

fn workspace_root() -> Result<PathBuf> {
    if let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR")
        && let Some(root) = Path::new(&manifest).parent()
        && is_root(root)
    {
        return Ok(root.to_owned());
    }
    let here = std::env::current_dir().context("find the current directory")?;
    let root = here.ancestors().find(|directory| is_root(directory));
    Ok(root.context("not inside the drystone workspace: change into it first")?.to_owned())
}

fn is_root(directory: &Path) -> bool {
    directory.join("xtask/Cargo.toml").is_file() && directory.join("Cargo.toml").is_file()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    Failed(String),
    Skipped(String),
}

/// The result of a stage.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    /// What the stage counted, with the unit: `41 files`, `7 scenarios, 81230 schedules`.
    pub(crate) counted: String,
    /// Passed tests and scenarios. The last line sums them up.
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Lines for the reader and the report.
    pub(crate) notes: Vec<String>,
    /// Lines that were printed when they happened. They are only for the report.
    pub(crate) details: Vec<String>,
    /// What the failed tests printed. It is repeated after the closing table, because of a long run
    /// often only the end is kept.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    pub(crate) fn ok(counted: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Ok,
            counted: counted.into(),
            passed: 0,
            failed: 0,
            skipped: 0,
            notes: Vec::new(),
            details: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed(reason.into()), failed: 1, ..Self::ok("-") }
    }

    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped(reason.into()), skipped: 1, ..Self::ok("-") }
    }

    /// Turns the outcome into a failure; a failed stage counts at least one failed test.
    pub(crate) fn fail(mut self, reason: impl Into<String>) -> Self {
        self.verdict = Verdict::Failed(reason.into());
        self.failed = self.failed.max(1);
        self
    }
}

/// A limit in minutes: every child that xtask starts has one.
pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
