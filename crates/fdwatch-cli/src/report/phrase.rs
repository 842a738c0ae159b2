//! Verdicts and names in words: the same everywhere.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::time::Duration;

use fdwatch::{Children, Evidence, LineageReport, ProcessReport, Report, Verdict};

use super::printable::Printable;
use super::quantity::{count, duration, rate, rate_in_words, round_up, whole_seconds};

/// Longer names are cut: the kernel's have at most 15 bytes, four of which may be needed to show
/// one.
pub(super) const NAME_CHARS_MAX: usize = 64;

/// What the reader is told first, also as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Warning,
    Neutral,
}

pub(super) fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Steady => Tone::Good,
        Verdict::Leaking { .. } => Tone::Bad,
        Verdict::NearLimit { .. } | Verdict::NotPermitted => Tone::Warning,
        Verdict::Warming | Verdict::Gone => Tone::Neutral,
    }
}

/// One or two words, as in tables and JSON.
pub(crate) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Warming => "warming",
        Verdict::Steady => "steady",
        Verdict::Leaking { .. } => "leaking",
        Verdict::NearLimit { .. } => "near-limit",
        Verdict::Gone => "gone",
        Verdict::NotPermitted => "not-permitted",
    }
}

/// A clause about one process, to stand after its name.
pub(super) fn process_verdict(process: &ProcessReport) -> String {
    match process.verdict {
        Verdict::Warming => {
            let wait = process.decided_in.map(|left| format!(": a verdict in {}", round_up(left)));
            format!("too early to say{}{}", wait.unwrap_or_default(), moved(process, ", "))
        }
        Verdict::Steady => format!("steady{}", moved(process, ": ")),
        Verdict::Leaking { per_second, limit_in } => leak(process, per_second, limit_in),
        Verdict::NearLimit { count, limit } => near_limit(count, limit),
        Verdict::Gone => "ended while it was watched".to_owned(),
        Verdict::NotPermitted => "the kernel does not show us its descriptors".to_owned(),
    }
}

/// The same for a cell of a table whose other columns have the numbers.
pub(super) fn short_verdict(process: &ProcessReport) -> String {
    match process.verdict {
        Verdict::Leaking { .. } if !process.is_alive() => "leaked, gone".to_owned(),
        Verdict::Warming => process
            .decided_in
            .map_or_else(|| "warming".to_owned(), |left| format!("verdict in {}", round_up(left))),
        Verdict::Leaking { limit_in: Some(limit_in), .. } => {
            format!("leaks, {} left", duration(limit_in))
        }
        Verdict::Leaking { limit_in: None, .. } => "leaks".to_owned(),
        verdict => verdict_word(verdict).replace('-', " "),
    }
}

/// `108 opened, 0 closed in 54 s`.
pub(super) fn evidence(evidence: &Evidence) -> String {
    let (opened, closed) = (count(evidence.opened), count(evidence.closed));
    format!("{opened} opened, {closed} closed in {}", duration(whole_seconds(evidence.over)))
}

/// The same behind `before`; nothing where nothing was opened or closed.
fn moved(process: &ProcessReport, before: &str) -> String {
    let moved = process.evidence.filter(|moved| moved.opened + moved.closed > 0);
    moved.map_or_else(String::new, |moved| format!("{before}{}", evidence(&moved)))
}

/// `12, 2 of them zombies, +0.5/s`.
pub(super) fn children(children: &Children) -> String {
    if !children.are_counted {
        return "not looked for".to_owned();
    }
    let mut text = format!(
        "{}, {} of them zombies",
        count(children.count.into()),
        count(children.zombies.into())
    );
    let rate = rate(children.trend.per_second);
    if rate != "0" {
        let _ = write!(text, ", {rate}");
    }
    if children.trend.is_leak {
        text.push_str(": they are left over");
    }
    text
}

/// One sentence about all of it.
pub(super) fn headline(report: &Report) -> String {
    let worst = report.processes.iter().find(|process| same(process.verdict, report.verdict));
    match (report.verdict, worst) {
        (Verdict::Leaking { .. } | Verdict::NearLimit { .. }, Some(process)) => {
            format!("{} {}", process_name(process), process_verdict(process))
        }
        (Verdict::Leaking { .. }, None) if !report.lineages.is_empty() => {
            lineage(&report.lineages[0])
        }
        (Verdict::Leaking { per_second, .. }, None) => {
            let children = &report.children;
            let rate = rate_in_words(per_second);
            format!(
                "Child processes are left over: {} more, {} now, {} of them zombies",
                rate.map_or_else(
                    || "slowly".to_owned(),
                    |(amount, unit)| format!("{amount} {unit}")
                ),
                count(children.count.into()),
                count(children.zombies.into())
            )
        }
        (Verdict::NearLimit { count, limit }, None) => {
            format!("A process {}", near_limit(count, limit))
        }
        (Verdict::Steady, _) => format!("No leak was seen{}", undecided(report)),
        (Verdict::Warming, _) => {
            let left = first_verdict_in(report);
            let wait = left.map(|left| format!(": a verdict in {}", round_up(left)));
            format!("Too little has been seen to say anything yet{}", wait.unwrap_or_default())
        }
        (Verdict::Gone, _) => "What was watched has ended".to_owned(),
        (Verdict::NotPermitted, _) => {
            "The kernel does not show us these descriptors: watch as the same user, or as root"
                .to_owned()
        }
    }
}

