//! The test stage: the tests of the workspace, two binaries at a time, and those of its
//! documentation.

use anyhow::{Context as _, Result};

use crate::clients;
use crate::stage::{Context, Mode, Outcome, minutes};
use crate::suites;

/// Binaries that run at a time.
const WIDTH: usize = 2;
/// The binaries that take longest are started first. Started last, each would keep one core busy at
/// the end while the other idles.
const LONGEST_FIRST: [&str; 2] = ["sequences", "s3_clients"];

pub(crate) fn stage(context: &Context) -> Result<Outcome> {
    let suites =
        match suites::build(context, "test", context.cargo(["test", "--workspace", "--locked"]))? {
            Ok(suites) => suites,
            Err(failed) => return Ok(failed),
        };
    // A test that finds that its tools are missing cannot report it through libtest, which hides
    // the output of passing tests. So it writes into this file.
    let skipped = context.target.join("verify/skipped-tests.txt");
    std::fs::write(&skipped, "").context("empty the list of skipped tests")?;
    let mut jobs: Vec<_> =
        suites.all.iter().map(|suite| (suite.name.clone(), Some(suite))).collect();
    jobs.sort_by_key(|(_, suite)| {
        suite.is_none_or(|suite| !LONGEST_FIRST.contains(&suite.target.as_str()))
    });
    jobs.push(("documentation".to_owned(), None));
    let (mut sum, _) = suites.run(&jobs, WIDTH, minutes(20), |suite| {
        let mut command = match suite {
            Some(suite) => suite.command(context),
            None => context.cargo(["test", "--workspace", "--locked", "--doc", "--no-fail-fast"]),
        };
        command.env("DRYSTONE_SKIPPED", &skipped).envs(clients::environment(context));
        if context.mode == Mode::Full {
            command.env("DRYSTONE_SOAK_SECONDS", "60");
        }
        command
    })?;
    sum.counted = format!("{} tests", sum.passed + sum.failed);
    let skipped = std::fs::read_to_string(&skipped).context("read the list of skipped tests")?;
    Ok(without_skipped(sum, &skipped))
}

/// Counts the tests that did nothing as skipped. Each has a line in `skipped`.
fn without_skipped(mut outcome: Outcome, skipped: &str) -> Outcome {
    let lines: Vec<&str> = skipped.lines().collect();
    outcome.passed = outcome.passed.saturating_sub(lines.len() as u64);
    outcome.skipped += lines.len() as u64;
    outcome.notes.extend(lines.iter().map(|line| format!("skipped: {line}")));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_did_nothing_has_not_passed() {
        let outcome = Outcome { passed: 7, ..Outcome::ok("7 tests") };
        let outcome = without_skipped(outcome, "a needs x\nb needs y\n");
        assert_eq!((outcome.passed, outcome.skipped), (5, 2));
        assert_eq!(outcome.notes, ["skipped: a needs x", "skipped: b needs y"]);
    }
}
