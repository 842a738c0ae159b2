//! Watches of trees that look like `/proc`.

use super::*;
use crate::proc::fixture::{FakeProcess, Fixture};
use crate::{Kind, ProcessReport, Verdict};

pub(super) const PIPES: [&[u8]; 100] = [b"pipe:[1]"; 100];

pub(super) fn config(fixture: &Fixture, targets: &[&str]) -> WatchConfig {
    let targets = targets.iter().map(|target| Target::new(target.as_ref())).collect();
    let root = fixture.path().to_owned();
    WatchConfig { root, warm_up: Duration::from_secs(2), ..WatchConfig::new(targets) }
}

/// Ticks at the whole seconds from `from` on.
pub(super) fn tick(watcher: &mut Watcher, from: u64, ticks: u64) -> Tick {
    let mut last = Tick::default();
    for second in from..from + ticks {
        last = watcher.tick(Duration::from_secs(second)).unwrap();
    }
    last
}

pub(super) fn report_of(watcher: &Watcher, pid: u32) -> ProcessReport {
    let report = watcher.report();
    report.processes.into_iter().find(|process| process.key.pid == pid).unwrap()
}

fn pids(watcher: &Watcher) -> Vec<u32> {
    let mut pids: Vec<u32> =
        watcher.report().processes.iter().map(|process| process.key.pid).collect();
    pids.sort_unstable();
    pids
}

#[test]
fn a_reused_pid_is_gone_held_or_not() {
    for handles_max in [0, 16] {
        let fixture = Fixture::new();
        fixture.put(&FakeProcess { targets: &[b"pipe:[1]"], ..Default::default() });
        let mut watcher =
            Watcher::new(WatchConfig { handles_max, ..config(&fixture, &["100"]) }).unwrap();
        assert_eq!(tick(&mut watcher, 0, 3), Tick { alive: 1, ..Tick::default() });
        assert_eq!(watcher.own_descriptors(), 1 + handles_max.min(1));
        let targets: [&[u8]; 3] = [b"pipe:[1]"; 3];
        fixture.put(&FakeProcess { start_ticks: 6000, targets: &targets, ..Default::default() });
        assert_eq!(tick(&mut watcher, 3, 1), Tick { targets_gone: 1, ..Tick::default() });
        let gone = report_of(&watcher, 100);
        assert_eq!((gone.verdict, gone.high_water, gone.count), (Verdict::Gone, 1, Some(0)));
        assert_eq!(watcher.report().verdict, Verdict::Gone);
        assert_eq!(watcher.own_descriptors(), 1);
    }
}

#[test]
fn a_pid_without_a_process_is_an_error_at_once() {
    let fixture = Fixture::new();
    let watcher = Watcher::new(config(&fixture, &["100"]));
    assert!(matches!(watcher, Err(Error::Gone { pid: 100 })));
    let root = fixture.path().join("none");
    let watcher = Watcher::new(WatchConfig { root, ..config(&fixture, &["x"]) });
    assert!(matches!(watcher, Err(Error::Read { .. })));
}

#[test]
fn kinds_and_groups_follow_the_count() {
    let fixture = Fixture::new();
    let targets: [&[u8]; 3] = [b"pipe:[1]", b"anon_inode:[eventfd]", b"socket:[1]"];
    fixture.put(&FakeProcess { targets: &targets, ..Default::default() });
    fixture.write(100, "limits", b"Max open files            64                 64    files\n");
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    tick(&mut watcher, 0, 5);
    for second in 5..10 {
        fixture.link(100, second, &[b"anon_inode:[eventfd]"]);
        tick(&mut watcher, second as u64, 1);
    }
    let report = report_of(&watcher, 100);
    assert_eq!((report.count, report.high_water, report.limit), (Some(8), 8, Some(64)));
    assert_eq!(report.name, b"fake");
    let kinds: Vec<_> = report.kinds.iter().map(|kind| (kind.kind, kind.count)).collect();
    assert_eq!(kinds, [(Kind::EventFd, 6), (Kind::Pipe, 1), (Kind::Socket, 1)]);
    assert!(report.kinds[0].series.len() >= 5 && report.kinds[1].series.is_empty());
    let groups: Vec<_> = report
        .groups
        .iter()
        .map(|group| (&group.pattern[..], group.growth, group.grew_at_ms))
        .collect();
    assert_eq!(groups, [(&b"eventfd"[..], 5, 9000), (b"pipe", 0, 0), (b"socket", 0, 0)]);
    assert!(!report.is_scan_cut);
}

