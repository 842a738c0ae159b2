//! A watch under `ulimit -n 12`. The only test of its process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use std::os::fd::AsRawFd;
use std::time::Duration;

use common::Running;
use fdwatch::{Target, WatchConfig, Watcher, own, own_kinds};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const TICKS: u64 = 2000;

#[test]
fn a_watch_needs_few_descriptors_and_keeps_to_them() {
    // The other ends of their standard inputs are ours.
    let children: Vec<_> = (0..4).map(|_| Running::idle()).collect();
    let pids = || children.iter().map(|child| Target::Pid(child.pid()));
    let targets: Vec<Target> = pids().chain([Target::new("cat".as_ref())]).collect();

    // With room to spare they are held, and always as many.
    let used = own().unwrap();
    let mut watcher = Watcher::new(WatchConfig::new(targets.clone())).unwrap();
    let alive = watcher.tick(Duration::ZERO).unwrap().alive;
    let held = watcher.own_descriptors() as u64;
    assert!(alive >= 4 && held == 1 + alive.min(16) as u64, "{alive} {held}");
    for second in 1..TICKS {
        watcher.tick(Duration::from_secs(second)).unwrap();
        assert_eq!(own().unwrap(), used + watcher.own_descriptors() as u64);
    }
    drop(watcher);
    assert_eq!(own().unwrap(), used);
    let kinds = own_kinds(usize::MAX).unwrap();
    assert_eq!(kinds.iter().map(|(_, count)| count).sum::<u64>(), used, "{kinds:?}");
    assert!(kinds.is_sorted_by(|one, other| one.1 >= other.1), "{kinds:?}");

    // Room for what we have and for what a look at a process takes, and none is held.
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(12), ..limits }).unwrap();
    let taken = first_free();
    if taken > 12 - 4 {
        common::skipped(&format!("a watch under ulimit -n 12: {taken} descriptors were inherited"));
        return;
    }
    let config = WatchConfig { tree: true, ..WatchConfig::new(targets) };
    let mut watcher = Watcher::new(config).unwrap();
    for second in 0..TICKS / 10 {
        assert!(watcher.tick(Duration::from_secs(second)).unwrap().alive >= 4);
        assert_eq!((watcher.own_descriptors(), own().unwrap()), (1, used + 1));
    }
    let report = watcher.report();
    for child in &children {
        let process =
            report.processes.iter().find(|process| process.key.pid == child.pid()).unwrap();
        assert_eq!(process.count.unwrap(), child.descriptors());
        assert!(!process.kinds.is_empty() && !process.groups.is_empty());
    }
}

/// The limit is on numbers.
fn first_free() -> i32 {
    std::fs::File::open("/dev/null").unwrap().as_raw_fd()
}
