//! A report of a watch.

use std::cmp::Ordering;

use super::Watcher;
use super::watched::{Role, Watched};
use crate::growth::milliseconds;
use crate::{Children, LineageReport, ProcessReport, Report, Terms, Verdict, limit_in, verdict_of};

/// Processes with all their points, kinds and groups: those with the worst verdicts. The others
/// have few points.
const DETAILED_MAX: usize = 48;
const POINTS_OF_OTHERS_MAX: usize = 8;
/// Of each process.
const GROUPS_MAX: usize = 32;

pub(super) fn of(watcher: &Watcher) -> Report {
    let config = &watcher.config;
    let (moment, warm_up, terms) = (watcher.moment(), config.warm_up, &config.terms);
    let all = || watcher.watched.iter().chain(&watcher.gone);
    let mut reports: Vec<(&Watched, ProcessReport)> =
        all().map(|watched| (watched, watched.report(moment, terms))).collect();
    reports.sort_by(|(_, a), (_, b)| worst_first(a, b));
    for (index, (watched, report)) in reports.iter_mut().enumerate() {
        report.series = watched.points();
        if index < DETAILED_MAX {
            report.kinds = watched.groups.kind_reports(true);
            report.groups = watched.group_reports(moment, report.trend.is_leak, GROUPS_MAX);
        } else {
            report.kinds = watched.groups.kind_reports(false);
            thin_out(&mut report.series);
        }
    }
    let children = &watcher.children;
    let children = Children {
        are_counted: children.series.newest().is_some(),
        count: children.count,
        zombies: children.zombies,
        trend: children.series.trend(warm_up),
    };
    let lineages = lineages(watcher, &reports);
    let verdict = overall(watcher, &reports, &lineages, &children);
    Report {
        started_unix_ms: config.started_unix_ms,
        elapsed: watcher.now,
        interval: config.interval,
        targets: config.targets.iter().map(|target| target.text()).collect(),
        processes: reports.into_iter().map(|(_, report)| report).collect(),
        processes_left_out: watcher.left_out,
        lineages,
        children,
        verdict,
    }
}

/// Names whose processes leak together.
fn lineages(watcher: &Watcher, reports: &[(&Watched, ProcessReport)]) -> Vec<LineageReport> {
    let at_ms = milliseconds(watcher.now);
    let leaks = watcher.lineages.leaks().map(|lineage| {
        let is_alive = |(_, report): &&(&Watched, ProcessReport)| {
            report.is_alive() && *report.name == *lineage.name
        };
        LineageReport {
            name: lineage.name.to_vec(),
            alive: reports.iter().filter(is_alive).count(),
            ended: lineage.ended,
            per_second: lineage.per_second(at_ms),
            evidence: lineage.evidence(at_ms),
        }
    });
    let is_put_up_with = |rate| watcher.config.terms.max_rate.is_some_and(|max| rate <= max);
    leaks.filter(|lineage| !is_put_up_with(lineage.per_second)).collect()
}

/// See [`Watcher::conclude`].
pub(super) fn conclude(watcher: &Watcher, report: &mut Report) {
    let terms = &watcher.config.terms;
    for process in &mut report.processes {
        let is_it = |watched: &&Watched| watched.key == process.key;
        let known = watcher.watched.iter().chain(&watcher.gone).find(is_it);
        let Some(watched) = known.filter(|_| process.count.is_some() && process.is_alive()) else {
            continue;
        };
        let trend = watched.trend_at_end(watcher.moment());
        let is_new = matches!(process.verdict, Verdict::Warming | Verdict::Steady | Verdict::Gone);
        if trend.is_leak && is_new && terms.max_rate.is_none_or(|rate| trend.per_second > rate) {
            let count = process.count.unwrap_or_default();
            let left = watched.limit().and_then(|limit| limit_in(count, limit, trend.per_second));
            process.verdict = Verdict::Leaking { per_second: trend.per_second, limit_in: left };
            (process.trend, process.decided_in) = (trend, None);
            process.groups = watched.group_reports(watcher.moment(), true, GROUPS_MAX);
            report.verdict = report.verdict.worse(process.verdict);
        }
    }
    // There is nothing to wait for any more.
    report.processes.iter_mut().for_each(|process| process.decided_in = None);
    report.processes.sort_by(worst_first);
}

/// Those that live come first: of the others there is nothing to be done any more.
fn worst_first(a: &ProcessReport, b: &ProcessReport) -> Ordering {
    let (more, less) =
        (a.verdict.worse(b.verdict) == a.verdict, b.verdict.worse(a.verdict) == b.verdict);
    let order = b.is_alive().cmp(&a.is_alive()).then(less.cmp(&more));
    order.then(b.count.cmp(&a.count)).then(a.key.cmp(&b.key))
}

/// That a process has gone is bad if the user named it by its pid, or if no process is left.
fn overall(
    watcher: &Watcher,
    reports: &[(&Watched, ProcessReport)],
    lineages: &[LineageReport],
    children: &Children,
) -> Verdict {
    let counts = |watched: &Watched, verdict: Verdict| {
        verdict != Verdict::Gone || watched.role == Role::Pid || watcher.watched.is_empty()
    };
    let of_processes = reports.iter().filter(|(watched, report)| counts(watched, report.verdict));
    let verdicts = of_processes.map(|(_, report)| report.verdict);
    // A rate that the user accepts is one of descriptors, not of children.
    let is_warm = watcher.children.series.is_warm(watcher.config.warm_up);
    let count = u64::from(children.count);
    let of_children =
        verdict_of(Some(count), count, None, &children.trend, is_warm, &Terms::default());
    let of_children = matches!(of_children, Verdict::Leaking { .. }).then_some(of_children);
    let of_lineages = lineages
        .iter()
        .map(|lineage| Verdict::Leaking { per_second: lineage.per_second, limit_in: None });
    Verdict::worst(verdicts.chain(of_children).chain(of_lineages))
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
