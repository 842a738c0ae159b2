//! What `--stacks` costs a command: the same work started plainly, under a run, and under a run
//! that notes stacks.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::process::{Command, ExitCode};
use std::time::Instant;

use fdwatch_cli::run::{Child, Event, Events, RunConfig};

use super::{Outcome, median, run, time};

const READS: u32 = 400_000;
const OPENS: u32 = 20_000;
const STARTS: &str = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done";

/// What is done, and what with: words for this very program, or for a shell.
const WORKS: [(&str, &[&str]); 3] = [
    ("reads 400,000 times, opens next to nothing", &["work", "reads"]),
    ("opens and closes 20,000 times", &["work", "opens"]),
    ("a shell that starts 200 programs", &["sh", "-c", STARTS]),
];

pub(crate) fn compare(rounds: usize) -> Outcome<()> {
    println!("a command by itself, under `fdwatch run`, and with --stacks; ratios to the first:");
    for (what, words) in WORKS {
        let mut times: [Vec<_>; 3] = Default::default();
        for _ in 0..rounds {
            for (way, times) in [None, Some("plain"), Some("stacks")].into_iter().zip(&mut times) {
                times.push(time(|| run(&mut command(way, words)?))?);
            }
        }
        let [alone, plain, stacks] = times.map(median);
        let ratio = |time: std::time::Duration| time.as_secs_f64() / alone.as_secs_f64();
        println!("{what:<44} {alone:>9.1?}  {:>6.2}  {:>6.2}", ratio(plain), ratio(stacks));
    }
    Ok(())
}

fn command(way: Option<&str>, words: &[&str]) -> Outcome<Command> {
    let ourselves = std::env::current_exe()?;
    let own = (words[0] == "work").then(|| ourselves.clone().into_os_string());
    let words = own.into_iter().chain(words.iter().map(Into::into));
    let mut words: Vec<std::ffi::OsString> = words.collect();
    if let Some(way) = way {
        let before = [ourselves.into(), "run".into(), way.into()];
        words.splice(0..0, before);
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    Ok(command)
}

pub(crate) fn work(kind: &str) -> Outcome<()> {
    match kind {
        "reads" => {
            let (mut zero, mut null) = (File::open("/dev/zero")?, File::create("/dev/null")?);
            let mut buffer = [0; 512];
            for _ in 0..READS {
                zero.read_exact(&mut buffer)?;
                null.write_all(black_box(&buffer))?;
            }
        }
        _ => {
            for _ in 0..OPENS {
                black_box(File::open("/dev/null")?);
            }
        }
    }
    Ok(())
}

/// As `fdwatch run` does it, but without a watch.
pub(crate) fn beside(way: &str, words: &[&str]) -> Outcome<ExitCode> {
    let mut events = Events::of_run()?;
    let config = RunConfig {
        with_stacks: way == "stacks",
        ..RunConfig::new(words.iter().map(Into::into).collect())
    };
    let mut child = Child::start(&config, &events)?;
    let never = Instant::now() + std::time::Duration::from_secs(3600);
    loop {
        match events.wait(Some(&mut child), never, &[])? {
            Event::Signal(caught) => child.forward(caught)?,
            Event::ChildChanged => {
                if let Some(code) = child.status().exit_code() {
                    return Ok(ExitCode::from(code));
                }
            }
            Event::Tick | Event::Readable(_) => {}
        }
    }
}
