//! Fuzzing: the stage that replays the committed corpora and fuzzes for seconds, and `cargo xtask
//! fuzz`.
//!
//! The committed corpus `fuzz/corpus/TARGET` is only read while fuzzing; new inputs go to
//! `target/fuzz-corpus/TARGET` until a campaign has minimised them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{Finished, Log, tail};
use crate::scratch::files_below;
use crate::side_by_side::side_by_side;
use crate::stage::{Context, Mode, Outcome, minutes};
use crate::tools::{CARGO_FUZZ, has_nightly};

const SMOKE_SECONDS_QUICK: u64 = 6;
const SMOKE_SECONDS_FULL: u64 = 60;
/// Targets that are checked at a time: a fuzzer keeps one core busy, and CI has two.
const WIDTH: usize = 2;
/// How much of a failing target's log is shown.
const TAIL_LINES: usize = 40;
const NO_NIGHTLY: &str = "no nightly toolchain: rustup toolchain install nightly";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target to fuzz; without it, the targets are listed
    target: Option<String>,
    /// Fuzz every target, one after another
    #[arg(long, conflicts_with = "target")]
    all: bool,
    /// How long to fuzz each target
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
}

/// Whether this checkout has fuzz targets.
pub(crate) fn has_targets(context: &Context) -> bool {
    context.root.join("fuzz/Cargo.toml").is_file()
}

pub(crate) fn stage(context: &Context) -> Result<Outcome> {
    let targets = targets(context)?;
    if !has_nightly() {
        return Ok(Outcome::skipped(NO_NIGHTLY));
    }
    let log = context.log("fuzz")?;
    let required = context.mode == Mode::Full || context.is_asked("fuzz");
    match Fuzzer::new(context, &log) {
        Ok(fuzzer) => fuzzer.check_all(&targets),
        Err(error) if required => Err(error),
        Err(error) => Ok(Outcome::skipped(format!("{error:#}"))),
    }
}

