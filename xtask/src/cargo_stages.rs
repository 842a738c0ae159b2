//! The stages that are one cargo command each: fmt, clippy, test, doc.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::clients;
use crate::process::{Finished, cut};
use crate::scratch::files_below;
use crate::stage::{Context, Mode, Outcome, minutes};

pub(crate) fn fmt(context: &Context) -> Result<Outcome> {
    let command = context.cargo(["fmt", "--all", "--check"]);
    let done = context.runner.run(command, &context.log("fmt")?, minutes(5))?;
    let outcome = Outcome::ok(format!(
        "{} files",
        count_files(context, |file| file.extension() == Some("rs".as_ref()))?
    ));
    let files: BTreeSet<&str> = done.output.lines().filter_map(unformatted_file).collect();
    if !files.is_empty() {
        return Ok(outcome.fail(format!("{} files to format: cargo fmt --all", files.len())));
    }
    Ok(judged(&done, outcome))
}

/// The file of a line `Diff in PATH:LINE:` of rustfmt.
fn unformatted_file(line: &str) -> Option<&str> {
    line.strip_prefix("Diff in ")?.trim_end_matches(':').rsplit_once(':').map(|(file, _)| file)
}

pub(crate) fn clippy(context: &Context) -> Result<Outcome> {
    let command =
        context.cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    let done = context.runner.run(command, &context.log("clippy")?, minutes(20))?;
    Ok(judged(&done, Outcome::ok(packages(context)?)))
}

