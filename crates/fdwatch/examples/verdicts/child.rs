//! The processes that are watched: this program, started again.

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Outcome;
use crate::simulation::Seed;
use crate::simulation::descriptors::Life;
use crate::simulation::scenarios::{leaks, leaks_of_lone_files, short_leaks, steady};

/// A generation of those that inherit.
const GENERATION: Duration = Duration::from_secs(2);
/// A worker that is replaced.
const WORKER_S: f64 = 20.0;

pub(crate) fn run(what: &[&str]) -> Outcome<()> {
    // It ends with its parent, however that ends.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    match what {
        ["lives", name, per_second, seed, seconds] => {
            let (per_second, seed, seconds): (f64, u64, f64) =
                (per_second.parse()?, seed.parse()?, seconds.parse()?);
            let mut all = leaks()
                .into_iter()
                .chain(leaks_of_lone_files())
                .chain(short_leaks())
                .chain(steady());
            let scenario = all.find(|scenario| scenario.name == *name).ok_or("no such scenario")?;
            let lives = (scenario.lives)(&mut Seed::new(seed), per_second, seconds);
            replay(&lives, seed, seconds)
        }
        ["close-wait", per_second] => close_wait(per_second.parse()?),
        ["three", per_second] => {
            let mut children = (0..3)
                .map(|index| {
                    again(&[
                        "lives",
                        "exact",
                        if index == 1 { per_second } else { "0.001" },
                        "1",
                        "300",
                    ])
                })
                .collect::<Outcome<Vec<_>>>()?;
            ready()?;
            Ok(children[0].wait().map(drop)?)
        }
        ["recycled", per_second] => {
            ready()?;
            loop {
                again(&["lives", "exact", per_second, "1", &WORKER_S.to_string()])?.wait()?;
            }
        }
        ["inheriting"] => {
            ready()?;
            for number in 1.. {
                again(&["generation", &number.to_string()])?.wait()?;
            }
            Ok(())
        }
        ["generation", number] => {
            let inherited = (0..number.parse()?).map(|_| File::open("/dev/null"));
            let inherited = inherited.collect::<Result<Vec<_>, _>>()?;
            std::thread::sleep(GENERATION);
            drop(inherited);
            Ok(())
        }
        _ => Err("no such child".into()),
    }
}

fn again(what: &[&str]) -> Outcome<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.arg("child").args(what).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
}

/// Says so, and waits for the watch to begin.
fn ready() -> Outcome<()> {
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Opens and closes as the lives say, in real time.
fn replay(lives: &[Life], seed: u64, seconds: f64) -> Outcome<()> {
    // Of the one that has started us, which removes it.
    let folder = std::env::temp_dir().join(std::process::id().to_string());
    std::fs::create_dir_all(&folder)?;
    let mut events: Vec<(f64, bool, usize)> = Vec::new();
    for (index, life) in lives.iter().enumerate() {
        events.push((life.opened_s, true, index));
        events.push((life.closed_s, false, index));
    }
    events.retain(|(at_s, _, _)| *at_s <= seconds);
    events.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut open: Vec<Option<OwnedFd>> = lives.iter().map(|_| None).collect();
    let (mut start, mut is_ready) = (Instant::now(), false);
    for (at_s, is_open, index) in events {
        if at_s > 0.0 && !std::mem::replace(&mut is_ready, true) {
            ready()?;
            start = Instant::now();
        }
        let at = start + Duration::from_secs_f64(at_s.max(0.0));
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        open[index] = if is_open { Some(descriptor(lives[index], seed, &folder)?) } else { None };
    }
    if !is_ready {
        ready()?;
        start = Instant::now();
    }
    std::thread::sleep(
        (start + Duration::from_secs_f64(seconds)).saturating_duration_since(Instant::now()),
    );
    Ok(())
}

/// Of a kind that the seed chooses.
fn descriptor(life: Life, seed: u64, folder: &std::path::Path) -> Outcome<OwnedFd> {
    if let Some(file) = life.file {
        return Ok(File::create(folder.join(format!("{file}.txt")))?.into());
    }
    Ok(match seed % 5 {
        0 => File::open(std::env::current_exe()?)?.into(),
        1 => std::io::pipe()?.0.into(),
        2 => UnixDatagram::unbound()?.into(),
        3 => eventfd(0, EventfdFlags::CLOEXEC)?,
        _ => TcpListener::bind("127.0.0.1:0")?.into(),
    })
}

/// Keeps what others have hung up.
fn close_wait(per_second: f64) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut kept = Vec::new();
    ready()?;
    loop {
        drop(TcpStream::connect(listener.local_addr()?)?);
        kept.push(listener.accept()?.0);
        std::thread::sleep(Duration::from_secs_f64(1.0 / per_second));
    }
}
