//! The processes, and what the worst of them has open: who has less gives its lines to the other.

use fdwatch::{GroupReport, ProcessReport, Report, Verdict};

use super::row::{Align, Row, Style, width};
use super::{Screen, printable, sparkline, style};
use crate::report::phrase::{process_name, short_verdict};
use crate::report::quantity::{ago, count, rate, signed};

/// With fewer lines there are no heads and no processes: the lines above name the worst, what it
/// has open is news.
const LINES_MIN: usize = 5;
/// With so many the tables are set apart.
const AIRY_LINES_MIN: usize = 12;
/// From so many cells on there is room for the columns that matter less.
const NARROW: usize = 32;
const MEDIUM: usize = 60;
const WIDE: usize = 72;
const VERY_WIDE: usize = 100;
const SPARKLINE_COLUMNS: std::ops::RangeInclusive<usize> = 8..=48;

/// One cell: what is in it, how wide it is (0: it is not there) and where it leans.
type Cell = (String, usize, Align);

pub(super) fn lines(report: &Report, columns: usize, left: usize, screen: Screen) -> Vec<Row> {
    let Some(worst) = report.processes.first() else { return Vec::new() };
    if left < LINES_MIN && !worst.groups.is_empty() {
        let mut lines = groups(worst, report, columns, left + 1, screen);
        lines.remove(0);
        return lines;
    }
    let gap = usize::from(left >= AIRY_LINES_MIN);
    let heads = if worst.groups.is_empty() { 1 + gap } else { 2 + 2 * gap };
    let left = left.saturating_sub(heads);
    let wanted = report.processes.len() + usize::from(report.processes_left_out > 0);
    let group_lines = worst.groups.len().min(left - left.min(wanted).min(left.div_ceil(2)));

    let mut lines = Vec::new();
    lines.extend((0..gap).map(|_| Row::new(screen)));
    lines.extend(processes(report, columns, left - group_lines, screen));
    if !worst.groups.is_empty() {
        lines.extend((0..gap).map(|_| Row::new(screen)));
        lines.extend(groups(worst, report, columns, group_lines + 1, screen));
    }
    lines
}

/// A head and `left` lines; the last says how many more there are, unless it is the only one.
fn processes(report: &Report, columns: usize, left: usize, screen: Screen) -> Vec<Row> {
    let is_cut = report.processes.len() > left || report.processes_left_out > 0;
    let has_note = is_cut && left > 1;
    let shown = &report.processes[..report.processes.len().min(left - usize::from(has_note))];
    let names: Vec<String> = shown.iter().map(|process| printable(&process.name)).collect();
    let layout = ProcessColumns::new(columns, &names);
    let mut lines = vec![layout.head(screen)];
    lines.extend(shown.iter().zip(&names).map(|(process, name)| layout.row(process, name, screen)));
    if has_note {
        let more = report.processes.len() - shown.len() + report.processes_left_out as usize;
        let mut row = Row::new(screen);
        row.push(&format!("… {} more", count(more as u64)), Style::Dim);
        lines.push(row);
    }
    lines
}

struct ProcessColumns {
    name: usize,
    pid: usize,
    open: usize,
    limit: usize,
    rate: usize,
    verdict: usize,
    sparkline: usize,
}

impl ProcessColumns {
    fn new(columns: usize, names: &[String]) -> Self {
        let natural = natural_width("PROCESS", names);
        let from = |least: usize, room: usize| if columns < least { 0 } else { room };
        let mut layout = Self {
            name: 0,
            pid: from(MEDIUM, 9),
            open: 9,
            limit: from(MEDIUM, 11),
            rate: from(NARROW, 11),
            verdict: from(WIDE, 24),
            sparkline: 0,
        };
        let gap = 2 * usize::from(layout.verdict > 0);
        let others = layout.pid + layout.open + layout.limit + layout.rate + layout.verdict + gap;
        let left = columns.saturating_sub(others).max(1);
        layout.name = natural.min(left);
        let room = left.saturating_sub(natural + 1);
        layout.sparkline =
            if room < *SPARKLINE_COLUMNS.start() { 0 } else { room.min(*SPARKLINE_COLUMNS.end()) };
        layout
    }

    fn head(&self, screen: Screen) -> Row {
        let mut row = Row::new(screen);
        let verdict = ["PROCESS", "PID", "OPEN", "LIMIT", "RATE", "VERDICT"].map(str::to_owned);
        self.fill(&mut row, verdict, String::new(), [Style::Dim; 2]);
        row
    }

