//! The server in a small control group with few descriptors, while a thousand idle clients and hundreds of slow uploads come.
//!
//! Clients that behave are served all the while, and keep their connections; how much longer they wait than before is printed, not
//! judged: that is a matter of the machine.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use self::client::{Address, Healthy, Idle, Slow, Timings};
use super::cgroup::Group;
use super::shipped::{Desk, args, judged, violation};
use super::{Setup, missing, need_root};
use crate::process::Log;
use crate::stage::{Mode, Outcome, minutes};

mod client;

const MEMORY_BYTES: u64 = 256 << 20;
const DESCRIPTORS: u64 = 256;
const IDLE: usize = 1_000;
const SLOW: usize = 500;
const HEALTHY: usize = 4;
const CALM: Duration = Duration::from_secs(4);
const STORM_QUICK: Duration = Duration::from_secs(12);
const STORM_FULL: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);
/// Times that good clients may find their connection closed in the storm: the machine may stop one of them for longer than a connection
/// may be idle for.
const REOPENED_MAX: usize = 2 * HEALTHY;
/// What an allocator may keep of what was given back to it.
const KEPT_BYTES: u64 = 48 << 20;

pub(super) fn run(setup: &Setup<'_>) -> Result<Outcome> {
    need_root("to make a control group")?;
    raise_descriptors()?;
    let storm = if setup.context.mode == Mode::Full { STORM_FULL } else { STORM_QUICK };
    let folder = setup.folder("serving")?;
    let log = Log::create(&setup.logs(), "serving")?;
    let store = folder.join("store");
    let desk = Desk { context: setup.context, binary: &setup.binary, store, folder, log };
    let counted = format!("{} clients", IDLE + SLOW + HEALTHY);
    Ok(match judged(through_a_storm(&desk, storm))? {
        Ok(notes) => Outcome { passed: 1, notes, ..Outcome::ok(counted) },
        Err(reason) => {
            let again = format!("again: cargo xtask faults --part serving{}", setup.full_flag());
            Outcome::ok(counted).fail(format!("{reason}; {again}"))
        }
    })
}

/// Every client here has a socket.
fn raise_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let needed = 2 * (IDLE + SLOW) as u64;
    if limit.maximum.is_some_and(|most| most < needed) {
        return Err(missing(format!("{needed} descriptors for the clients (ulimit -n)")));
    }
    if limit.current.is_some_and(|now| now < needed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })
            .context("raise the limit of descriptors")?;
    }
    Ok(())
}

/// What was seen of the server from outside.
#[derive(Default)]
struct Seen {
    own_bytes: AtomicU64,
    descriptors: AtomicU64,
}

fn through_a_storm(desk: &Desk<'_>, storm: Duration) -> Result<Vec<String>> {
    let group = Group::make(&format!("drystone-faults-{}-serving", std::process::id()), MEMORY_BYTES)?;
    let script = format!("echo $$ >\"$0\" && ulimit -n {DESCRIPTORS} && exec \"$@\"");
    let mut command = desk.wrapped(args!["sh", "-c", script, group.processes()]);
    command.args(args!["serve", "--listen", "127.0.0.1:0"]);
    command.env("DRYSTONE_ACCESS_KEY", client::ACCESS).env("DRYSTONE_SECRET_KEY", client::SECRET);
    let (seen, is_over) = (&Seen::default(), &AtomicBool::new(false));
    let group = &group;
    scope(|scope| {
        let server = scope.spawn(|| desk.run_command(command, minutes(10)));
        let driven = (|| {
            let address = address(desk, || server.is_finished())?;
            let pid = std::fs::read_to_string(group.processes()).context("the processes of the group")?;
            let pid = pid.trim().parse().ok().and_then(Pid::from_raw).context("the server's process")?;
            scope.spawn(move || watch(pid, group, seen, is_over));
            let driven = drive(&address, group, storm);
            is_over.store(true, Ordering::Relaxed);
            kill_process(pid, Signal::TERM).context("stop the server")?;
            driven
        })();
        is_over.store(true, Ordering::Relaxed);
        let run = server.join().expect("a thread of ours does not panic")?;
        if group.oom_kills().context("read the group's events")? > 0 {
            return Err(run.violates("was killed for its memory"));
        }
        run.is_sound()?;
        let mut notes = driven?;
        if !run.succeeded() {
            return Err(run.violates("did not end well after SIGTERM"));
        }
        for wrong in ["cannot accept a connection", "Too many open files", "Cannot allocate memory"] {
            if run.output.contains(wrong) {
                return Err(violation(format!("the server says `{wrong}`")));
            }
        }
        let descriptors = seen.descriptors.load(Ordering::Relaxed);
        if descriptors > DESCRIPTORS {
            return Err(violation(format!("{descriptors} descriptors were open")));
        }
        notes.push(format!(
            "cgroup {} of {} MiB, ulimit -n {DESCRIPTORS}: at most {:.1} MiB of the server's own, {descriptors} descriptors",
            group.version(),
            MEMORY_BYTES >> 20,
            mib(seen.own_bytes.load(Ordering::Relaxed)),
        ));
        Ok(notes)
    })
}

