//! The current report in Prometheus' text exposition format 0.0.4.
//!
//! Labels are `pid`, `name` and `kind` only, never a path: the number of time series is bounded by
//! the number of processes. What is unknown is left out, never 0, and so is a process that has
//! ended: another process may have its pid by now.

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, Write};

use fdwatch::{ProcessReport, Report, Verdict};

use super::phrase::NAME_CHARS_MAX;
use super::printable::Printable;

/// What a scraper is told in `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// As many processes as are watched at most; more would be a mistake of the caller, and scrapers
/// punish it.
const PROCESSES_MAX: usize = 1_000;

/// Writes all of it.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let processes = alive(report);
    let gauges: [Gauge; 6] = [
        ("open_descriptors", "Open file descriptors.", |process| process.count.map(Value::Count)),
        ("high_water_descriptors", "The most that were open since the watch began.", |process| {
            process.count.map(|_| Value::Count(process.high_water))
        }),
        ("descriptors_limit", "The soft RLIMIT_NOFILE.", |process| process.limit.map(Value::Count)),
        (
            "growth_per_second",
            "How fast the number of descriptors grows, by a robust slope.",
            |process| {
                let is_known = process.count.is_some() && process.verdict != Verdict::Warming;
                is_known.then_some(Value::Real(process.trend.per_second))
            },
        ),
        ("limit_seconds", "Until a leaking process reaches its limit at this rate.", |process| {
            super::json::limit_in_s(process.verdict).map(Value::Real)
        }),
        ("leaking", "1 if the process leaks descriptors.", |process| {
            process.count.map(|_| Value::Count(is_leaking(process).into()))
        }),
    ];
    for (name, help, value) in gauges {
        write_head(out, name, help)?;
        for process in &processes {
            if let Some(value) = value(process) {
                writeln!(out, "fdwatch_{name}{{{}}} {value}", Labels(process))?;
            }
        }
    }
    write_head(
        out,
        "descriptors_by_kind",
        "Open file descriptors by what they refer to, of the newest scan.",
    )?;
    for process in &processes {
        for kind in &process.kinds {
            let (labels, name) = (Labels(process), kind.kind.name());
            writeln!(
                out,
                "fdwatch_descriptors_by_kind{{{labels},kind=\"{name}\"}} {}",
                kind.count
            )?;
        }
    }
    let children = &report.children;
    if children.are_counted {
        write_single(out, "children", "Processes below the watched ones.", children.count)?;
        write_single(
            out,
            "children_zombies",
            "Those of them that ended and were not waited for.",
            children.zombies,
        )?;
        let is_leak = u32::from(children.trend.is_leak);
        write_single(out, "children_leaking", "1 if child processes are left over.", is_leak)?;
    }
    let left_out = report.processes.len().saturating_sub(PROCESSES_MAX) as u64;
    let left_out = left_out + u64::from(report.processes_left_out);
    write_single(
        out,
        "processes_left_out",
        "Processes that match but are too many to be watched.",
        left_out,
    )
}

/// Name, help and what it is of a process.
type Gauge = (&'static str, &'static str, fn(&ProcessReport) -> Option<Value>);

enum Value {
    Count(u64),
    Real(f64),
}

impl Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => count.fmt(formatter),
            // As Rust writes them: `NaN` is right, infinity is not.
            Self::Real(real) if real.is_infinite() => {
                formatter.write_str(if *real > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Real(real) => real.fmt(formatter),
        }
    }
}

/// Two series with the same labels would make the whole scrape invalid.
fn alive(report: &Report) -> Vec<&ProcessReport> {
    let mut pids = HashSet::new();
    let alive = report.processes.iter().take(PROCESSES_MAX).filter(|process| process.is_alive());
    alive.filter(|process| pids.insert(process.key.pid)).collect()
}

fn is_leaking(process: &ProcessReport) -> bool {
    process.trend.is_leak || matches!(process.verdict, Verdict::Leaking { .. })
}

fn write_head(out: &mut dyn Write, name: &str, help: &str) -> io::Result<()> {
    writeln!(out, "# HELP fdwatch_{name} {help}\n# TYPE fdwatch_{name} gauge")
}

fn write_single(
    out: &mut dyn Write,
    name: &str,
    help: &str,
    value: impl Into<u64>,
) -> io::Result<()> {
    write_head(out, name, help)?;
    writeln!(out, "fdwatch_{name} {}", value.into())
}

struct Labels<'a>(&'a ProcessReport);

impl Display for Labels<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Printable::new(&self.0.name, NAME_CHARS_MAX).to_string();
        // No line feed is left to be escaped.
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        write!(formatter, "pid=\"{}\",name=\"{name}\"", self.0.key.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// A pid that was used again is in a report twice.
    #[test]
    fn no_series_is_there_twice() {
        let mut report = fixture::leaking();
        let mut ended = report.processes[0].clone();
        ended.has_ended = true;
        report.processes.insert(0, ended);
        let again = report.processes[1].clone();
        report.processes.push(ProcessReport { count: Some(1), ..again });
        let mut out = Vec::new();
        write(&mut out, &report).unwrap();
        let mut before = Vec::new();
        write(&mut before, &fixture::leaking()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(before).unwrap());
    }

    #[test]
    fn what_has_ended_is_not_there() {
        let mut report = fixture::leaking();
        report.processes.truncate(1);
        report.processes[0].has_ended = true;
        let mut out = Vec::new();
        write(&mut out, &report).unwrap();
        assert!(!String::from_utf8(out).unwrap().contains("4711"));
    }

    #[test]
    fn a_number_is_as_the_format_wants_it() {
        for (real, expected) in
            [(0.5, "0.5"), (f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN")]
        {
            assert_eq!(Value::Real(real).to_string(), expected);
        }
    }
}
