//! The seeded stage: known bugs are put into a copy of the shipping source, and each must be found.
//!
//! A bug is a file `models/seeded/NAME.toml` (see [`mutant`]): an exact-string edit, the scenario
//! that must fail and the message it must fail with. Shipping code carries no switches for this,
//! and an edit that no longer fits is a failure, not a bug that is silently not tried. All bugs of
//! one checker are tried in one scratch copy with the target directory of that checker's own stage,
//! so only what changed is rebuilt; the checkers work side by side, because the end of each build
//! (one crate, then the linker) keeps one core busy. The same scenarios run on the unedited copy
//! before the first bug and, for the last bug's scenario, after it: they must pass, or a build was
//! stale.

mod judge;
mod mutant;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use self::judge::{Found, judge, judge_control};
use self::mutant::{Mutant, apply, load};
use crate::models::{BINARIES, Binary, Checker};
use crate::process::{Finished, Log, tail};
use crate::scratch::{Sources, read_sources, write_sources};
use crate::side_by_side::side_by_side;
use crate::stage::{Context, Mode, Outcome, minutes};

const TAIL_LINES: usize = 25;
/// The variable from which shuttle takes the seed of its schedules.
const SEED: &str = "SHUTTLE_RANDOM_SEED";

pub(crate) fn stage(context: &Context) -> Result<Outcome> {
    let mut mutants = load(&context.root.join("models/seeded"))?;
    if mutants.is_empty() {
        return Ok(Outcome::failed("no seeded bug in models/seeded: nothing was checked"));
    }
    // Bugs of one crate come one after another, so that the crate's dependencies stay built.
    mutants.sort_by(|a, b| a.file.cmp(&b.file));
    let sources = read_sources(&context.root)?;
    let (tried, left_out): (Vec<_>, Vec<_>) =
        mutants.into_iter().partition(|mutant| context.mode == Mode::Full || !mutant.full_only);

    let checkers = [Checker::Loom, Checker::Shuttle, Checker::Stress];
    let tallies = side_by_side(&checkers, checkers.len(), |checker| -> Result<Tally> {
        let mut tally = Tally::default();
        let mutants: Vec<&Mutant> =
            tried.iter().filter(|mutant| mutant.checker == *checker).collect();
        if !mutants.is_empty() {
            Workshop::new(context, *checker, &sources).try_all(&mutants, &mut tally)?;
        }
        Ok(tally)
    });
    let mut sum = Tally::default();
    for tally in tallies {
        sum.add(tally?);
    }
    Ok(sum.outcome(tried.len(), left_out.len()))
}

#[derive(Default)]
struct Tally {
    found: u64,
    failures: Vec<String>,
    details: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.failures.extend(other.failures);
        self.details.extend(other.details);
    }

    fn outcome(self, tried: usize, left_out: usize) -> Outcome {
        let mut counted = format!("{} of {tried} bugs found", self.found);
        if left_out > 0 {
            // Writing to a String cannot fail.
            let _ = write!(counted, ", {left_out} full-only");
        }
        let failed = u64::try_from(self.failures.len()).unwrap_or(u64::MAX);
        let outcome =
            Outcome { passed: self.found, failed, details: self.details, ..Outcome::ok(counted) };
        match self.failures.first() {
            None if tried == 0 => {
                outcome.fail("every seeded bug is full_only: nothing was checked")
            }
            None => outcome,
            Some(_) => outcome.fail(self.failures.join("; ")),
        }
    }
}

enum Build {
    Fresh,
    /// The copy changed and cargo did not compile the scenarios anew. For the control that is no
    /// error: what changed since the last verification may be a crate that they do not use.
    Stale,
}

/// One checker's scratch copy.
struct Workshop<'a> {
    context: &'a Context,
    checker: Checker,
    pristine: &'a Sources,
    source: PathBuf,
}

impl<'a> Workshop<'a> {
    fn new(context: &'a Context, checker: Checker, pristine: &'a Sources) -> Self {
        Self {
            context,
            checker,
            pristine,
            source: context.target.join("seeded").join(checker.name()),
        }
    }

    fn try_all(&self, mutants: &[&Mutant], tally: &mut Tally) -> Result<()> {
        let scenarios: BTreeSet<&str> =
            mutants.iter().map(|mutant| mutant.scenario.as_str()).collect();
        if !self.control("control-first", &scenarios, None, tally)? {
            let untried = mutants
                .iter()
                .map(|mutant| format!("{} not tried, its control failed", mutant.name));
            tally.failures.extend(untried);
            return Ok(());
        }
        let mut last = None;
        for mutant in mutants {
            self.try_one(mutant, tally)?;
            last = Some(mutant.scenario.as_str());
        }
        if let Some(last) = last {
            self.control(
                "control-last",
                &BTreeSet::from([last]),
                binary_of(last, self.pristine),
                tally,
            )?;
        }
        Ok(())
    }

    /// Runs the unedited copy, all of it or one binary. All its scenarios must exist and pass.
    fn control(
        &self,
        name: &str,
        scenarios: &BTreeSet<&str>,
        binary: Option<&Binary>,
        tally: &mut Tally,
    ) -> Result<bool> {
        let log = self.log(&format!("{name}-{}", self.checker.name()))?;
        let verdict = match self.build(self.pristine, binary, &log)? {
            Err(reason) => Err(reason),
            // A short run only: the stages of the checkers explore the scenarios.
            Ok(Build::Fresh | Build::Stale) => {
                let mut command = self.cargo(binary);
                command.env("DRYSTONE_VERIFY", "control");
                judge_control(&self.run(command, scenarios, &log, minutes(10))?, scenarios)
            }
        };
        let result = match &verdict {
            Ok(seconds) => {
                format!("{} scenarios pass without a bug ({seconds:.1} s)", scenarios.len())
            }
            Err(reason) => format!("FAILED: {reason}"),
        };
        self.say(name, &result, verdict.is_err().then_some(&log), tally);
        if let Err(reason) = &verdict {
            tally.failures.push(format!("{name} under {}: {reason}", self.checker.name()));
        }
        Ok(verdict.is_ok())
    }

