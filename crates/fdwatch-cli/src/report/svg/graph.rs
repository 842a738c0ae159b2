//! One process: title, verdict, the plot and its legend, on a field of [`WIDTH`] × [`HEIGHT`].

use std::io::{self, Write};
use std::time::Duration;

use fdwatch::{Point, ProcessReport, Report, Verdict};

use super::axis::{self, Scale};
use super::stack::{self, Layer};
use crate::report::markup::{Markup, of_bytes};
use crate::report::phrase::{Tone, process_name, process_verdict, tone};
use crate::report::quantity::{count, duration, signed};

pub(super) const WIDTH: usize = 920;
pub(super) const HEIGHT: usize = 340;
/// Where there is nothing to draw.
const EMPTY_HEIGHT: usize = 118;
/// What a page leaves out that has the name and the verdict in words above.
pub(super) const TITLE_HEIGHT: usize = 48;

const LEFT: f64 = 62.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 82.0;
const BOTTOM: f64 = 294.0;
const LEGEND: usize = 716;

/// A limit higher than so many times the highest count is named, not drawn: the graph would lie
/// flat on the ground.
const LIMIT_FACTOR_MAX: u64 = 2;

/// How high it is, with its title.
pub(super) fn height(process: &ProcessReport) -> usize {
    if process.series.is_empty() { EMPTY_HEIGHT } else { HEIGHT }
}

pub(super) fn write(
    out: &mut dyn Write,
    process: &ProcessReport,
    report: &Report,
    with_title: bool,
) -> io::Result<()> {
    if with_title {
        write_title(out, process)?;
    }
    let Some(&last) = process.series.last() else {
        return write_nothing(out, process);
    };
    let layers = stack::layers(process);
    let plot = Plot::new(process, &layers, last, report);
    plot.write_grid(out)?;
    plot.write_areas(out, &layers)?;
    plot.write_limit(out)?;
    plot.write_total(out)?;
    plot.write_future(out)?;
    write_legend(out, process, &layers)
}

fn write_title(out: &mut dyn Write, process: &ProcessReport) -> io::Result<()> {
    let class = match tone(process.verdict) {
        Tone::Good => "fdw-good",
        Tone::Bad => "fdw-bad",
        Tone::Warning => "fdw-warn",
        Tone::Neutral => "fdw-rest",
    };
    writeln!(
        out,
        "<text class=\"fdw-title\" x=\"0\" y=\"14\">{}</text>",
        Markup(process_name(process))
    )?;
    writeln!(out, "<circle class=\"{class}\" cx=\"5\" cy=\"33\" r=\"5\"/>")?;
    writeln!(
        out,
        "<text class=\"fdw-ink\" x=\"17\" y=\"37.5\">{}</text>",
        Markup(process_verdict(process))
    )
}

fn write_nothing(out: &mut dyn Write, process: &ProcessReport) -> io::Result<()> {
    let (width, top) = (WIDTH, TITLE_HEIGHT + 4);
    let (height, middle) = (EMPTY_HEIGHT - top, (EMPTY_HEIGHT + top) / 2 + 5);
    writeln!(
        out,
        "<rect class=\"fdw-future\" x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{height}\" \
         rx=\"6\"/>"
    )?;
    let why = match process.verdict {
        Verdict::NotPermitted => "The kernel does not show us how many descriptors it has open",
        _ => "Nothing has been counted yet",
    };
    writeln!(out, "<text class=\"fdw-middle\" x=\"{}\" y=\"{middle}\">{why}</text>", width / 2)
}

struct Plot<'a> {
    process: &'a ProcessReport,
    /// Milliseconds since the watch began.
    x: Scale,
    /// Descriptors.
    y: Scale,
    grid: Vec<u64>,
    last: Point,
    /// The limit, where it is drawn.
    limit: Option<u64>,
    /// When it will be reached, where that is drawn.
    limit_at_ms: Option<f64>,
}