/// Where the server says that it listens.
fn address(desk: &Desk<'_>, has_ended: impl Fn() -> bool) -> Result<Address> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) && !has_ended() {
        let said = std::fs::read_to_string(desk.log.path()).unwrap_or_default();
        let found = said.lines().find_map(|line| line.split_once("listening on http://"));
        if let Some((_, address)) = found {
            return address.trim().parse().context("the address of the server");
        }
        sleep(LOOK);
    }
    Err(violation("the server did not come up"))
}

fn watch(pid: Pid, group: &Group, seen: &Seen, is_over: &AtomicBool) {
    // Relaxed: maxima and a flag, with nothing published through them.
    while !is_over.load(Ordering::Relaxed) {
        seen.own_bytes.fetch_max(group.own_bytes().unwrap_or(0), Ordering::Relaxed);
        let descriptors =
            std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).map(Iterator::count);
        seen.descriptors.fetch_max(descriptors.unwrap_or(0) as u64, Ordering::Relaxed);
        sleep(LOOK);
    }
}

/// Calm, storm, calm again.
fn drive(address: &Address, group: &Group, storm: Duration) -> Result<Vec<String>> {
    client::prepare(address)?;
    let calm = served(address, CALM)?;
    let before = group.own_bytes().unwrap_or(0);
    let stop = AtomicBool::new(false);
    let (during, idle, slow) = scope(|scope| {
        let idle = scope.spawn(|| Idle::hold(address, IDLE, &stop));
        let slow = scope.spawn(|| Slow::trickle(address, SLOW, &stop));
        // They have all knocked.
        sleep(Duration::from_secs(3));
        let during = served(address, storm);
        stop.store(true, Ordering::Relaxed);
        let join = "a thread of ours does not panic";
        (during, idle.join().expect(join), slow.join().expect(join))
    });
    let during = during?;
    if during.reopened > REOPENED_MAX {
        return Err(violation(format!("good clients lost their connections to others: {during}")));
    }
    sleep(Duration::from_secs(2));
    let again = served(address, CALM)?;
    let after = group.own_bytes().unwrap_or(0);
    if after > before + KEPT_BYTES {
        let (before, after) = (mib(before), mib(after));
        return Err(violation(format!("{before:.1} MiB before, {after:.1} MiB long after")));
    }
    Ok(vec![
        format!("calm: {calm}"),
        format!("with {IDLE} idle connections and {SLOW} uploads of 1 KB/s: {during}; {idle}; {slow}"),
        format!("calm again: {again}; {:.1} MiB before, {:.1} MiB after", mib(before), mib(after)),
    ])
}

/// Clients that behave, for so long.
fn served(address: &Address, time: Duration) -> Result<Timings> {
    let until = Instant::now() + time;
    let each: Vec<Result<Timings>> = scope(|scope| {
        let clients: Vec<_> =
            (0..HEALTHY).map(|index| scope.spawn(move || Healthy::new(address, index).work(until))).collect();
        clients.into_iter().map(|client| client.join().expect("a thread of ours does not panic")).collect()
    });
    let mut all = Timings::default();
    for timings in each {
        all.add(timings?);
    }
    Ok(all)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
