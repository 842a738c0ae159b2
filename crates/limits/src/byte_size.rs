//! Byte sizes as people write them.

use crate::plan::constants::{GIB, KIB, MIB, TIB};

/// A byte size that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ByteSizeError {
    /// Nothing, or only white space.
    #[error("a byte size is missing; write a number with an optional unit, like 256MiB")]
    Empty,
    /// A minus sign.
    #[error("\"{text}\" is negative; a byte size cannot be")]
    Negative {
        /// What was written.
        text: String,
    },
    /// No whole number in front.
    #[error("\"{text}\" does not start with a whole number; write it like 256MiB")]
    NotANumber {
        /// What was written.
        text: String,
    },
    /// A unit that is none of ours.
    #[error(
        "unknown unit \"{unit}\" in \"{text}\"; use B, KiB, MiB, GiB, TiB (powers of 1024) or kB, \
         MB, GB, TB"
    )]
    UnknownUnit {
        /// What was written.
        text: String,
        /// What follows the number.
        unit: String,
    },
    /// More than 64 bits hold.
    #[error("\"{text}\" is too large: the largest size is 18446744073709551615 bytes")]
    TooLarge {
        /// What was written.
        text: String,
    },
}

/// Messages repeat at most this many characters of what was written.
const SHOWN_CHARS_MAX: usize = 40;

/// Reads a byte size: a whole number and an optional unit, in upper or lower case, with or without
/// a space between.
///
/// As in GNU coreutils, `KiB` and `K` are 1,024 bytes and `KB` is 1,000; no unit, or `B`, is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, ByteSizeError> {
    let trimmed = text.trim();
    let shown = || trimmed.chars().take(SHOWN_CHARS_MAX).collect::<String>();
    if trimmed.is_empty() {
        return Err(ByteSizeError::Empty);
    }
    if trimmed.starts_with(['-', '\u{2212}']) {
        return Err(ByteSizeError::Negative { text: shown() });
    }
    let digits_len = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = trimmed.split_at(digits_len);
    if digits.is_empty() || unit.starts_with(['.', ',', '_']) {
        return Err(ByteSizeError::NotANumber { text: shown() });
    }
    let unit = unit.trim();
    let Some(unit_bytes) = unit_bytes(unit) else {
        let unit = unit.chars().take(SHOWN_CHARS_MAX).collect();
        return Err(ByteSizeError::UnknownUnit { text: shown(), unit });
    };
    let number = digits.parse::<u64>().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit_bytes));
    bytes.ok_or_else(|| ByteSizeError::TooLarge { text: shown() })
}

fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        "t" | "tib" => TIB,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

/// A byte size for a person: `256 MiB`, `1.5 GiB`. Rounded down to a tenth of the unit, so it never
/// overstates.
pub fn format_bytes(bytes: u64) -> String {
    let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let Some((unit_bytes, unit)) = units.into_iter().find(|(unit_bytes, _)| bytes >= *unit_bytes)
    else {
        return format!("{bytes} B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(unit_bytes);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: u64) {
        assert_eq!(parse_bytes(text), Ok(expected), "{text:?}");
    }

    fn check_refused(text: &str, message: &str) {
        let error = parse_bytes(text).expect_err(text);
        assert!(error.to_string().contains(message), "{text:?}: {error}");
    }

    #[test]
    fn units_are_powers_of_1024_unless_they_say_otherwise() {
        check("0", 0);
        check("4096", 4096);
        check("4096B", 4096);
        check("64k", 64 << 10);
        check("64KiB", 64 << 10);
        check("64kB", 64_000);
        check("256MiB", 256 << 20);
        check(" 256 mib ", 256 << 20);
        check("10MB", 10_000_000);
        check("1GiB", 1 << 30);
        check("2T", 2 << 40);
        check("1TB", 1_000_000_000_000);
    }

    #[test]
    fn the_largest_size_is_64_bits() {
        check("18446744073709551615", u64::MAX);
        check_refused("18446744073709551616", "too large");
        check("16777215TiB", 16_777_215 << 40);
        check_refused("16777216TiB", "too large");
        check_refused(&"9".repeat(1000), "too large");
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        check_refused("", "missing");
        check_refused(" \t", "missing");
        check_refused("-1", "negative");
        check_refused("-1MiB", "negative");
        check_refused("MiB", "whole number");
        check_refused("1.5GiB", "whole number");
        check_refused("1,000", "whole number");
        check_refused("+5", "whole number");
        check_refused("5 parsecs", "unknown unit \"parsecs\"");
        check_refused("5MiB5", "unknown unit \"MiB5\"");
        check_refused("5é", "unknown unit \"é\"");
        assert!(
            parse_bytes(&format!("1{}", "é".repeat(10_000))).unwrap_err().to_string().len() < 500
        );
    }

    #[test]
    fn sizes_are_printed_rounded_down() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (256 << 20, "256 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(format_bytes(bytes), expected);
        }
    }

    #[test]
    fn what_is_printed_exactly_can_be_read_back() {
        for shift in 0..64 {
            check(&format_bytes(1 << shift), 1 << shift);
        }
    }
}
