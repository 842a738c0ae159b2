//! `cargo xtask python` and the stage of that name: the Python package, tested as the wheel that
//! people install.
//!
//! maturin and pytest are pinned in a virtual environment of their own; the wheel is built with
//! them, installed there by pip and tested from a folder where its sources cannot be found instead.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::cargo_stages::judged;
use crate::process::Log;
use crate::stage::{Context, Mode, Outcome, Verdict, minutes};
use crate::venv::Venv;

/// Pinned, so that two machines build and test the same.
const REQUIREMENTS: [&str; 3] = ["maturin==1.16.0", "pytest==9.1.1", "pytest-xdist==3.8.0"];
const PACKAGE: &str = "crates/fdwatch-python";

/// `cargo xtask python`: the wheel of a release build.
pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let log = context.log("python")?;
    let venv = prepared(context, &log)?;
    let wheel = build(context, &log, &venv)?;
    let outcome = test(context, &log, &venv, &wheel)?;
    if let Verdict::Failed(reason) = &outcome.verdict {
        context.talk.line(crate::process::tail(log.path(), 60));
        context.talk.line(format!("{reason}: see {}", log.path().display()));
        return Ok(ExitCode::FAILURE);
    }
    context.talk.line(format!(
        "{} ({}, {} skipped)",
        wheel.display(),
        outcome.counted,
        outcome.skipped
    ));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn stage(context: &Context) -> Result<Outcome> {
    let log = context.log("python")?;
    let required = context.mode == Mode::Full || context.is_asked("python");
    let venv = match prepared(context, &log) {
        Ok(venv) => venv,
        Err(error) if required => return Err(error),
        Err(error) => return Ok(Outcome::skipped(format!("{error:#}"))),
    };
    let wheel = build(context, &log, &venv)?;
    test(context, &log, &venv, &wheel)
}

/// Installs what the package is built and tested with. Returns a line about it.
pub(crate) fn ensure(context: &Context, log: &Log) -> String {
    match prepared(context, log) {
        Ok(venv) => format!("{}: {}", REQUIREMENTS.join(", "), venv.home.display()),
        Err(error) => format!("the Python package cannot be tested: {error:#}"),
    }
}

fn prepared(context: &Context, log: &Log) -> Result<Venv> {
    let venv = Venv::new(context, "python-package");
    venv.create(context, log, false)?;
    venv.install(context, log, &REQUIREMENTS)?;
    Ok(venv)
}

fn build(context: &Context, log: &Log, venv: &Venv) -> Result<PathBuf> {
    let folder = context.target.join("wheels");
    // A wheel of another version must not be taken for this one.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    let mut maturin = Command::new(venv.program("maturin"));
    maturin.current_dir(context.root.join(PACKAGE)).env("CARGO_TARGET_DIR", &context.target);
    let profile = if context.mode == Mode::Full { "release" } else { "dev" };
    maturin.args(["build", "--locked", "--profile", profile, "--out"]).arg(&folder);
    let done = context.runner.run(maturin, log, minutes(20))?;
    ensure!(done.succeeded(), "the wheel is not built: see {}", log.path().display());
    // The versions of fdwatch and of this program are both that of the workspace.
    let expected = concat!("fdwatch-", env!("CARGO_PKG_VERSION"), "-cp39-abi3-");
    let made = std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let paths: Vec<PathBuf> = made
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()
        .context("list the wheels")?;
    let wheel = paths.iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(expected) && name.ends_with(".whl")
    });
    wheel.cloned().with_context(|| format!("maturin has made {paths:?}, but no {expected}….whl"))
}

fn test(context: &Context, log: &Log, venv: &Venv, wheel: &Path) -> Result<Outcome> {
    let name = wheel.to_str().context("the target folder's name is not UTF-8")?;
    venv.install(context, log, &["--force-reinstall", "--no-deps", "--no-index", name])?;
    let mut pytest = Command::new(venv.program("python"));
    pytest.current_dir(context.root.join(PACKAGE)).env("PYTHONDONTWRITEBYTECODE", "1");
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfEs", "--color=no", "tests"]);
    let done = context.runner.run(pytest, log, minutes(10))?;
    let outcome = tested(&done.output);
    let outcome = judged(&done, outcome);
    Ok(if done.succeeded() && outcome.passed == 0 { outcome.fail("no test ran") } else { outcome })
}

/// The sums of pytest's last line, and what it printed about the skipped and failed tests.
fn tested(output: &str) -> Outcome {
    // `2 failed, 40 passed, 1 skipped in 3.21s`
    let sums = output.lines().rev().find(|line| is_sum(line));
    let count = |what: &str| -> u64 {
        let field = sums.into_iter().flat_map(|sums| sums.split([',', '='])).map(str::trim);
        let field = field
            .filter_map(|field| field.split_once(' '))
            .find(|(_, word)| word.starts_with(what));
        field.and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
    };
    let (passed, failed, skipped) =
        (count("passed"), count("failed") + count("error"), count("skipped"));
    let mut outcome = Outcome::ok(format!("{} tests", passed + failed));
    (outcome.passed, outcome.failed, outcome.skipped) = (passed, failed, skipped);
    // A failed test may have printed the output of another pytest.
    let summary = output.rfind("short test summary info").map_or(output, |at| &output[at..]);
    let told = |start: &'static str| summary.lines().filter(move |line| line.starts_with(start));
    outcome.notes.extend(told("SKIPPED ").map(|line| line.replacen("SKIPPED", "skipped:", 1)));
    outcome.failures.extend(told("FAILED ").chain(told("ERROR ")).map(str::to_owned));
    outcome
}

/// `41 passed in 3.21s`, or `41 passed in 61.20s (0:01:01)`.
fn is_sum(line: &str) -> bool {
    let time = line.rsplit_once(" in ").and_then(|(_, rest)| rest.split([' ', '=']).next());
    time.and_then(|time| time.strip_suffix('s'))
        .is_some_and(|seconds| seconds.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_pytest_is_understood() {
        let inner = "=== short test summary info ===\nERROR test_of_a_test.py::test_leaky\n1 error \
             in 0.1s\n";
        let outer = "=== short test summary info ===\nSKIPPED [1] tests/test_a.py:3: no IPv6\n\
            FAILED tests/test_b.py::test_x - assert 1\n1 failed, 40 passed, 1 skipped, 2 errors in \
            3.21s\n";
        let outcome = tested(&format!("..s.F\n{inner}{outer}"));
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (40, 3, 1));
        assert_eq!(outcome.failures, ["FAILED tests/test_b.py::test_x - assert 1"]);
        assert_eq!(outcome.notes, ["skipped: [1] tests/test_a.py:3: no IPv6"]);
        let plain = tested("====== 7 passed in 0.10s ======\n45 passed in 38.54s\n");
        assert_eq!((plain.passed, plain.failed, plain.skipped), (45, 0, 0));
        assert_eq!(tested("Traceback: it ended in tears").passed, 0);
        assert_eq!(tested("3 passed in 61.20s (0:01:01)").passed, 3);
    }
}
