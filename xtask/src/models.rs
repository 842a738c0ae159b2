//! The loom and shuttle stages: the scenarios of `models` under a model checker.
//!
//! A scenario reports in one line, `model: NAME loom SCHEDULES schedules`. A stage that explored
//! nothing is a failure: green must mean that something was searched. A scenario whose time was
//! over before its schedules reports that too, and also counts as skipped.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::Finished;
use crate::stage::{Context, Mode, Outcome, Verdict, minutes};
use crate::suites;

/// The checkers that run a scenario. Each has a target directory of its own, and all but stress
/// need a cfg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checker {
    Loom,
    Shuttle,
    /// Real threads, many repetitions, a watchdog.
    Stress,
}

/// A test binary with scenarios. A build of it compiles only what its package depends on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    /// A file for each subject, which is the first part of the names of its scenarios.
    pub(crate) folder: &'static str,
    /// The checkers that must have explored something in it.
    checkers: &'static [Checker],
}

pub(crate) const BINARIES: [Binary; 3] = [
    Binary {
        name: "pools",
        package: "drystone-models",
        folder: "models/tests/pools",
        checkers: &[Checker::Loom, Checker::Shuttle, Checker::Stress],
    },
    Binary {
        name: "protocol",
        package: "drystone-protocol",
        folder: "models/protocol/tests/protocol",
        checkers: &[Checker::Loom, Checker::Shuttle, Checker::Stress],
    },
    Binary {
        name: "edge",
        package: "drystone-edge-models",
        folder: "models/edge/tests/edge",
        checkers: &[Checker::Shuttle],
    },
];

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

    /// `cargo test --release` under this checker, in the workspace at `root`: all scenarios, or
    /// those of one `binary`. The stages and their scratch copies share one target directory,
    /// because the dependencies are the same.
    pub(crate) fn cargo_test(
        self,
        context: &Context,
        root: &Path,
        binary: Option<&Binary>,
    ) -> Command {
        let mut command = context.cargo(["test", "--release", "--locked"]);
        match binary {
            None => {
                command.arg("--tests");
                command.args(BINARIES.iter().flat_map(|binary| ["--package", binary.package]));
            }
            Some(binary) => {
                command.args(["--package", binary.package, "--test", binary.name]);
            }
        }
        command.current_dir(root).env("CARGO_TARGET_DIR", context.target.join(self.name()));
        // cargo gives incremental builds other names. So the builds of the seeded bugs are not
        // taken for those of the checkout.
        command.env("CARGO_INCREMENTAL", "0");
        command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", self.rustflags());
        // Optimised, but without the slow last steps, because seeded bugs rebuild it again and
        // again. A panic's message names its place also without debug information.
        let profile = [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "2"), ("DEBUG", "0")];
        command.envs(profile.map(|(name, value)| (format!("CARGO_PROFILE_RELEASE_{name}"), value)));
        self.set_scope(context, &mut command);
        command
    }

    /// How much a scenario explores.
    fn set_scope(self, context: &Context, command: &mut Command) {
        command.env("DRYSTONE_VERIFY", context.mode.name());
        // With one of these variables, a scenario explores only a part of its schedules.
        for name in ["DRYSTONE_SCHEDULE", "LOOM_CHECKPOINT_FILE"] {
            command.env_remove(name);
        }
        if self == Self::Loom && std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
            command.env("LOOM_MAX_PREEMPTIONS", "3");
        }
    }
}

pub(crate) fn loom(context: &Context) -> Result<Outcome> {
    stage(context, Checker::Loom)
}

pub(crate) fn shuttle(context: &Context) -> Result<Outcome> {
    stage(context, Checker::Shuttle)
}

fn stage(context: &Context, checker: Checker) -> Result<Outcome> {
    let build = checker.cargo_test(context, &context.root, None);
    let suites = match suites::build(context, checker.name(), build)? {
        Ok(suites) => suites,
        Err(failed) => return Ok(failed),
    };
    let jobs: Vec<_> = suites.all.iter().map(|suite| (suite.name.clone(), suite)).collect();
    let limit = minutes(if context.mode == Mode::Full { 60 } else { 20 });
    let (sum, ran) = suites.run(&jobs, jobs.len(), limit, |suite| {
        let mut command = suite.command(context);
        command.arg("--nocapture");
        checker.set_scope(context, &mut command);
        command
    })?;
    let explored: Vec<_> =
        suites.all.iter().zip(&ran).map(|(suite, done)| (suite.target.as_str(), done)).collect();
    Ok(models_outcome(sum, &explored, checker))
}

