//! What the fuzz target `proc_files` promises of this crate: how names are shown. What it promises
//! of the formats is in `fdwatch::fuzzing`.
//!
//! A shipped build has none of it. `fuzz/` includes this file and that of the code below, so that
//! it need not build the whole command; the test below replays the committed inputs.

use crate::report::printable::Printable;

/// Takes any bytes for a name: what is shown can be read back, holds nothing that a terminal takes
/// for an order, and has a bound.
///
/// # Panics
/// When that does not hold.
pub(crate) fn shown(name: &[u8]) {
    let shown = Printable::new(name, usize::MAX).to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert_eq!(bytes_of(&shown), name, "{shown:?}");
    for chars_max in [0, 1, 15] {
        let cut = Printable::new(name, chars_max).to_string();
        // The last may be an escape, the longest of which is that of a character beyond 16 bits;
        // then `…`.
        assert!(cut.chars().count() <= chars_max + "\\u{10ffff}".len() + 1, "{cut:?}");
        assert!(cut == shown || cut.ends_with('…'), "{cut:?}");
    }
}

/// Undoes the escapes, in the plainest way.
fn bytes_of(shown: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = shown;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = if let Some(hex) = escape.strip_prefix('x') {
            bytes.push(u8::from_str_radix(&hex[..2], 16).expect("two hexadecimal digits"));
            &hex[2..]
        } else if let Some(hex) = escape.strip_prefix("u{") {
            let (hex, rest) = hex.split_once('}').expect("it is closed");
            let code = u32::from_str_radix(hex, 16).expect("hexadecimal digits");
            let character = char::from_u32(code).expect("only characters are written so");
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest
        } else {
            bytes.push(b'\\');
            escape.strip_prefix('\\').expect("a backslash is doubled")
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_input_passes() {
        let inputs = std::fs::read_dir("../../fuzz/corpus/proc_files").unwrap();
        let inputs: Vec<_> = inputs.map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        for input in inputs {
            println!("{}", input.display());
            shown(&std::fs::read(&input).unwrap());
        }
    }
}
