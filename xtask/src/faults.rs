//! Real faults: the shipped binary meets failing system calls, power cuts, full disks, few
//! descriptors and little memory.
//!
//! Each part is a module with a function `run`. A part that this machine cannot run is *skipped*
//! with the reason. A fault that was never injected is a failure, because then nothing was tested.
//! When a part ends, everything that it made is removed, also after a failure or Ctrl-C: mounts,
//! control groups and folders are guards, and [`crate::process`] leaves no child.

mod case;
mod cgroup;
mod content;
mod descriptors;
mod disk;
mod full;
mod memory;
mod model;
mod power;
mod serving;
mod shipped;
mod shutdown;
mod sweep;
mod syncs;
mod trace;
mod workload;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use self::case::Case;
use crate::process::{Log, Talk};
use crate::stage::{Context, Mode, Outcome, Verdict, minutes};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this part; may be repeated
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<Part>,
    /// More of everything, on the binary as it is released
    #[arg(long)]
    full: bool,
    /// Draw the same random numbers again (moments in time stay what they are)
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run one case of the sweep and show its trace
    #[arg(long, value_name = "STEP:CALL:FAULT:N")]
    case: Option<Case>,
    /// Of the part `serving`, run this crowd and nothing else; may be repeated, an unknown name
    /// lists them all
    #[arg(long = "crowd", value_name = "NAME", conflicts_with = "case")]
    crowds: Vec<String>,
    /// Test this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Count a part that is skipped as a failure
    #[arg(long)]
    strict: bool,
    /// Print the parts as JSON on stdout, everything else on stderr
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// Each system call that could hurt fails once, or is the process's last
    Sweep,
    /// An ext4 loses what was not synced
    Power,
    /// The disk is full
    Full,
    /// 32 descriptors for thousands of files
    Descriptors,
    /// No more memory than `plan` prints
    Memory,
    /// The server, little memory and few descriptors, idle and slow clients
    Serving,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Power => "power",
            Self::Full => "full",
            Self::Descriptors => "descriptors",
            Self::Memory => "memory",
            Self::Serving => "serving",
        }
    }

    fn run(self, setup: &Setup<'_>) -> Result<Outcome> {
        match self {
            Self::Sweep => sweep::run(setup),
            Self::Power => power::run(setup),
            Self::Full => full::run(setup),
            Self::Descriptors => descriptors::run(setup),
            Self::Memory => memory::run(setup),
            Self::Serving => serving::run(setup),
        }
    }
}

/// What each part is given.
struct Setup<'a> {
    context: &'a Context,
    binary: PathBuf,
    /// Everything that the parts make is below this.
    scratch: Scratch,
    seed: u64,
    case: Option<Case>,
    crowds: Vec<String>,
}

impl Setup<'_> {
    /// A new folder, gone with the setup.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.0.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(folder)
    }

    fn logs(&self) -> PathBuf {
        self.context.target.join("verify/faults")
    }

    /// The flag that a command which repeats a case needs as well.
    fn full_flag(&self) -> &'static str {
        if self.context.mode == Mode::Full { " --full" } else { "" }
    }
}

/// A folder that is removed however the run ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        if let Some(parent) = self.0.parent() {
            // This fails while another run uses the folder.
            let _ = std::fs::remove_dir(parent);
        }
    }
}

/// How a part ended.
#[derive(Serialize)]
struct Row {
    part: Part,
    #[serde(flatten)]
    outcome: Outcome,
    seconds: f64,
}

/// The stage of `cargo xtask verify`.
pub(crate) fn stage(context: &Context) -> Result<Outcome> {
    Ok(combined(&run_parts(context, Part::value_variants(), Asked::default(), None)?))
}

