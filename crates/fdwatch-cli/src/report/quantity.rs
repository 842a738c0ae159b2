//! Numbers, rates and times in words: the same everywhere.

use std::time::Duration;

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
pub(super) fn rate_in_words(per_second: f64) -> Option<(String, String)> {
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

/// Without milliseconds, which say nothing to a reader here.
pub(super) fn whole_seconds(duration: Duration) -> Duration {
    if duration < Duration::from_secs(1) {
        duration
    } else {
        Duration::from_secs(duration.as_secs())
    }
}

/// As a countdown has it: it ends with one, not with zero.
pub(super) fn round_up(left: Duration) -> String {
    duration(Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0)))
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
#[path = "quantity_tests.rs"]
mod tests;
