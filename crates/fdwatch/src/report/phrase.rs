//! Numbers, times and verdicts in words: the same everywhere.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::time::Duration;

use super::printable::Printable;
use crate::{Children, Evidence, LineageReport, ProcessReport, Report, Verdict};

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

/// Without the milliseconds of a moment that nobody asked for.
fn whole_seconds(duration: Duration) -> Duration {
    if duration < Duration::from_secs(1) {
        duration
    } else {
        Duration::from_secs(duration.as_secs())
    }
}

/// As a countdown has it: it ends with one, not with zero.
fn round_up(left: Duration) -> String {
    duration(Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0)))
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

/// `20,480`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `unknown` where the kernel does not tell.
pub(super) fn count_or_unknown(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), count)
}

/// `+580`, `−3`, `0`.
pub(super) fn signed(number: i64) -> String {
    let sign = match number {
        0 => "",
        1.. => "+",
        _ => "−",
    };
    format!("{sign}{}", count(number.unsigned_abs()))
}

/// `+1.02/s`, or a minute, an hour or a day where that is easier to grasp; `0` where it does not
/// move.
pub(super) fn rate(per_second: f64) -> String {
    let (amount, unit) = in_unit(per_second);
    if decimals(amount) == "0" {
        return "0".to_owned();
    }
    let sign = if amount < 0.0 { "−" } else { "+" };
    format!("{sign}{}/{}", decimals(amount), &unit[..if unit == "minute" { 3 } else { 1 }])
}

/// `1.02` and `a second`; nothing where it is too slow to tell.
fn rate_in_words(per_second: f64) -> Option<(String, String)> {
    let (amount, unit) = in_unit(per_second);
    let article = if unit == "hour" { "an" } else { "a" };
    let amount = decimals(amount);
    (amount != "0").then(|| (amount, format!("{article} {unit}")))
}

/// Below it two decimals are no longer enough, and a smaller unit of time is taken.
const SLOWEST: f64 = 0.095;

fn in_unit(per_second: f64) -> (f64, &'static str) {
    if !per_second.is_finite() {
        return (0.0, "second");
    }
    let units = [("second", 1.0), ("minute", 60.0), ("hour", 3_600.0)];
    let fitting = units.into_iter().find(|(_, seconds)| per_second.abs() * seconds >= SLOWEST);
    let (unit, seconds) = fitting.unwrap_or(if per_second.abs() * 86_400.0 >= 0.995 {
        ("day", 86_400.0)
    } else {
        // Slower than one a day is noise.
        ("day", 0.0)
    });
    (per_second * seconds, unit)
}

/// Without a sign: three figures are enough.
fn decimals(amount: f64) -> String {
    let amount = if amount.is_finite() { amount.abs() } else { 0.0 };
    // Bounded before it becomes an integer: the rates are of descriptors, of which there are 2^31
    // at most.
    let whole = |amount: f64| count(amount.min(1e15) as u64);
    if amount >= 99.95 {
        return whole(amount.round());
    }
    let places = if amount >= 9.995 { 1 } else { 2 };
    let text = format!("{amount:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `45 s`, `3 min 32 s`, `2 h 5 min`, `3 d 4 h`: two units at most.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 && !duration.is_zero() {
        return format!("{} ms", duration.as_millis());
    }
    let (large, small) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3_600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3_600..86_400 => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    };
    match small.0 {
        0 => format!("{} {}", count(large.0), large.1),
        _ => format!("{} {} {} {}", count(large.0), large.1, small.0, small.1),
    }
}

/// `2 min 5 s ago`, `just now`; of a moment that is given like the report's: in milliseconds since
/// the watch began.
pub(super) fn ago(at_ms: u64, elapsed: Duration) -> String {
    let passed = elapsed.saturating_sub(Duration::from_millis(at_ms));
    if passed < Duration::from_secs(1) {
        "just now".to_owned()
    } else {
        format!("{} ago", duration(passed))
    }
}

/// `2026-11-26 22:49:01 UTC`.
pub(super) fn moment(unix_ms: u64) -> String {
    let (date, time) = date_and_time(unix_ms);
    format!("{date} {time} UTC")
}

/// `2026-11-26` and `22:49:01`, of the proleptic Gregorian calendar, after Hinnant's
/// "chrono-compatible low-level date algorithms": years begin in March, so that the leap day is the
/// last.
pub(super) fn date_and_time(unix_ms: u64) -> (String, String) {
    let seconds = unix_ms / 1_000;
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let of_day = seconds % 86_400;
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{:02}:{:02}:{:02}", of_day / 3_600, of_day % 3_600 / 60, of_day % 60),
    )
}

#[cfg(test)]
#[path = "phrase_tests.rs"]
mod tests;
