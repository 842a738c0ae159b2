//! The smallest owner of a [`Child`]: `run_probe [--kill-leftovers] [--die-when-started] -- COMMAND…`.
//!
//! It says on stderr what happens and ends with the code of the command. The tests of `run` drive it, since they need a process with one
//! thread and a `main` of its own.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fdwatch::run::{Child, Event, Events, RunConfig, RunError, exec_stage};

fn main() -> ExitCode {
    if let Some(code) = exec_stage() {
        return code;
    }
    match Probe::parse().run() {
        Ok(code) => code,
        Err(error) => {
            match std::error::Error::source(&error) {
                Some(source) => eprintln!("probe: {error}: {source}"),
                None => eprintln!("probe: {error}"),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

#[derive(Default)]
struct Probe {
    kills_leftovers: bool,
    dies_when_started: bool,
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
                Some("--") => probe.command = arguments.by_ref().collect(),
                _ => panic!("unknown argument {argument:?}"),
            }
        }
        probe
    }

    fn run(self) -> Result<ExitCode, RunError> {
        let mut events = Events::of_run().expect("signals can be caught");
        let mut child = Child::start(&RunConfig::new(self.command), &events)?;
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