/// What fits into a line where the verdict's word stands already: the number that matters comes
/// first.
pub(super) fn short_headline(report: &Report) -> String {
    let first = report.processes.first();
    match (report.verdict, first.filter(|process| same(process.verdict, report.verdict))) {
        (Verdict::Leaking { per_second, limit_in }, Some(process)) => {
            let limit = limit_in
                .map_or_else(|| rate(per_second), |left| format!("limit in {}", duration(left)));
            let moved = process.evidence.as_ref().map_or_else(|| rate(per_second), evidence);
            format!("{limit}, {moved}: {}", process_name(process))
        }
        (Verdict::Warming, Some(process)) => {
            let wait =
                first_verdict_in(report).map(|left| format!("a verdict in {}", round_up(left)));
            format!(
                "{}{}",
                wait.unwrap_or_else(|| "too early to say".to_owned()),
                moved(process, ", ")
            )
        }
        (Verdict::Steady, Some(process)) if report.processes.len() == 1 => {
            format!("no leak was seen{}", moved(process, ": "))
        }
        _ => headline(report),
    }
}

/// When it is told of the first process whether it leaks.
fn first_verdict_in(report: &Report) -> Option<Duration> {
    report.processes.iter().filter_map(|process| process.decided_in).min()
}

/// `; 2 processes are too new to tell, a verdict in 12 s; 1 is not shown to us`.
fn undecided(report: &Report) -> String {
    let mut text = String::new();
    let number = |verdict| {
        report.processes.iter().filter(|process| process.verdict == verdict).count() as u64
    };
    let processes = |number| match number {
        1 => "1 process is".to_owned(),
        _ => format!("{} processes are", count(number)),
    };
    let (new, hidden) = (number(Verdict::Warming), number(Verdict::NotPermitted));
    if new > 0 {
        let wait =
            first_verdict_in(report).map(|left| format!(", a verdict in {}", round_up(left)));
        let _ = write!(text, "; {} too new to tell{}", processes(new), wait.unwrap_or_default());
    }
    if hidden > 0 {
        let _ = write!(text, "; {} not shown to us", processes(hidden));
    }
    text
}

/// Of processes that are replaced.
fn lineage(lineage: &LineageReport) -> String {
    format!(
        "The processes called {} leak, {} that {} and {} that ended: {}",
        Printable::new(&lineage.name, NAME_CHARS_MAX),
        count(lineage.alive as u64),
        if lineage.alive == 1 { "lives" } else { "live" },
        count(lineage.ended),
        evidence(&lineage.evidence)
    )
}

fn same(one: Verdict, other: Verdict) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

fn leak(process: &ProcessReport, per_second: f64, limit_in: Option<Duration>) -> String {
    let is_alive = process.is_alive();
    let verb = if is_alive { "leaks" } else { "leaked until it ended:" };
    let mut text = match rate_in_words(per_second) {
        Some((amount, unit)) => {
            let noun = if amount == "1" { "descriptor" } else { "descriptors" };
            format!("{verb} {amount} {noun} {unit}")
        }
        None => format!("{verb} less than one descriptor a day"),
    };
    text.push_str(&moved(process, ": "));
    if let (Some(limit_in), true) = (limit_in, is_alive) {
        let limit = process.limit.map_or_else(String::new, |limit| format!(" of {}", count(limit)));
        let _ = write!(text, "; at this rate its limit{limit} is hit in {}", duration(limit_in));
    }
    text
}

fn near_limit(open: u64, limit: u64) -> String {
    match open.cmp(&limit) {
        Ordering::Less => {
            format!("is near its limit: {} of {} are open", count(open), count(limit))
        }
        Ordering::Equal => format!("is at its limit: all {} are open", count(limit)),
        Ordering::Greater => {
            format!("had {} open at a time, {} are allowed", count(open), count(limit))
        }
    }
}

/// `nginx (pid 4711)`.
pub(super) fn process_name(process: &ProcessReport) -> String {
    format!("{} (pid {})", Printable::new(&process.name, NAME_CHARS_MAX), process.key.pid)
}
