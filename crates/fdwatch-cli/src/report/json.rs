//! One JSON object a line, for programs. The names below are stable; new ones may come, so ignore
//! what you do not know. `docs/fdwatch-json.md` says what each means, `docs/fdwatch.schema.json`
//! says it to programs; a test holds both against this.
//!
//! Of the watch: `schema` (1), `final` (whether it is the last), `started_unix_ms`, `elapsed_ms`,
//! `interval_ms`, `targets`, `verdict` (`warming`, `steady`, `leaking`, `near-limit`, `gone`,
//! `not-permitted`), `per_second` and `limit_in_s` of a leak, `children` (`count`, `zombies`,
//! `per_second`, `is_leak`; all `null` where children were not looked for), `lineages` (names whose
//! processes leak together: `name`, `alive`, `ended`, `per_second`, `opened`, `closed`),
//! `processes`, `processes_left_out`.
//!
//! Of a process: `pid`, `start_ticks`, `name`, `count`, `high_water`, `limit`, `ceiling` (`bound`,
//! `used`, `limit`), `per_second`, `is_leak`, `verdict`, `limit_in_s`, `decided_in_s` (until there
//! is a verdict), `opened` and `closed` (since the warm-up; `null` where only counts are known),
//! `is_scan_cut`, `kinds` (`kind`, `count`), `groups`. Of a group: `kind`, `pattern`, `count`,
//! `growth`, `grew_at_ms`, `per_second`, `is_leak`, `opened`, `closed`, `stacks` (`count`,
//! `frames`). The final object also has `series` (`at_ms`, `low`,
//! `high`) in processes and kinds, and `before` in kinds: the count until the series begins.
//!
//! What is unknown is `null`, never 0. A `name` or `pattern` that is no UTF-8 is there with its bad
//! bytes as `\xNN`, and beside it stands `name_bytes` or `pattern_bytes`: the bytes as they are, as
//! numbers. Without that field the text is exact.

use std::io::{self, Write};
use std::time::Duration;

use fdwatch::{
    Ceiling, GroupReport, KindReport, LineageReport, Point, ProcessReport, Report, Verdict,
};
use serde::{Serialize, Serializer};

use super::phrase::verdict_word;
use super::printable::Printable;

/// Changes only if a field changes its meaning or goes.
pub(crate) const SCHEMA: u32 = 1;

/// Writes one line. `is_final`: the last of this watch.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, report: &Report, is_final: bool) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Watch::new(report, is_final))?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Watch<'a> {
    schema: u32,
    #[serde(rename = "final")]
    is_final: bool,
    started_unix_ms: u64,
    elapsed_ms: u64,
    interval_ms: u64,
    targets: &'a [String],
    verdict: &'static str,
    per_second: Option<f64>,
    limit_in_s: Option<f64>,
    children: ChildrenView,
    lineages: Vec<LineageView<'a>>,
    processes_left_out: u32,
    processes: Processes<'a>,
}

impl<'a> Watch<'a> {
    fn new(report: &'a Report, is_final: bool) -> Self {
        let children = &report.children;
        let of_children = |number| children.are_counted.then_some(number);
        Self {
            schema: SCHEMA,
            is_final,
            started_unix_ms: report.started_unix_ms,
            elapsed_ms: milliseconds(report.elapsed),
            interval_ms: milliseconds(report.interval),
            targets: &report.targets,
            verdict: verdict_word(report.verdict),
            per_second: leak_per_second(report.verdict),
            limit_in_s: limit_in_s(report.verdict),
            children: ChildrenView {
                count: of_children(children.count),
                zombies: of_children(children.zombies),
                per_second: children.are_counted.then_some(children.trend.per_second),
                is_leak: children.are_counted.then_some(children.trend.is_leak),
            },
            lineages: report.lineages.iter().map(LineageView::new).collect(),
            processes_left_out: report.processes_left_out,
            processes: Processes { processes: &report.processes, is_final },
        }
    }
}

#[derive(Serialize)]
struct ChildrenView {
    count: Option<u32>,
    zombies: Option<u32>,
    per_second: Option<f64>,
    is_leak: Option<bool>,
}

#[derive(Serialize)]
struct LineageView<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<&'a [u8]>,
    alive: usize,
    ended: u64,
    per_second: f64,
    opened: u64,
    closed: u64,
}

impl<'a> LineageView<'a> {
    fn new(lineage: &'a LineageReport) -> Self {
        let (name, name_bytes) = text_and_bytes(&lineage.name);
        let (opened, closed) = (lineage.evidence.opened, lineage.evidence.closed);
        let (alive, ended, per_second) = (lineage.alive, lineage.ended, lineage.per_second);
        Self { name, name_bytes, alive, ended, per_second, opened, closed }
    }
}

