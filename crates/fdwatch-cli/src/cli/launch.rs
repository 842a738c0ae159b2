//! `fdwatch run -- COMMAND`: watches what it has started, and ends as that ends.

use std::io;
use std::time::{Duration, Instant};

use fdwatch::{Report, Target, WatchConfig, Watcher};

use super::arguments::RunArgs;
use super::clock::{Clock, Pace};
use super::failure::Failure;
use super::on_leak::OnLeak;
use super::outputs::Outputs;
use super::stacks_seen::{StacksSeen, tell_losses};
use super::streams;
use super::watch::config;
use crate::report::text;
use crate::run::{Child, Event, Events, Leftovers, RunConfig, RunError};

/// It may be over soon, and what it opens at first is not what it keeps opening.
const FIRST_INTERVAL_MS: u64 = 100;
const WARM_UP: Duration = Duration::from_secs(1);
const TOO_FAST: &str = "the command ended before it could be looked at: nothing was checked";
/// Leftovers that are named.
const NAMED_MAX: usize = 20;

pub(super) fn run(arguments: &RunArgs) -> Result<u8, Failure> {
    if Outputs::take_stdout(&arguments.common) {
        let why = "standard output is the command's: give a file, as in --json=FILE";
        return Err(Failure::Usage(why.into()));
    }
    let mut outputs = Outputs::open(&arguments.common)?;
    let mut events = Events::of_run().map_err(Failure::system("catch signals"))?;
    let run =
        RunConfig { with_stacks: arguments.stacks, ..RunConfig::new(arguments.command.clone()) };
    let mut child = start(run, &events)?;
    let mut clock = Clock::start(Pace::new(arguments.common.interval, FIRST_INTERVAL_MS), None);
    let mut on_leak = OnLeak::new(arguments.common.on_leak.as_deref(), false);
    let target = Target::Pid(child.pid());
    let config = WatchConfig { tree: true, ..config(vec![target], &arguments.common, WARM_UP) };
    let mut watched = Watched {
        watcher: Watcher::new(config).ok(),
        has_ended: false,
        newest: None,
        stacks: StacksSeen::default(),
    };
    let code = loop {
        watched.tick(&clock, &mut child, &mut outputs, &mut on_leak)?;
        let mut waited = Waited { child: &mut child, outputs: &mut outputs, on_leak: &mut on_leak };
        if let Some(code) = waited.until(&mut events, clock.next(), watched.newest.as_ref())? {
            break code;
        }
    };
    // It is no leftover of the command.
    while let Some(deadline) = on_leak.deadline() {
        let mut waited = Waited { child: &mut child, outputs: &mut outputs, on_leak: &mut on_leak };
        waited.until(&mut events, deadline, watched.newest.as_ref())?;
    }
    let leftovers =
        child.leftovers().map_err(Failure::system("look for what the command left behind"))?;
    let report = watched.last(&mut child);
    // On standard error: standard output is the command's. The other outputs are written even if it
    // is closed.
    let told =
        tell(&mut io::stderr().lock(), report.as_ref(), &leftovers, arguments.kill_leftovers);
    if let Some(report) = &report {
        outputs.finish(report)?;
    }
    told.map_err(|error| Failure::output("standard error", error))?;
    let terms = &arguments.common;
    let is_checked = arguments.check || terms.fail_over.is_some() || terms.max_rate.is_some();
    Ok(match report {
        Some(report) if is_checked && code == 0 => checked(&report),
        _ => code,
    })
}

