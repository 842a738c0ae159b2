//! `fdwatch PID|NAME…`: watches until it is time, or nobody is left.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::arguments::{CommonArgs, WatchArgs};
use super::clock::Clock;
use super::failure::Failure;
use super::live::Live;
use super::outputs::Outputs;
use crate::report::text;
use crate::run::{Event, Events};
use crate::{Report, Target, Terms, Tick, WatchConfig, Watcher};

pub(super) fn run(arguments: &WatchArgs) -> Result<u8, Failure> {
    let mut events = Events::of_watch().map_err(Failure::system("catch signals"))?;
    let targets: Vec<Target> = arguments.targets.iter().map(|target| Target::new(target)).collect();
    let config = WatchConfig { tree: arguments.tree, ..config(targets, &arguments.common) };
    let mut outputs = Outputs::open(&arguments.common)?;
    let mut clock = Clock::start(arguments.common.interval, arguments.duration);
    let mut watcher = Watcher::new(config)?;
    let mut tick = watcher.tick(clock.elapsed())?;
    if tick.alive == 0 && tick.targets_gone == 0 && !arguments.wait {
        let names =
            arguments.targets.iter().map(|name| format!("`{}`", name.to_string_lossy().escape_debug()));
        return Err(Failure::Nobody(names.collect::<Vec<_>>().join(" or ")));
    }
    let is_quiet = arguments.no_live || Outputs::take_stdout(&arguments.common);
    let live = if is_quiet { None } else { Live::start() };
    let report = loop {
        let report = watcher.report();
        outputs.tick(&report)?;
        draw(live.as_ref(), &report)?;
        if is_over(tick, arguments, &clock)
            || !wait(&mut events, &mut clock, &mut outputs, live.as_ref(), &report)?
        {
            break report;
        }
        tick = watcher.tick(clock.elapsed())?;
    };
    drop(live);
    outputs.finish(&report)?;
    if !Outputs::take_stdout(&arguments.common) {
        let told = text::write(&mut io::stdout().lock(), &report);
        told.map_err(|error| Failure::output("standard output", error))?;
    }
    Ok(report.verdict.exit_code())
}

/// What both ways of watching have in common.
pub(super) fn config(targets: Vec<Target>, arguments: &CommonArgs) -> WatchConfig {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WatchConfig {
        interval: arguments.interval,
        warm_up: arguments.warm_up,
        terms: Terms { fail_over: arguments.fail_over, max_rate: arguments.max_rate },
        started_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        ..WatchConfig::new(targets)
    }
}

fn is_over(tick: Tick, arguments: &WatchArgs, clock: &Clock) -> bool {
    (tick.alive == 0 && !arguments.wait) || clock.is_over()
}

fn draw(live: Option<&Live>, report: &Report) -> Result<(), Failure> {
    let drawn = live.map_or(Ok(()), |live| live.draw(report));
    drawn.map_err(|error| Failure::output("the terminal", error))
}

/// Until the next tick; `false` when the user has seen enough.
fn wait(
    events: &mut Events,
    clock: &mut Clock,
    outputs: &mut Outputs,
    live: Option<&Live>,
    report: &Report,
) -> Result<bool, Failure> {
    let next = clock.next();
    loop {
        let event = {
            let others: Vec<_> = outputs.waits_for().into_iter().collect();
            events.wait(None, next, &others).map_err(Failure::system("wait"))?
        };
        match event {
            Event::Tick => return Ok(true),
            Event::Signal(caught) if caught.signal == Signal::WINCH.as_raw() => draw(live, report)?,
            Event::Signal(_) => return Ok(false),
            Event::Readable(_) => outputs.answer(report)?,
            Event::ChildChanged => {}
        }
    }
}