/// Made one at a time: a thousand views would be a second report.
struct Processes<'a> {
    processes: &'a [ProcessReport],
    is_final: bool,
}

impl Serialize for Processes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.processes.iter().map(|process| ProcessView::new(process, self.is_final)),
        )
    }
}

#[derive(Serialize)]
struct ProcessView<'a> {
    pid: u32,
    start_ticks: u64,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<&'a [u8]>,
    count: Option<u64>,
    high_water: u64,
    limit: Option<u64>,
    ceiling: Option<CeilingView>,
    per_second: Option<f64>,
    is_leak: bool,
    verdict: &'static str,
    limit_in_s: Option<f64>,
    decided_in_s: Option<f64>,
    opened: Option<u64>,
    closed: Option<u64>,
    is_scan_cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<&'a [Point]>,
    kinds: Vec<KindView<'a>>,
    groups: Vec<GroupView<'a>>,
}

impl<'a> ProcessView<'a> {
    fn new(process: &'a ProcessReport, is_final: bool) -> Self {
        let (name, name_bytes) = text_and_bytes(&process.name);
        Self {
            pid: process.key.pid,
            start_ticks: process.key.start_ticks,
            name,
            name_bytes,
            count: process.count,
            high_water: process.high_water,
            limit: process.limit,
            ceiling: process.ceiling.map(|Ceiling { bound, used, limit }| CeilingView {
                bound: bound.name(),
                used,
                limit,
            }),
            per_second: (process.verdict != Verdict::Warming).then_some(process.trend.per_second),
            is_leak: process.trend.is_leak,
            verdict: verdict_word(process.verdict),
            limit_in_s: limit_in_s(process.verdict),
            decided_in_s: process.decided_in.map(|left| left.as_secs_f64()),
            opened: process.evidence.map(|moved| moved.opened),
            closed: process.evidence.map(|moved| moved.closed),
            is_scan_cut: process.is_scan_cut,
            series: is_final.then_some(&process.series),
            kinds: process.kinds.iter().map(|kind| KindView::new(kind, is_final)).collect(),
            groups: process.groups.iter().map(GroupView::new).collect(),
        }
    }
}

#[derive(Serialize)]
struct CeilingView {
    bound: &'static str,
    used: u64,
    limit: u64,
}

#[derive(Serialize)]
struct KindView<'a> {
    kind: &'static str,
    count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<&'a [Point]>,
}

impl<'a> KindView<'a> {
    fn new(kind: &'a KindReport, is_final: bool) -> Self {
        let (before, series) = (kind.before, &*kind.series);
        let (before, series) = (is_final.then_some(before), is_final.then_some(series));
        Self { kind: kind.kind.name(), count: kind.count, before, series }
    }
}

#[derive(Serialize)]
struct GroupView<'a> {
    kind: &'static str,
    pattern: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern_bytes: Option<&'a [u8]>,
    count: u32,
    growth: i64,
    grew_at_ms: u64,
    per_second: f64,
    is_leak: bool,
    opened: Option<u64>,
    closed: Option<u64>,
    stacks: Vec<StackView<'a>>,
}

impl<'a> GroupView<'a> {
    fn new(group: &'a GroupReport) -> Self {
        let (pattern, pattern_bytes) = text_and_bytes(&group.pattern);
        let stacks = group.stacks.iter();
        Self {
            kind: group.kind.name(),
            pattern,
            pattern_bytes,
            count: group.count,
            growth: group.growth,
            grew_at_ms: group.grew_at_ms,
            per_second: group.trend.per_second,
            is_leak: group.trend.is_leak,
            opened: group.evidence.map(|moved| moved.opened),
            closed: group.evidence.map(|moved| moved.closed),
            stacks: stacks
                .map(|stack| StackView { count: stack.count, frames: &stack.frames })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct StackView<'a> {
    count: u32,
    frames: &'a [String],
}

fn text_and_bytes(bytes: &[u8]) -> (String, Option<&[u8]>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (Printable::new(bytes, usize::MAX).to_string(), Some(bytes)),
    }
}

fn leak_per_second(verdict: Verdict) -> Option<f64> {
    match verdict {
        Verdict::Leaking { per_second, .. } => Some(per_second),
        _ => None,
    }
}

pub(super) fn limit_in_s(verdict: Verdict) -> Option<f64> {
    match verdict {
        Verdict::Leaking { limit_in, .. } => limit_in.map(|limit_in| limit_in.as_secs_f64()),
        _ => None,
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