impl<'a> Plot<'a> {
    fn new(process: &'a ProcessReport, layers: &[Layer], last: Point, report: &Report) -> Self {
        let counted = process.series.iter().map(|point| u64::from(point.high)).max().unwrap_or(0);
        let stacked = layers
            .last()
            .and_then(|layer| layer.tops.iter().copied().reduce(f64::max))
            .unwrap_or(0.0);
        let highest = counted.max(process.high_water).max(stacked.ceil() as u64);
        let limit =
            process.limit.filter(|&limit| limit <= highest.saturating_mul(LIMIT_FACTOR_MAX));
        let elapsed_ms = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX);
        let now_ms = elapsed_ms.max(last.at_ms).max(1) as f64;
        let limit_in = match process.verdict {
            Verdict::Leaking { limit_in, .. } if limit.is_some() => limit_in,
            _ => None,
        };
        // Where it lies further off than what was seen is long, what was seen would become small.
        let limit_in_ms =
            limit_in.map(|limit_in| limit_in.as_secs_f64() * 1e3).filter(|&ms| ms <= now_ms);
        let limit_at_ms = limit_in_ms.map(|ms| now_ms + ms);
        let grid = axis::counts(highest.max(limit.unwrap_or(0)));
        Self {
            process,
            x: Scale {
                low: 0.0,
                high: limit_at_ms.map_or(now_ms, |ms| ms * 1.03),
                from: LEFT,
                to: RIGHT,
            },
            y: Scale {
                low: 0.0,
                high: grid.last().copied().unwrap_or(1) as f64,
                from: BOTTOM,
                to: TOP,
            },
            grid,
            last,
            limit,
            limit_at_ms,
        }
    }

    fn write_grid(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "<text x=\"0\" y=\"66\">open descriptors</text>")?;
        for &line in &self.grid {
            let y = self.y.place(line as f64);
            let class = if line == 0 { "fdw-base" } else { "fdw-grid" };
            writeln!(out, "<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>")?;
            let (text_x, text_y) = (LEFT - 8.0, y + 4.5);
            writeln!(
                out,
                "<text class=\"fdw-end\" x=\"{text_x}\" y=\"{text_y:.1}\">{}</text>",
                count(line)
            )?;
        }
        for mark in axis::times(self.x.high as u64) {
            let x = self.x.place(mark as f64);
            let (tick, text_y) = (BOTTOM + 5.0, BOTTOM + 20.0);
            let label =
                if mark == 0 { "0".to_owned() } else { duration(Duration::from_millis(mark)) };
            writeln!(out, "<path class=\"fdw-base\" d=\"M{x:.1} {BOTTOM}V{tick}\"/>")?;
            writeln!(out, "<text class=\"fdw-middle\" x=\"{x:.1}\" y=\"{text_y}\">{label}</text>")?;
        }
        let text_y = BOTTOM + 40.0;
        writeln!(
            out,
            "<text class=\"fdw-end\" x=\"{RIGHT}\" y=\"{text_y}\">time since the watch began</text>"
        )
    }

    fn write_areas(&self, out: &mut dyn Write, layers: &[Layer]) -> io::Result<()> {
        let ground = vec![0.0; self.process.series.len()];
        let mut below = &ground;
        for layer in layers {
            write!(out, "<path class=\"fdw-area {}\" d=\"", layer.class)?;
            self.write_area(out, &layer.tops, below)?;
            writeln!(out, "Z\"><title>{}</title></path>", Markup(&layer.name))?;
            below = &layer.tops;
        }
        Ok(())
    }

    fn write_total(&self, out: &mut dyn Write) -> io::Result<()> {
        let edge = |of: fn(&Point) -> u32| {
            self.process.series.iter().map(|point| f64::from(of(point))).collect::<Vec<_>>()
        };
        let (low, high) = (edge(|point| point.low), edge(|point| point.high));
        if low != high {
            write!(out, "<path class=\"fdw-band\" d=\"")?;
            self.write_area(out, &high, &low)?;
            writeln!(out, "Z\"/>")?;
        }
        let middles: Vec<f64> =
            self.process.series.iter().map(|&point| stack::middle(point)).collect();
        write!(out, "<path class=\"fdw-total\" d=\"M")?;
        self.write_edge(out, middles.iter().copied().enumerate())?;
        writeln!(out, "\"/>")?;
        let (x, y) = self.end();
        writeln!(out, "<circle class=\"fdw-dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>")?;
        let Some(now) = self.process.count else { return Ok(()) };
        writeln!(
            out,
            "<text class=\"fdw-strong fdw-end fdw-halo\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x.max(LEFT + 40.0) - 2.0,
            (y - 10.0).max(TOP - 6.0),
            count(now)
        )
    }

    fn write_limit(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(limit) = self.process.limit else { return Ok(()) };
        let Some(drawn) = self.limit else {
            let y = TOP - 16.0;
            let limit = count(limit);
            return writeln!(
                out,
                "<text class=\"fdw-end\" x=\"{RIGHT}\" y=\"{y}\">the limit of {limit} is far \
                 above</text>"
            );
        };
        let y = self.y.place(drawn as f64);
        let (text_x, text_y) = (LEFT + 8.0, y - 6.0);
        writeln!(out, "<path class=\"fdw-limit\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>")?;
        writeln!(
            out,
            "<text class=\"fdw-bad fdw-halo\" x=\"{text_x}\" y=\"{text_y:.1}\">limit {}</text>",
            count(drawn)
        )
    }

    /// From now to the limit, at the rate of now.
    fn write_future(&self, out: &mut dyn Write) -> io::Result<()> {
        let (Some(limit), Some(at_ms)) = (self.limit, self.limit_at_ms) else { return Ok(()) };
        let ((x, y), to_x, to_y) = (self.end(), self.x.place(at_ms), self.y.place(limit as f64));
        let (width, height) = (RIGHT - x, BOTTOM - TOP);
        writeln!(
            out,
            "<rect class=\"fdw-future\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
             height=\"{height}\"/>"
        )?;
        writeln!(out, "<path class=\"fdw-ahead\" d=\"M{x:.1} {y:.1}L{to_x:.1} {to_y:.1}\"/>")?;
        writeln!(out, "<circle class=\"fdw-dot-bad\" cx=\"{to_x:.1}\" cy=\"{to_y:.1}\" r=\"4\"/>")?;
        let Verdict::Leaking { limit_in: Some(limit_in), .. } = self.process.verdict else {
            return Ok(());
        };
        writeln!(
            out,
            "<text class=\"fdw-bad fdw-end fdw-halo\" x=\"{RIGHT}\" y=\"{:.1}\">in {}</text>",
            to_y - 8.0,
            duration(limit_in)
        )
    }

    /// Where the line ends.
    fn end(&self) -> (f64, f64) {
        (self.x.place(self.last.at_ms as f64), self.y.place(stack::middle(self.last)))
    }

    /// There along the upper edge and back along the lower.
    fn write_area(&self, out: &mut dyn Write, upper: &[f64], lower: &[f64]) -> io::Result<()> {
        out.write_all(b"M")?;
        self.write_edge(out, upper.iter().copied().enumerate())?;
        out.write_all(b"L")?;
        self.write_edge(out, lower.iter().copied().enumerate().rev())
    }

    /// Without the points in the middle of a level stretch: most kinds never move.
    fn write_edge(
        &self,
        out: &mut dyn Write,
        points: impl DoubleEndedIterator<Item = (usize, f64)>,
    ) -> io::Result<()> {
        let mut points = points.peekable();
        let mut before = None;
        let mut is_first = true;
        while let Some((at, value)) = points.next() {
            let is_level =
                before == Some(value) && points.peek().is_some_and(|&(_, next)| next == value);
            before = Some(value);
            if is_level {
                continue;
            }
            let (x, y) = (self.x.place(self.process.series[at].at_ms as f64), self.y.place(value));
            write!(out, "{}{x:.1} {y:.1}", if is_first { "" } else { " " })?;
            is_first = false;
        }
        Ok(())
    }
}