    fn try_one(&self, mutant: &Mutant, tally: &mut Tally) -> Result<()> {
        let log = self.log(&mutant.name)?;
        let verdict = self.verdict(mutant, &log)?;
        let result = match &verdict {
            Ok(found) => {
                format!("found after {} schedules ({:.1} s)", found.schedules, found.seconds)
            }
            Err(reason) => format!("FAILED: {reason}"),
        };
        self.say(&mutant.name, &result, verdict.is_err().then_some(&log), tally);
        match verdict {
            Ok(_) => tally.found += 1,
            Err(reason) => tally.failures.push(format!("{}: {reason}", mutant.name)),
        }
        Ok(())
    }

    fn verdict(&self, mutant: &Mutant, log: &Log) -> Result<Result<Found, String>> {
        let edited = match apply(mutant, self.pristine) {
            Ok(edited) => edited,
            Err(error) => return Ok(Err(format!("{error:#}"))),
        };
        let Some(binary) = binary_of(&mutant.scenario, self.pristine) else {
            return Ok(Err(format!("there is no scenario {}", mutant.scenario)));
        };
        match self.build(&edited, Some(binary), log)? {
            Err(reason) => return Ok(Err(reason)),
            Ok(Build::Stale) => {
                return Ok(Err("cargo did not rebuild the scenarios after the edit".to_owned()));
            }
            Ok(Build::Fresh) => {}
        }
        let limit = Duration::from_secs(mutant.timeout_seconds);
        let scenarios = BTreeSet::from([mutant.scenario.as_str()]);
        let done = self.run(self.cargo(Some(binary)), &scenarios, log, limit)?;
        Ok(judge(mutant, &done))
    }

    /// Makes the copy hold `sources`, and builds it or one of its binaries. Or returns why that
    /// failed.
    fn build(
        &self,
        sources: &Sources,
        binary: Option<&Binary>,
        log: &Log,
    ) -> Result<Result<Build, String>> {
        let is_changed = write_sources(&self.source, sources)?;
        let mut command = self.cargo(binary);
        command.arg("--no-run");
        let done = self.context.runner.run(command, log, minutes(20))?;
        Ok(match done.reason() {
            Some(how) => Err(format!("it does not build ({how}): not a finding")),
            None if is_changed
                && binary.is_some_and(|binary| !is_compiled(binary, &done.output)) =>
            {
                Ok(Build::Stale)
            }
            None => Ok(Build::Fresh),
        })
    }

    fn run(
        &self,
        mut command: Command,
        scenarios: &BTreeSet<&str>,
        log: &Log,
        limit: Duration,
    ) -> Result<Finished> {
        // The same schedules for the same sources: when a change is judged, it must not depend on
        // luck whether a bug is found. The full run draws new schedules each time.
        if self.context.mode == Mode::Quick && std::env::var_os(SEED).is_none() {
            command.env(SEED, "1");
        }
        command.args(["--", "--exact", "--nocapture"]).args(scenarios);
        self.context.runner.run(command, log, limit)
    }

    /// Builds the models of the copy, all or one binary: most of the cost of a bug is to compile
    /// the binary of its scenario. Built incrementally, so that an edit of one line costs seconds.
    /// The first control pays for that once.
    fn cargo(&self, binary: Option<&Binary>) -> Command {
        let mut command = self.checker.cargo_test(self.context, &self.source, binary);
        command.env("CARGO_INCREMENTAL", "1");
        command
    }

    fn log(&self, name: &str) -> Result<Log> {
        Log::create(&self.context.target.join("verify/seeded"), name)
    }

    fn say(&self, name: &str, result: &str, failed: Option<&Log>, tally: &mut Tally) {
        let line = format!("{name:32} {:8} {result}", self.checker.name());
        self.context.talk.line(format!("    {line}"));
        let end = failed.map(|log| tail(log.path(), TAIL_LINES)).unwrap_or_default();
        if let Some(log) = failed.filter(|_| !end.is_empty()) {
            self.context.talk.line(format!("---- the end of {}:", log.path().display()));
            self.context.talk.line(end);
            self.context.talk.line("----");
        }
        tally.details.push(line);
    }
}

/// The test binary of `MODULE::NAME`: the one that has a file `MODULE.rs`.
fn binary_of(scenario: &str, sources: &Sources) -> Option<&'static Binary> {
    let file = format!("{}.rs", scenario.split_once("::")?.0);
    BINARIES.iter().find(|binary| sources.contains_key(&Path::new(binary.folder).join(&file)))
}

/// Whether cargo said that it compiles the binary.
fn is_compiled(binary: &Binary, output: &str) -> bool {
    output.contains(&format!("Compiling {} ", binary.package))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_in_the_binary_that_has_its_file() {
        let paths = [
            "models/src/queue.rs",
            "models/tests/pools/queue.rs",
            "models/edge/tests/edge/edge.rs",
        ];
        let sources = paths.iter().map(|path| (PathBuf::from(path), Vec::new())).collect();
        let found = |scenario| Some(binary_of(scenario, &sources)?.name);
        assert_eq!(found("queue::nothing_is_lost"), Some("pools"));
        assert_eq!(found("edge::nothing_is_lost"), Some("edge"));
        assert_eq!(found("store::nothing_is_lost"), None);
        assert_eq!(found("queue"), None);
    }
}
