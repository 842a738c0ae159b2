//! Data on standard output, talk on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::Global;

/// How this run talks.
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet }
    }

    /// Whether a progress bar makes sense.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// One JSON object on a line of standard output.
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, value)?;
        out.write_all(b"\n")
    }

    /// The same for a command whose work matters more than what it says of it: a reader that left does not end it.
    pub(crate) fn report(&self, value: &impl Serialize) -> io::Result<()> {
        match self.json(value) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// A line on standard error that a person may like to know.
    pub(crate) fn note(&self, line: impl Display) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// An error and its causes on one line of standard error.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.problem(None, error);
    }

    /// What went wrong with one file or object, while the others go on.
    pub(crate) fn problem(&self, subject: Option<&str>, error: &anyhow::Error) {
        let mut text = String::new();
        for cause in error.chain() {
            let cause = cause.to_string();
            if !text.ends_with(&cause) {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&cause);
            }
        }
        if self.json {
            #[derive(Serialize)]
            struct Problem<'a> {
                subject: Option<&'a str>,
                error: &'a str,
            }
            let _ = self.json(&Problem { subject, error: &text });
        }
        let mut err = io::stderr().lock();
        let _ = match subject {
            Some(subject) => writeln!(err, "drystone: {}: {text}", subject.escape_debug()),
            None => writeln!(err, "drystone: {text}"),
        };
    }
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    drystone_limits::format_bytes(bytes)
}

/// Nanoseconds since 1970 as `YYYY-MM-DD HH:MM:SS` UTC.
pub(crate) fn utc(ns: i64) -> String {
    let seconds = ns.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from days, after Howard Hinnant's `civil_from_days`: years begin in March, eras have 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(-1), "1969-12-31 23:59:59");
        assert_eq!(utc(951_782_400_000_000_000), "2000-02-29 00:00:00");
        assert_eq!(utc(1_795_242_000_000_000_000), "2026-11-21 06:20:00");
    }
}