pub(crate) fn doc(context: &Context) -> Result<Outcome> {
    let mut command = context.cargo(["doc", "--workspace", "--no-deps", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    let done = context.runner.run(command, &context.log("doc")?, minutes(20))?;
    Ok(judged(&done, Outcome::ok(packages(context)?)))
}

fn packages(context: &Context) -> Result<String> {
    let count = count_files(context, |file| file.file_name() == Some("Cargo.toml".as_ref()))?;
    Ok(format!("{count} packages"))
}

fn count_files(context: &Context, counts: fn(&Path) -> bool) -> Result<usize> {
    let mut count = 0;
    for member in ["crates", "models", "xtask"] {
        count += files_below(&context.root.join(member))?.iter().filter(|file| counts(file)).count();
    }
    Ok(count)
}

pub(crate) fn test(context: &Context) -> Result<Outcome> {
    // A test that finds what it needs missing cannot say so through libtest, which hides what passing tests print.
    let skipped = context.target.join("verify/skipped-tests.txt");
    std::fs::create_dir_all(context.target.join("verify")).context("make the folder of the logs")?;
    std::fs::write(&skipped, "").context("empty the list of skipped tests")?;
    let mut command = context.cargo(["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.env("DRYSTONE_SKIPPED", &skipped).env("PATH", clients::search_path(context));
    if context.mode == Mode::Full {
        command.env("DRYSTONE_SOAK_SECONDS", "60");
    }
    let done = context.runner.run(command, &context.log("test")?, minutes(20))?;
    let skipped = std::fs::read_to_string(&skipped).context("read the list of skipped tests")?;
    Ok(without_skipped(test_outcome(&done), &skipped))
}

/// Counts the tests that did nothing, one on each line of `skipped`, as such.
fn without_skipped(mut outcome: Outcome, skipped: &str) -> Outcome {
    let lines: Vec<&str> = skipped.lines().collect();
    outcome.passed = outcome.passed.saturating_sub(lines.len() as u64);
    outcome.skipped += lines.len() as u64;
    outcome.notes.extend(lines.iter().map(|line| format!("skipped: {line}")));
    outcome
}

fn test_outcome(done: &Finished) -> Outcome {
    let counts = TestCounts::parse(&done.output);
    let mut outcome = counts.outcome(format!("{} tests", counts.passed + counts.failed));
    name_failures(&done.output, &mut outcome);
    let outcome = judged(done, outcome);
    if done.succeeded() && counts.passed == 0 { outcome.fail("no test ran") } else { outcome }
}

/// `outcome`, unless the child did not succeed: then its first error line, or how it ended, is the reason.
pub(crate) fn judged(done: &Finished, outcome: Outcome) -> Outcome {
    let Some(how) = done.reason() else { return outcome };
    let error = done.output.lines().find(|line| line.starts_with("error") || line.contains("[ERROR]"));
    outcome.fail(error.map_or(how.clone(), |line| format!("{how}, {}", cut(line, 100))))
}

/// How many failed tests are repeated after the table, and how much of each.
const FAILURES_SHOWN_MAX: usize = 10;
const FAILURE_LINES_MAX: usize = 20;

/// The sums of libtest's `test result:` lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl TestCounts {
    pub(crate) fn parse(output: &str) -> Self {
        output.lines().filter_map(Self::parse_line).fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            ignored: sum.ignored + one.ignored,
        })
    }

    fn parse_line(line: &str) -> Option<Self> {
        // Not a prefix: with --nocapture a test may have left its own text on the line.
        let (_, rest) = line.split_once("test result: ")?;
        let (_, counts) = rest.split_once(". ")?;
        let number = |unit: &str| {
            let field = counts.split(';').map(str::trim).find(|field| field.ends_with(unit))?;
            field.split(' ').next()?.parse().ok()
        };
        Some(Self { passed: number(" passed")?, failed: number(" failed")?, ignored: number(" ignored")? })
    }

    /// An ignored test is a check that did not happen: it counts as skipped.
    pub(crate) fn outcome(&self, counted: String) -> Outcome {
        Outcome { passed: self.passed, failed: self.failed, skipped: self.ignored, ..Outcome::ok(counted) }
    }
}

/// Names the tests that failed, and keeps what each of them said.
pub(crate) fn name_failures(output: &str, outcome: &mut Outcome) {
    let failing: Vec<&str> = output.lines().filter_map(failed_test).collect();
    if !failing.is_empty() {
        outcome.notes.push(format!("failed: {}", failing.join(", ")));
        outcome.failures =
            failing.iter().take(FAILURES_SHOWN_MAX).map(|name| said_by(name, output)).collect();
    }
}

/// The name in `test NAME ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// What libtest prints of the failed test `name`: the first lines below `---- NAME stdout ----`.
fn said_by(name: &str, output: &str) -> String {
    let head = format!("---- {name} stdout ----");
    let said = output.lines().skip_while(|line| *line != head).skip(1);
    let said = said.take_while(|line| !line.starts_with("---- ") && *line != "failures:");
    let said = said.filter(|line| !line.is_empty()).take(FAILURE_LINES_MAX);
    std::iter::once(name).chain(said).collect::<Vec<_>>().join("\n    ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::Ending;
    use crate::stage::Verdict;

    const OUTPUT: &str = "\
running 3 tests
test a_wall_stands ... ok
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s
test a_stone_fits ... FAILED

failures:

---- a_stone_fits stdout ----
thread 'a_stone_fits' panicked at walls.rs:7:
too large

---- another stdout ----
failures:
    a_stone_fits
left over by a test test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
test result: gibberish
";

    fn finished(ending: Ending, output: &str) -> Finished {
        Finished { ending, elapsed: Duration::ZERO, output: output.to_owned() }
    }

    #[test]
    fn a_test_that_did_nothing_has_not_passed() {
        let outcome = Outcome { passed: 7, ..Outcome::ok("7 tests") };
        let outcome = without_skipped(outcome, "a needs x\nb needs y\n");
        assert_eq!((outcome.passed, outcome.skipped), (5, 2));
        assert_eq!(outcome.notes, ["skipped: a needs x", "skipped: b needs y"]);
    }

    #[test]
    fn test_results_are_summed() {
        assert_eq!(TestCounts::parse(OUTPUT), TestCounts { passed: 3, failed: 1, ignored: 1 });
        assert_eq!(TestCounts::parse("nothing here"), TestCounts::default());
    }

    #[test]
    fn failing_tests_are_named() {
        let outcome = test_outcome(&finished(Ending::Failed("exit code 101".to_owned()), OUTPUT));
        assert_eq!(outcome.notes, ["failed: a_stone_fits"]);
        let said = "a_stone_fits\n    thread 'a_stone_fits' panicked at walls.rs:7:\n    too large";
        assert_eq!(outcome.failures, [said]);
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (3, 1, 1));
    }

    #[test]
    fn a_failure_without_a_failing_test_counts_one() {
        let output = "error: could not compile `pool`";
        let outcome = test_outcome(&finished(Ending::Failed("exit code 101".to_owned()), output));
        assert_eq!(outcome.failed, 1);
        let reason = "exit code 101, error: could not compile `pool`".to_owned();
        assert_eq!(outcome.verdict, Verdict::Failed(reason));
    }

    #[test]
    fn a_run_without_tests_is_no_success() {
        let outcome = test_outcome(&finished(Ending::Success, ""));
        assert_eq!(outcome.verdict, Verdict::Failed("no test ran".to_owned()));
    }

    #[test]
    fn unformatted_files_are_recognised() {
        assert_eq!(unformatted_file("Diff in crates/a/src/lib.rs:3:"), Some("crates/a/src/lib.rs"));
        assert_eq!(unformatted_file("fn main() {}"), None);
    }
}
