//! `Range: bytes=…`, one range at a time.

use std::ops::Range;

/// What a range header asks of something `size` bytes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranged {
    /// All of it: no range, one that cannot be understood, or several.
    Whole,
    /// These bytes; not empty.
    Part(Range<u64>),
    /// Nothing of it.
    Unsatisfiable,
}

/// Reads a range header. Several ranges are answered with the whole, as RFC 9110 allows: a thousand
/// of them would make a small request a large answer.
pub(crate) fn parse(header: Option<&str>, size: u64) -> Ranged {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Ranged::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Ranged::Whole };
    let number = |text: &str| match text.trim() {
        digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            // Too large for a number is further than any end.
            Some(digits.parse::<u64>().unwrap_or(u64::MAX))
        }
        _ => None,
    };
    let range = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            None => return Ranged::Whole,
            Some(suffix) => size.saturating_sub(suffix)..size,
        },
        (first, "") => match number(first) {
            None => return Ranged::Whole,
            Some(first) => first..size,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            _ => return Ranged::Whole,
        },
    };
    if range.start >= range.end { Ranged::Unsatisfiable } else { Ranged::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: &Ranged) {
        assert_eq!(parse(Some(header), 10), *expected, "{header}");
    }

    #[test]
    fn ranges_are_read_at_their_bounds() {
        check("bytes=0-0", &Ranged::Part(0..1));
        check("bytes=0-9", &Ranged::Part(0..10));
        check("bytes=0-10", &Ranged::Part(0..10));
        check("bytes=9-", &Ranged::Part(9..10));
        check("bytes=-3", &Ranged::Part(7..10));
        check("bytes=-30", &Ranged::Part(0..10));
        check("bytes= 2 - 4 ", &Ranged::Part(2..5));
        check("bytes=0-99999999999999999999", &Ranged::Part(0..10));
        check("bytes=10-", &Ranged::Unsatisfiable);
        check("bytes=-0", &Ranged::Unsatisfiable);
        check("bytes=99999999999999999999-", &Ranged::Unsatisfiable);
        for whole in [
            "",
            "bytes=",
            "bytes=-",
            "bytes=4-2",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=a-b",
            "bytes=+1-2",
        ] {
            check(whole, &Ranged::Whole);
        }
        assert_eq!(parse(Some("bytes=0-"), 0), Ranged::Unsatisfiable);
        assert_eq!(parse(None, 10), Ranged::Whole);
    }
}
