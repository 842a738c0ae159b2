//! The last word of a watch, for a person: plain text, to be read in a terminal or a log.

use std::io::{self, Write};

use fdwatch::{Bound, Ceiling, GroupReport, ProcessReport, Report};

use super::phrase::{self, evidence, headline, process_name, process_verdict, verdict_word};
use super::printable::Printable;
use super::quantity::{ago, count, duration, moment, rate, signed};

/// Processes that are told about; the rest is a number.
const PROCESSES_MAX: usize = 20;
/// Groups of each.
const GROUPS_MAX: usize = 5;
/// The same where none of them grew: what is open most.
const QUIET_GROUPS_MAX: usize = 3;
/// Stacks of each group, and frames of each stack.
const STACKS_MAX: usize = 2;
const FRAMES_MAX: usize = 24;
const PATTERN_CHARS_MAX: usize = 72;
const FRAME_CHARS_MAX: usize = 120;

/// Writes the verdict, then a line for each process with the groups that grew.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let word = verdict_word(report.verdict).replace('-', " ").to_uppercase();
    writeln!(out, "{word}: {}.", headline(report))?;
    writeln!(
        out,
        "Watched for {} (from {}), every {}.",
        duration(report.elapsed),
        moment(report.started_unix_ms),
        duration(report.interval)
    )?;
    for process in report.processes.iter().take(PROCESSES_MAX) {
        writeln!(out)?;
        write_process(out, process, report)?;
    }
    let more = report.processes.len().saturating_sub(PROCESSES_MAX) as u64;
    if more > 0 {
        writeln!(out, "\n{} with no worse verdict.", processes(more))?;
    }
    if report.processes_left_out > 0 {
        writeln!(
            out,
            "\n{} matched but could not be watched.",
            processes(report.processes_left_out.into())
        )?;
    }
    let children = &report.children;
    if children.count > 0 {
        writeln!(out, "\nChildren: {}.", phrase::children(children))?;
    }
    Ok(())
}

fn processes(number: u64) -> String {
    format!("{} more {}", count(number), if number == 1 { "process" } else { "processes" })
}

fn write_process(out: &mut dyn Write, process: &ProcessReport, report: &Report) -> io::Result<()> {
    write!(out, "{}: ", process_name(process))?;
    match (process.count.filter(|_| process.is_alive()), process.limit) {
        (Some(open), Some(limit)) => write!(out, "{} of {} open", count(open), count(limit))?,
        (Some(open), None) => write!(out, "{} open", count(open))?,
        (None, _) if process.is_alive() => write!(out, "count unknown")?,
        (None, _) => write!(out, "not there any more")?,
    }
    if process.count.is_some_and(|open| open < process.high_water) && process.high_water > 0 {
        write!(out, ", {} at most", count(process.high_water))?;
    }
    writeln!(out, "; {}", process_verdict(process))?;
    if let Some(Ceiling { bound, used, limit }) = process.ceiling {
        let bound = match bound {
            Bound::InotifyInstances => "inotify instances that all processes of its user may have",
            Bound::InotifyWatches => "inotify watches that all processes of its user may have",
            Bound::EpollWatches => "epoll watches that all processes of its user may have",
            Bound::SystemFiles => "files that the whole system may have open",
            // One that the library has learnt since.
            other => other.name(),
        };
        writeln!(
            out,
            "    Nearer than its limit: {} of the {} {bound}",
            count(used),
            count(limit)
        )?;
    }
    // A user who asked for stacks wants to see them, also of what was open before the warm-up was
    // over.
    let is_news = |group: &&GroupReport| group.growth > 0 || !group.stacks.is_empty();
    let mut told: Vec<&GroupReport> =
        process.groups.iter().filter(is_news).take(GROUPS_MAX).collect();
    if told.is_empty() && process.is_alive() {
        told.extend(&process.groups);
        told.sort_by_key(|group| std::cmp::Reverse(group.count));
        told.truncate(QUIET_GROUPS_MAX);
    }
    for group in told {
        write_group(out, group, report)?;
    }
    if process.is_scan_cut {
        writeln!(out, "    (there are more descriptors than a scan looks at)")?;
    }
    Ok(())
}

fn write_group(out: &mut dyn Write, group: &GroupReport, report: &Report) -> io::Result<()> {
    let mut moves = String::new();
    if group.growth > 0 {
        let rate = Some(rate(group.trend.per_second)).filter(|rate| rate != "0");
        let rate = rate.map_or_else(String::new, |rate| format!(", {rate}"));
        let grew = ago(group.grew_at_ms, report.elapsed);
        let leaks = match group.evidence {
            Some(moved) if group.trend.is_leak => format!(": leaks, {}", evidence(&moved)),
            _ => String::new(),
        };
        moves = format!("{rate}, grew {grew}{leaks}");
    }
    writeln!(
        out,
        "    {:>7} {:<12} {} ({} open{moves})",
        signed(group.growth),
        group.kind.name(),
        Printable::new(&group.pattern, PATTERN_CHARS_MAX),
        count(group.count.into()),
    )?;
    for stack in group.stacks.iter().take(STACKS_MAX) {
        writeln!(out, "            {} opened by", count(stack.count.into()))?;
        for frame in stack.frames.iter().take(FRAMES_MAX) {
            writeln!(out, "              {}", Printable::new(frame.as_bytes(), FRAME_CHARS_MAX))?;
        }
        if stack.frames.len() > FRAMES_MAX {
            writeln!(out, "              … {} more", stack.frames.len() - FRAMES_MAX)?;
        }
    }
    Ok(())
}
