//! Every system call that could hurt is made to fail, one occurrence after the other, under `strace
//! -e inject`.
//!
//! Each case runs one command of the workload on a copy of the store before it. Then the same
//! binary, without faults, judges the store: what was acknowledged is there, everything else is old
//! or new and whole, and the store takes a put. strace counts occurrences for each thread, so a
//! case may inject into several threads. The sweep of a call ends at the first number that is
//! larger than in the clean run and at which nothing was injected.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, Result, bail};

use super::case::{Case, Fault, all_calls, faults};
use super::content::Content;
use super::disk::Disk;
use super::model::Model;
use super::shipped::{Desk, Exit, LIMIT, Run, args, judged, violation};
use super::syncs::{Synced, is_used_unnamed, synced};
use super::trace::{calls_max, ended, is_injected, is_killed};
use super::workload::{Step, copy, prepare};
use super::{Setup, missing};
use crate::process::Log;
use crate::stage::{Mode, Outcome};
use crate::tools::has_strace;

/// A broken product fails nearly everywhere. The first few cases say enough.
const FAILURES_MAX: usize = 8;
/// Room for the stores and traces of all threads.
const DISK_BYTES: u64 = 256 << 20;
/// More than any command makes here. If a command makes more calls after each fault, its sweep
/// would never end.
const WHEN_MAX: u32 = 2000;

pub(super) fn run(setup: &Setup<'_>) -> Result<Outcome> {
    if !has_strace() {
        return Err(missing("no strace: cargo xtask setup as root, or apt-get install strace"));
    }
    let folder = setup.folder("sweep")?;
    // In memory where that is allowed, because it takes a third of the time. Whether a sync really
    // syncs is a question for the power cuts.
    let log = Log::create(&setup.logs(), "sweep-disk")?;
    let disk = Disk::tmpfs(setup.context, &log, &folder, DISK_BYTES);
    let folder = disk.as_ref().map_or(folder, |disk| disk.path().to_owned());
    let first = desk(setup, &folder, "prepare")?;
    let steps = match judged(prepare(&first, &folder))? {
        Ok(steps) => steps,
        Err(reason) => return Ok(Outcome::failed(format!("without any fault: {reason}"))),
    };
    if let Some(case) = &setup.case {
        return one(&first, &steps, case);
    }
    let mut sweeps = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let calls = match judged(clean_calls(&first, step))? {
            Ok(calls) => calls,
            Err(reason) => return Ok(Outcome::failed(format!("without any fault: {reason}"))),
        };
        for (call, count) in calls {
            let faults = faults(&call, setup.context.mode == Mode::Full);
            sweeps.extend(faults.iter().map(|fault| Sweep {
                step: index,
                call: call.clone(),
                fault: *fault,
                count,
            }));
        }
    }
    // Threads take from the end. So the long sweeps come first, and both threads end at about the
    // same time.
    sweeps.sort_by_key(|sweep| sweep.count);
    let tally = sweep_all(setup, &folder, &steps, sweeps)?;
    Ok(tally.outcome(&steps))
}

const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
const EXIT_DAMAGED: Exit = Exit::Code(5);

/// All occurrences of one call in one command, with one fault.
struct Sweep {
    step: usize,
    call: String,
    fault: Fault,
    /// How often the busiest thread made the call in the clean run.
    count: u32,
}

#[derive(Default)]
struct Tally {
    cases: u64,
    injections: u64,
    /// Injections by step and call.
    by_call: BTreeMap<(usize, String), u64>,
    /// How the commands ended that were not killed.
    exits: BTreeMap<i32, u64>,
    failures: Vec<String>,
}

/// What a case has seen.
struct Seen {
    injections: u64,
    exit: Exit,
}

