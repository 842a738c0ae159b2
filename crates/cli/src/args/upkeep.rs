//! Flags of `scrub` and `check`.

use std::path::PathBuf;

use clap::Args;

use super::parse_size;
use crate::home;

#[derive(Args, Debug)]
pub(crate) struct ScrubArgs {
    /// Read at most so much in a second, for example 50MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
    /// Leave out what was verified within this time, for example 7d or 12h
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) since: Option<u64>,
    /// Begin at the first chunk, also if the scrub before was interrupted
    #[arg(long)]
    pub(crate) restart: bool,
    /// Do not scrub, but heal what earlier scrubs found damaged with the bytes that are in this
    /// file, or in the store in this folder, which is only read
    #[arg(
        long,
        value_name = "FILE|STORE",
        value_parser = home::parser(),
        conflicts_with_all = ["rate", "since", "restart"]
    )]
    pub(crate) repair_from: Option<PathBuf>,
}

/// Bytes in a second; at least one.
fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("a scrub at this rate would never end; leave --rate out for no limit".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A time like `7d`, in milliseconds.
fn parse_age(text: &str) -> Result<u64, String> {
    let wrong =
        || "write a number and one of s, m, h, d or w, for example `7d` or `12h`".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    // More than that is older than any clock.
    Ok(number.saturating_mul(unit_ms).min(i64::MAX.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_parse() {
        let check = |text, expected| assert_eq!(parse_age(text).ok(), expected, "{text}");
        check("0s", Some(0));
        check("90s", Some(90_000));
        check("3m", Some(180_000));
        check("12h", Some(43_200_000));
        check("7d", Some(604_800_000));
        check("1w", Some(604_800_000));
        check("18446744073709551615w", Some(i64::MAX.unsigned_abs()));
        for bad in ["", "7", "d", "-1d", "1.5d", "7 d", "7D", "7days", "2026-01-01"] {
            check(bad, None);
        }
    }

    #[test]
    fn no_rate_is_none_at_all() {
        assert_eq!(parse_rate("1MiB"), Ok(1 << 20));
        assert!(parse_rate("0").is_err());
    }
}
