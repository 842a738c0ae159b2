//! Watches a process for ten seconds: `cargo run -p fdwatch --example watch -- PID`. Without a PID
//! it watches itself while it leaks a descriptor every tenth of a second.

use std::fs::File;
use std::time::{Duration, Instant};

use fdwatch::{Error, Target, WatchConfig, Watcher};

const INTERVAL: Duration = Duration::from_millis(100);
const TICKS: usize = 100;

fn main() -> Result<(), Error> {
    let pid = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let config = WatchConfig {
        interval: INTERVAL,
        ..WatchConfig::new(vec![Target::Pid(pid.unwrap_or_else(std::process::id))])
    };
    let mut watcher = Watcher::new(config)?;
    let mut leaked = Vec::new();
    let started = Instant::now();
    for _ in 0..TICKS {
        watcher.tick(started.elapsed())?;
        if pid.is_none() {
            leaked.extend(File::open("/dev/null"));
        }
        std::thread::sleep(INTERVAL);
    }
    let report = watcher.report();
    let process = &report.processes[0];
    println!("{:?} open: {:?}", process.count, process.verdict);
    for group in &process.groups {
        println!("{:>6}  {}", group.count, group.pattern.escape_ascii());
    }
    Ok(())
}