#[test]
fn what_was_opened_before_the_end_of_warm_up_is_no_growth() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess::default());
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    for second in 0..6 {
        fixture.link(100, second, &[b"pipe:[1]"]);
        tick(&mut watcher, second as u64, 1);
    }
    // At two seconds there were three.
    assert_eq!(report_of(&watcher, 100).groups[0].growth, 3);
}

#[test]
fn a_scan_takes_as_many_ticks_as_it_needs() {
    let fixture = Fixture::new();
    let targets: [&[u8]; 10] = [b"pipe:[1]"; 10];
    for pid in [100, 200] {
        fixture.put(&FakeProcess { pid, targets: &targets, ..Default::default() });
    }
    let config =
        WatchConfig { scan_fds_max: 4, first_scan_fds_max: 4, ..config(&fixture, &["100", "200"]) };
    let mut watcher = Watcher::new(config).unwrap();
    let scanned = |watcher: &Watcher| {
        [100, 200].map(|pid| report_of(watcher, pid).kinds.first().map(|kind| kind.count))
    };
    for (second, expected) in
        [[None, None], [None, None], [Some(10), None], [Some(10), None], [Some(10), Some(10)]]
            .into_iter()
            .enumerate()
    {
        tick(&mut watcher, second as u64, 1);
        assert_eq!(scanned(&watcher), expected, "{second}");
    }
    // One that changes all the time does not keep the other from its turn.
    fixture.link(200, 10, &[b"pipe:[1]"]);
    for second in 5..14 {
        fixture.link(100, second + 5, &[b"pipe:[1]"]);
        tick(&mut watcher, second as u64, 1);
    }
    assert_eq!(scanned(&watcher)[1], Some(11));
}

#[test]
fn processes_with_the_name_come_and_go() {
    let fixture = Fixture::new();
    let mut watcher = Watcher::new(config(&fixture, &["fake"])).unwrap();
    assert_eq!(tick(&mut watcher, 0, 1), Tick::default());
    assert_eq!(watcher.report().verdict, Verdict::Warming);
    fixture.put(&FakeProcess { pid: 7, ..Default::default() });
    fixture.put(&FakeProcess { pid: 8, parent: 7, comm: b"other", ..Default::default() });
    assert_eq!(tick(&mut watcher, 1, 1).alive, 1);
    fixture.put(&FakeProcess { pid: 9, ..Default::default() });
    assert_eq!(tick(&mut watcher, 2, 1).alive, 2);
    assert_eq!(watcher.report().children.count, 1);
    fixture.remove(7);
    assert_eq!(tick(&mut watcher, 3, 1), Tick { alive: 1, ..Tick::default() });
    assert_eq!(pids(&watcher), [7, 9]);
    // That process was not asked for by its pid.
    assert_ne!(watcher.report().verdict, Verdict::Gone);
    fixture.remove(9);
    tick(&mut watcher, 4, 1);
    assert_eq!(watcher.report().verdict, Verdict::Gone);
}

#[test]
fn a_tree_keeps_those_who_lose_their_parents() {
    let fixture = Fixture::new();
    let put =
        |pid, parent, state| fixture.put(&FakeProcess { pid, parent, state, ..Default::default() });
    put(100, 1, b'S');
    put(101, 100, b'S');
    put(102, 101, b'S');
    put(103, 100, b'Z');
    put(200, 1, b'S');
    let mut watcher =
        Watcher::new(WatchConfig { tree: true, ..config(&fixture, &["100"]) }).unwrap();
    assert_eq!(tick(&mut watcher, 0, 1).alive, 3);
    let children = watcher.report().children;
    assert_eq!((children.count, children.zombies), (3, 1));
    fixture.remove(101);
    let orphan = FakeProcess { pid: 102, parent: 1, ..Default::default() };
    fixture.write(102, "stat", &orphan.stat());
    put(104, 102, b'S');
    assert_eq!(tick(&mut watcher, 1, 1).alive, 3);
    assert_eq!(pids(&watcher), [100, 101, 102, 104]);
    assert_eq!(watcher.report().children.count, 3);
}

