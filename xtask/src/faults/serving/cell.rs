//! The server within limits: a control group of memory, few descriptors, a part of a CPU. It is
//! watched from outside while it runs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::client::{ACCESS, Address, SECRET};
use crate::faults::cgroup::Group;
use crate::faults::missing;
use crate::faults::shipped::{Desk, args, violation};
use crate::stage::minutes;

const LOOK: Duration = Duration::from_millis(50);
const COMES_UP: Duration = Duration::from_secs(30);
/// In version 1 the CPU has control groups of its own.
const CPU_GROUPS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"];
const PERIOD_US: u32 = 100_000;

/// The limits of the server.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) memory_bytes: u64,
    pub(super) descriptors: u64,
    pub(super) half_a_cpu: bool,
}

/// The server that is running.
pub(super) struct Cell<'a> {
    pub(super) address: Address,
    pub(super) pid: Pid,
    pub(super) group: &'a Group,
    /// What `plan --serve` says in this cell.
    pub(super) plan_bytes: u64,
    seen: &'a Seen,
}

/// What was seen of the server from outside.
#[derive(Default)]
struct Seen {
    own_bytes: AtomicU64,
    descriptors: AtomicU64,
}

impl Cell<'_> {
    /// The most memory of its own that was seen.
    pub(super) fn own_peak(&self) -> u64 {
        self.seen.own_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn descriptors_peak(&self) -> u64 {
        self.seen.descriptors.load(Ordering::Relaxed)
    }
}

/// Runs the server for as long as `drive` takes, and judges how it ended.
pub(super) fn within<T>(
    desk: &Desk<'_>,
    limits: Limits,
    words: &[&OsStr],
    drive: impl FnOnce(&Cell<'_>) -> Result<T>,
) -> Result<T> {
    let name = format!("drystone-faults-{}-serving", std::process::id());
    let group = &Group::make(&name, limits.memory_bytes)?;
    let cpu = limits.half_a_cpu.then(|| HalfCpu::make(&name, group)).transpose()?;
    let enter_cpu = cpu.as_ref().map_or_else(String::new, HalfCpu::entering);
    let script =
        format!("echo $$ >\"$0\" && {enter_cpu}ulimit -n {} && exec \"$@\"", limits.descriptors);
    let in_cell = |words: &[&OsStr]| {
        let mut command = desk.wrapped(args!["sh", "-c", script, group.processes()]);
        command.args(words).env("DRYSTONE_ACCESS_KEY", ACCESS).env("DRYSTONE_SECRET_KEY", SECRET);
        command
    };
    let plan = desk.ok_command(in_cell(args!["--json", "plan", "--serve"]), minutes(1))?;
    let plan: serde_json::Value = serde_json::from_str(plan.output.trim()).context("the plan")?;
    let plan_bytes = plan["memory_total_bytes"].as_u64().context("the plan's memory")?;
    let mut command = in_cell(args!["serve", "--listen", "127.0.0.1:0"]);
    command.args(words);
    let (seen, is_over) = (&Seen::default(), &AtomicBool::new(false));
    scope(|scope| {
        let server = scope.spawn(|| desk.run_command(command, minutes(20)));
        let driven = (|| {
            let address = address(desk, || server.is_finished())?;
            let pid =
                fs::read_to_string(group.processes()).context("the processes of the group")?;
            let pid =
                pid.trim().parse().ok().and_then(Pid::from_raw).context("the server's process")?;
            scope.spawn(move || watch(pid, group, seen, is_over));
            let driven = drive(&Cell { address, pid, group, plan_bytes, seen });
            is_over.store(true, Ordering::Relaxed);
            // Fails when the server has died, and that is judged below.
            let _ = kill_process(pid, Signal::TERM);
            driven
        })();
        is_over.store(true, Ordering::Relaxed);
        let run = server.join().expect("a thread of ours does not panic")?;
        // Looked at first: a server that the kernel killed would otherwise only be one that died of
        // a signal.
        if group.oom_kills().context("read the group's events")? > 0 {
            return Err(run.violates("was killed for its memory"));
        }
        run.is_sound()?;
        // Only now: an error of the clients may just follow from how the server ended.
        let driven = driven?;
        if !run.succeeded() {
            return Err(run.violates("did not end well after SIGTERM"));
        }
        for wrong in ["cannot accept a connection", "Too many open files", "Cannot allocate memory"]
        {
            if run.output.contains(wrong) {
                return Err(violation(format!("the server says `{wrong}`")));
            }
        }
        let descriptors = seen.descriptors.load(Ordering::Relaxed);
        if descriptors > limits.descriptors {
            return Err(violation(format!("{descriptors} descriptors were open")));
        }
        Ok(driven)
    })
}

/// The address at which the server says that it listens.
fn address(desk: &Desk<'_>, has_ended: impl Fn() -> bool) -> Result<Address> {
    let begun = Instant::now();
    while begun.elapsed() < COMES_UP && !has_ended() {
        let said = fs::read_to_string(desk.log.path()).unwrap_or_default();
        let found = said.lines().find_map(|line| line.split_once("listening on http://"));
        if let Some((_, address)) = found {
            return address.trim().parse().context("the address of the server");
        }
        sleep(LOOK);
    }
    Err(violation("the server did not come up"))
}

fn watch(pid: Pid, group: &Group, seen: &Seen, is_over: &AtomicBool) {
    // Relaxed: maxima and a flag. No other data is published through them.
    while !is_over.load(Ordering::Relaxed) {
        seen.own_bytes.fetch_max(group.own_bytes().unwrap_or(0), Ordering::Relaxed);
        let descriptors =
            fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).map(Iterator::count);
        seen.descriptors.fetch_max(descriptors.unwrap_or(0) as u64, Ordering::Relaxed);
        sleep(LOOK);
    }
}

/// A control group with half a CPU, removed with its guard. In version 2 it is the group of the
/// memory.
struct HalfCpu {
    own: Option<PathBuf>,
}

impl HalfCpu {
    fn make(name: &str, group: &Group) -> Result<Self> {
        let half = PERIOD_US / 2;
        let processes = group.processes();
        let unified = processes.parent().map(|folder| folder.join("cpu.max"));
        if unified.is_some_and(|file| fs::write(file, format!("{half} {PERIOD_US}")).is_ok()) {
            return Ok(Self { own: None });
        }
        for parent in CPU_GROUPS {
            let path = Path::new(parent).join(name);
            if fs::create_dir(&path).is_ok() {
                let own = Self { own: Some(path.clone()) };
                let sets = fs::write(path.join("cpu.cfs_period_us"), PERIOD_US.to_string())
                    .and_then(|()| fs::write(path.join("cpu.cfs_quota_us"), half.to_string()));
                if sets.is_ok() {
                    return Ok(own);
                }
            }
        }
        Err(missing("a control group that takes half a CPU is needed"))
    }

    /// The part of a shell's script that enters the group.
    fn entering(&self) -> String {
        let enter =
            |own: &PathBuf| format!("echo $$ >'{}' && ", own.join("cgroup.procs").display());
        self.own.as_ref().map_or_else(String::new, enter)
    }
}

impl Drop for HalfCpu {
    fn drop(&mut self) {
        let Some(own) = &self.own else { return };
        // The group is busy until the kernel has removed its last process.
        for _ in 0..200 {
            match fs::remove_dir(own) {
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                    sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}