fn sweep_all(
    setup: &Setup<'_>,
    folder: &Path,
    steps: &[Step],
    sweeps: Vec<Sweep>,
) -> Result<Tally> {
    let (queue, tally) = (Mutex::new(sweeps), Mutex::new(Tally::default()));
    let next = || {
        let is_enough = locked(&tally).failures.len() >= FAILURES_MAX;
        if is_enough { None } else { locked(&queue).pop() }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..thread::available_parallelism().map_or(2, usize::from))
            .map(|worker| {
                let (next, tally) = (&next, &tally);
                scope.spawn(move || -> Result<()> {
                    let desk = desk(setup, folder, &format!("worker-{worker}"))?;
                    while let Some(sweep) = next() {
                        sweep_one(&desk, steps, &sweep, tally)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a sweep panicked")))
    })?;
    Ok(tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn sweep_one(desk: &Desk<'_>, steps: &[Step], sweep: &Sweep, tally: &Mutex<Tally>) -> Result<()> {
    let step = &steps[sweep.step];
    for when in 1..=WHEN_MAX {
        let case =
            Case { step: step.name.to_owned(), call: sweep.call.clone(), fault: sweep.fault, when };
        let seen = judged(attempt(desk, step, &case))?;
        let mut tally = locked(tally);
        tally.cases += 1;
        match seen {
            Ok(Seen { injections: 0, .. }) if when > sweep.count => return Ok(()),
            Ok(seen) => {
                tally.injections += seen.injections;
                *tally.by_call.entry((sweep.step, sweep.call.clone())).or_default() +=
                    seen.injections;
                if let Exit::Code(code) = seen.exit {
                    *tally.exits.entry(code).or_default() += u64::from(seen.injections > 0);
                }
            }
            Err(reason) => {
                let line = format!(
                    "{case}: {reason}; again: cargo xtask faults --part sweep --case {case}"
                );
                desk.context.talk.line(format!("    FAILED {line}"));
                tally.failures.push(line);
                if tally.failures.len() >= FAILURES_MAX {
                    return Ok(());
                }
            }
        }
    }
    bail!("{} makes ever more calls of {}", step.name, sweep.call)
}

impl Tally {
    fn outcome(self, steps: &[Step]) -> Outcome {
        let mut outcome =
            Outcome { passed: 1, ..Outcome::ok(format!("{} injections", self.injections)) };
        for (index, step) in steps.iter().enumerate() {
            let calls = self.by_call.iter().filter(|((of, _), _)| *of == index);
            let calls: Vec<String> =
                calls.map(|((_, call), count)| format!("{call} {count}")).collect();
            outcome.notes.push(format!("{}: {}", step.name, calls.join(", ")));
        }
        let exits: Vec<String> =
            self.exits.iter().map(|(code, count)| format!("{code} {count} times")).collect();
        outcome.notes.push(format!(
            "{} cases; exit codes under faults: {}",
            self.cases,
            exits.join(", ")
        ));
        if let Some(first) = self.failures.first() {
            let failed = self.failures.len() as u64;
            outcome = Outcome { passed: 0, failed, ..outcome.fail(first.clone()) };
            outcome.details = self.failures;
            return outcome;
        }
        // If nothing was injected into a command, or into a call that it makes, that sweep has
        // tested nothing.
        let idle = self.by_call.iter().find(|(_, count)| **count == 0);
        match idle {
            _ if self.injections == 0 => outcome.fail("nothing was injected"),
            Some(((step, call), _)) => {
                outcome.fail(format!("nothing was injected into {call} of {}", steps[*step].name))
            }
            None => outcome,
        }
    }
}

fn desk<'a>(setup: &'a Setup<'_>, folder: &Path, name: &str) -> Result<Desk<'a>> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let log = Log::create(&setup.logs(), &format!("sweep-{name}"))?;
    Ok(Desk {
        context: setup.context,
        binary: &setup.binary,
        store: folder.join("store"),
        folder,
        log,
    })
}

/// How often the command makes each call when nothing is injected.
fn clean_calls(desk: &Desk<'_>, step: &Step) -> Result<BTreeMap<String, u32>> {
    let (run, trace) = traced(desk, step, &all_calls(), None)?;
    if !run.succeeded() {
        bail!("`{}` fails under strace: {}", step.name, run.output.trim());
    }
    if is_used_unnamed(&ended(&trace)) {
        return Err(violation(format!(
            "`{}` relies on a segment whose name it has not synced",
            step.name
        )));
    }
    let calls = calls_max(&trace);
    if calls.is_empty() { bail!("strace saw nothing of `{}`", step.name) } else { Ok(calls) }
}

/// Runs the step on a fresh copy of its store, under strace.
fn traced(
    desk: &Desk<'_>,
    step: &Step,
    calls: &str,
    inject: Option<String>,
) -> Result<(Run, String)> {
    for made in ["store", "into"] {
        let made = desk.folder.join(made);
        if made.exists() {
            std::fs::remove_dir_all(&made).with_context(|| format!("remove {}", made.display()))?;
        }
    }
    if let Some(template) = &step.template {
        copy(template, &desk.store)?;
    }
    let file = desk.folder.join("trace");
    let trace = format!("trace={calls}");
    // Not `--seccomp-bpf`, which is faster: with it strace does not deliver an injected signal, and
    // does not say so.
    let mut words = args!["strace", "-f", "-qq", "-y", "-o", file, "-e", trace].to_vec();
    let inject = inject.map(|inject| format!("inject={inject}"));
    if let Some(inject) = &inject {
        words.extend([OsStr::new("-e"), OsStr::new(inject)]);
    }
    let mut command = desk.wrapped(&words);
    command.args(&step.args);
    let run = desk.run_command(command, LIMIT)?;
    let trace = std::fs::read(&file).context("read what strace wrote")?;
    Ok((run, String::from_utf8_lossy(&trace).into_owned()))
}

fn attempt(desk: &Desk<'_>, step: &Step, case: &Case) -> Result<Seen> {
    let inject = format!("{}:{}:when={}", case.call, case.fault.expression(), case.when);
    // For a sync, all syncs are traced: it matters which of them come before and after the one that
    // fails.
    let is_sync = SYNCS.contains(&case.call.as_str());
    let seen = if is_sync { SYNCS.join(",") } else { case.call.clone() };
    let (run, trace) = traced(desk, step, &seen, Some(inject))?;
    let calls = ended(&trace);
    let hit: Vec<&String> = calls.iter().filter(|call| is_injected(call)).collect();
    let is_dead = case.fault == Fault::Kill && is_killed(&trace);
    let injections = if is_dead { 1 } else { hit.len() as u64 };
    if injections == 0 {
        return Ok(Seen { injections, exit: run.exit });
    }
    if !is_dead {
        ended_well(&run, &hit)?;
        let segment_sync_failed =
            hit.iter().any(|call| matches!(synced(call), Some(Synced::Segment(_))));
        // A command whose segment was not synced must not acknowledge what is in it.
        if run.succeeded() && segment_sync_failed && !step.changes.is_empty() {
            return Err(run.violates("succeeded, although a segment could not be synced"));
        }
        if is_sync && is_used_unnamed(&calls) {
            return Err(run.violates("relies on a segment whose name it has not synced"));
        }
    }
    let mut model = step.before.clone();
    for (key, state) in &step.changes {
        if run.succeeded() { model.acknowledge(key, *state) } else { model.attempt(key, *state) }
    }
    for acknowledged in run.acknowledged() {
        let change = step.changes.iter().find(|(key, _)| *key == acknowledged);
        let (key, state) =
            change.ok_or_else(|| violation(format!("`{acknowledged}` was not put")))?;
        model.acknowledge(key, *state);
    }
    // The first `init` may have failed at any point. The same command again must be able to finish
    // it.
    if step.template.is_none() && !run.succeeded() {
        let again = desk.run(&step.args.iter().map(|arg| arg.as_os_str()).collect::<Vec<_>>())?;
        if !again.succeeded() && !again.output.contains("is a drystone store already") {
            return Err(again.violates("does not finish what the first one began"));
        }
    }
    if let Some(into) = step.restores {
        restored(&desk.folder.join(into), &step.before, run.succeeded())?;
    }
    desk.check(&mut model)?;
    Ok(Seen { injections, exit: run.exit })
}

/// A command that was not killed must end by itself, with a message when it failed.
fn ended_well(run: &Run, hit: &[&String]) -> Result<()> {
    // A call that fails leaves every byte as it was, and a user who reads "damaged" looks for a
    // backup. There is one exception: SQLite itself calls a page of the database that it cannot
    // read corrupt.
    let is_page_unread =
        hit.iter().any(|line| line.contains("pread64(") && line.contains("/records.db"));
    if run.exit == EXIT_DAMAGED && !is_page_unread {
        return Err(run.violates("speaks of damage where there is none"));
    }
    let is_mute = hit.iter().any(|line| line.contains(" write(2<"));
    let is_loader = run.output.contains("error while loading shared libraries");
    if is_loader || (is_mute && matches!(run.exit, Exit::Code(0 | 1 | 3..=7))) {
        Ok(())
    } else {
        run.is_sound()
    }
}

/// No file that `get` names is restored in part. After a success none is missing.
fn restored(into: &Path, model: &Model, is_complete: bool) -> Result<()> {
    for (key, content) in model.present() {
        let content: Content = content;
        match std::fs::read(into.join(key)) {
            Ok(found) if found == content.make() => {}
            Ok(found) => {
                return Err(violation(format!(
                    "`{key}` was restored as {} wrong bytes",
                    found.len()
                )));
            }
            Err(_) if !is_complete => {}
            Err(error) => return Err(violation(format!("`{key}` was not restored: {error}"))),
        }
    }
    Ok(())
}

/// `--case`: runs one case and prints all that is known of it.
fn one(desk: &Desk<'_>, steps: &[Step], case: &Case) -> Result<Outcome> {
    let step = steps.iter().find(|step| step.name == case.step);
    let step = step.with_context(|| {
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        format!("there is no step `{}`, only {}", case.step, names.join(", "))
    })?;
    let seen = judged(attempt(desk, step, case))?;
    let trace = std::fs::read(desk.folder.join("trace")).unwrap_or_default();
    desk.context.talk.line(String::from_utf8_lossy(&trace));
    desk.context.talk.line(crate::process::tail(desk.log.path(), 40));
    Ok(match seen {
        Ok(Seen { injections: 0, .. }) => Outcome::failed("nothing was injected"),
        Ok(seen) => Outcome { passed: 1, ..Outcome::ok(format!("{} injections", seen.injections)) },
        Err(reason) => Outcome::failed(format!("{case}: {reason}")),
    })
}
