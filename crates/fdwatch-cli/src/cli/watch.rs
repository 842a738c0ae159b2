//! `fdwatch PID|NAME…`: watches until it is time, or no process is left.

use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fdwatch::{Report, Target, Terms, Tick, WatchConfig, Watcher};
use rustix::process::Signal;

use super::arguments::{CommonArgs, Until, WatchArgs};
use super::attached_watch::AttachedWatch;
use super::clock::{Clock, Pace};
use super::failure::Failure;
use super::live::Live;
use super::on_leak::{OnLeak, is_leaking};
use super::outputs::Outputs;
use super::streams;
use crate::report::text;
use crate::run::{Event, Events};

/// What is watched may have been running for long.
const FIRST_INTERVAL_MS: u64 = 200;
const WARM_UP: Duration = Duration::from_secs(5);

pub(super) fn run(arguments: &WatchArgs) -> Result<u8, Failure> {
    let events = if arguments.stacks { Events::of_attached_watch() } else { Events::of_watch() };
    let mut events = events.map_err(Failure::system("catch signals"))?;
    let config = WatchConfig {
        tree: arguments.tree,
        ..config(targets(arguments), &arguments.common, WARM_UP)
    };
    // An hour of watching must not end with a report that goes nowhere.
    streams::stdout()?;
    let mut outputs = Outputs::open(&arguments.common)?;
    let mut clock =
        Clock::start(Pace::new(arguments.common.interval, FIRST_INTERVAL_MS), arguments.duration);
    let mut watcher = Watcher::new(config)?;
    let mut tick = watcher.tick(clock.elapsed())?;
    if tick.alive == 0 && tick.targets_gone == 0 && !arguments.wait {
        return Err(Failure::NoProcess(named(arguments)));
    }
    let attached = arguments.stacks.then(|| AttachedWatch::start(&events, &watcher.report()));
    let mut attached = attached.transpose()?;
    let is_quiet = arguments.no_live || Outputs::take_stdout(&arguments.common);
    let live = if is_quiet { None } else { Live::start() };
    let mut on_leak = OnLeak::new(arguments.common.on_leak.as_deref(), live.is_some());
    let mut report = loop {
        watcher.pace(clock.interval());
        let report = watcher.report();
        if let Some(attached) = &mut attached {
            attached.look(&report);
        }
        outputs.tick(&report)?;
        draw(live.as_ref(), &report)?;
        on_leak.look(&report)?;
        if is_over(tick, arguments, &clock, &report) {
            break report;
        }
        let mut waited = Waited {
            outputs: &mut outputs,
            on_leak: &mut on_leak,
            live: live.as_ref(),
            report: &report,
        };
        let next = clock.next();
        if !waited.until(&mut events, next)? {
            break report;
        }
        tick = watcher.tick(clock.elapsed())?;
    };
    drop(live);
    if let Some(attached) = attached {
        attached.finish(&mut report);
    }
    outputs.finish(&report)?;
    if !Outputs::take_stdout(&arguments.common) {
        streams::print(|out| text::write(out, &report))?;
    }
    await_on_leak(&mut on_leak, &mut events, &mut outputs, &report)?;
    Ok(report.verdict.exit_code())
}

fn targets(arguments: &WatchArgs) -> Vec<Target> {
    let named = arguments.targets.iter().map(|target| Target::new(target));
    let matching =
        arguments.matching.iter().map(|text| Target::CommandLine(text.as_bytes().to_vec()));
    let cgroups =
        arguments.cgroup.iter().map(|path| Target::Cgroup(path.as_os_str().as_bytes().to_vec()));
    let units = arguments.unit.iter().map(|name| Target::Unit(name.as_bytes().to_vec()));
    named.chain(matching).chain(cgroups).chain(units).collect()
}

/// What was looked for and not found, in words.
fn named(arguments: &WatchArgs) -> String {
    let names = arguments
        .targets
        .iter()
        .map(|name| format!("is called `{}`", name.to_string_lossy().escape_debug()));
    let matching = arguments
        .matching
        .iter()
        .map(|text| format!("has `{}` in its command line", text.escape_debug()));
    let cgroups =
        arguments.cgroup.iter().map(|path| format!("is in the cgroup {}", path.display()));
    let units = arguments.unit.iter().map(|name| format!("is in the unit {name}"));
    names.chain(matching).chain(cgroups).chain(units).collect::<Vec<_>>().join(" or ")
}

/// What both ways of watching have in common.
pub(super) fn config(
    targets: Vec<Target>,
    arguments: &CommonArgs,
    warm_up: Duration,
) -> WatchConfig {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WatchConfig {
        warm_up: arguments.warm_up.unwrap_or(warm_up),
        terms: Terms { fail_over: arguments.fail_over, max_rate: arguments.max_rate },
        started_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        ..WatchConfig::new(targets)
    }
}

fn is_over(tick: Tick, arguments: &WatchArgs, clock: &Clock, report: &Report) -> bool {
    let is_reached = match arguments.until {
        Some(Until::Leaking) => is_leaking(report),
        None => false,
    };
    is_reached || (tick.alive == 0 && !arguments.wait) || clock.is_over()
}

fn draw(live: Option<&Live>, report: &Report) -> Result<(), Failure> {
    let drawn = live.map_or(Ok(()), |live| live.draw(report));
    drawn.map_err(|error| Failure::output("the terminal", error))
}

/// The command of `--on-leak` may go on for as long as it may; the next signal ends it.
fn await_on_leak(
    on_leak: &mut OnLeak,
    events: &mut Events,
    outputs: &mut Outputs,
    report: &Report,
) -> Result<(), Failure> {
    while let Some(deadline) = on_leak.deadline() {
        let mut waited =
            Waited { outputs: &mut *outputs, on_leak: &mut *on_leak, live: None, report };
        if !waited.until(events, deadline)? {
            on_leak.kill();
        }
    }
    Ok(())
}

/// What is looked after between two ticks.
struct Waited<'a> {
    outputs: &'a mut Outputs,
    on_leak: &'a mut OnLeak,
    live: Option<&'a Live>,
    report: &'a Report,
}

impl Waited<'_> {
    /// Until the next tick; `false` when the user has seen enough.
    fn until(&mut self, events: &mut Events, next: Instant) -> Result<bool, Failure> {
        loop {
            let until = self.on_leak.deadline().map_or(next, |deadline| deadline.min(next));
            let (event, has_metrics) = {
                let metrics = self.outputs.waits_for();
                let others: Vec<_> = metrics.into_iter().chain(self.on_leak.waits_for()).collect();
                let event = events.wait(None, until, &others).map_err(Failure::system("wait"))?;
                (event, metrics.is_some())
            };
            match event {
                Event::Signal(caught) if caught.signal == Signal::WINCH.as_raw() => {
                    draw(self.live, self.report)?;
                }
                // While processes are traced we do not stop: they would stop with us.
                Event::Signal(caught)
                    if [libc::SIGTSTP, libc::SIGTTOU].contains(&caught.signal) => {}
                Event::Signal(_) => return Ok(false),
                Event::Readable(0) if has_metrics => self.outputs.answer(self.report)?,
                Event::Tick | Event::Readable(_) | Event::ChildChanged => self.on_leak.check(),
            }
            if event == Event::Tick && next <= Instant::now() {
                return Ok(true);
            }
        }
    }
}
