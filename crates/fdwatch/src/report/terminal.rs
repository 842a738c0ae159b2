//! The live view: a whole screen as one string, drawn over the one before.
//!
//! Nothing here knows the terminal: its size, whether it has colours and whether it can show more than ASCII come in. A frame
//! never has more lines or columns than it was given, and its only control characters are line ends and the escapes in
//! `row.rs`: what processes call themselves cannot move the cursor. No line is cleared before it is drawn, so it does not
//! flicker.

mod row;
mod sparkline;

use self::row::{Align, Row, Style};
use super::phrase::{
    Tone, ago, count, count_or_unknown, duration, headline, process_name, rate, signed, tone, verdict_word,
};
use super::printable::Printable;
use crate::{GroupReport, ProcessReport, Report, Verdict};

/// Longer names and targets are cut before they are measured.
const CHARS_MAX: usize = 400;
/// From this width on there is room for the less important columns.
const WIDE_COLUMNS: usize = 72;
/// And for the targets' kinds and a sparkline in each line.
const VERY_WIDE_COLUMNS: usize = 120;
const SPARKLINE_COLUMNS_MAX: usize = 48;

/// What the terminal is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Its width in cells; at least one is assumed.
    pub columns: u16,
    /// Its height in lines; at least one is assumed.
    pub rows: u16,
    /// Whether to colour.
    pub has_colour: bool,
    /// Whether it shows nothing but ASCII.
    pub is_ascii: bool,
}

/// The screen, from its first cell to its last: to be written as it is.
pub fn frame(report: &Report, screen: Screen) -> String {
    let columns = usize::from(screen.columns.max(1));
    let rows = usize::from(screen.rows.max(1));
    let mut lines = vec![title(report, columns, screen), verdict_line(report, screen)];
    if let Some(worst) = report.processes.first() {
        lines.push(graph(worst, columns, screen));
        tables(&mut lines, report, columns, rows, screen);
    }
    lines.truncate(rows);
    row::frame(&lines, columns, rows, screen)
}

fn title(report: &Report, columns: usize, screen: Screen) -> Row {
    let targets = report.targets.iter().map(|target| printable(target.as_bytes()));
    let targets = targets.collect::<Vec<_>>().join(", ");
    let mut right = format!("{} · every {}", duration(report.elapsed), duration(report.interval));
    if report.children.count > 0 {
        let children = &report.children;
        let (number, zombies) = (count(children.count.into()), count(children.zombies.into()));
        right = format!("children {number}, zombies {zombies} · {right}");
    }
    let mut row = Row::new(screen);
    row.push("fdwatch ", Style::Bold);
    let room = columns.saturating_sub("fdwatch ".len() + row::width(&right) + 2);
    if room >= row::width(&targets).min(12) {
        row.cell(&targets, room, Align::Left, Style::Plain);
        row.push(&format!("  {right}"), Style::Dim);
    } else {
        row.push(&targets, Style::Plain);
    }
    row
}

fn verdict_line(report: &Report, screen: Screen) -> Row {
    let mut row = Row::new(screen);
    row.push(&verdict_word(report.verdict).replace('-', " ").to_uppercase(), style(report.verdict));
    row.push(&format!("  {}", headline(report)), Style::Plain);
    row
}

/// The worst process over the whole width, between its lowest and highest count.
fn graph(process: &ProcessReport, columns: usize, screen: Screen) -> Row {
    let mut row = Row::new(screen);
    let low = process.series.iter().map(|point| point.low).min();
    let high = process.series.iter().map(|point| point.high).max();
    let (Some(low), Some(high)) = (low, high) else {
        row.push("no counts yet", Style::Dim);
        return row;
    };
    let (low, high) = (count(low.into()), count(high.into()));
    let room = columns.saturating_sub(low.len() + high.len() + 2);
    row.push(&format!("{low} "), Style::Dim);
    row.push(&sparkline::of(&process.series, room, screen.is_ascii), style(process.verdict));
    row.push(&format!(" {high}"), Style::Dim);
    row
}

/// Processes, then the groups of the worst; who has less gives its lines to the other.
fn tables(lines: &mut Vec<Row>, report: &Report, columns: usize, rows: usize, screen: Screen) {
    let worst = &report.processes[0];
    let left = rows.saturating_sub(lines.len());
    let gap = usize::from(left >= 12);
    let (heads, gaps) = if worst.groups.is_empty() { (1, gap) } else { (2, 2 * gap) };
    let left = left.saturating_sub(heads + gaps);
    let group_lines = worst.groups.len().min(left - left.min(report.processes.len()).min(left.div_ceil(2)));
    let process_lines = left - group_lines;

    lines.extend((0..gap).map(|_| Row::new(screen)));
    lines.push(process_head(columns, screen));
    let cut = report.processes.len() > process_lines;
    // The last line says how many more there are, unless it is the only one.
    let shown = if cut && process_lines > 1 { process_lines - 1 } else { process_lines };
    let processes = report.processes.iter().take(shown);
    lines.extend(processes.map(|process| process_row(process, columns, screen)));
    if cut && process_lines > 1 {
        let more = report.processes.len() - shown + report.processes_left_out as usize;
        let mut row = Row::new(screen);
        row.push(&format!("… {} more", count(more as u64)), Style::Dim);
        lines.push(row);
    }
    if !worst.groups.is_empty() {
        lines.extend((0..gap).map(|_| Row::new(screen)));
        lines.push(group_head(worst, columns, screen));
        let groups = worst.groups.iter().take(group_lines);
        lines.extend(groups.map(|group| group_row(group, report, columns, screen)));
    }
}

