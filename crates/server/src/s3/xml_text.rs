//! Text that XML cannot carry as it is, in answers.
//!
//! A key may hold any character but NUL. XML 1.0 reads a carriage return as a line feed, unless it
//! is written `&#13;`; control characters, U+FFFE and U+FFFF it cannot carry at all, also not as
//! references. An answer must be well-formed all the same, and must never name another key. So a
//! list with such names is given with `encoding-type=url` only (see [`super::listing`]); elsewhere
//! an element that cannot be written is left out.

use std::borrow::Cow;

/// Whether XML 1.0 has the character.
pub(super) fn is_char(char: char) -> bool {
    !matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether XML 1.0 can carry every character of a text.
pub(super) fn can_carry(text: &str) -> bool {
    text.chars().all(is_char)
}

/// The same document with every text as XML can carry it; `None` where nothing is to be done.
///
/// It is one that a program has written: without comments, and with white space in texts only.
pub(super) fn mended(document: &str) -> Option<String> {
    if can_carry(document) && !document.contains('\r') {
        return None;
    }
    let mut out = String::with_capacity(document.len() + 64);
    let mut rest = document;
    while !rest.is_empty() {
        let (text, markup) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        let (tag, after) = markup.split_at(markup.find('>').map_or(markup.len(), |end| end + 1));
        match carried(text, &out) {
            Some(text) => {
                out.push_str(&text.replace('\r', "&#13;"));
                out.push_str(tag);
            }
            // The element goes with its text: what is between its tags is no name of anything.
            None => out.truncate(out.rfind('<').unwrap_or(0)),
        }
        rest = after;
    }
    Some(out)
}

/// A text as it can be written behind `before`; `None` where it cannot. What is for people to read
/// may be written in other words.
fn carried<'a>(text: &'a str, before: &str) -> Option<Cow<'a, str>> {
    if can_carry(text) {
        return Some(Cow::Borrowed(text));
    }
    if !before.ends_with("<Message>") {
        return None;
    }
    let mut words = String::new();
    for char in text.chars() {
        if is_char(char) { words.push(char) } else { words.extend(char.escape_unicode()) }
    }
    Some(Cow::Owned(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, expected: &str) {
        assert_eq!(mended(document).as_deref().unwrap_or(document), expected);
        assert_eq!(mended(expected), None);
    }

    #[test]
    fn what_can_be_carried_stays() {
        for plain in ["", "<A>\t\n &amp;\u{7f}\u{85}\u{fffd}\u{10ffff}</A>", "no document"] {
            assert_eq!(mended(plain), None);
        }
        check(
            "<?xml?>\n<A><Key>Icon\r</Key>\r<B>c</B></A>",
            "<?xml?>\n<A><Key>Icon&#13;</Key>&#13;<B>c</B></A>",
        );
    }

    #[test]
    fn an_element_that_cannot_be_written_is_left_out() {
        for odd in ["\u{1}", "a\u{b}b", "\u{1f}", "\u{fffe}", "\u{ffff}\r"] {
            check(&format!("<A><B>\r</B><Key>{odd}</Key><C/></A>"), "<A><B>&#13;</B><C/></A>");
        }
        check("<A>\u{1}</A>", "");
    }

    #[test]
    fn a_message_says_it_in_other_words() {
        check(
            "<E><Message>no `a\u{1}\r`</Message></E>",
            "<E><Message>no `a\\u{1}&#13;`</Message></E>",
        );
    }
}
