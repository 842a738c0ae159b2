//! Text inside HTML, SVG and XML attributes.

use std::fmt::{self, Display, Write};

use super::printable::Printable;

/// Longer targets are cut in pages; `PATH_MAX` is eight times as long, too long to be read.
const PATTERN_CHARS_MAX: usize = 512;

/// Shows `T` with everything escaped that markup could take for its own.
pub(super) struct Markup<T>(pub(super) T);

impl<T: Display> Display for Markup<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(formatter), "{}", self.0)
    }
}

/// Any bytes, made safe twice: for the reader's eyes and for the markup.
pub(super) fn of_bytes(bytes: &[u8]) -> Markup<Printable<'_>> {
    Markup(Printable::new(bytes, PATTERN_CHARS_MAX))
}

struct Escaper<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            self.0.write_str(&rest[..at])?;
            self.0.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_for_markup() {
        assert_eq!(Markup("a<b>&\"'é").to_string(), "a&lt;b&gt;&amp;&quot;&#39;é");
        assert_eq!(of_bytes(b"</title>\xff\n").to_string(), "&lt;/title&gt;\\xff\\x0a");
    }
}
