//! Test binaries: cargo builds them and says where they are. Here they run a few at a time.
//!
//! `cargo test` runs one binary after another. So a part of the machine idles while tests wait for
//! clients, deadlines and disks, and at the end of each binary. A run that has not tested
//! everything must not be green. So these are errors here: a binary that is not understood, and a
//! binary that ends without saying how its tests went.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo_stages::judged;
use crate::libtest::{TestCounts, announced, failed_test, is_concluded, said_by};
use crate::process::{Finished, Log};
use crate::side_by_side::side_by_side;
use crate::stage::{Context, Outcome, minutes};

/// How many failed tests are repeated after the table, and how many lines of each.
const FAILURES_SHOWN_MAX: usize = 10;
const FAILURE_LINES_MAX: usize = 20;

/// One test binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    /// `PACKAGE-KIND-TARGET`, by the folder of the package.
    pub(crate) name: String,
    /// The name of the target alone.
    pub(crate) target: String,
    program: PathBuf,
    /// The folder of its package, in which cargo would start it.
    folder: PathBuf,
}

/// A line in which cargo reports something that it has built.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The binaries of one stage, and the stage's name: each binary writes a log of its own below
/// `verify/STAGE`.
pub(crate) struct Suites<'a> {
    context: &'a Context,
    stage: &'static str,
    pub(crate) all: Vec<Suite>,
}

/// Builds the tests of a `cargo test` command, and lists them by name. Or returns how that failed.
pub(crate) fn build<'a>(
    context: &'a Context,
    stage: &'static str,
    mut command: Command,
) -> Result<std::result::Result<Suites<'a>, Outcome>> {
    // Logs of binaries that no longer exist would be taken for logs of this run.
    let _ = std::fs::remove_dir_all(folder(context, stage));
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    // A progress bar would be on the same lines as the messages.
    command.env("CARGO_TERM_PROGRESS_WHEN", "never");
    let built = context.runner.run(
        command,
        &Log::create(&folder(context, stage), "build")?,
        minutes(20),
    )?;
    if !built.succeeded() {
        let said: Vec<&str> = built.output.lines().filter(|line| !line.starts_with('{')).collect();
        context.log(stage)?.write(&said.join("\n"))?;
        return Ok(Err(judged(&built, Outcome::ok("-"))));
    }
    Ok(Ok(Suites { context, stage, all: parse(&built.output, &context.root)? }))
}

fn folder(context: &Context, stage: &str) -> PathBuf {
    context.target.join("verify").join(stage)
}

impl Suites<'_> {
    /// Runs each of `jobs`, `width` at a time, in a command that `prepare` makes of it. Sums up how
    /// their tests went. Returns what they have printed as well.
    pub(crate) fn run<J: Sync>(
        &self,
        jobs: &[(String, J)],
        width: usize,
        limit: Duration,
        prepare: impl Fn(&J) -> Command + Sync,
    ) -> Result<(Outcome, Vec<Finished>)> {
        let ran = side_by_side(jobs, width, |(name, job)| {
            let log = Log::create(&folder(self.context, self.stage), name)?;
            let done = self.context.runner.run(prepare(job), &log, limit)?;
            self.context.talk.line(format!("    {}", line(name, &done)));
            Ok(done)
        });
        let ran = ran.into_iter().collect::<Result<Vec<Finished>>>()?;
        let mut sum = Outcome::ok("");
        for ((name, _), done) in jobs.iter().zip(&ran) {
            add(&mut sum, name, done);
        }
        // The stage's own log repeats, from all the logs, what the failures are about.
        self.context.log(self.stage)?.write(&sum.failures.join("\n"))?;
        Ok((concluded(sum), ran))
    }
}

