//! Leaks in trees that look like `/proc`.

use super::tests::{PIPES, config, report_of, tick};
use super::*;
use crate::proc::fixture::{FakeProcess, Fixture};
use crate::{ProcessReport, Verdict};

fn leaking_groups(process: &ProcessReport) -> Vec<String> {
    let leaking = process.groups.iter().filter(|group| group.trend.is_leak);
    leaking.map(|group| String::from_utf8_lossy(&group.pattern).into_owned()).collect()
}

#[test]
fn what_was_opened_and_closed_is_the_evidence() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { targets: &PIPES[..9], ..Default::default() });
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    tick(&mut watcher, 0, 3);
    for second in 3..33 {
        fixture.link(100, second + 10, &[b"anon_inode:[eventfd]"]);
        tick(&mut watcher, second as u64, 1);
    }
    // Of those that were open before.
    std::fs::remove_file(fixture.of(100).join("fd/4")).unwrap();
    tick(&mut watcher, 33, 1);
    let process = report_of(&watcher, 100);
    let evidence = process.evidence.unwrap();
    assert_eq!((evidence.opened, evidence.closed, evidence.over), (30, 1, Duration::from_secs(31)));
    assert!(matches!(process.verdict, Verdict::Leaking { .. }), "{:?}", process.verdict);
    assert_eq!(leaking_groups(&process), ["eventfd"]);
    let group = process.groups[0].evidence.unwrap();
    assert_eq!((group.opened, group.closed), (30, 0));
}

/// The number stays the same: others are closed as fast as these are opened.
#[test]
fn a_leaking_group_makes_a_leaking_process() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { targets: &PIPES[..60], ..Default::default() });
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    tick(&mut watcher, 0, 3);
    for second in 3..43 {
        // The count must change to be looked at: one more at one tick, one less at the next.
        fixture.link(100, second + 100, &[b"anon_inode:[eventfd]"]);
        watcher.tick(Duration::from_secs(second as u64)).unwrap();
        std::fs::remove_file(fixture.of(100).join(format!("fd/{second}"))).unwrap();
        watcher.tick(Duration::from_millis(second as u64 * 1000 + 500)).unwrap();
    }
    let process = report_of(&watcher, 100);
    assert_eq!(process.count, Some(60));
    assert!(matches!(process.verdict, Verdict::Leaking { .. }), "{:?}", process.verdict);
    assert_eq!(leaking_groups(&process), ["eventfd"]);
}

#[test]
fn a_verdict_is_counted_down_to() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess::default());
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    for (second, left) in [(0, Some(27)), (10, Some(17)), (26, Some(1)), (27, None), (100, None)] {
        tick(&mut watcher, second, 1);
        let process = report_of(&watcher, 100);
        assert_eq!(process.decided_in, left.map(Duration::from_secs), "{second}");
        assert_eq!(process.verdict == Verdict::Warming, left.is_some(), "{second}");
    }
}

#[test]
fn one_child_of_three_leaks() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { targets: &PIPES[..3], ..Default::default() });
    for pid in 101..104 {
        fixture.put(&FakeProcess { pid, parent: 100, targets: &PIPES[..5], ..Default::default() });
    }
    let mut watcher =
        Watcher::new(WatchConfig { tree: true, ..config(&fixture, &["100"]) }).unwrap();
    for second in 0..30 {
        fixture.link(102, second + 10, &[b"pipe:[1]"]);
        tick(&mut watcher, second as u64, 1);
    }
    let report = watcher.report();
    assert!(matches!(report.verdict, Verdict::Leaking { .. }), "{:?}", report.verdict);
    assert_eq!((report.processes[0].key.pid, report.processes[1].verdict), (102, Verdict::Steady));
}

/// Each is gone before it alone shows anything.
#[test]
fn workers_that_are_replaced_leak_together() {
    for leaks in [true, false] {
        let fixture = Fixture::new();
        fixture.put(&FakeProcess { comm: b"master", ..Default::default() });
        let mut watcher =
            Watcher::new(WatchConfig { tree: true, ..config(&fixture, &["100"]) }).unwrap();
        for second in 0..90_usize {
            let (pid, age) = (200 + second as u32 / 15, second % 15);
            if age == 0 {
                let worker = FakeProcess {
                    pid,
                    parent: 100,
                    comm: b"worker",
                    targets: &PIPES[..4],
                    ..Default::default()
                };
                fixture.put(&worker);
                if second > 0 {
                    fixture.remove(pid - 1);
                }
            }
            // What all of them open when they begin is no leak.
            if leaks || age < 2 {
                fixture.link(pid, age + 10, &[b"anon_inode:[eventfd]"]);
            }
            tick(&mut watcher, second as u64, 1);
        }
        let report = watcher.report();
        assert_eq!(
            matches!(report.verdict, Verdict::Leaking { .. }),
            leaks,
            "{:?}",
            report.verdict
        );
        let names: Vec<_> = report.lineages.iter().map(|lineage| &lineage.name[..]).collect();
        assert_eq!(names, if leaks { vec![b"worker"] } else { vec![] });
    }
}

