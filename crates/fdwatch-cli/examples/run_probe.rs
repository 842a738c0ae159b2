//! The smallest owner of a [`Child`]: `run_probe [OPTION…] -- COMMAND…`.
//!
//! With `--stacks` it says which stacks opened what is open whenever it is sent SIGUSR2, which is
//! then not passed on.
//!
//! It says on stderr what happens and ends with the code of the command. The tests of `run` drive
//! it, since they need a process with one thread and a `main` of its own.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fdwatch_cli::run::{Child, Event, Events, RunConfig, RunError, exec_stage};

fn main() -> ExitCode {
    if let Some(code) = exec_stage() {
        return code;
    }
    match Probe::parse().run() {
        Ok(code) => code,
        Err(error) => {
            let causes =
                std::iter::successors(std::error::Error::source(&error), |error| error.source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            eprintln!("probe: {error}{causes}");
            ExitCode::from(error.exit_code())
        }
    }
}

#[derive(Default)]
struct Probe {
    kills_leftovers: bool,
    dies_when_started: bool,
    with_stacks: bool,
    command: Vec<OsString>,
}

impl Probe {
    fn parse() -> Self {
        let mut probe = Self::default();
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--kill-leftovers") => probe.kills_leftovers = true,
                Some("--die-when-started") => probe.dies_when_started = true,
                Some("--stacks") => probe.with_stacks = true,
                Some("--") => probe.command = arguments.by_ref().collect(),
                _ => panic!("unknown argument {argument:?}"),
            }
        }
        probe
    }

    fn run(self) -> Result<ExitCode, RunError> {
        let mut events = Events::of_run().expect("signals can be caught");
        let config = RunConfig { with_stacks: self.with_stacks, ..RunConfig::new(self.command) };
        let mut child = Child::start(&config, &events)?;
        eprintln!("probe: started {}", child.pid());
        if self.dies_when_started {
            std::process::abort();
        }
        let mut next_tick = Instant::now();
        let mut ticks = 0_u64;
        let code = loop {
            match events.wait(Some(&mut child), next_tick, &[]).expect("waiting works") {
                Event::Tick => {
                    next_tick = Instant::now() + Duration::from_millis(20);
                    ticks += 1;
                }
                Event::Signal(caught) if self.with_stacks && caught.signal == libc::SIGUSR2 => {
                    print_stacks(&mut child);
                }
                Event::Signal(caught) => {
                    eprintln!("probe: caught {} {:?}", caught.signal, caught.sender);
                    child.forward(caught).expect("the command is ours");
                }
                Event::ChildChanged | Event::Readable(_) => {
                    if let Some(code) = child.status().exit_code() {
                        break code;
                    }
                }
            }
        };
        eprintln!("probe: {:?} after {ticks} ticks", child.status());
        let leftovers = child.leftovers().expect("/proc can be read");
        for leftover in &leftovers.processes {
            let name = String::from_utf8_lossy(&leftover.name);
            eprintln!("probe: left {} {name}", leftover.key.pid);
        }
        if self.kills_leftovers {
            eprintln!("probe: killed {}", leftovers.kill());
        }
        Ok(ExitCode::from(code))
    }
}

/// Of the command and of everything below it.
fn print_stacks(child: &mut Child) {
    let below = child.leftovers().expect("/proc can be read");
    for pid in below.processes.iter().map(|process| process.key.pid) {
        let fds: Vec<i32> =
            std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(vec![], |entries| {
                entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                    .collect()
            });
        let stacks = child.stacks().expect("they were asked for");
        let (opened, creators): (Vec<i32>, Vec<_>) =
            stacks.stacks_of(pid, &fds).into_iter().unzip();
        for (fd, frames) in opened.iter().zip(stacks.describe(&creators)) {
            eprintln!("probe: {pid} has {fd} by {}", frames.join(" < "));
        }
        for stack in stacks.most(pid, &fds, 10) {
            eprintln!("probe: {pid} has {} of {}", stack.count, stack.frames.join(" < "));
        }
        eprintln!("probe: losses {:?}", stacks.losses());
    }
    eprintln!("probe: stacks end");
}
