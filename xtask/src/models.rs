//! The loom and shuttle stages: the scenarios of `drystone-models` under a model checker.
//!
//! A scenario tells what it did in one line, `model: NAME loom SCHEDULES schedules`. A stage that explored
//! nothing is a failure: green must mean that something was searched.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo_stages::{TestCounts, judged, name_failures};
use crate::process::Finished;
use crate::stage::{Context, Mode, Outcome, minutes};

/// What runs a scenario; each has a target directory of its own, and all but stress a cfg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checker {
    Loom,
    Shuttle,
    /// Real threads, many repetitions, a watchdog.
    Stress,
}

impl Checker {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loom => "loom",
            Self::Shuttle => "shuttle",
            Self::Stress => "stress",
        }
    }

    fn rustflags(self) -> &'static str {
        match self {
            Self::Loom => "--cfg model_loom",
            Self::Shuttle => "--cfg model_shuttle",
            Self::Stress => "",
        }
    }

    /// `cargo test -p drystone-models --release` under this checker, in the workspace at `root`. The stages and their
    /// scratch copies have one target directory, because the dependencies are the same.
    pub(crate) fn cargo_test(self, context: &Context, root: &Path) -> Command {
        let mut command =
            context.cargo(["test", "--package", "drystone-models", "--release", "--locked", "--tests"]);
        command.current_dir(root).env("CARGO_TARGET_DIR", context.target.join(self.name()));
        // What cargo builds incrementally it names differently: that keeps what seeded bugs leave from being taken for the checkout's.
        command.env("CARGO_INCREMENTAL", "0");
        command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", self.rustflags());
        // Optimised, but without the slow last steps: seeded bugs rebuild it again and again. What a panic says has its place without
        // debug information.
        let profile = [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "2"), ("DEBUG", "0")];
        command.envs(profile.map(|(name, value)| (format!("CARGO_PROFILE_RELEASE_{name}"), value)));
        command.env("DRYSTONE_VERIFY", context.mode.name());
        if self == Self::Loom && std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
            command.env("LOOM_MAX_PREEMPTIONS", "3");
        }
        command
    }
}

pub(crate) fn loom(context: &Context) -> Result<Outcome> {
    stage(context, Checker::Loom)
}

pub(crate) fn shuttle(context: &Context) -> Result<Outcome> {
    stage(context, Checker::Shuttle)
}

fn stage(context: &Context, checker: Checker) -> Result<Outcome> {
    let mut command = checker.cargo_test(context, &context.root);
    command.args(["--no-fail-fast", "--", "--nocapture"]);
    let limit = minutes(if context.mode == Mode::Full { 60 } else { 20 });
    let done = context.runner.run(command, &context.log(checker.name())?, limit)?;
    Ok(models_outcome(&done, checker))
}

fn models_outcome(done: &Finished, checker: Checker) -> Outcome {
    let scenarios: Vec<Scenario> =
        done.output.lines().filter_map(scenario).filter(|s| s.checker == checker.name()).collect();
    let schedules: u64 = scenarios.iter().map(|scenario| scenario.schedules).sum();
    let counts = TestCounts::parse(&done.output);
    let mut outcome = counts.outcome(format!("{} scenarios, {schedules} schedules", scenarios.len()));
    name_failures(&done.output, &mut outcome);
    outcome.notes.extend(scenarios.iter().map(|s| format!("{}: {} schedules", s.name, s.schedules)));
    let outcome = judged(done, outcome);
    if !done.succeeded() {
        return outcome;
    }
    if scenarios.is_empty() {
        return outcome.fail("no scenario ran");
    }
    match scenarios.iter().find(|scenario| scenario.schedules == 0) {
        Some(idle) => outcome.fail(format!("scenario {} explored no schedule", idle.name)),
        None => outcome,
    }
}

/// `model: NAME CHECKER SCHEDULES schedules`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario<'a> {
    pub(crate) name: &'a str,
    pub(crate) checker: &'a str,
    pub(crate) schedules: u64,
}

pub(crate) fn scenario(line: &str) -> Option<Scenario<'_>> {
    // Not a prefix: with one test thread libtest writes `test NAME ... ` before it on the same line.
    let (_, rest) = line.split_once("model: ")?;
    let mut words = rest.split_whitespace();
    let (name, checker, schedules) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    (words.next()? == "schedules").then_some(Scenario { name, checker, schedules })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::Ending;
    use crate::stage::Verdict;

    fn outcome(output: &str, ending: Ending) -> Outcome {
        let done = Finished { ending, elapsed: Duration::ZERO, output: output.to_owned() };
        models_outcome(&done, Checker::Loom)
    }

    #[test]
    fn schedules_are_counted() {
        let output = "test pool::a ... model: pool::a loom 120 schedules\nok\nmodel: b loom 3 schedules\n\
            model: c shuttle 9 schedules\nmodel: d loom many schedules\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let outcome = outcome(output, Ending::Success);
        assert_eq!(outcome.verdict, Verdict::Ok);
        assert_eq!(outcome.counted, "2 scenarios, 123 schedules");
        assert_eq!(outcome.passed, 2);
    }

    #[test]
    fn a_checker_that_explored_nothing_fails() {
        let none = outcome("test result: ok. 5 passed; 0 failed; 0 ignored;", Ending::Success);
        assert_eq!(none.verdict, Verdict::Failed("no scenario ran".to_owned()));
        assert_eq!(none.counted, "0 scenarios, 0 schedules");
        let idle = outcome("model: a loom 0 schedules", Ending::Success);
        assert_eq!(idle.verdict, Verdict::Failed("scenario a explored no schedule".to_owned()));
    }

    #[test]
    fn a_failing_checker_keeps_its_own_reason() {
        let outcome = outcome("model: a loom 7 schedules", Ending::TimedOut(minutes(20)));
        assert_eq!(outcome.verdict, Verdict::Failed("killed after 1200 s".to_owned()));
    }
}
