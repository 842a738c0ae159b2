//! Results go to standard output, messages to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::Global;
use crate::exit::{Exit, Outcome};
use crate::streams;

/// How this run reports results and errors.
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet }
    }

    /// The output until the command line is understood.
    pub(crate) fn plain() -> Self {
        Self { json: false, quiet: false }
    }

    /// Whether a progress bar makes sense.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// One JSON object on a line of standard output.
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        stdout()?.write_all(&line)
    }

    /// The same for a command whose work matters more than its report: it goes on when the reader
    /// of standard output has left.
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

/// Standard output did not accept what was written; exit code 1, or 0 when its reader has left.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct Unwritten(io::Error);

impl Unwritten {
    fn wrapped(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Self(error))
    }
}

/// Standard output without a buffer. A write that fails is an [`Unwritten`]. The standard library's
/// own output is not used: it takes a write to a descriptor that is not open for writing for a
/// success, and drops errors at the end of the process.
pub(crate) struct Stdout(());

/// # Errors
/// When it was closed before the process began.
pub(crate) fn stdout() -> io::Result<Stdout> {
    if streams::is_stdout_closed() {
        let closed = io::Error::new(
            io::ErrorKind::NotConnected,
            "it is closed; `>/dev/null` is the place for what is not needed",
        );
        return Err(Unwritten::wrapped(closed));
    }
    Ok(Stdout(()))
}

/// Writes a text to standard output.
pub(crate) fn print(text: impl Display) -> io::Result<()> {
    stdout()?.write_all(text.to_string().as_bytes())
}

/// Prints what clap answers instead of a command line: help and the version, which are data, or an
/// error message.
pub(crate) fn tell(told: &clap::Error) -> Outcome {
    let text = told.render();
    if told.use_stderr() {
        let mut err = io::stderr().lock();
        let _ =
            if err.is_terminal() { write!(err, "{}", text.ansi()) } else { write!(err, "{text}") };
        return Ok(Exit::Usage);
    }
    if io::stdout().is_terminal() {
        print(text.ansi())?;
    } else {
        print(text)?;
    }
    Ok(Exit::Success)
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(io::stdout(), bytes));
        written.map_err(|errno| Unwritten::wrapped(errno.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    drystone_limits::format_bytes(bytes)
}

/// `3 objects`, or `3 objects and 2 folders`.
pub(crate) fn objects_and_folders(objects: u64, folders: u64) -> String {
    let folders = if folders > 0 { format!(" and {folders} folders") } else { String::new() };
    format!("{objects} objects{folders}")
}

/// Nanoseconds since 1970 as `YYYY-MM-DD HH:MM:SS` UTC.
pub(crate) fn utc(ns: i64) -> String {
    let seconds = ns.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from days, after Howard Hinnant's `civil_from_days`: years begin in March, eras
    // have 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The same of milliseconds.
pub(crate) fn utc_of_ms(ms: u64) -> String {
    utc(i64::try_from(ms).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000))
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