/// Without stacks where they cannot be had: the command matters more, and has not begun when that
/// is found out.
fn start(run: RunConfig, events: &Events) -> Result<Child, RunError> {
    match Child::start(&run, events) {
        Err(RunError::Stacks(why)) => {
            let why = Failure::with_causes(&why);
            streams::note(format_args!("goes on without call stacks: {why}"));
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
    /// None if the command had ended before it could be looked at.
    watcher: Option<Watcher>,
    /// Then there is nothing to look at any more.
    has_ended: bool,
    /// The newest report in which the command was alive.
    newest: Option<Report>,
    stacks: StacksSeen,
}

impl Watched {
    fn tick(
        &mut self,
        clock: &Clock,
        child: &mut Child,
        outputs: &mut Outputs,
        on_leak: &mut OnLeak,
    ) -> Result<(), Failure> {
        let Some(watcher) = self.watcher.as_mut().filter(|_| !self.has_ended) else {
            return Ok(());
        };
        let tick = watcher.tick(clock.elapsed())?;
        if tick.targets_gone > 0 {
            self.has_ended = true;
            return Ok(());
        }
        watcher.pace(clock.interval());
        let report = watcher.report();
        if let Some(stacks) = child.stacks() {
            self.stacks.look(&report, |pid, fds| stacks.stacks_of(pid, fds));
        }
        outputs.tick(&report)?;
        on_leak.look(&report)?;
        self.newest = Some(report);
        Ok(())
    }

    /// The newest report, with the stacks.
    fn last(&mut self, child: &mut Child) -> Option<Report> {
        let mut report = self.newest.take()?;
        if let Some(watcher) = &self.watcher {
            watcher.conclude(&mut report);
        }
        if let Some(stacks) = child.stacks() {
            self.stacks.describe(&mut report, |ids| stacks.describe(ids));
            tell_losses(stacks.losses());
        }
        Some(report)
    }
}

/// What is looked after between two ticks.
struct Waited<'a> {
    child: &'a mut Child,
    outputs: &'a mut Outputs,
    on_leak: &'a mut OnLeak,
}

impl Waited<'_> {
    /// Until the next tick; the code of the command when it has ended.
    fn until(
        &mut self,
        events: &mut Events,
        next: Instant,
        newest: Option<&Report>,
    ) -> Result<Option<u8>, Failure> {
        loop {
            let until = self.on_leak.deadline().map_or(next, |deadline| deadline.min(next));
            let (event, has_metrics) = {
                let metrics = self.outputs.waits_for();
                let others: Vec<_> = metrics.into_iter().chain(self.on_leak.waits_for()).collect();
                let event = events.wait(Some(&mut *self.child), until, &others);
                (event.map_err(Failure::system("wait"))?, metrics.is_some())
            };
            match event {
                Event::Tick if next <= Instant::now() => {
                    self.on_leak.check();
                    return Ok(None);
                }
                Event::Signal(caught) => {
                    self.child.forward(caught).map_err(Failure::system("pass a signal on"))?;
                }
                Event::ChildChanged => {
                    if let Some(code) = self.child.status().exit_code() {
                        return Ok(Some(code));
                    }
                }
                Event::Readable(0) if has_metrics => match newest {
                    Some(report) => self.outputs.answer(report)?,
                    None => return Ok(None),
                },
                Event::Tick | Event::Readable(_) => {
                    self.on_leak.check();
                    if !self.on_leak.is_running() && self.child.status().exit_code().is_some() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// What a command leaves behind is killed, also when standard error is closed. It is told, also
/// when the command itself was too fast to be looked at.
fn tell(
    out: &mut impl io::Write,
    report: Option<&Report>,
    leftovers: &Leftovers,
    kills: bool,
) -> io::Result<()> {
    let killed = kills.then(|| leftovers.kill());
    match report {
        Some(report) => text::write(out, report)?,
        None => {
            writeln!(out, "fdwatch: {TOO_FAST}")?;
        }
    }
    if leftovers.is_empty() {
        return Ok(());
    }
    let count = leftovers.processes.len() + leftovers.left_out as usize;
    let processes = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
    writeln!(out, "Left behind: {processes} that the command has started and not ended")?;
    for process in leftovers.processes.iter().take(NAMED_MAX) {
        writeln!(out, "  {}  {}", process.key.pid, process.name.escape_ascii())?;
    }
    if count > NAMED_MAX {
        writeln!(out, "  and {} more", count - NAMED_MAX)?;
    }
    if let Some(killed) = killed {
        writeln!(out, "Killed {killed} of them")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::run::Leftover;

    #[test]
    fn what_a_command_too_fast_to_be_looked_at_leaves_behind_is_killed_too() {
        let mut sleeper = Command::new("sleep").arg("300").spawn().unwrap();
        let key = fdwatch::snapshot(sleeper.id()).unwrap().key;
        let left = Leftover { key, name: b"sleep".to_vec() };
        let leftovers = Leftovers { processes: vec![left], left_out: 0 };
        let mut said = Vec::new();
        tell(&mut said, None, &leftovers, true).unwrap();
        // Ends it if it was not killed; the signal that ended it tells which.
        kill_process(Pid::from_child(&sleeper), Signal::TERM).unwrap();
        let status = sleeper.wait().unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("before it could be looked at"), "{said}");
        assert!(said.contains(&format!("\n  {}  sleep\n", sleeper.id())), "{said}");
        assert!(said.ends_with("Killed 1 of them\n"), "{said}");
        assert_eq!(status.signal(), Some(9));
    }
}