fn parse(output: &str, root: &Path) -> Result<Vec<Suite>> {
    let mut suites = BTreeMap::new();
    for line in output.lines().filter(|line| line.contains(r#""reason":"compiler-artifact""#)) {
        let artifact: Artifact =
            serde_json::from_str(line).context("understand what cargo has built")?;
        if !artifact.profile.test {
            continue;
        }
        let target = artifact.target.name;
        let program = artifact
            .executable
            .with_context(|| format!("cargo has built no program of {target}"))?;
        let folder =
            artifact.manifest_path.parent().context("a manifest is in a folder")?.to_owned();
        let package = folder.strip_prefix(root).unwrap_or(&folder);
        let package = package
            .strip_prefix("crates")
            .unwrap_or(package)
            .display()
            .to_string()
            .replace('/', "-");
        let name = format!("{package}-{}-{target}", artifact.target.kind.join("-"));
        let twin =
            suites.insert(name.clone(), Suite { name: name.clone(), target, program, folder });
        ensure!(twin.is_none(), "two test binaries are called {name}");
    }
    ensure!(
        output.contains(r#""reason":"build-finished","success":true"#),
        "cargo does not say that it has built all"
    );
    ensure!(!suites.is_empty(), "cargo has built no test");
    Ok(suites.into_values().collect())
}

impl Suite {
    /// Starts it as cargo would, without the variables that describe its package.
    pub(crate) fn command(&self, context: &Context) -> Command {
        let mut command = context.of_workspace(Command::new(&self.program));
        command.current_dir(&self.folder);
        command
    }
}

/// A line for a reader who waits: `NAME  7 passed (1.2 s)`.
fn line(name: &str, done: &Finished) -> String {
    let TestCounts { passed, failed, ignored } = TestCounts::parse(&done.output);
    let counts = [(passed, "passed"), (failed, "FAILED"), (ignored, "ignored")];
    let counts = counts.iter().enumerate().filter(|(at, (count, _))| *at == 0 || *count > 0);
    let counts: Vec<_> = counts.map(|(_, (count, word))| format!("{count} {word}")).collect();
    format!("{name:40} {} ({:.1} s)", counts.join(", "), done.elapsed.as_secs_f64())
}

/// Adds to `sum` what a binary, or cargo itself, printed about its tests.
fn add(sum: &mut Outcome, name: &str, done: &Finished) {
    let counts = TestCounts::parse(&done.output);
    sum.passed += counts.passed;
    sum.failed += counts.failed;
    sum.skipped += counts.ignored;
    sum.details.push(line(name, done));
    let unsaid = || {
        let said = counts.passed + counts.failed + counts.ignored;
        let is_whole = is_concluded(&done.output) && said == announced(&done.output);
        (!is_whole).then(|| "not every test has said how it went".to_owned())
    };
    let Some(how) = done.reason().or_else(unsaid) else { return };
    name_failures(name, &done.output, sum);
    if counts.failed == 0 {
        // The binary ended before its tests had ended.
        sum.failed += 1;
        let lines: Vec<&str> = done.output.lines().collect();
        let end = lines[lines.len().saturating_sub(FAILURE_LINES_MAX)..].join("\n    ");
        sum.failures.push(format!("{name}: {how}\n    {end}"));
    }
    sum.notes.push(format!("{name}: {how}"));
}

/// The verdict on a sum.
fn concluded(sum: Outcome) -> Outcome {
    match (sum.failed, sum.passed) {
        (0, 0) => sum.fail("no test ran"),
        (0, _) => sum,
        (failed, _) => sum.fail(format!("{failed} failed")),
    }
}

/// Names the tests that failed, and keeps what each of them said.
fn name_failures(name: &str, output: &str, outcome: &mut Outcome) {
    let failing: Vec<&str> = output.lines().filter_map(failed_test).collect();
    if !failing.is_empty() {
        outcome.notes.push(format!("failed: {}", failing.join(", ")));
        let room = FAILURES_SHOWN_MAX.saturating_sub(outcome.failures.len());
        let said = failing
            .iter()
            .take(room)
            .map(|test| format!("{name}: {}", said_by(test, output, FAILURE_LINES_MAX)));
        outcome.failures.extend(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::tests::OUTPUT;
    use crate::process::Ending;
    use crate::stage::Verdict;

    fn finished(ending: Ending, output: &str) -> Finished {
        Finished { ending, elapsed: Duration::ZERO, output: output.to_owned() }
    }

    #[test]
    fn failing_tests_are_named_in_each_binary() {
        let mut sum = Outcome::ok("");
        let done = finished(Ending::Failed("exit code 101".to_owned()), OUTPUT);
        add(&mut sum, "walls", &done);
        add(&mut sum, "roofs", &done);
        let said = "a_stone_fits\n    thread 'a_stone_fits' panicked at walls.rs:7:\n    too large";
        assert_eq!(sum.failures, [format!("walls: {said}"), format!("roofs: {said}")]);
        assert_eq!(sum.notes[..2], ["failed: a_stone_fits", "walls: exit code 101"]);
        assert_eq!(concluded(sum).verdict, Verdict::Failed("2 failed".to_owned()));
    }

    #[test]
    fn a_binary_that_ends_before_its_tests_have_is_a_failure() {
        let sum = |ending, output| {
            let mut sum = Outcome::ok("");
            add(&mut sum, "walls", &finished(ending, output));
            let sum = concluded(sum);
            (sum.passed, sum.failed, sum.skipped, sum.verdict)
        };
        let failed = |count: u64| Verdict::Failed(format!("{count} failed"));
        assert_eq!(sum(Ending::Failed("exit code 101".into()), OUTPUT), (3, 1, 1, failed(1)));
        let passed = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored;";
        assert_eq!(sum(Ending::Success, passed), (2, 0, 0, Verdict::Ok));
        assert_eq!(sum(Ending::Failed("signal 6".into()), passed), (2, 1, 0, failed(1)));
        assert_eq!(sum(Ending::TimedOut(minutes(20)), ""), (0, 1, 0, failed(1)));
        assert_eq!(
            sum(Ending::Success, "running 7 tests\nmy test result: fine"),
            (0, 1, 0, failed(1))
        );
        assert_eq!(sum(Ending::Success, ""), (0, 1, 0, failed(1)));
        let none = "running 0 tests\ntest result: ok. 0 passed; 0 failed; 0 ignored;";
        assert_eq!(
            sum(Ending::Success, none),
            (0, 1, 0, Verdict::Failed("no test ran".to_owned()))
        );
    }

    fn artifact(folder: &str, kind: &str, name: &str, is_test: bool) -> String {
        let target = format!(r#"{{"kind":["{kind}"],"name":"{name}","edition":"2024"}}"#);
        let rest = format!(
            r#""target":{target},"profile":{{"test":{is_test}}},"executable":"/t/{name}-1""#
        );
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/w/{folder}/Cargo.toml",{rest}}}"#
        )
    }

    const FINISHED: &str = r#"{"reason":"build-finished","success":true}"#;

    #[test]
    fn test_binaries_are_listed_by_name() {
        let output = [
            artifact("models/edge", "test", "edge", true),
            artifact("crates/cli", "bin", "drystone", false),
            artifact("crates/cli", "bin", "drystone", true),
            "   Compiling what is no JSON".to_owned(),
            FINISHED.to_owned(),
        ];
        let suites = parse(&output.join("\n"), Path::new("/w")).expect("understood");
        let of = |name: &str, target: &str, folder: &str| Suite {
            name: name.to_owned(),
            target: target.to_owned(),
            program: format!("/t/{target}-1").into(),
            folder: folder.into(),
        };
        let expected = [
            of("cli-bin-drystone", "drystone", "/w/crates/cli"),
            of("models-edge-test-edge", "edge", "/w/models/edge"),
        ];
        assert_eq!(suites, expected);
    }

    #[test]
    fn a_list_that_may_not_be_whole_is_an_error() {
        let good = artifact("crates/cli", "test", "help", true);
        let refused = |lines: &[&str], why: &str| {
            let error = parse(&lines.join("\n"), Path::new("/w"))
                .expect_err("it may not be whole")
                .to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(&[&good], "does not say that it has built all");
        refused(&[FINISHED], "has built no test");
        refused(&[&good, &good, FINISHED], "two test binaries are called cli-test-help");
        refused(&[&format!("Building 3/4 {good}"), FINISHED], "understand what cargo has built");
        refused(&[&good.replace("\"/t/help-1\"", "null"), FINISHED], "no program of help");
    }
}