/// What the last columns of each table leave.
fn first_column(columns: usize, others: usize) -> usize {
    columns.saturating_sub(others).clamp(1, CHARS_MAX)
}

fn process_head(columns: usize, screen: Screen) -> Row {
    process_cells(
        ["PROCESS", "PID", "OPEN", "LIMIT", "RATE", "VERDICT", ""],
        columns,
        [Style::Dim; 2],
        screen,
    )
}

fn process_row(process: &ProcessReport, columns: usize, screen: Screen) -> Row {
    let verdict = match process.verdict {
        Verdict::Leaking { limit_in: Some(limit_in), .. } => format!("{} left", duration(limit_in)),
        verdict => verdict_word(verdict).replace('-', " "),
    };
    let is_counted = process.count.is_some();
    let sparkline_room = sparkline_columns(columns);
    process_cells(
        [
            &printable(&process.name),
            &process.key.pid.to_string(),
            &if is_counted { count_or_unknown(process.count) } else { "?".to_owned() },
            &process.limit.map_or_else(|| "?".to_owned(), count),
            &if is_counted { rate(process.trend.per_second) } else { "?".to_owned() },
            &verdict,
            &sparkline::of(&process.series, sparkline_room, screen.is_ascii),
        ],
        columns,
        [Style::Plain, style(process.verdict)],
        screen,
    )
}

fn sparkline_columns(columns: usize) -> usize {
    if columns < VERY_WIDE_COLUMNS { 0 } else { (columns - 90).min(SPARKLINE_COLUMNS_MAX) }
}

fn process_cells(
    cells: [&str; 7],
    columns: usize,
    [plain, verdict_style]: [Style; 2],
    screen: Screen,
) -> Row {
    let [name, pid, open, limit, rate, verdict, graph] = cells;
    let mut row = Row::new(screen);
    if columns < WIDE_COLUMNS {
        row.cell(name, first_column(columns, 9 + 10), Align::Left, plain);
        row.cell(open, 9, Align::Right, verdict_style);
        row.cell(rate, 10, Align::Right, plain);
        return row;
    }
    let room = sparkline_columns(columns);
    let name_room = first_column(columns, 9 + 9 + 11 + 10 + 17 + room + usize::from(room > 0)).min(32);
    row.cell(name, name_room, Align::Left, plain);
    row.cell(pid, 9, Align::Right, plain);
    row.cell(open, 9, Align::Right, plain);
    row.cell(limit, 11, Align::Right, plain);
    row.cell(rate, 10, Align::Right, plain);
    row.push("  ", plain);
    row.cell(verdict, 15, Align::Left, verdict_style);
    row.push(" ", plain);
    row.cell(graph, room, Align::Left, verdict_style);
    row
}

fn group_head(worst: &ProcessReport, columns: usize, screen: Screen) -> Row {
    let title = format!("WHAT {} HAS OPEN", process_name(worst));
    group_cells([&title, "", "OPEN", "GROWTH", "RATE", "GREW"], columns, Style::Dim, screen)
}

fn group_row(group: &GroupReport, report: &Report, columns: usize, screen: Screen) -> Row {
    group_cells(
        [
            &printable(&group.pattern),
            group.kind.name(),
            &count(group.count.into()),
            &signed(group.growth),
            &rate(group.trend.per_second),
            &ago(group.grew_at_ms, report.elapsed),
        ],
        columns,
        if group.trend.is_leak { Style::Bad } else { Style::Plain },
        screen,
    )
}

fn group_cells(cells: [&str; 6], columns: usize, style: Style, screen: Screen) -> Row {
    let [pattern, kind, open, growth, rate, grew] = cells;
    let mut row = Row::new(screen);
    if columns < WIDE_COLUMNS {
        row.cell(pattern, first_column(columns, 9), Align::Left, style);
        row.cell(growth, 9, Align::Right, style);
        return row;
    }
    let kind_room = if columns < VERY_WIDE_COLUMNS { 0 } else { 14 };
    row.cell(pattern, first_column(columns, kind_room + 8 + 9 + 10 + 16).min(120), Align::Left, style);
    row.cell(kind, kind_room, Align::Right, style);
    row.cell(open, 8, Align::Right, style);
    row.cell(growth, 9, Align::Right, style);
    row.cell(rate, 10, Align::Right, style);
    row.cell(grew, 16, Align::Right, style);
    row
}

fn printable(bytes: &[u8]) -> String {
    Printable::new(bytes, CHARS_MAX).to_string()
}

fn style(verdict: Verdict) -> Style {
    match tone(verdict) {
        Tone::Good => Style::Good,
        Tone::Bad => Style::Bad,
        Tone::Warning => Style::Warning,
        Tone::Neutral => Style::Plain,
    }
}

#[cfg(test)]
mod tests;
