//! What looking costs, beside `lsof` and `lsfd`, in one run: medians of rounds taken in turns.
//!
//! `cargo run --release -p fdwatch --example figures [DESCRIPTORS] [ROUNDS]`
//!
//! Needs both programs, and takes some minutes. Starts children of its own: one that holds
//! descriptors, as many as the hard RLIMIT_NOFILE allows, then a thousand that do nothing. All end
//! with this process.

#[path = "figures/stacks.rs"]
mod stacks;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use fdwatch::{Target, WatchConfig, Watcher, snapshot};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const PROCESSES: usize = 1000;
const TICKS_PER_ROUND: u32 = 2000;
const TICKS_MANY: u32 = 1_000_000;

fn main() -> Outcome<ExitCode> {
    // `stacks` starts this program as `fdwatch run` starts itself.
    if let Some(code) = fdwatch_cli::exec_stage() {
        return Ok(code);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["hold", count] => hold(count.parse()?)?,
        ["scan", pid] => scan(pid.parse()?)?,
        ["watch"] => watch()?,
        ["watch-changing"] => watch_changing()?,
        ["work", kind] => stacks::work(kind)?,
        ["run", way, ref command @ ..] => return stacks::beside(way, command),
        _ => {
            let number =
                |index: usize, default| words.get(index).map_or(Ok(default), |word| word.parse());
            let rounds = number(1, 7)?;
            compare(number(0, 20_000)?, rounds)?;
            stacks::compare(rounds)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(descriptors: usize, rounds: usize) -> Outcome<()> {
    let mut holder = ourselves(&["hold", &descriptors.to_string()])?;
    let pid = holder.id();
    let mut ready = String::new();
    BufReader::new(holder.stdout.take().ok_or("it has no output")?).read_line(&mut ready)?;
    if ready != "ready\n" {
        return Err("the child could not open as many as it was to".into());
    }
    let target = vec![Target::Pid(pid)];
    let mut held = Watcher::new(WatchConfig::new(target.clone()))?;
    let mut reopened = Watcher::new(WatchConfig { handles_max: 0, ..WatchConfig::new(target) })?;
    // The scans are over after these.
    for second in 0..100 {
        held.tick(Duration::from_secs(second))?;
        reopened.tick(Duration::from_secs(second))?;
    }
    let counted = held.report().processes[0].count.unwrap_or_default();
    println!("{counted} descriptors, {rounds} rounds in turns, medians");

    let pid_text = pid.to_string();
    let mut times: [Vec<Duration>; 6] = Default::default();
    for _ in 0..rounds {
        times[0].push(of_tick(&mut held)?);
        times[1].push(of_tick(&mut reopened)?);
        times[2].push(time(|| Ok(snapshot(pid).map(drop)?))?);
        let scan = || run(Command::new(std::env::current_exe()?).args(["scan", &pid_text]));
        times[3].push(time(scan)?);
        times[4].push(time(|| run(Command::new("lsfd").args(["-p", &pid_text])))?);
        times[5].push(time(|| run(Command::new("lsof").args(["-nP", "-p", &pid_text])))?);
    }
    let [tick, reopening, inside, whole, lsfd, lsof] = times.map(median);
    println!("tick, held open     {tick:>12.1?}");
    println!("tick, opened anew   {reopening:>12.1?}");
    println!("scan, in a process  {inside:>12.1?}");
    println!("scan, a program     {whole:>12.1?}");
    println!("lsfd -p             {lsfd:>12.1?}");
    println!("lsof -nP -p         {lsof:>12.1?}");
    println!("lsof / tick         {:>12.0}", lsof.as_secs_f64() / tick.as_secs_f64());
    println!("scan / lsfd         {:>12.2}", whole.as_secs_f64() / lsfd.as_secs_f64());
    let (least, most) = own_over_many_ticks(&mut held)?;
    println!("our own descriptors over {TICKS_MANY} ticks: {least} to {most}");
    end(holder)?;
    println!("{PROCESSES} processes, real: {}", watched_by_another()?);
    let output = Command::new(std::env::current_exe()?).arg("watch-changing").output()?;
    println!(
        "{PROCESSES} processes, each changing at each tick: {}",
        String::from_utf8(output.stdout)?.trim()
    );
    Ok(())
}

fn ourselves(arguments: &[&str]) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

fn end(mut child: Child) -> Outcome<()> {
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    // lsof says 1 where there was anything it could not find out.
    if status.code().is_some_and(|code| code <= 1) {
        Ok(())
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}

fn time(work: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn of_tick(watcher: &mut Watcher) -> Outcome<Duration> {
    let all = time(|| {
        for second in 0..TICKS_PER_ROUND {
            watcher.tick(Duration::from_secs(100 + u64::from(second)))?;
        }
        Ok(())
    })?;
    Ok(all / TICKS_PER_ROUND)
}

/// The fewest and the most after a tick.
fn own_over_many_ticks(watcher: &mut Watcher) -> Outcome<(u64, u64)> {
    let (mut least, mut most) = (u64::MAX, 0);
    for second in 0..TICKS_MANY {
        watcher.tick(Duration::from_secs(10_000 + u64::from(second)))?;
        let own = fdwatch::own()?;
        (least, most) = (least.min(own), most.max(own));
    }
    Ok((least, most))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Opens a mixture: half files, the rest connections, pipes and others.
fn hold(count: usize) -> Outcome<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    // A few are open already.
    let count = maximum.map_or(count, |hard| count.min((hard as usize).saturating_sub(50)));
    let folder = std::env::temp_dir().join(format!("fdwatch-figures-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let files =
        (0..count / 2).map(|index| File::create(folder.join(format!("{}.txt", index % 100))));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let connect = || {
        Ok::<_, std::io::Error>((TcpStream::connect(listener.local_addr()?)?, listener.accept()?))
    };
    let connections = (0..count / 20).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let pairs = (0..count / 20).map(|_| UnixStream::pair()).collect::<Result<Vec<_>, _>>()?;
    let pipes = (0..count / 10).map(|_| std::io::pipe()).collect::<Result<Vec<_>, _>>()?;
    let events = (0..count / 10)
        .map(|_| eventfd(0, EventfdFlags::CLOEXEC))
        .collect::<Result<Vec<_>, _>>()?;
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop((files, connections, pairs, pipes, events));
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn scan(pid: u32) -> Outcome<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for open in snapshot(pid)?.descriptors {
        writeln!(
            out,
            "{} {} {} {:?}",
            open.fd,
            open.kind.name(),
            open.target.escape_ascii(),
            open.socket
        )?;
    }
    Ok(())
}

/// Starts a thousand that do nothing, and another process of ours that watches them.
fn watched_by_another() -> Outcome<String> {
    let (read, write) = std::io::pipe()?;
    let idle = || Command::new("cat").stdin(read.try_clone()?).stdout(Stdio::null()).spawn();
    let children = (0..PROCESSES).map(|_| idle()).collect::<Result<Vec<_>, _>>()?;
    let mut watcher = ourselves(&["watch"])?;
    let mut pids = watcher.stdin.take().ok_or("it has no input")?;
    children.iter().try_for_each(|child| writeln!(pids, "{}", child.id()))?;
    drop(pids);
    let said = watcher.wait_with_output()?.stdout;
    drop((read, write));
    for mut child in children {
        child.wait()?;
    }
    Ok(String::from_utf8(said)?.trim().to_owned())
}

fn watch() -> Outcome<()> {
    let pids = std::io::stdin().lines().map(|line| Ok(Target::Pid(line?.parse()?)));
    let mut watcher = Watcher::new(WatchConfig::new(pids.collect::<Outcome<Vec<_>>>()?))?;
    let start = Instant::now();
    for second in 0..300 {
        watcher.tick(Duration::from_secs(second))?;
    }
    let tick = start.elapsed() / 300;
    say_memory(&watcher, tick)
}

/// Not real processes: a tree of files that looks like `/proc`.
fn watch_changing() -> Outcome<()> {
    let root = std::env::temp_dir().join(format!("fdwatch-figures-{}", std::process::id()));
    let folder = |pid: usize| root.join(pid.to_string()).join("fd");
    let link = |pid: usize, fd: usize, folder: &Path| {
        let targets =
            ["pipe:[1]", "anon_inode:[eventfd]", "anon_inode:inotify", "socket:[1]", "net:[1]"];
        symlink(targets[(pid + fd) % targets.len()], folder.join(fd.to_string()))
    };
    for pid in 1..=PROCESSES {
        std::fs::create_dir_all(folder(pid))?;
        let stat = format!("{pid} (fake) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 7 0 0\n");
        std::fs::write(root.join(pid.to_string()).join("stat"), stat)?;
    }
    let config =
        WatchConfig { root: root.clone(), ..WatchConfig::new(vec![Target::new("fake".as_ref())]) };
    let mut watcher = Watcher::new(config)?;
    let mut all = Duration::ZERO;
    for second in 0..300_usize {
        for pid in 1..=PROCESSES {
            // Up and down, each in its own way.
            let open_at = |second: usize| (second * pid) % 13;
            let (before, open) = (second.checked_sub(1).map_or(0, open_at), open_at(second));
            for fd in before..open {
                link(pid, fd, &folder(pid))?;
            }
            for fd in open..before {
                std::fs::remove_file(folder(pid).join(fd.to_string()))?;
            }
        }
        let start = Instant::now();
        watcher.tick(Duration::from_secs(second as u64))?;
        all += start.elapsed();
    }
    let said = say_memory(&watcher, all / 300);
    std::fs::remove_dir_all(root)?;
    said
}

fn say_memory(watcher: &Watcher, tick: Duration) -> Outcome<()> {
    let start = Instant::now();
    let report = watcher.report();
    let reported = start.elapsed();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let descriptors = fdwatch::own()?;
    let watched = report.processes.len();
    println!(
        "{watched} in the report, most resident {}, tick {tick:.1?}, report {reported:.1?}, \
         {descriptors} descriptors",
        line("VmHWM:")
    );
    Ok(())
}