#[test]
fn more_processes_than_allowed_are_counted_only() {
    let fixture = Fixture::new();
    for pid in 1..=10 {
        fixture.put(&FakeProcess { pid, ..Default::default() });
    }
    let mut watcher =
        Watcher::new(WatchConfig { processes_max: 4, ..config(&fixture, &["fake"]) }).unwrap();
    assert_eq!(tick(&mut watcher, 0, 2).alive, 4);
    assert_eq!(watcher.report().processes_left_out, 6);
    fixture.remove(1);
    // The place is free from the next tick on.
    assert_eq!(tick(&mut watcher, 2, 2).alive, 4);
    assert_eq!(watcher.report().processes_left_out, 5);
}

#[test]
fn those_that_are_gone_are_few_and_the_named_ones_stay() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { pid: 1, ..Default::default() });
    let mut watcher = Watcher::new(config(&fixture, &["1", "fake"])).unwrap();
    tick(&mut watcher, 0, 1);
    fixture.remove(1);
    for pid in 2..100 {
        fixture.put(&FakeProcess { pid, ..Default::default() });
        tick(&mut watcher, u64::from(pid), 1);
        fixture.remove(pid);
    }
    assert_eq!(tick(&mut watcher, 100, 1), Tick { targets_gone: 1, ..Tick::default() });
    let left = pids(&watcher);
    assert_eq!(left.len(), GONE_MAX);
    assert_eq!((left[0], left[GONE_MAX - 1]), (1, 99));
}

#[test]
fn a_leak_ends_as_a_leak() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess::default());
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    for second in 0..80 {
        fixture.link(100, second, &[b"pipe:[1]"]);
        tick(&mut watcher, second as u64, 1);
    }
    let is_rate = |per_second| (0.9..1.1).contains(&per_second);
    let leaks = |verdict| match verdict {
        Verdict::Leaking { per_second, .. } => is_rate(per_second),
        _ => false,
    };
    assert!(leaks(watcher.report().verdict), "{:?}", watcher.report().verdict);
    assert!(report_of(&watcher, 100).groups[0].trend.is_leak);
    fixture.remove(100);
    tick(&mut watcher, 80, 1);
    assert!(leaks(watcher.report().verdict), "{:?}", watcher.report().verdict);
}

#[test]
fn children_that_are_left_over_are_a_leak() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { pid: 1, parent: 0, ..Default::default() });
    let mut watcher = Watcher::new(WatchConfig { tree: true, ..config(&fixture, &["1"]) }).unwrap();
    for second in 0..80 {
        fixture.put(&FakeProcess { pid: 2 + second, parent: 1, state: b'Z', ..Default::default() });
        tick(&mut watcher, u64::from(second), 1);
    }
    let report = watcher.report();
    assert_eq!((report.children.count, report.children.zombies), (80, 80));
    assert!(matches!(report.verdict, Verdict::Leaking { .. }), "{:?}", report.verdict);
}

#[test]
fn series_of_groups_are_bounded_and_given_back() {
    let fixture = Fixture::new();
    let mut watcher = Watcher::new(config(&fixture, &["fake"])).unwrap();
    watcher.permits.series = 3;
    for pid in [1, 2] {
        fixture.put(&FakeProcess { pid, ..Default::default() });
    }
    for second in 0..3 {
        for pid in [1, 2] {
            fixture.link(pid, 2 * second, &[b"pipe:[1]", b"anon_inode:[eventfd]"]);
        }
        tick(&mut watcher, second as u64, 1);
    }
    assert_eq!(watcher.permits.series, 0);
    fixture.remove(1);
    fixture.remove(2);
    tick(&mut watcher, 4, 1);
    assert_eq!(watcher.permits.series, 3);
}
