//! The server, and crowds of clients that are slow, silent or want a lot.
//!
//! First a storm: a server in a small control group with few descriptors. A thousand idle clients
//! and hundreds of slow uploads come. Good clients must be served all the while, and keep their
//! connections.
//!
//! Then one crowd of each of the [`kinds`], each against a server of its own. Three things are
//! judged: the longest wait of a good client beside the crowd, the peak of the server's memory, and
//! the memory that is left afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::cell::{Cell, Limits, within};
use self::client::{Address, Healthy, Idle, Slow, Timings};
use self::kinds::{Crowd, ROOMY};
use self::measure::{HEADINGS, measure};
use super::shipped::{Desk, args, judged, violation};
use super::{Setup, missing, need_root};
use crate::process::Log;
use crate::stage::{Mode, Outcome};

mod answer;
mod asking;
mod cell;
mod client;
mod crowd;
mod forms;
mod kinds;
mod measure;
mod scripts;
mod sigv4;
mod stock;

/// The limits of the server in the storm.
const STORM: Limits = Limits { memory_bytes: 256 << 20, descriptors: 256, half_a_cpu: false };
const IDLE: usize = 1_000;
const SLOW: usize = 500;
const HEALTHY: usize = 4;
const CALM: Duration = Duration::from_secs(4);
const STORM_QUICK: Duration = Duration::from_secs(12);
const STORM_FULL: Duration = Duration::from_secs(90);
/// How often good clients may find their connection closed in the storm. The machine may stop a
/// client for longer than a connection may be idle.
const REOPENED_MAX: usize = 2 * HEALTHY;
/// How much freed memory an allocator may keep.
const KEPT_BYTES: u64 = 48 << 20;

/// The name of the storm, where one crowd is asked for by name.
const STORM_NAME: &str = "storm";

pub(super) fn run(setup: &Setup<'_>) -> Result<Outcome> {
    need_root("to make a control group")?;
    raise_descriptors()?;
    let mut crowds = kinds::all();
    let asked: Vec<&str> = setup.crowds.iter().map(String::as_str).collect();
    let mode = setup.context.mode;
    let names: Vec<_> = crowds.iter().map(|crowd| crowd.name).collect();
    if let Some(name) = asked.iter().find(|name| **name != STORM_NAME && !names.contains(name)) {
        bail!("there is no crowd `{name}`; there are {STORM_NAME}, {}", names.join(", "));
    }
    crowds.retain(|crowd| match asked[..] {
        [] => crowd.is_of(mode),
        _ => asked.contains(&crowd.name),
    });
    let has_storm = asked.is_empty() || asked.contains(&STORM_NAME);
    let counted = format!("{} crowds", crowds.len() + usize::from(has_storm));
    let (mut notes, mut faults) = (Vec::new(), Vec::new());
    if has_storm {
        match judged(storm(setup))? {
            Ok(seen) => notes.extend(seen),
            Err(reason) => faults.push(format!("{STORM_NAME}: {reason}")),
        }
    }
    if !crowds.is_empty() {
        let (seen, wrong) = with_crowds(setup, &crowds)?;
        notes.extend(seen);
        faults.extend(wrong);
    }
    let outcome = Outcome { notes, ..Outcome::ok(counted) };
    if faults.is_empty() {
        return Ok(Outcome { passed: 1, ..outcome });
    }
    let which = match asked[..] {
        [] => " --part serving".to_owned(),
        _ => asked.iter().map(|name| format!(" --crowd {name}")).collect(),
    };
    let again = format!("again: cargo xtask faults{which}{}", setup.full_flag());
    Ok(outcome.fail(format!("{}; {again}", faults.join("; "))))
}

fn storm(setup: &Setup<'_>) -> Result<Vec<String>> {
    let time = if setup.context.mode == Mode::Full { STORM_FULL } else { STORM_QUICK };
    let folder = setup.folder("serving")?;
    let log = Log::create(&setup.logs(), "serving")?;
    let store = folder.join("store");
    through_a_storm(
        &Desk { context: setup.context, binary: &setup.binary, store, folder, log },
        time,
    )
}

/// Every client needs a socket of this process.
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

fn through_a_storm(desk: &Desk<'_>, storm: Duration) -> Result<Vec<String>> {
    within(desk, STORM, args![], |cell| {
        let mut notes = drive(cell, storm)?;
        notes.push(format!(
            "cgroup {} of {} MiB, ulimit -n {}: at most {:.1} MiB of the server's own, {} \
             descriptors",
            cell.group.version(),
            STORM.memory_bytes >> 20,
            STORM.descriptors,
            mib(cell.own_peak()),
            cell.descriptors_peak(),
        ));
        Ok(notes)
    })
}

/// Runs each of these crowds with good clients beside it. Returns a table of the results, and the
/// faults.
fn with_crowds(setup: &Setup<'_>, crowds: &[Crowd]) -> Result<(Vec<String>, Vec<String>)> {
    let mode = setup.context.mode;
    let folder = setup.folder("crowds")?;
    let desk = |name: &str| -> Result<Desk<'_>> {
        let log = Log::create(&setup.logs(), &format!("serving-{name}"))?;
        let (store, folder) = (folder.join("store"), folder.clone());
        Ok(Desk { context: setup.context, binary: &setup.binary, store, folder, log })
    };
    // This store does not have to survive a power cut.
    let stock = within(&desk("stock")?, ROOMY, args!["--sync", "never"], |cell| {
        stock::fill(&cell.address, mode)
    })?;
    let (mut table, mut notes, mut faults) = (vec![HEADINGS.to_owned()], Vec::new(), Vec::new());
    for crowd in crowds {
        match judged(measure(&desk(crowd.name)?, crowd, mode, &stock))? {
            Ok(row) => {
                setup.context.talk.line(format!("    {}", row.line()));
                table.push(row.line());
                notes.push(row.note());
                faults.extend(row.faults(mode));
            }
            Err(reason) => {
                let line = format!("{} | ended early", crowd.name);
                setup.context.talk.line(format!("    {line}"));
                table.push(line);
                faults.push(format!("{}: {reason}", crowd.name));
            }
        }
    }
    table.extend(notes);
    table.extend(faults.iter().map(|fault| format!("WRONG: {fault}")));
    Ok((table, faults))
}

/// First calm, then the storm, then calm again.
fn drive(cell: &Cell<'_>, storm: Duration) -> Result<Vec<String>> {
    let (address, group) = (&cell.address, cell.group);
    client::prepare(address)?;
    let calm = served(address, CALM)?;
    let before = group.own_bytes().unwrap_or(0);
    let stop = AtomicBool::new(false);
    let (during, idle, slow) = scope(|scope| {
        let idle = scope.spawn(|| Idle::hold(address, IDLE, &stop));
        let slow = scope.spawn(|| Slow::trickle(address, SLOW, &stop));
        // By then, all of them have connected.
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
        format!(
            "with {IDLE} idle connections and {SLOW} uploads of 1 KB/s: {during}; {idle}; {slow}"
        ),
        format!("calm again: {again}; {:.1} MiB before, {:.1} MiB after", mib(before), mib(after)),
    ])
}

/// Runs good clients for this time.
fn served(address: &Address, time: Duration) -> Result<Timings> {
    let until = Instant::now() + time;
    let each: Vec<Result<Timings>> = scope(|scope| {
        let clients: Vec<_> = (0..HEALTHY)
            .map(|index| scope.spawn(move || Healthy::new(address, index).work(until)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a thread of ours does not panic"))
            .collect()
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