/// `cargo xtask fuzz`.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let targets = targets(context)?;
    let chosen: Vec<&String> = match &args.target {
        Some(name) => {
            vec![targets.iter().find(|target| *target == name).context("no such fuzz target")?]
        }
        None if args.all => targets.iter().collect(),
        None => {
            for target in &targets {
                context.talk.line(target);
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    ensure!(has_nightly(), NO_NIGHTLY);
    let log = context.log("fuzz-campaign")?;
    let fuzzer = Fuzzer::new(context, &log)?;
    let mut sound = true;
    for target in chosen {
        sound &= fuzzer.campaign(target, args.minutes)?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the `[[bin]]` sections of `fuzz/Cargo.toml`.
fn targets(context: &Context) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(context.root.join("fuzz/Cargo.toml"))
        .context("read fuzz/Cargo.toml")?;
    let targets = bins(&text)?;
    ensure!(!targets.is_empty(), "fuzz/Cargo.toml names no [[bin]]");
    Ok(targets)
}

fn bins(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = toml::from_str(manifest).context("parse fuzz/Cargo.toml")?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array);
    let names = bins.into_iter().flatten().filter_map(|bin| bin.get("name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

struct Fuzzer<'a> {
    context: &'a Context,
    log: &'a Log,
}

impl<'a> Fuzzer<'a> {
    fn new(context: &'a Context, log: &'a Log) -> Result<Self> {
        CARGO_FUZZ.ensure(context, log)?;
        Ok(Self { context, log })
    }

    fn check_all(&self, targets: &[String]) -> Result<Outcome> {
        let built = self.run(self.cargo_fuzz(&["build"]), minutes(20))?;
        if let Some(how) = built.reason() {
            return Ok(Outcome::failed(format!("the fuzz targets do not build ({how})")));
        }
        let mut outcome = Outcome::ok("");
        let (mut replayed, mut executions) = (0, 0);
        let mut failures = Vec::new();
        let checked = side_by_side(targets, WIDTH, |target| self.check(target));
        for (target, checked) in targets.iter().zip(checked) {
            match checked? {
                Ok((files, runs, seconds)) => {
                    replayed += files;
                    executions += runs;
                    outcome.passed += 1;
                    let rate = runs / seconds.max(1);
                    let line = format!(
                        "{target}: {files} inputs replayed, {runs} executions, {rate} a second"
                    );
                    self.say(&mut outcome, line);
                }
                Err(reason) => {
                    outcome.failed += 1;
                    let log = tail(&self.log_folder().join(format!("{target}.log")), TAIL_LINES);
                    outcome.failures.push(format!("{target}: {reason}\n{log}"));
                    self.say(&mut outcome, format!("{target}: FAILED, {reason}"));
                    failures.push(format!("{target}: {reason}"));
                }
            }
        }
        outcome.counted =
            format!("{} targets, {replayed} inputs, {executions} executions", targets.len());
        Ok(if failures.is_empty() { outcome } else { outcome.fail(failures.join("; ")) })
    }

    fn say(&self, outcome: &mut Outcome, line: String) {
        self.context.talk.line(format!("    {line}"));
        outcome.details.push(line);
    }

    /// Replays the committed inputs, then fuzzes for a few seconds: inputs replayed, executions and
    /// seconds, or what failed.
    fn check(&self, target: &str) -> Result<Result<(usize, u64, u64), String>> {
        // Each target has a log of its own: two targets write at the same time, and the failing
        // input is found in what its target has written.
        let log = Log::create(&self.log_folder(), target)?;
        let fuzzer = Fuzzer { context: self.context, log: &log };
        fuzzer.replay_and_smoke(target)
    }

    fn replay_and_smoke(&self, target: &str) -> Result<Result<(usize, u64, u64), String>> {
        let committed = self.committed(target);
        let files = files_below(&committed)?.len();
        if files > 0 {
            let mut command = self.cargo_fuzz(&["run", target]);
            command.arg(&committed).args(["--", "-runs=0"]);
            let done = self.run(command, minutes(5))?;
            if let Some(how) = done.reason() {
                return Ok(Err(format!("a committed input fails ({how})")));
            }
        }
        let seconds =
            if self.context.mode == Mode::Full { SMOKE_SECONDS_FULL } else { SMOKE_SECONDS_QUICK };
        let done = self.fuzz(target, files > 0, seconds)?;
        Ok(match (done.reason(), runs(&done.output)) {
            (Some(how), _) => {
                Err(format!("fuzzing found a failure ({how}): {}", self.artifact(&done)))
            }
            (None, None | Some(0)) => Err("nothing was executed".to_owned()),
            (None, Some(runs)) => Ok((files, runs, seconds)),
        })
    }

    fn fuzz(&self, target: &str, with_committed: bool, seconds: u64) -> Result<Finished> {
        let found = self.found(target);
        std::fs::create_dir_all(&found).with_context(|| format!("create {}", found.display()))?;
        let mut command = self.cargo_fuzz(&["run", target]);
        command.arg(&found);
        if with_committed {
            command.arg(self.committed(target));
        }
        command.args(["--", "-timeout=20", &format!("-max_total_time={seconds}")]);
        self.run(command, Duration::from_secs(seconds) + minutes(20))
    }

    /// Fuzzes for minutes, minimises, and says what to commit. `false` when an input fails.
    fn campaign(&self, target: &str, length_minutes: u64) -> Result<bool> {
        let talk = self.context.talk;
        let (committed, found) = (self.committed(target), self.found(target));
        copy_inputs(&committed, &found)?;
        talk.line(format!("{target}: fuzzing for {length_minutes} min"));
        let done = self.fuzz(target, false, length_minutes * 60)?;
        if let Some(how) = done.reason() {
            let input = self.artifact(&done);
            talk.line(tail(self.log.path(), TAIL_LINES));
            talk.line(format!("{target}: FAILED ({how}). The input: {input}"));
            talk.line(format!(
                "  minimise it: PATH={}:$PATH cargo +nightly fuzz tmin --fuzz-dir fuzz {target} \
                 {input}",
                self.tools().display()
            ));
            talk.line(format!(
                "  then commit it as fuzz/corpus/{target}/NAME-OF-THE-BUG beside the fix"
            ));
            return Ok(false);
        }
        let mut command = self.cargo_fuzz(&["cmin", target]);
        command.arg(&found);
        let minimised = self.run(command, minutes(60))?;
        if let Some(how) = minimised.reason() {
            bail!(
                "{target}: the corpus could not be minimised ({how}): see {}",
                self.log.path().display()
            );
        }
        remove_generated(&committed)?;
        copy_inputs(&found, &committed)?;
        let executions = runs(&done.output).unwrap_or(0);
        let inputs = files_below(&committed)?.len();
        talk.line(format!(
            "{target}: {executions} executions, no failure, {inputs} inputs after minimising"
        ));
        talk.line(format!("  commit it: git add --all fuzz/corpus/{target}"));
        Ok(true)
    }

    fn cargo_fuzz(&self, args: &[&str]) -> Command {
        // The toolchain override must be cargo's very first argument.
        let mut command = self.context.cargo(["+nightly", "fuzz"]);
        command.args(args.first()).arg("--fuzz-dir").arg("fuzz").args(args.iter().skip(1));
        let mut path = self.tools().into_os_string();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command.env("PATH", path).env("CARGO_TARGET_DIR", self.context.target.join("fuzz"));
        command
    }

    fn run(&self, command: Command, limit: Duration) -> Result<Finished> {
        self.context.runner.run(command, self.log, limit)
    }

    fn log_folder(&self) -> PathBuf {
        self.context.target.join("verify/fuzz")
    }

    /// cargo finds its subcommand `fuzz` only through PATH.
    fn tools(&self) -> PathBuf {
        self.context.target.join("tools/bin")
    }

    fn committed(&self, target: &str) -> PathBuf {
        self.context.root.join("fuzz/corpus").join(target)
    }

    fn found(&self, target: &str) -> PathBuf {
        self.context.target.join("fuzz-corpus").join(target)
    }

    /// The failing input that libFuzzer says it wrote.
    fn artifact(&self, done: &Finished) -> String {
        artifact(&done.output).unwrap_or_else(|| format!("see {}", self.log.path().display()))
    }
}

fn artifact(output: &str) -> Option<String> {
    output
        .lines()
        .rev()
        .find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim().to_owned()))
}

/// N of libFuzzer's `Done N runs in S second(s)`.
fn runs(output: &str) -> Option<u64> {
    output
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Done ")?.split(' ').next()?.parse().ok())
}

/// libFuzzer names an input by the SHA-1 of its bytes. A person has put a file with any other name
/// there.
fn is_generated(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove_generated(directory: &Path) -> Result<()> {
    for file in files_below(directory)? {
        if file.file_name().is_some_and(|name| is_generated(&name.to_string_lossy())) {
            std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        }
    }
    Ok(())
}

fn copy_inputs(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for file in files_below(from)? {
        let name = file.file_name().context("a file has a name")?;
        std::fs::copy(&file, to.join(name)).with_context(|| format!("copy {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_bins_of_the_manifest() {
        let manifest =
            "[package]\nname = \"fuzz\"\n[[bin]]\nname = \"range\"\n[[bin]]\nname = \"chunker\"\n";
        assert_eq!(bins(manifest).expect("valid"), ["range", "chunker"]);
        assert!(bins("[package]\nname = \"fuzz\"\n").expect("valid").is_empty());
    }

    #[test]
    fn the_output_of_libfuzzer_is_read() {
        let output = "#2 INITED cov: 3\nDone 81230 runs in 11 second(s)\n";
        assert_eq!(runs(output), Some(81_230));
        assert_eq!(runs("#2 INITED"), None);
        let output = "artifact_prefix='x'; Test unit written to fuzz/artifacts/range/crash-1\n";
        assert_eq!(artifact(output).as_deref(), Some("fuzz/artifacts/range/crash-1"));
    }

    #[test]
    fn an_input_named_by_a_person_is_kept() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let generated = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";
        for name in [generated, "torn-tail"] {
            std::fs::write(directory.path().join(name), "x").expect("written");
        }
        remove_generated(directory.path()).expect("removed");
        let left = files_below(directory.path()).expect("listed");
        assert_eq!(left, [directory.path().join("torn-tail")]);
    }
}