fn write_legend(out: &mut dyn Write, process: &ProcessReport, layers: &[Layer]) -> io::Result<()> {
    let (count_x, growth_x) = (LEGEND + 142, WIDTH);
    if !layers.is_empty() {
        writeln!(out, "<text class=\"fdw-end\" x=\"{count_x}\" y=\"66\">now</text>")?;
        writeln!(out, "<text class=\"fdw-end\" x=\"{growth_x}\" y=\"66\">growth</text>")?;
    }
    let mut y = 90;
    for layer in layers.iter().rev() {
        let (name_x, swatch_y) = (LEGEND + 20, y - 11);
        let (class, name) = (layer.class, of_bytes(layer.name.as_bytes()));
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{LEGEND}\" y=\"{swatch_y}\" width=\"12\" height=\"12\" \
             rx=\"3\"/>\
             <text class=\"fdw-ink\" x=\"{name_x}\" y=\"{y}\">{name}</text>\
             <text class=\"fdw-ink fdw-end\" x=\"{count_x}\" y=\"{y}\">{}</text>\
             <text class=\"{}fdw-end\" x=\"{growth_x}\" y=\"{y}\">{}</text>",
            count(layer.count),
            if layer.growth > 0 { "fdw-ink " } else { "" },
            signed(layer.growth)
        )?;
        y += 22;
    }
    let (name_x, line_y, line_end) = (LEGEND + 20, y - 5, LEGEND + 12);
    let total = process.count.map_or_else(|| "–".to_owned(), count);
    writeln!(
        out,
        "<path class=\"fdw-total\" d=\"M{LEGEND} {line_y}H{line_end}\"/>\
         <text class=\"fdw-strong\" x=\"{name_x}\" y=\"{y}\">all</text>\
         <text class=\"fdw-strong fdw-end\" x=\"{count_x}\" y=\"{y}\">{total}</text>"
    )?;
    writeln!(
        out,
        "<text x=\"{name_x}\" y=\"{0}\">most</text><text class=\"fdw-end\" x=\"{count_x}\" \
         y=\"{0}\">{1}</text>",
        y + 22,
        count(process.high_water)
    )?;
    if process.is_scan_cut {
        writeln!(out, "<text x=\"{name_x}\" y=\"{}\">looked at in part</text>", y + 44)?;
    }
    Ok(())
}
