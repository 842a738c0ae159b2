//! `fdwatch run -- COMMAND`: watches what it has started, and ends as that ends.

use std::io::{self, Write as _};

use super::arguments::RunArgs;
use super::clock::Clock;
use super::failure::Failure;
use super::outputs::Outputs;
use super::stacks_seen::StacksSeen;
use super::watch::config;
use crate::report::text;
use crate::run::{Child, Event, Events, Leftovers, RunConfig, RunError};
use crate::{Report, Target, WatchConfig, Watcher};

/// Leftovers that are named.
const NAMED_MAX: usize = 20;

pub(super) fn run(arguments: &RunArgs) -> Result<u8, Failure> {
    if Outputs::take_stdout(&arguments.common) {
        let why = "standard output is the command's: give a file, as in --json=FILE";
        return Err(Failure::Usage(why.into()));
    }
    let mut outputs = Outputs::open(&arguments.common)?;
    let mut events = Events::of_run().map_err(Failure::system("catch signals"))?;
    let run = RunConfig { with_stacks: arguments.stacks, ..RunConfig::new(arguments.command.clone()) };
    let mut child = start(run, &events)?;
    let mut clock = Clock::start(arguments.common.interval, None);
    let target = Target::Pid(child.pid());
    let mut watched = Watched {
        watcher: Watcher::new(WatchConfig { tree: true, ..config(vec![target], &arguments.common) }).ok(),
        newest: None,
        stacks: StacksSeen::default(),
    };
    let code = loop {
        watched.tick(&clock, &mut child, &mut outputs)?;
        if let Some(code) = until_tick(&mut events, &mut clock, &mut child, &mut outputs, &watched)? {
            break code;
        }
    };
    let leftovers = child.leftovers().map_err(Failure::system("look for what the command left behind"))?;
    let Some(report) = watched.last(&mut child) else {
        eprintln!("fdwatch: the command ended before it could be looked at");
        return Ok(code);
    };
    outputs.finish(&report)?;
    tell(&report, &leftovers, arguments.kill_leftovers)
        .map_err(|error| Failure::output("standard error", error))?;
    let terms = &arguments.common;
    let is_checked = arguments.check || terms.fail_over.is_some() || terms.max_rate.is_some();
    Ok(if is_checked && code == 0 { checked(&report) } else { code })
}

/// Without stacks where they cannot be had: the command matters more, and has not begun when that is found out.
fn start(run: RunConfig, events: &Events) -> Result<Child, RunError> {
    match Child::start(&run, events) {
        Err(RunError::Stacks(why)) => {
            let causes = std::iter::successors(std::error::Error::source(&why), |cause| cause.source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            eprintln!("fdwatch: goes on without call stacks: {why}{causes}");
            Child::start(&RunConfig { with_stacks: false, ..run }, events)
        }
        started => started,
    }
}

/// The verdict of a watch whose target has ended says how it was until then.
fn checked(report: &Report) -> u8 {
    let code = report.verdict.exit_code();
    if code <= 2 { code } else { 0 }
}

/// The watch of a command.
struct Watched {
    /// Gone when the command has ended: then there is nothing to look at any more.
    watcher: Option<Watcher>,
    /// The newest report in which the command was alive.
    newest: Option<Report>,
    stacks: StacksSeen,
}

impl Watched {
    fn tick(&mut self, clock: &Clock, child: &mut Child, outputs: &mut Outputs) -> Result<(), Failure> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let tick = watcher.tick(clock.elapsed())?;
        if tick.targets_gone > 0 {
            self.watcher = None;
            return Ok(());
        }
        let report = watcher.report();
        if let Some(stacks) = child.stacks() {
            self.stacks.look(stacks, &report);
        }
        outputs.tick(&report)?;
        self.newest = Some(report);
        Ok(())
    }

    /// The newest report, with the stacks.
    fn last(&mut self, child: &mut Child) -> Option<Report> {
        let mut report = self.newest.take()?;
        if let Some(stacks) = child.stacks() {
            self.stacks.describe(stacks, &mut report);
        }
        Some(report)
    }
}

/// Until the next tick; the code of the command when it has ended.
fn until_tick(
    events: &mut Events,
    clock: &mut Clock,
    child: &mut Child,
    outputs: &mut Outputs,
    watched: &Watched,
) -> Result<Option<u8>, Failure> {
    let next = clock.next();
    loop {
        let event = {
            let others: Vec<_> = outputs.waits_for().into_iter().collect();
            events.wait(Some(&mut *child), next, &others).map_err(Failure::system("wait"))?
        };
        match event {
            Event::Tick => return Ok(None),
            Event::Signal(caught) => child.forward(caught).map_err(Failure::system("pass a signal on"))?,
            Event::ChildChanged => {
                if let Some(code) = child.status().exit_code() {
                    return Ok(Some(code));
                }
            }
            Event::Readable(_) => match &watched.newest {
                Some(report) => outputs.answer(report)?,
                None => return Ok(None),
            },
        }
    }
}

/// On standard error: standard output is the command's.
fn tell(report: &Report, leftovers: &Leftovers, kills: bool) -> io::Result<()> {
    let mut out = io::stderr().lock();
    text::write(&mut out, report)?;
    if leftovers.is_empty() {
        return Ok(());
    }
    let count = leftovers.processes.len();
    let processes = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
    writeln!(out, "Left behind: {processes} that the command has started and not ended")?;
    for process in leftovers.processes.iter().take(NAMED_MAX) {
        writeln!(out, "  {}  {}", process.key.pid, process.name.escape_ascii())?;
    }
    if count > NAMED_MAX {
        writeln!(out, "  and {} more", count - NAMED_MAX)?;
    }
    if kills {
        writeln!(out, "Killed {} of them", leftovers.kill())?;
    }
    Ok(())
}
