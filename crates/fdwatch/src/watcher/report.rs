//! A report of a watch.

use std::cmp::Ordering;

use super::Watcher;
use super::watched::{Role, Watched};
use crate::{Children, ProcessReport, Report, Terms, Verdict, verdict_of};

/// Processes with all their points, kinds and groups: those with the worst verdicts. The others have few points.
const DETAILED_MAX: usize = 64;
const POINTS_OF_OTHERS_MAX: usize = 8;
/// Of each process.
const GROUPS_MAX: usize = 32;

pub(super) fn of(watcher: &Watcher) -> Report {
    let config = &watcher.config;
    let (warm_up, terms) = (config.warm_up, &config.terms);
    let all = || watcher.watched.iter().chain(&watcher.gone);
    let mut reports: Vec<(&Watched, ProcessReport)> =
        all().map(|watched| (watched, watched.report(warm_up, terms))).collect();
    reports.sort_by(|(_, a), (_, b)| worst_first(a, b));
    for (index, (watched, report)) in reports.iter_mut().enumerate() {
        report.series = watched.points();
        if index < DETAILED_MAX {
            report.kinds = watched.groups.kind_reports(true);
            report.groups = watched.groups.group_reports(warm_up, GROUPS_MAX);
        } else {
            report.kinds = watched.groups.kind_reports(false);
            thin_out(&mut report.series);
        }
    }
    let children = &watcher.children;
    let children =
        Children { count: children.count, zombies: children.zombies, trend: children.series.trend(warm_up) };
    let verdict = overall(watcher, &reports, &children);
    Report {
        started_unix_ms: config.started_unix_ms,
        elapsed: watcher.now,
        interval: config.interval,
        targets: config.targets.iter().map(|target| target.text()).collect(),
        processes: reports.into_iter().map(|(_, report)| report).collect(),
        processes_left_out: watcher.left_out,
        children,
        verdict,
    }
}

fn worst_first(a: &ProcessReport, b: &ProcessReport) -> Ordering {
    let (more, less) = (a.verdict.worse(b.verdict) == a.verdict, b.verdict.worse(a.verdict) == b.verdict);
    less.cmp(&more).then(b.count.cmp(&a.count)).then(a.key.cmp(&b.key))
}

/// That a process has gone is bad if somebody named it by its pid, or if nobody is left.
fn overall(watcher: &Watcher, reports: &[(&Watched, ProcessReport)], children: &Children) -> Verdict {
    let counts = |watched: &Watched, verdict: Verdict| {
        verdict != Verdict::Gone || watched.role == Role::Pid || watcher.watched.is_empty()
    };
    let of_processes = reports.iter().filter(|(watched, report)| counts(watched, report.verdict));
    let verdicts = of_processes.map(|(_, report)| report.verdict);
    // Whoever puts up with a rate means descriptors.
    let is_warm = watcher.children.series.is_warm(watcher.config.warm_up);
    let count = u64::from(children.count);
    let of_children = verdict_of(Some(count), count, None, &children.trend, is_warm, &Terms::default());
    Verdict::worst(verdicts.chain(matches!(of_children, Verdict::Leaking { .. }).then_some(of_children)))
}

/// Merges neighbours until there are few.
fn thin_out(points: &mut Vec<crate::Point>) {
    let per_point = points.len().div_ceil(POINTS_OF_OTHERS_MAX).max(1);
    let merged = points.chunks(per_point).map(|chunk| {
        let merge = |a: crate::Point, b: &crate::Point| crate::Point {
            at_ms: a.at_ms,
            low: a.low.min(b.low),
            high: a.high.max(b.high),
        };
        let middle = chunk[chunk.len() / 2].at_ms;
        let all = chunk.iter().fold(chunk[0], merge);
        crate::Point { at_ms: middle, ..all }
    });
    *points = merged.collect();
}
