//! Graphs over time: areas by kind, stacked, those that grew most on top; a line for the total; the
//! limit.
//!
//! Self-contained and without a script: the colours are in a style sheet inside, for light and
//! dark. In a page the sheet stands once, in its head. Where the limit is so far away that the
//! graph would be flat, it is named and not drawn; where a leak reaches it soon, the time until
//! then is drawn as well.

mod axis;
mod graph;
mod stack;
mod style;

use std::io::{self, Write};

use fdwatch::{ProcessReport, Report};

use super::markup::Markup;
use super::phrase::headline;

pub(super) use self::style::{SHEET, kind_class};

/// Processes that get a graph, so that a picture has a bound.
const PROCESSES_MAX: usize = 12;
/// Between two graphs.
const GAP: usize = 26;
const MARGIN: usize = 20;

/// Writes the graphs of the first processes, one below the other, as one file.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let shown = &report.processes[..report.processes.len().min(PROCESSES_MAX)];
    let left_out = report.processes.len() - shown.len() + report.processes_left_out as usize;
    let graphs: usize = shown.iter().map(|process| graph::height(process) + GAP).sum();
    let foot = if left_out > 0 || shown.is_empty() { 30 } else { 0 };
    let (width, height) = (graph::WIDTH + 2 * MARGIN, graphs + 2 * MARGIN + foot - GAP.min(graphs));
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"fdw\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">"
    )?;
    writeln!(out, "<title>{}</title>\n<style>{SHEET}</style>", Markup(headline(report)))?;
    writeln!(out, "<rect class=\"fdw-page\" width=\"{width}\" height=\"{height}\"/>")?;
    let mut y = MARGIN;
    for process in shown {
        writeln!(out, "<g transform=\"translate({MARGIN} {y})\">")?;
        graph::write(out, process, report, true)?;
        writeln!(out, "</g>")?;
        y += graph::height(process) + GAP;
    }
    let text_y = y + 14;
    if shown.is_empty() {
        writeln!(
            out,
            "<text class=\"fdw-title\" x=\"{MARGIN}\" y=\"{text_y}\">No process was found</text>"
        )?;
    } else if left_out > 0 {
        writeln!(out, "<text x=\"{MARGIN}\" y=\"{text_y}\">and {left_out} more</text>")?;
    }
    writeln!(out, "</svg>")
}

/// One graph for a page that has [`SHEET`] and says itself whose it is.
pub(super) fn write_inline(
    out: &mut dyn Write,
    process: &ProcessReport,
    report: &Report,
) -> io::Result<()> {
    let (width, height, cut) =
        (graph::WIDTH, graph::HEIGHT - graph::TITLE_HEIGHT, graph::TITLE_HEIGHT);
    let name =
        Markup(format!("Open descriptors of {} over time", super::phrase::process_name(process)));
    writeln!(
        out,
        "<svg class=\"fdw\" viewBox=\"0 {cut} {width} {height}\" role=\"img\" \
         aria-label=\"{name}\">"
    )?;
    graph::write(out, process, report, false)?;
    writeln!(out, "</svg>")
}