#[test]
fn a_generation_that_inherits_one_more_than_the_one_before_leaks() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { comm: b"master", ..Default::default() });
    let mut watcher =
        Watcher::new(WatchConfig { tree: true, ..config(&fixture, &["100"]) }).unwrap();
    let mut called = None;
    for generation in 0..60_usize {
        let pid = 200 + generation as u32;
        let targets: Vec<&[u8]> = vec![b"pipe:[1]"; 4 + generation];
        fixture.put(&FakeProcess {
            pid,
            parent: 100,
            comm: b"worker",
            targets: &targets,
            ..Default::default()
        });
        if generation > 0 {
            fixture.remove(pid - 1);
        }
        tick(&mut watcher, generation as u64 * 20, 20);
        if matches!(watcher.report().verdict, Verdict::Leaking { .. }) {
            called = called.or(Some(generation));
        } else {
            assert_eq!(called, None, "it is not called any more");
        }
    }
    assert!(called.is_some_and(|generation| generation <= 60), "{called:?}");
}

#[test]
fn the_living_come_before_the_dead() {
    let fixture = Fixture::new();
    for pid in [100, 200] {
        fixture.put(&FakeProcess { pid, targets: &PIPES[..3], ..Default::default() });
    }
    let mut watcher = Watcher::new(config(&fixture, &["100", "200"])).unwrap();
    for second in 0..30 {
        fixture.link(200, second + 10, &[b"pipe:[1]"]);
        tick(&mut watcher, second as u64, 1);
    }
    assert_eq!(watcher.report().processes[0].key.pid, 200);
    fixture.remove(200);
    tick(&mut watcher, 30, 1);
    let report = watcher.report();
    assert!(report.processes[1].has_ended && !report.processes[0].has_ended);
    assert!(
        matches!(report.processes[1].verdict, Verdict::Leaking { .. }),
        "it was one until it ended"
    );
    assert!(matches!(report.verdict, Verdict::Leaking { .. }));
}

#[test]
fn children_that_are_not_looked_for_are_unknown() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess::default());
    let mut alone = Watcher::new(config(&fixture, &["100"])).unwrap();
    let mut tree = Watcher::new(WatchConfig { tree: true, ..config(&fixture, &["100"]) }).unwrap();
    tick(&mut alone, 0, 1);
    tick(&mut tree, 0, 1);
    assert_eq!([alone, tree].map(|watcher| watcher.report().children.are_counted), [false, true]);
}

#[test]
fn what_is_open_in_a_full_process_is_known_after_one_tick() {
    let fixture = Fixture::new();
    let targets: Vec<&[u8]> = vec![b"pipe:[1]"; 5000];
    fixture.put(&FakeProcess { targets: &targets, ..Default::default() });
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    tick(&mut watcher, 0, 1);
    assert_eq!(report_of(&watcher, 100).groups[0].count, 5000);
}

#[test]
fn a_command_that_has_ended_is_judged_by_what_there_is() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess { targets: &PIPES[..3], ..Default::default() });
    let mut watcher =
        Watcher::new(WatchConfig { warm_up: Duration::from_secs(1), ..config(&fixture, &["100"]) })
            .unwrap();
    for tick in 0..50_usize {
        if tick % 2 == 0 {
            fixture.link(100, tick + 10, &[b"anon_inode:[eventfd]"]);
        }
        watcher.tick(Duration::from_millis(tick as u64 * 100)).unwrap();
    }
    let mut report = watcher.report();
    assert_eq!(report.verdict, Verdict::Warming);
    fixture.remove(100);
    watcher.tick(Duration::from_secs(5)).unwrap();
    watcher.conclude(&mut report);
    let Verdict::Leaking { per_second, .. } = report.verdict else { panic!("{report:?}") };
    assert!((4.5..5.5).contains(&per_second), "{per_second}");
    assert_eq!(leaking_groups(&report.processes[0]), ["eventfd"]);
}

/// With permits for nothing, there are only counts.
#[test]
fn without_permits_a_perfect_line_is_called_by_its_counts() {
    let fixture = Fixture::new();
    fixture.put(&FakeProcess::default());
    let mut watcher = Watcher::new(config(&fixture, &["100"])).unwrap();
    (watcher.permits.entries, watcher.permits.growths) = (0, 0);
    for second in 0..80_usize {
        if second % 2 == 0 {
            fixture.link(100, second, &[b"pipe:[1]"]);
        }
        tick(&mut watcher, second as u64, 1);
    }
    let process = report_of(&watcher, 100);
    assert!(process.evidence.is_none());
    assert!(matches!(process.verdict, Verdict::Leaking { .. }), "{:?}", process.verdict);
}

#[test]
fn permits_of_descriptors_are_given_back() {
    let fixture = Fixture::new();
    let mut watcher = Watcher::new(config(&fixture, &["fake"])).unwrap();
    let all = (watcher.permits.entries, watcher.permits.growths);
    for pid in [1, 2] {
        fixture.put(&FakeProcess { pid, targets: &PIPES[..5], ..Default::default() });
    }
    tick(&mut watcher, 0, 1);
    for second in 1..20 {
        fixture.link(1, second + 10, &[b"pipe:[1]"]);
        tick(&mut watcher, second as u64, 1);
    }
    assert!(watcher.permits.entries < all.0 && watcher.permits.growths < all.1);
    fixture.remove(1);
    fixture.remove(2);
    tick(&mut watcher, 20, 1);
    // One is of the name, of which there may be others yet.
    assert_eq!((watcher.permits.entries, watcher.permits.growths), (all.0, all.1 - 1));
}
