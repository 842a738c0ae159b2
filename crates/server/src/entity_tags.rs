//! Lists of entity tags, as conditions name them (RFC 9110, section 8.8.3). Both faces read them
//! here: a list of which a part is not understood is no list, since a condition that cannot be read
//! must not count as one that holds.

use http::HeaderMap;

/// How tags are compared: a weak one is none where bytes must be equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Strong,
    Weak,
}

/// Whether a tag may come without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    Needed,
    /// Old SDKs of S3 leave them out. Such a tag has letters, digits and `-` only.
    Optional,
}

/// A header has no list of tags.
#[derive(Debug)]
pub(crate) struct Unreadable;

/// A list of entity tags, or `*`. It is well-formed.
#[derive(Debug)]
pub(crate) struct EntityTags {
    text: String,
    quotes: Quotes,
}

impl EntityTags {
    /// Those of a header, if it is there. Several lines are one list.
    pub(crate) fn of(
        headers: &HeaderMap,
        name: &str,
        quotes: Quotes,
    ) -> Result<Option<Self>, Unreadable> {
        let mut list: Option<String> = None;
        for line in headers.get_all(name) {
            let line = line.to_str().map_err(|_| Unreadable)?;
            list = Some(list.map_or_else(|| line.to_owned(), |list| format!("{list},{line}")));
        }
        list.map(|list| Self::parse(&list, quotes).ok_or(Unreadable)).transpose()
    }

    pub(crate) fn parse(text: &str, quotes: Quotes) -> Option<Self> {
        let text = text.trim();
        let mut count = 0;
        let mut rest = text;
        while let Some((_, _, behind)) = next_tag(rest, quotes) {
            (count, rest) = (count + 1, behind);
        }
        // What is left is nothing but separators, or not to be understood.
        let is_list = count > 0 && rest.bytes().all(|byte| matches!(byte, b',' | b' ' | b'\t'));
        (text == "*" || is_list).then(|| Self { text: text.to_owned(), quotes })
    }

    /// The same where one tag can be only, and not `*`.
    pub(crate) fn parse_one(text: &str, quotes: Quotes) -> Option<Self> {
        Self::parse(text, quotes).filter(|tags| tags.iter().count() == 1)
    }

    pub(crate) fn name(&self, etag: &str, comparison: Comparison) -> bool {
        let counts = |is_weak: bool| !is_weak || comparison == Comparison::Weak;
        self.text == "*" || self.iter().any(|(is_weak, tag)| counts(is_weak) && tag == etag)
    }

    /// Each tag without its quotes, and whether it is weak.
    fn iter(&self) -> impl Iterator<Item = (bool, &str)> {
        let mut rest = self.text.as_str();
        std::iter::from_fn(move || {
            let (is_weak, tag, behind) = next_tag(rest, self.quotes)?;
            rest = behind;
            Some((is_weak, tag))
        })
    }
}

/// The first tag of a list, whether it is weak, and what comes behind it. A comma between quotes is
/// part of a tag.
fn next_tag(list: &str, quotes: Quotes) -> Option<(bool, &str, &str)> {
    let list = list.trim_start_matches([',', ' ', '\t']);
    let (is_weak, quoted) = list.strip_prefix("W/").map_or((false, list), |tag| (true, tag));
    let (tag, behind) = match quoted.strip_prefix('"') {
        Some(tag) => tag.split_once('"')?,
        None if quotes == Quotes::Optional && !is_weak => {
            let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let len = list.bytes().position(|byte| !is_bare(byte)).unwrap_or(list.len());
            list.split_at_checked(len).filter(|(tag, _)| !tag.is_empty())?
        }
        None => return None,
    };
    let is_visible = tag.bytes().all(|byte| byte.is_ascii_graphic());
    let behind = behind.trim_start_matches([' ', '\t']);
    (is_visible && (behind.is_empty() || behind.starts_with(','))).then_some((is_weak, tag, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, quotes: Quotes, expected: Option<&[(bool, &str)]>) {
        let found = EntityTags::parse(list, quotes);
        let found = found.as_ref().map(|tags| tags.iter().collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "{list} {quotes:?}");
    }

    #[test]
    fn lists_of_tags_are_read_strictly() {
        for quotes in [Quotes::Needed, Quotes::Optional] {
            check("\"a\"", quotes, Some(&[(false, "a")]));
            let three = [(false, "a"), (true, "b"), (false, "")];
            check(" \"a\" ,\tW/\"b\",\"\"", quotes, Some(&three));
            check("\"a,b\", \"c\\\"", quotes, Some(&[(false, "a,b"), (false, "c\\")]));
            check(",, \"a\",,", quotes, Some(&[(false, "a")]));
            check("*", quotes, Some(&[]));
            for bad in [
                "",
                " ",
                ",",
                "\"a",
                "a\"",
                "'a'",
                "\"a\"b",
                "\"a\" \"b\"",
                "\"a\" ; b",
                "w/\"a\"",
                "W/a",
                "W /\"a\"",
                "\"a b\"",
                "a b",
                "a_b",
                "ä",
                "**",
                "*,\"a\"",
                "\"a\",*",
            ] {
                check(bad, quotes, None);
            }
        }
        for bare in ["a", "\"a\",b", "b-2, \"a\""] {
            check(bare, Quotes::Needed, None);
        }
        check("a", Quotes::Optional, Some(&[(false, "a")]));
        check("\"a\",b", Quotes::Optional, Some(&[(false, "a"), (false, "b")]));
        check("b-2 , \"a\"", Quotes::Optional, Some(&[(false, "b-2"), (false, "a")]));
    }

    #[test]
    fn one_tag_is_neither_several_nor_all() {
        let is_one = |list: &str| EntityTags::parse_one(list, Quotes::Optional).is_some();
        assert!(is_one("\"a\"") && is_one("a") && is_one("W/\"a\""));
        assert!(!is_one("\"a\",\"b\"") && !is_one("*") && !is_one(""));
    }

    #[test]
    fn a_weak_tag_names_no_bytes() {
        let names = |list: &str, comparison| {
            EntityTags::parse(list, Quotes::Needed).unwrap().name("a", comparison)
        };
        assert!(names("\"b\", \"a\"", Comparison::Strong) && names("*", Comparison::Strong));
        assert!(!names("W/\"a\"", Comparison::Strong) && names("W/\"a\"", Comparison::Weak));
        assert!(!names("\"b,a\"", Comparison::Weak) && !names("\"A\"", Comparison::Weak));
    }
}
