//! Real processes, watched as the command watches them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fdwatch::{Report, Target, Verdict, WatchConfig, Watcher};

use crate::simulation::Seed;
use crate::simulation::descriptors::Said;
use crate::simulation::scenarios::{Scenario, leaks, leaks_of_lone_files, short_leaks, steady};
use crate::{Outcome, table};

const SECONDS: f64 = 130.0;
const SHORT_SECONDS: f64 = 8.0;
const SEEDS: u64 = 3;

/// One watch of one process, and of what is below it.
struct Watched {
    name: String,
    per_second: f64,
    /// It is judged when it ends, after so many seconds.
    short_s: Option<f64>,
    child: Child,
    watcher: Watcher,
    said: Said,
    was_called: bool,
    began: Instant,
    next: Instant,
    /// When each was leaked.
    leaked_s: Vec<f64>,
    newest: Option<Report>,
    is_over: bool,
}

pub(crate) fn run() -> Outcome<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    let outcome = run_all();
    std::fs::remove_dir_all(&folder)?;
    outcome
}

/// For the files of all children.
fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("fdwatch-verdicts-{}", std::process::id()))
}

fn run_all() -> Outcome<()> {
    let mut all = Vec::new();
    let of_rate = |scenario: &Scenario| (0.5..=5.0).contains(&scenario.per_second);
    for scenario in leaks().into_iter().chain(leaks_of_lone_files()).filter(of_rate) {
        let seeds = if scenario.name.starts_with("15,000") { 1 } else { SEEDS };
        for seed in 0..seeds {
            all.push(Watched::of_lives(&scenario, seed, SECONDS + 10.0)?);
        }
    }
    for scenario in steady() {
        for seed in 0..2 * SEEDS {
            all.push(Watched::of_lives(&scenario, seed, SECONDS + 10.0)?);
        }
    }
    for per_second in [1.0, 2.0, 5.0] {
        let rate = per_second.to_string();
        all.push(Watched::start("CLOSE_WAIT", per_second, None, &["close-wait", &rate])?);
        all.push(Watched::start("in one child of three", per_second, None, &["three", &rate])?);
        all.push(Watched::start(
            "workers recycled every 20 s",
            per_second,
            None,
            &["recycled", &rate],
        )?);
    }
    all.push(Watched::start("each generation inherits one more", 0.5, None, &["inheriting"])?);
    watch(&mut all, SECONDS)?;
    let mut short = Vec::new();
    for scenario in short_leaks() {
        for seed in 0..SEEDS {
            short.push(Watched::of_lives(&scenario, seed, scenario.watch.seconds)?);
        }
    }
    watch(&mut short, SHORT_SECONDS)?;
    all.extend(short);
    table::write_head("real processes");
    let mut rows: Vec<(String, f64, bool, Vec<Said>)> = Vec::new();
    let mut places = BTreeMap::new();
    for mut watched in all {
        watched.child.kill()?;
        watched.child.wait()?;
        let key = (watched.name.clone(), watched.per_second.to_bits());
        let place = *places.entry(key).or_insert(rows.len());
        if place == rows.len() {
            rows.push((watched.name, watched.per_second, watched.short_s.is_some(), Vec::new()));
        }
        rows[place].3.push(watched.said);
    }
    for (name, per_second, is_short, said) in &rows {
        table::write_row(name, *per_second, *is_short, said);
    }
    Ok(())
}

/// All at once.
fn watch(all: &mut [Watched], seconds: f64) -> Outcome<()> {
    for watched in &mut *all {
        watched.watcher.tick(Duration::ZERO)?;
    }
    for watched in &mut *all {
        watched.begin()?;
    }
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        for watched in &mut *all {
            watched.tick_if_due()?;
        }
        let next = all.iter().filter(|watched| !watched.is_over).map(|watched| watched.next).min();
        std::thread::sleep(next.unwrap_or(end).saturating_duration_since(Instant::now()));
    }
    Ok(())
}

impl Watched {
    fn of_lives(scenario: &Scenario, seed: u64, seconds: f64) -> Outcome<Self> {
        let (rate, number, length) =
            (scenario.per_second.to_string(), seed.to_string(), seconds.to_string());
        let what = ["lives", scenario.name, &rate, &number, &length];
        let is_short = seconds < 10.0;
        let mut watched =
            Self::start(scenario.name, scenario.per_second, is_short.then_some(seconds), &what)?;
        let lives = (scenario.lives)(&mut Seed::new(seed), scenario.per_second, seconds);
        let leaked = lives.iter().filter(|life| life.opened_s > 0.0 && life.closed_s.is_infinite());
        watched.leaked_s = leaked.map(|life| life.opened_s).collect();
        watched.leaked_s.sort_by(f64::total_cmp);
        Ok(watched)
    }

    fn start(name: &str, per_second: f64, short_s: Option<f64>, what: &[&str]) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("child")
            .args(what)
            .env("TMPDIR", folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("it has no output")?).read_line(&mut line)?;
        if line != "ready\n" {
            return Err(format!("{name} did not begin").into());
        }
        let warm_up = Duration::from_secs(if short_s.is_some() { 1 } else { 5 });
        // A tree is looked for among all processes at every tick.
        let tree = ["three", "recycled", "inheriting"].contains(&what[0]);
        let config =
            WatchConfig { tree, warm_up, ..WatchConfig::new(vec![Target::Pid(child.id())]) };
        let (watcher, now) = (Watcher::new(config)?, Instant::now());
        Ok(Self {
            name: name.to_owned(),
            per_second,
            short_s,
            child,
            watcher,
            said: Said::default(),
            was_called: false,
            began: now,
            next: now,
            leaked_s: (1..10_000).map(|index| f64::from(index) / per_second).collect(),
            newest: None,
            is_over: false,
        })
    }

    /// Lets the child begin.
    fn begin(&mut self) -> Outcome<()> {
        self.child.stdin.as_mut().ok_or("it has no input")?.write_all(b"go\n")?;
        (self.began, self.next) = (Instant::now(), Instant::now());
        Ok(())
    }

    fn tick_if_due(&mut self) -> Outcome<()> {
        let now = Instant::now();
        if self.is_over || now < self.next {
            return Ok(());
        }
        let elapsed = now - self.began;
        let interval_ms = match (elapsed.as_secs(), self.short_s) {
            (_, Some(_)) => 100,
            (0..10, _) => 200,
            (10..60, _) => 500,
            _ => 1_000,
        };
        self.next = now + Duration::from_millis(interval_ms);
        let tick = self.watcher.tick(elapsed)?;
        let has_ended = tick.targets_gone > 0
            || self.short_s.is_some_and(|short_s| elapsed.as_secs_f64() > short_s);
        if has_ended {
            self.is_over = true;
            if let Some(mut report) = self.newest.take() {
                self.watcher.conclude(&mut report);
                self.said.would_be_at_end = is_leak(&report);
            }
            return Ok(());
        }
        let report = self.watcher.report();
        let is_called = is_leak(&report);
        let elapsed_s = elapsed.as_secs_f64();
        let leaked = self.leaked_s.partition_point(|leaked_s| *leaked_s <= elapsed_s);
        self.said.note(
            is_called,
            std::mem::replace(&mut self.was_called, is_called),
            elapsed_s,
            leaked,
        );
        self.newest = Some(report);
        Ok(())
    }
}

fn is_leak(report: &Report) -> bool {
    matches!(report.verdict, Verdict::Leaking { .. })
}
