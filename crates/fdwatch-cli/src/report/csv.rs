//! One row per process and tick, for spreadsheets and data frames.
//!
//! As in RFC 4180: commas, lines end in CR LF, a field with a comma or quote stands in quotes and
//! its quotes are doubled. What is unknown is empty, never 0. A name never breaks its line: control
//! characters are escaped as elsewhere.
//!
//! Anybody may call their process `=cmd()`, and a spreadsheet would compute it. So a name whose
//! first visible character is `=`, `+`, `-`, `@` or the full-width form of one gets a `'` in front,
//! which spreadsheets take for "this is text". Numbers are left alone, also negative ones.

use std::io::{self, Write};

use fdwatch::{Kind, ProcessReport, Report};

use super::json::{limit_in_s, milliseconds};
use super::phrase::{NAME_CHARS_MAX, verdict_word};
use super::printable::Printable;
use super::quantity::date_and_time;

/// Writes the names of the columns; once, first.
///
/// # Errors
/// Those of `out`.
pub fn write_header(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"time,elapsed_ms,pid,start_ticks,name,count,high_water,limit,per_second,verdict,\
          limit_in_s",
    )?;
    for kind in Kind::ALL {
        write!(out, ",{}", kind.name())?;
    }
    out.write_all(b"\r\n")
}

/// Writes a row for each process.
///
/// # Errors
/// Those of `out`.
pub fn write_rows(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let elapsed_ms = milliseconds(report.elapsed);
    let (date, time) = date_and_time(report.started_unix_ms.saturating_add(elapsed_ms));
    for process in &report.processes {
        write!(out, "{date}T{time}Z,{elapsed_ms}")?;
        write_process(out, process)?;
    }
    Ok(())
}

fn write_process(out: &mut dyn Write, process: &ProcessReport) -> io::Result<()> {
    write!(out, ",{},{},{},", process.key.pid, process.key.start_ticks, text(&process.name))?;
    if let Some(count) = process.count {
        write!(out, "{count}")?;
    }
    write!(out, ",{},", process.high_water)?;
    if let Some(limit) = process.limit {
        write!(out, "{limit}")?;
    }
    out.write_all(b",")?;
    if process.trend.per_second.is_finite() {
        write!(out, "{}", process.trend.per_second)?;
    }
    write!(out, ",{},", verdict_word(process.verdict))?;
    if let Some(seconds) = limit_in_s(process.verdict) {
        write!(out, "{seconds}")?;
    }
    // A kind without descriptors is 0, or empty where there was no scan.
    for kind in Kind::ALL {
        out.write_all(b",")?;
        if !process.kinds.is_empty() {
            let found = process.kinds.iter().find(|found| found.kind == *kind);
            write!(out, "{}", found.map_or(0, |found| found.count))?;
        }
    }
    out.write_all(b"\r\n")
}

fn text(bytes: &[u8]) -> String {
    let printable = Printable::new(bytes, NAME_CHARS_MAX).to_string();
    let is_formula =
        printable.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let text = if is_formula { format!("'{printable}") } else { printable };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_a_formula_and_never_breaks_the_row() {
        for (name, expected) in [
            ("nginx", "nginx"),
            ("=cmd()", "'=cmd()"),
            ("  @SUM(1)", "'  @SUM(1)"),
            ("-1", "'-1"),
            ("＝1", "'＝1"),
            ("a,b", "\"a,b\""),
            ("=\"x\"", "\"'=\"\"x\"\"\""),
            ("a\r\nb", "a\\x0d\\x0ab"),
            ("\t=1", "\\x09=1"),
        ] {
            assert_eq!(text(name.as_bytes()), expected);
        }
    }

    #[test]
    fn every_kind_has_its_column() {
        for (at, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }
}
