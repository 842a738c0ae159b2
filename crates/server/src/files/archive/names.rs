//! The names that objects have in an archive.

/// A name that stays below the folder into which an archive is unpacked, on any system, and that no
/// other key has.
///
/// A key has no part that is `.` or `..`, but it may begin with a slash, have several in a row, or
/// what is a separator, a drive or the end of a line elsewhere. Those are written as in an address;
/// so is a `%` that would be taken for the beginning of such.
pub(super) fn harmless(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    let mut before = '/';
    for (at, character) in name.char_indices() {
        let is_drive = at == 1 && character == ':' && before.is_ascii_alphabetic();
        let is_empty = character == '/' && before == '/';
        let is_escape = character == '%' && is_hexadecimal(&name.as_bytes()[at + 1..]);
        if is_drive || is_empty || is_escape || character == '\\' || character.is_control() {
            let mut utf8 = [0; 4];
            character
                .encode_utf8(&mut utf8)
                .bytes()
                .for_each(|byte| safe.push_str(&format!("%{byte:02X}")));
        } else {
            safe.push(character);
        }
        before = character;
    }
    safe
}

/// Whether it begins with two digits of a byte.
fn is_hexadecimal(text: &[u8]) -> bool {
    matches!(text, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_where_they_are_unpacked() {
        for (name, expected) in [
            ("a/b c/ü.txt", "a/b c/ü.txt"),
            ("100%", "100%"),
            ("5%a", "5%a"),
            ("/etc/passwd", "%2Fetc/passwd"),
            ("a//b", "a/%2Fb"),
            ("a/%2Fb", "a/%252Fb"),
            ("..\\..\\x", "..%5C..%5Cx"),
            ("C:/x", "C%3A/x"),
            ("C%3a/x", "C%253a/x"),
            ("CD:x", "CD:x"),
            ("a\nb\u{85}", "a%0Ab%C2%85"),
        ] {
            assert_eq!(harmless(name), expected);
        }
    }
}
