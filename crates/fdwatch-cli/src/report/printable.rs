//! Names and targets are any bytes: here they become text that is safe to show to a person, in a
//! terminal, HTML or SVG.
//!
//! What a reader can see stays; the rest becomes an escape: bytes that are no UTF-8 and C0 controls
//! `\x0a`, other characters that draw nothing, reorder what stands around them or have no agreed
//! look `\u{202e}`, and a backslash `\\`, so that a name cannot forge an escape.

use std::fmt::{self, Display, Write};

use unicode_width::UnicodeWidthChar;

/// More combining marks than this on one letter are escaped: they would run into the lines above
/// and below.
const MARKS_MAX: usize = 3;

/// Bytes to be shown; see the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printable<'a> {
    bytes: &'a [u8],
    chars_max: usize,
}

impl<'a> Printable<'a> {
    /// Cut with `…` after about `chars_max` characters, so that a page has a bound.
    pub(crate) fn new(bytes: &'a [u8], chars_max: usize) -> Self {
        Self { bytes, chars_max }
    }
}

impl Display for Printable<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line { formatter, marks: MARKS_MAX, chars_left: self.chars_max };
        for piece in self.bytes.utf8_chunks() {
            for character in piece.valid().chars() {
                if line.is_full() {
                    return line.formatter.write_str("…");
                }
                line.character(character)?;
            }
            for &byte in piece.invalid() {
                if line.is_full() {
                    return line.formatter.write_str("…");
                }
                line.byte(byte)?;
            }
        }
        Ok(())
    }
}

struct Line<'a, 'f> {
    formatter: &'a mut fmt::Formatter<'f>,
    /// Combining marks since the last letter; full where there is no letter to stand on.
    marks: usize,
    chars_left: usize,
}

impl Line<'_, '_> {
    fn is_full(&self) -> bool {
        self.chars_left == 0
    }

    fn byte(&mut self, byte: u8) -> fmt::Result {
        self.marks = MARKS_MAX;
        self.chars_left = self.chars_left.saturating_sub(4);
        write!(self.formatter, "\\x{byte:02x}")
    }

    fn character(&mut self, character: char) -> fmt::Result {
        match character {
            '\\' => {
                self.marks = MARKS_MAX;
                self.chars_left = self.chars_left.saturating_sub(2);
                self.formatter.write_str("\\\\")
            }
            '\0'..='\x1f' | '\x7f' => self.byte(character as u8),
            _ => {
                let width = if is_hidden(character) { None } else { character.width() };
                let is_mark = width == Some(0);
                let is_shown = width.is_some() && !(is_mark && self.marks >= MARKS_MAX);
                if is_shown {
                    self.marks = if is_mark { self.marks + 1 } else { 0 };
                    self.chars_left -= 1;
                    self.formatter.write_char(character)
                } else {
                    self.marks = MARKS_MAX;
                    let escape = character.escape_unicode();
                    self.chars_left = self.chars_left.saturating_sub(escape.len());
                    write!(self.formatter, "{escape}")
                }
            }
        }
    }
}

/// Draws nothing, reorders, joins with its neighbours into something of another width, or has no
/// agreed look: C1 controls, the format characters (category Cf) and other default-ignorable code
/// points of Unicode 16, spaces that are not the plain one, private use and non-characters (which
/// XML forbids).
fn is_hidden(character: char) -> bool {
    let is_non_character = u32::from(character) & 0xfffe == 0xfffe;
    is_non_character
        || matches!(character,
            '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}'
            | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{115f}'..='\u{1160}' | '\u{1680}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{1f3fb}'..='\u{1f3ff}'
            | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(Printable::new(bytes, 100).to_string(), expected, "{bytes:?}");
    }

    #[test]
    fn what_can_be_seen_stays() {
        check(b"nginx: worker [1]", "nginx: worker [1]");
        check("größe 日本 ☃ 🦀 e\u{301}".as_bytes(), "größe 日本 ☃ 🦀 e\u{301}");
        check(b"<script>&'\"", "<script>&'\"");
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        check(b"a\nb\tc\x1b[2J\x7f", "a\\x0ab\\x09c\\x1b[2J\\x7f");
        check(b"\xff\xfe\xe2\x82", "\\xff\\xfe\\xe2\\x82");
        check("\u{85}\u{9b}".as_bytes(), "\\u{85}\\u{9b}");
        check("gpj.\u{202e}exe \u{2066}\u{2069}".as_bytes(), "gpj.\\u{202e}exe \\u{2066}\\u{2069}");
        check(
            "a\u{200b}\u{200d}\u{feff}\u{fe0f}".as_bytes(),
            "a\\u{200b}\\u{200d}\\u{feff}\\u{fe0f}",
        );
        check("\u{ffff}\u{1fffe}\u{e000}".as_bytes(), "\\u{ffff}\\u{1fffe}\\u{e000}");
    }

    #[test]
    fn an_escape_cannot_be_forged() {
        check(b"\\x0a", "\\\\x0a");
    }

    #[test]
    fn a_mark_needs_a_letter_and_there_are_few() {
        check("\u{301}a".as_bytes(), "\\u{301}a");
        check("\n\u{301}".as_bytes(), "\\x0a\\u{301}");
        let marks = "\u{301}".repeat(3);
        check(format!("a{marks}").as_bytes(), &format!("a{marks}"));
        check(format!("a{marks}\u{301}").as_bytes(), &format!("a{marks}\\u{{301}}"));
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(Printable::new(b"abcd", 4).to_string(), "abcd");
        assert_eq!(Printable::new(b"abcde", 4).to_string(), "abcd…");
        assert_eq!(Printable::new(b"\xff\xff", 4).to_string(), "\\xff…");
        assert_eq!(Printable::new("\u{10ffff}ab".as_bytes(), 11).to_string(), "\\u{10ffff}a…");
    }
}
