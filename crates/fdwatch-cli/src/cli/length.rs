//! Lengths of time as people type them.

use std::time::Duration;

/// No watch takes longer, and the sum with any moment still fits.
const DAYS_MAX: f64 = 366.0 * 100.0;

/// `90`, `1.5s`, `500ms`, `5m`, `2h`, `1d`; a number alone is seconds.
pub(super) fn parse_length(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("`{text}` is no length of time: give a number and ms, s, m, h or d, like 90s");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(refused()),
    };
    let seconds = number.parse::<f64>().map_err(|_| refused())? * factor;
    if seconds > DAYS_MAX * 86_400.0 {
        return Err(format!("{text} is longer than a hundred years"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_their_units() {
        for (text, expected_ms) in [
            ("90", 90_000),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("0", 0),
        ] {
            assert_eq!(parse_length(text), Ok(Duration::from_millis(expected_ms)), "{text}");
        }
        for text in ["", "s", "1x", "-1", "1.2.3", "1 s", "nan", "inf", "9999999999d", "1e9"] {
            assert!(parse_length(text).is_err(), "{text}");
        }
    }
}
