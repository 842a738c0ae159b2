//! The live view: a whole screen as one string, drawn over the one before.
//!
//! Nothing here knows the terminal: its size, whether it has colours and whether it can show more
//! than ASCII come in. A frame never has more lines or columns than it was given, and its only
//! control characters are line ends and the escapes in `row.rs`: what processes call themselves
//! cannot move the cursor. No line is cleared before it is drawn, so it does not flicker.

mod row;
mod sparkline;
mod tables;

use fdwatch::{ProcessReport, Report, Verdict};

use self::row::{Align, Row, Style};
use super::phrase::{Tone, short_headline, tone, verdict_word};
use super::printable::Printable;
use super::quantity::{count, duration};

/// Longer names and targets are cut before they are measured.
const CHARS_MAX: usize = 400;

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
        let left = rows.saturating_sub(lines.len());
        lines.extend(tables::lines(report, columns, left, screen));
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
    row.push(&format!("  {}", short_headline(report)), Style::Plain);
    row
}

/// The worst process over the whole width, between its lowest and highest count.
fn graph(process: &ProcessReport, columns: usize, screen: Screen) -> Row {
    let mut row = Row::new(screen);
    let Some((low, high)) = sparkline::range(&process.series) else {
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
