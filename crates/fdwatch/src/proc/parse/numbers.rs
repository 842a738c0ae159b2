//! Numbers in bytes.

/// Digits and nothing else.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

pub(crate) fn octal(bytes: &[u8]) -> Option<u32> {
    digits_of(bytes, 8)
}

pub(crate) fn hex(bytes: &[u8]) -> Option<u32> {
    digits_of(bytes, 16)
}

/// Without a sign, which `from_str_radix` would take.
fn digits_of(bytes: &[u8], radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(text, radix).ok()
}

/// Words between spaces or tabs.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| *b == b' ' || *b == b'\t').filter(|word| !word.is_empty())
}
