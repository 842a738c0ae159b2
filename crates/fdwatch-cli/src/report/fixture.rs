//! A small report with nasty names, made by hand, that all pictures are tested with.

use std::time::Duration;

use fdwatch::{
    Bound, Ceiling, Children, Evidence, GroupReport, Kind, KindReport, LineageReport, Point,
    ProcessKey, ProcessReport, Report, StackCount, Trend, Verdict,
};

/// A server that leaks sockets and deleted files, one with a nasty name, one that is not ours and
/// one that ended.
pub(crate) fn leaking() -> Report {
    let verdict = Verdict::Leaking { per_second: 1.016, limit_in: Some(Duration::from_secs(90)) };
    Report {
        started_unix_ms: 1_795_733_341_000,
        elapsed: Duration::from_secs(240),
        interval: Duration::from_secs(1),
        targets: vec!["nginx".to_owned(), "<script>alert(1)</script>".to_owned()],
        processes: vec![leaking_process(verdict), nasty(), foreign(), gone()],
        processes_left_out: 3,
        lineages: vec![LineageReport {
            name: b"php-\xff<b>".to_vec(),
            alive: 3,
            ended: 41,
            per_second: 2.25,
            evidence: Evidence { opened: 560, closed: 20, over: Duration::from_secs(240) },
        }],
        children: Children { are_counted: true, count: 12, zombies: 2, trend: Trend::default() },
        verdict,
    }
}

/// Nothing was found, or nothing yet.
pub(crate) fn empty() -> Report {
    Report {
        started_unix_ms: 0,
        elapsed: Duration::ZERO,
        interval: Duration::from_millis(250),
        targets: Vec::new(),
        processes: Vec::new(),
        processes_left_out: 0,
        lineages: Vec::new(),
        children: Children::default(),
        verdict: Verdict::Warming,
    }
}

/// As many as are ever watched, each with all that it may have.
pub(super) fn crowd() -> Report {
    let mut report = leaking();
    let one = report.processes[0].clone();
    let numbered = |number: u32| ProcessReport {
        key: ProcessKey { pid: 10_000 + number, start_ticks: 7 },
        ..one.clone()
    };
    report.processes = (0..1_000).map(numbered).collect();
    report
}

fn leaking_process(verdict: Verdict) -> ProcessReport {
    let total = |second: u64| 540 + second * 122 / 120 + wave(second);
    let kinds = vec![
        kind(Kind::Socket, |second| 300 + second * 97 / 120 + wave(second) / 2),
        kind(Kind::File, |_| 180),
        kind(Kind::DeletedFile, |second| 20 + second * 25 / 120),
        kind(Kind::Pipe, |second| 24 + wave(second) / 2),
        kind(Kind::Epoll, |_| 8),
        kind(Kind::EventFd, |_| 8),
    ];
    let count = total(240);
    ProcessReport {
        key: ProcessKey { pid: 4711, start_ticks: 123_456 },
        name: b"nginx".to_vec(),
        has_ended: false,
        count: Some(count),
        high_water: 813,
        limit: Some(1_024 - 120),
        ceiling: Some(Ceiling { bound: Bound::InotifyInstances, used: 120, limit: 128 }),
        series: series(total),
        kinds,
        groups: vec![
            group(
                Kind::Socket,
                b"tcp close-wait 10.0.0.7:5432",
                496,
                194,
                239_000,
                0.808,
                stacks(),
            ),
            group(Kind::DeletedFile, b"/data/\n<b>\xff*.pdf", 70, 50, 236_000, 0.208, Vec::new()),
            group(Kind::File, b"/var/log/nginx/*.log", 180, 0, 12_000, 0.0, Vec::new()),
        ],
        trend: Trend { per_second: 1.016, is_leak: true },
        verdict,
        evidence: evidence(280, 36),
        decided_in: None,
        is_scan_cut: false,
    }
}

fn nasty() -> ProcessReport {
    let flat = |_| 40;
    ProcessReport {
        key: ProcessKey { pid: 4712, start_ticks: 123_460 },
        name: "=cmd(),\"\u{202e}日".as_bytes().to_vec(),
        has_ended: false,
        count: Some(40),
        high_water: 41,
        limit: Some(1_048_576),
        ceiling: None,
        series: series(flat),
        kinds: vec![kind(Kind::File, flat)],
        groups: vec![group(
            Kind::File,
            b"/tmp/<script>alert(1)</script>",
            40,
            -1,
            0,
            0.0,
            Vec::new(),
        )],
        trend: Trend::default(),
        verdict: Verdict::Steady,
        evidence: evidence(5, 6),
        decided_in: None,
        is_scan_cut: true,
    }
}

/// Another user's on an old kernel: nothing is known of it.
fn foreign() -> ProcessReport {
    ProcessReport {
        key: ProcessKey { pid: 1, start_ticks: 1 },
        name: b"\xff\x1b[2J\nx".to_vec(),
        has_ended: false,
        count: None,
        high_water: 0,
        limit: None,
        ceiling: None,
        series: Vec::new(),
        kinds: Vec::new(),
        groups: Vec::new(),
        trend: Trend::default(),
        verdict: Verdict::NotPermitted,
        evidence: None,
        decided_in: None,
        is_scan_cut: false,
    }
}

fn gone() -> ProcessReport {
    let key = ProcessKey { pid: 4713, start_ticks: 2 };
    let series = vec![Point { at_ms: 1_000, low: 7, high: 9 }];
    let name = b"short-lived".to_vec();
    ProcessReport {
        key,
        name,
        has_ended: true,
        high_water: 9,
        series,
        verdict: Verdict::Gone,
        ..foreign()
    }
}

fn kind(kind: Kind, count: impl Fn(u64) -> u64) -> KindReport {
    KindReport { kind, count: narrow(count(240)), before: narrow(count(0)), series: series(count) }
}

fn group(
    kind: Kind,
    pattern: &[u8],
    count: u32,
    growth: i64,
    grew_at_ms: u64,
    per_second: f64,
    stacks: Vec<StackCount>,
) -> GroupReport {
    let trend = Trend { per_second, is_leak: per_second > 0.0 };
    let evidence = (growth > 0).then(|| evidence(growth.unsigned_abs(), 0)).flatten();
    GroupReport {
        kind,
        pattern: pattern.to_vec(),
        count,
        growth,
        grew_at_ms,
        trend,
        evidence,
        stacks,
    }
}

fn evidence(opened: u64, closed: u64) -> Option<Evidence> {
    Some(Evidence { opened, closed, over: Duration::from_secs(235) })
}

fn stacks() -> Vec<StackCount> {
    let frames = ["socket+0x7 (libc.so.6)", "pool::connect<T>+0x1c2 (nginx)", "main+0x40 (nginx)"];
    vec![StackCount { count: 190, frames: frames.map(str::to_owned).to_vec() }]
}

/// Every fourth second, as after two merges.
fn series(count: impl Fn(u64) -> u64) -> Vec<Point> {
    let point = |second: u64| Point {
        at_ms: second * 1_000,
        // Only what is large is noisy.
        low: narrow(count(second).saturating_sub(if count(second) > 200 {
            wave(second * 7) / 3
        } else {
            0
        })),
        high: narrow(count(second)),
    };
    (0..=60).map(|step| point(step * 4)).collect()
}

/// Between 0 and 30, with a period that fits nothing.
fn wave(second: u64) -> u64 {
    (15.0 + 15.0 * (second as f64 / 6.1).sin()) as u64
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap()
}
