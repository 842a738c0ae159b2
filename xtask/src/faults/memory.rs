//! A memory control group as large as what `plan` prints. A large file goes in and out, and no
//! process is killed.
//!
//! The page cache of the files counts in the group, too. The kernel drops it when the group is at
//! its limit, so the peak is usually the limit itself. The memory of the processes alone is read
//! every few milliseconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cgroup::Group;
use super::content::Content;
use super::shipped::{Desk, Run, args, judged, violation};
use super::{Setup, missing, need_root};
use crate::process::Log;
use crate::stage::{Mode, Outcome, minutes};

const MIB_QUICK: u64 = 512;
const MIB_FULL: u64 = 4096;
const LOOK: Duration = Duration::from_millis(10);

pub(super) fn run(setup: &Setup<'_>) -> Result<Outcome> {
    need_root("to make a control group")?;
    let mib = if setup.context.mode == Mode::Full { MIB_FULL } else { MIB_QUICK };
    let folder = setup.folder("memory")?;
    let room = rustix::fs::statvfs(&folder).context("see how much room there is")?;
    let needed = 3 * (mib << 20);
    if room.f_bavail * room.f_frsize < needed {
        return Err(missing(format!("{} MiB of room in {}", needed >> 20, folder.display())));
    }
    let log = Log::create(&setup.logs(), "memory")?;
    let store = folder.join("store");
    let desk = Desk { context: setup.context, binary: &setup.binary, store, folder, log };
    let counted = format!("{mib} MiB");
    Ok(match judged(there_and_back(&desk, mib << 20))? {
        Ok(note) => Outcome { passed: 1, notes: vec![note], ..Outcome::ok(counted) },
        Err(reason) => {
            let again = format!("again: cargo xtask faults --part memory{}", setup.full_flag());
            Outcome::ok(counted).fail(format!("{reason}; {again}"))
        }
    })
}

fn there_and_back(desk: &Desk<'_>, bytes: u64) -> Result<String> {
    desk.ok(args!["init"])?;
    let planned = planned(&desk.ok(args!["--json", "plan"])?)?;
    let group = Group::make(&format!("drystone-faults-{}", std::process::id()), planned)?;
    let limit = group.limit_bytes().context("read the group's limit")?;
    let (source, restored) = (desk.folder.join("large"), desk.folder.join("restored"));
    let content = Content { seed: bytes, bytes };
    content.write(&source)?;
    let own = AtomicU64::new(0);
    let inside = self::planned(&in_group(desk, &group, &own, args!["--json", "plan"])?)?;
    in_group(desk, &group, &own, args!["put", source, "--name", "large"])?;
    std::fs::remove_file(&source).context("remove what was put")?;
    in_group(desk, &group, &own, args!["get", "large", restored])?;
    if !content.is_in(&restored) {
        return Err(violation("the file was not restored as it was"));
    }
    if inside > limit {
        return Err(violation(format!("in a group of {limit} bytes, {inside} were planned")));
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    Ok(format!(
        "cgroup {} of {} (the plan; inside it {}): peak {} with page cache, {} of the process's \
         own (sampled), no OOM kill",
        group.version(),
        mib(limit),
        mib(inside),
        group.peak_bytes().map_or_else(|| "unknown".to_owned(), mib),
        mib(own.into_inner()),
    ))
}

fn planned(plan: &Run) -> Result<u64> {
    let value: serde_json::Value = serde_json::from_str(plan.output.trim()).context("the plan")?;
    value["memory_total_bytes"].as_u64().context("the plan's memory")
}

/// Runs the binary in the group. Notes the most memory of its own that was seen.
fn in_group(
    desk: &Desk<'_>,
    group: &Group,
    own: &AtomicU64,
    words: &[&std::ffi::OsStr],
) -> Result<Run> {
    let script = "echo $$ >\"$0\" && exec \"$@\"";
    let mut command = desk.wrapped(args!["sh", "-c", script, group.processes()]);
    command.args(words);
    let is_over = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| {
            // Relaxed: a flag and a maximum. No other data is published through them.
            while !is_over.load(Ordering::Relaxed) {
                own.fetch_max(group.own_bytes().unwrap_or(0), Ordering::Relaxed);
                sleep(LOOK);
            }
        });
        let run = desk.run_command(command, minutes(10));
        is_over.store(true, Ordering::Relaxed);
        let run = run?;
        let kills = group.oom_kills().context("read the group's events")?;
        if kills > 0 {
            return Err(run.violates(&format!("was killed for its memory ({kills} OOM kills)")));
        }
        run.is_sound()?;
        if run.succeeded() { Ok(run) } else { Err(run.violates("failed")) }
    })
}