    fn row(&self, process: &ProcessReport, name: &str, screen: Screen) -> Row {
        let unknown = || "?".to_owned();
        let is_counted = process.count.is_some() && process.verdict != Verdict::Warming;
        let cells = [
            name.to_owned(),
            process.key.pid.to_string(),
            process.count.filter(|_| process.is_alive()).map_or_else(unknown, count),
            process.limit.map_or_else(unknown, count),
            if is_counted { rate(process.trend.per_second) } else { unknown() },
            short_verdict(process),
        ];
        let sparkline = sparkline::of(&process.series, self.sparkline, screen.is_ascii);
        let mut row = Row::new(screen);
        self.fill(&mut row, cells, sparkline, [Style::Plain, style(process.verdict)]);
        row
    }

    fn fill(
        &self,
        row: &mut Row,
        cells: [String; 6],
        sparkline: String,
        [plain, coloured]: [Style; 2],
    ) {
        let [name, pid, open, limit, rate, verdict] = cells;
        // Where there is no room for the verdict its colour is on the count.
        let open_style = if self.verdict == 0 { coloured } else { plain };
        cell(row, (name, self.name, Align::Left), plain);
        cell(row, (pid, self.pid, Align::Right), plain);
        cell(row, (open, self.open, Align::Right), open_style);
        cell(row, (limit, self.limit, Align::Right), plain);
        cell(row, (rate, self.rate, Align::Right), plain);
        if self.verdict > 0 {
            row.push("  ", plain);
            cell(row, (verdict, self.verdict, Align::Left), coloured);
            row.push(" ", plain);
            cell(row, (sparkline, self.sparkline, Align::Left), coloured);
        }
    }
}

/// A head and the rest of `left` lines.
fn groups(
    worst: &ProcessReport,
    report: &Report,
    columns: usize,
    left: usize,
    screen: Screen,
) -> Vec<Row> {
    let shown = &worst.groups[..worst.groups.len().min(left.saturating_sub(1))];
    let patterns: Vec<String> = shown.iter().map(|group| printable(&group.pattern)).collect();
    let title = format!("OPEN IN {}", process_name(worst));
    let layout = GroupColumns::new(columns, &title, &patterns);
    let head = ["KIND", "OPEN", "GROWTH", "RATE", "LAST GREW"].map(str::to_owned);
    let mut lines = vec![layout.row(title, head, Style::Dim, screen)];
    lines.extend(shown.iter().zip(patterns).map(|(group, pattern)| {
        let style = if group.trend.is_leak { Style::Bad } else { Style::Plain };
        layout.row(pattern, group_cells(group, worst, report), style, screen)
    }));
    lines
}

fn group_cells(group: &GroupReport, of: &ProcessReport, report: &Report) -> [String; 5] {
    [
        group.kind.name().to_owned(),
        count(group.count.into()),
        signed(group.growth),
        if of.verdict == Verdict::Warming { "?".to_owned() } else { rate(group.trend.per_second) },
        if group.growth > 0 { ago(group.grew_at_ms, report.elapsed) } else { String::new() },
    ]
}

struct GroupColumns {
    pattern: usize,
    others: [usize; 5],
}

impl GroupColumns {
    fn new(columns: usize, title: &str, patterns: &[String]) -> Self {
        let from = |least: usize, room: usize| if columns < least { 0 } else { room };
        let others = [from(VERY_WIDE, 14), from(NARROW, 8), 9, from(MEDIUM, 11), from(WIDE, 17)];
        let left = columns.saturating_sub(others.iter().sum()).max(1);
        Self { pattern: natural_width(title, patterns).min(left), others }
    }

    fn row(&self, pattern: String, cells: [String; 5], style: Style, screen: Screen) -> Row {
        let mut row = Row::new(screen);
        cell(&mut row, (pattern, self.pattern, Align::Left), style);
        for (text, columns) in cells.into_iter().zip(self.others) {
            cell(&mut row, (text, columns, Align::Right), style);
        }
        row
    }
}

fn cell(row: &mut Row, (text, columns, align): Cell, style: Style) {
    if columns > 0 {
        row.cell(&text, columns, align, style);
    }
}

fn natural_width(head: &str, texts: &[String]) -> usize {
    texts.iter().map(|text| width(text)).fold(width(head), usize::max)
}