/// The sum with what was explored. A binary that has explored nothing is a failure, also when its
/// tests pass.
fn models_outcome(mut sum: Outcome, ran: &[(&str, &Finished)], checker: Checker) -> Outcome {
    let explored_by = |binary: &str| {
        let of_binary = ran.iter().filter(move |(target, _)| *target == binary);
        let found = of_binary.flat_map(|(_, done)| done.output.lines().filter_map(scenario));
        found.filter(|found| found.checker == checker.name()).collect::<Vec<_>>()
    };
    let binaries = BINARIES.iter().filter(|binary| binary.checkers.contains(&checker));
    let explored: Vec<_> = binaries.map(|binary| (binary.name, explored_by(binary.name))).collect();
    let scenarios: Vec<&Scenario> = explored.iter().flat_map(|(_, scenarios)| scenarios).collect();
    let schedules: u64 = scenarios.iter().map(|scenario| scenario.schedules).sum();
    sum.counted = format!("{} scenarios, {schedules} schedules", scenarios.len());
    sum.notes.extend(scenarios.iter().map(|s| format!("{}: {} schedules", s.name, s.schedules)));
    let cut_short: Vec<_> = scenarios.iter().filter(|scenario| scenario.is_cut_short).collect();
    sum.skipped += cut_short.len() as u64;
    sum.notes.extend(
        cut_short.iter().map(|s| format!("{}: its time was over before its schedules", s.name)),
    );
    if sum.verdict != Verdict::Ok {
        return sum;
    }
    if let Some((binary, _)) = explored.iter().find(|(_, scenarios)| scenarios.is_empty()) {
        return sum.fail(format!("no scenario of {binary} ran"));
    }
    match scenarios.iter().find(|scenario| scenario.schedules == 0).map(|idle| idle.name.to_owned())
    {
        Some(idle) => sum.fail(format!("scenario {idle} explored no schedule")),
        None => sum,
    }
}

/// `model: NAME CHECKER SCHEDULES schedules`, and perhaps `, cut short`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario<'a> {
    pub(crate) name: &'a str,
    pub(crate) checker: &'a str,
    pub(crate) schedules: u64,
    is_cut_short: bool,
}

pub(crate) fn scenario(line: &str) -> Option<Scenario<'_>> {
    // The report may not be at the begin of the line: with one test thread libtest writes `test
    // NAME ... ` before it.
    let (_, rest) = line.split_once("model: ")?;
    let mut words = rest.split_whitespace();
    let (name, checker, schedules) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    let is_cut_short = match words.next()? {
        "schedules" => false,
        "schedules," => words.eq(["cut", "short"]),
        _ => return None,
    };
    Some(Scenario { name, checker, schedules, is_cut_short })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::Ending;

    fn outcome(ran: &[(&str, &str)], checker: Checker) -> Outcome {
        let done = |output: &str| Finished {
            ending: Ending::Success,
            elapsed: Duration::ZERO,
            output: output.to_owned(),
        };
        let ran: Vec<_> = ran.iter().map(|(target, output)| (*target, done(output))).collect();
        let ran: Vec<_> = ran.iter().map(|(target, done)| (*target, done)).collect();
        models_outcome(Outcome::ok(""), &ran, checker)
    }

    #[test]
    fn schedules_are_counted() {
        let pools = "test pool::a ... model: pool::a loom 120 schedules\nok\nmodel: b loom 3 \
             schedules\n\
            model: c shuttle 9 schedules\nmodel: d loom many schedules\n";
        let outcome = outcome(
            &[("pools", pools), ("protocol", "model: e loom 7 schedules"), ("edge", "")],
            Checker::Loom,
        );
        assert_eq!(outcome.verdict, Verdict::Ok);
        assert_eq!(outcome.counted, "3 scenarios, 130 schedules");
    }

    #[test]
    fn what_was_cut_short_counts_as_skipped() {
        let pools = "model: a shuttle 3 schedules, cut short\nmodel: b shuttle 9 schedules\n";
        let rest = [
            ("protocol", "model: c shuttle 9 schedules"),
            ("edge", "model: d shuttle 9 schedules"),
        ];
        let outcome = outcome(&[&[("pools", pools)], &rest[..]].concat(), Checker::Shuttle);
        assert_eq!((outcome.verdict, outcome.skipped), (Verdict::Ok, 1));
        assert_eq!(outcome.counted, "4 scenarios, 30 schedules");
        assert_eq!(
            outcome.notes.last().map(String::as_str),
            Some("a: its time was over before its schedules")
        );
    }

    #[test]
    fn a_binary_that_explored_nothing_fails() {
        let failed = |ran: &[(&str, &str)], checker, why: &str| {
            assert_eq!(outcome(ran, checker).verdict, Verdict::Failed(why.to_owned()));
        };
        let pools = ("pools", "model: a loom 1 schedules\nmodel: a shuttle 1 schedules");
        failed(&[], Checker::Loom, "no scenario of pools ran");
        failed(&[pools], Checker::Loom, "no scenario of protocol ran");
        let protocol = ("protocol", "model: b loom 0 schedules\nmodel: b shuttle 1 schedules");
        failed(&[pools, protocol], Checker::Loom, "scenario b explored no schedule");
        failed(&[pools, protocol], Checker::Shuttle, "no scenario of edge ran");
    }

    #[test]
    fn a_failed_test_keeps_its_own_reason() {
        let outcome = models_outcome(Outcome::failed("2 failed"), &[], Checker::Loom);
        assert_eq!(outcome.verdict, Verdict::Failed("2 failed".to_owned()));
    }
}
