//! `/tmp/perf-PID.map`: what compilers at run time say of their code, in the form that `perf`
//! reads.

use std::ops::Range;

/// A line: addresses of code and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfMapEntry<'a> {
    /// Not empty.
    pub range: Range<u64>,
    /// Any bytes, not empty.
    pub name: &'a [u8],
}

/// Reads a line, `7f3a00 4f py::main:/srv/a.py`: start and size in hexadecimal digits, with `0x`
/// before them or not, then the name.
pub fn perf_map_entry(line: &[u8]) -> Option<PerfMapEntry<'_>> {
    let mut fields = line.splitn(3, |byte| *byte == b' ');
    let (start, size) = (address(fields.next()?)?, address(fields.next()?)?);
    let name = fields.next()?.trim_ascii();
    let end = start.checked_add(size)?;
    (start < end && !name.is_empty()).then_some(PerfMapEntry { range: start..end, name })
}

fn address(word: &[u8]) -> Option<u64> {
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    // A sign would be taken otherwise.
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    is_number.then(|| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_three_run_times_are_read() {
        for (line, start, size, name) in [
            ("7f35a0 b py::main:/srv/a b.py", 0x7f35a0, 0xb, "py::main:/srv/a b.py"),
            (
                "3ef414c0 398 LazyCompile:*send /a.js:7",
                0x3ef4_14c0,
                0x398,
                "LazyCompile:*send /a.js:7",
            ),
            ("0x00007f12 0x80 Lcom/a/B;::c\r", 0x7f12, 0x80, "Lcom/a/B;::c"),
        ] {
            let expected = PerfMapEntry { range: start..start + size, name: name.as_bytes() };
            assert_eq!(perf_map_entry(line.as_bytes()), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in [
            "",
            "1000",
            "1000 10",
            "1000 10 ",
            "1000 0 a",
            "x 10 a",
            "+1 10 a",
            "0x 10 a",
            "ffffffffffffffff 1 a",
            "1 1ffffffffffffffff a",
        ] {
            assert_eq!(perf_map_entry(line.as_bytes()), None, "{line}");
        }
    }
}