/// `cargo xtask faults`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mode = if args.full { Mode::Full } else { Mode::Quick };
    let context = Context::new(mode, if args.json { Talk::Stderr } else { Talk::Stdout })?;
    let parts = match &args.case {
        _ if !args.parts.is_empty() => &args.parts[..],
        Some(_) => &[Part::Sweep],
        None if !args.crowds.is_empty() => &[Part::Serving],
        None => Part::value_variants(),
    };
    let asked = Asked { seed: args.seed, case: args.case.clone(), crowds: args.crowds.clone() };
    let rows = run_parts(&context, parts, asked, args.binary.as_deref())?;
    if args.json {
        Talk::Stdout.line(serde_json::to_string_pretty(&rows)?);
    }
    let sum = combined(&rows);
    context
        .talk
        .line(format!("\n{} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped));
    let is_green = sum.failed == 0 && !(args.strict && sum.skipped > 0);
    Ok(if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Which cases of the parts are asked for.
#[derive(Default)]
struct Asked {
    seed: Option<u64>,
    case: Option<Case>,
    crowds: Vec<String>,
}

fn run_parts(
    context: &Context,
    parts: &[Part],
    asked: Asked,
    binary: Option<&Path>,
) -> Result<Vec<Row>> {
    let log = context.log("faults")?;
    let binary = match binary {
        Some(binary) => {
            binary.canonicalize().with_context(|| format!("find {}", binary.display()))?
        }
        None => built(context, &log)?,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Asked { seed, case, crowds } = asked;
    let seed = seed.unwrap_or(now.as_secs() ^ u64::from(now.subsec_nanos()));
    context.talk.line(format!("    seed {seed}, binary {}", binary.display()));
    let scratch = Scratch(context.target.join("faults").join(std::process::id().to_string()));
    let setup = Setup { context, binary, scratch, seed, case, crowds };
    let mut rows = Vec::new();
    for part in parts {
        let started = Instant::now();
        let outcome = match part.run(&setup) {
            Err(error) if error.is::<Missing>() => Outcome::skipped(error.to_string()),
            outcome => outcome.with_context(|| format!("part {}", part.name()))?,
        };
        let outcome = match outcome.verdict {
            Verdict::Ok => outcome,
            // Cases that a part counted before it failed are not counted as passed.
            _ => Outcome { passed: 0, ..outcome },
        };
        let seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        let row = Row { part: *part, outcome, seconds };
        row.lines().iter().for_each(|line| context.talk.line(format!("    {line}")));
        rows.push(row);
    }
    Ok(rows)
}

/// In quick mode the profile that builds fast; in full mode the one that ships.
fn built(context: &Context, log: &Log) -> Result<PathBuf> {
    let profile = if context.mode == Mode::Full { "release" } else { "fast" };
    let command =
        context.cargo(["build", "--profile", profile, "--locked", "--package", "drystone"]);
    let done = context.runner.run(command, log, minutes(20))?;
    ensure!(done.succeeded(), "drystone does not build: see {}", log.path().display());
    Ok(context.target.join(profile).join("drystone"))
}

impl Row {
    fn lines(&self) -> Vec<String> {
        let outcome = &self.outcome;
        let verdict = match &outcome.verdict {
            Verdict::Ok => "ok".to_owned(),
            Verdict::Failed(reason) => format!("FAILED: {reason}"),
            Verdict::Skipped(reason) => format!("skipped: {reason}"),
        };
        let mut lines = vec![format!(
            "{:11}  {:16}  {:>6.1} s  {verdict}",
            self.part.name(),
            outcome.counted,
            self.seconds
        )];
        lines.extend(outcome.notes.iter().map(|note| format!("    {note}")));
        lines
    }
}

/// The outcome of the stage. A part that ran well is one passed test; a part that found faults is
/// as many failed tests as it found.
fn combined(rows: &[Row]) -> Outcome {
    let did = |row: &&Row| !matches!(row.outcome.verdict, Verdict::Skipped(_));
    let counted: Vec<_> = rows.iter().filter(did).map(|row| row.outcome.counted.as_str()).collect();
    let sum = |of: fn(&Outcome) -> u64| rows.iter().map(|row| of(&row.outcome)).sum();
    let mut outcome = Outcome {
        passed: sum(|outcome| outcome.passed),
        failed: sum(|outcome| outcome.failed),
        skipped: sum(|outcome| outcome.skipped),
        details: rows.iter().flat_map(Row::lines).collect(),
        ..Outcome::ok(counted.join(", "))
    };
    let reasons = |is_it: fn(&Verdict) -> Option<&String>| -> Vec<String> {
        let all =
            rows.iter().filter_map(|row| Some((row.part.name(), is_it(&row.outcome.verdict)?)));
        all.map(|(part, reason)| format!("{part}: {reason}")).collect()
    };
    let failed =
        reasons(|verdict| if let Verdict::Failed(reason) = verdict { Some(reason) } else { None });
    let skipped =
        reasons(|verdict| if let Verdict::Skipped(reason) = verdict { Some(reason) } else { None });
    if !failed.is_empty() {
        return outcome.fail(failed.join("; "));
    }
    if skipped.len() == rows.len() {
        outcome.verdict = Verdict::Skipped(skipped.join("; "));
    }
    outcome
}

/// This machine lacks something, so the part is skipped.
#[derive(Debug)]
struct Missing(String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

fn missing(what: impl Into<String>) -> anyhow::Error {
    Missing(what.into()).into()
}

fn need_root(why: &str) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(missing(format!("root is needed {why}")))
    }
}

/// The search path with the folders of tools for administrators, which a user's path may not name.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(part: Part, outcome: Outcome) -> Row {
        Row { part, outcome, seconds: 1.0 }
    }

    #[test]
    fn parts_are_summed_and_what_was_skipped_is_counted() {
        let some = [
            row(Part::Sweep, Outcome { passed: 1, ..Outcome::ok("9 injections") }),
            row(Part::Power, Outcome::skipped("root is needed")),
        ];
        let outcome = combined(&some);
        assert_eq!(outcome.verdict, Verdict::Ok);
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (1, 0, 1));
        assert_eq!(outcome.counted, "9 injections");
        assert!(outcome.details.iter().any(|line| line.contains("skipped: root is needed")));
    }

    #[test]
    fn a_part_that_failed_fails_the_stage_with_its_reason() {
        let some = [
            row(Part::Full, Outcome::ok("2 full disks").fail("wrong bytes")),
            row(Part::Power, Outcome::skipped("root is needed")),
        ];
        let outcome = combined(&some);
        assert_eq!(outcome.verdict, Verdict::Failed("full: wrong bytes".to_owned()));
        assert_eq!((outcome.failed, outcome.skipped), (1, 1));
    }

    #[test]
    fn a_stage_without_any_part_is_skipped() {
        let outcome = combined(&[row(Part::Memory, Outcome::skipped("root is needed"))]);
        assert_eq!(outcome.verdict, Verdict::Skipped("memory: root is needed".to_owned()));
    }
}
