//! Conditional requests (RFC 9110, section 13). A condition that cannot be read is never none.

use std::time::SystemTime;

use drystone_store::{Condition, ObjectRow};
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use super::Error;
use super::headers::modified;
use super::understood::{bad, single};
use crate::meta::etag;

/// What the conditions of a read come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    NotModified,
    Failed,
}

/// The conditions of a request.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
    modified_since: Option<Date>,
    unmodified_since: Option<Date>,
    range: Option<Validator>,
}

/// A date of a condition; `None` is what is no date.
type Date = Option<SystemTime>;

/// What an `If-Range` names.
#[derive(Debug)]
enum Validator {
    Tag(Tags),
    Date(Date),
}

impl Conditions {
    /// # Errors
    /// When one cannot be read, or is of a kind that is not known.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Error> {
        let known = [&IF_MATCH, &IF_NONE_MATCH, &IF_MODIFIED_SINCE, &IF_UNMODIFIED_SINCE, &IF_RANGE];
        let unknown = |name: &&HeaderName| {
            (name.as_str() == "if" || name.as_str().starts_with("if-")) && !known.contains(name)
        };
        if let Some(name) = headers.keys().find(unknown) {
            return Err(bad(format!("the condition {name} is not known")));
        }
        let date = |name: HeaderName| -> Result<Option<Date>, Error> {
            Ok(single(headers, &name)?.map(|text| httpdate::parse_http_date(text).ok()))
        };
        let range = match single(headers, &IF_RANGE)? {
            None => None,
            Some(tag) if tag.starts_with(['"', 'W']) && tag.ends_with('"') => {
                let tags = Tags::parse(tag).filter(|tags| tags.iter().count() == 1);
                Some(Validator::Tag(tags.ok_or_else(|| unreadable(&IF_RANGE))?))
            }
            Some(date) => Some(Validator::Date(httpdate::parse_http_date(date).ok())),
        };
        Ok(Self {
            matches: Tags::of(headers, &IF_MATCH)?,
            none_matches: Tags::of(headers, &IF_NONE_MATCH)?,
            modified_since: date(IF_MODIFIED_SINCE)?,
            unmodified_since: date(IF_UNMODIFIED_SINCE)?,
            range,
        })
    }

    /// Judges a GET or HEAD. A date that is none is no condition there.
    pub(super) fn verdict(&self, object: &ObjectRow) -> Verdict {
        let etag = etag(object);
        let failed = match (&self.matches, self.unmodified_since.flatten()) {
            (Some(tags), _) => !tags.name(&etag, Comparison::Strong),
            (None, Some(date)) => modified(object) > date,
            (None, None) => false,
        };
        let unchanged = match (&self.none_matches, self.modified_since.flatten()) {
            (Some(tags), _) => tags.name(&etag, Comparison::Weak),
            (None, Some(date)) => modified(object) <= date,
            (None, None) => false,
        };
        match (failed, unchanged) {
            (true, _) => Verdict::Failed,
            (_, true) => Verdict::NotModified,
            _ => Verdict::Go,
        }
    }

    /// Whether a range applies: with `If-Range`, only to what it names.
    pub(super) fn range_applies(&self, object: &ObjectRow) -> bool {
        match &self.range {
            None => true,
            Some(Validator::Tag(tags)) => tags.name(&etag(object), Comparison::Strong),
            Some(Validator::Date(date)) => *date == Some(modified(object)),
        }
    }

    /// Refuses what only a read knows, and a guard that says nothing.
    ///
    /// # Errors
    /// When there is such a condition.
    pub(super) fn of_a_write(self) -> Result<Self, Error> {
        if self.unmodified_since == Some(None) {
            return Err(unreadable(&IF_UNMODIFIED_SINCE));
        }
        let of_a_read =
            [(self.modified_since.is_some(), IF_MODIFIED_SINCE), (self.range.is_some(), IF_RANGE)];
        refuse(&of_a_read)?;
        Ok(self)
    }

    /// For a write of what has neither a tag nor a date.
    ///
    /// # Errors
    /// When there is any condition.
    pub(super) fn of_no_object(&self) -> Result<(), Error> {
        refuse(&[
            (self.none_matches.is_some(), IF_NONE_MATCH),
            (self.modified_since.is_some(), IF_MODIFIED_SINCE),
            (self.range.is_some(), IF_RANGE),
        ])?;
        self.of_a_page()
    }

    /// For a page, which has neither a tag nor a date: it may be sent where only a newer one is
    /// asked for, and not where a certain one is.
    ///
    /// # Errors
    /// When there is a condition of the second kind.
    pub(super) fn of_a_page(&self) -> Result<(), Error> {
        refuse(&[(self.matches.is_some(), IF_MATCH), (self.unmodified_since.is_some(), IF_UNMODIFIED_SINCE)])
    }

    /// Whether a write may be made whatever is there.
    pub(super) fn is_none(&self) -> bool {
        self.matches.is_none() && self.none_matches.is_none() && self.unmodified_since.flatten().is_none()
    }

    /// What must hold at the commit of a write so that the conditions hold, given what is there
    /// now; `None` when they do not hold already.
    pub(super) fn at_commit(&self, present: Option<&ObjectRow>) -> Option<Condition> {
        if self.is_none() {
            return Some(Condition::Always);
        }
        let unmodified_since = self.unmodified_since.flatten();
        let Some(object) = present else {
            // It has no tag, and what is gone is not what it was.
            let needs_one = self.matches.is_some() || unmodified_since.is_some();
            return (!needs_one).then_some(Condition::IfAbsent);
        };
        let etag = etag(object);
        let is_it = match (&self.matches, unmodified_since) {
            (Some(tags), _) => tags.name(&etag, Comparison::Strong),
            (None, Some(date)) => modified(object) <= date,
            (None, None) => true,
        };
        let is_other = !self.none_matches.as_ref().is_some_and(|tags| tags.name(&etag, Comparison::Weak));
        (is_it && is_other).then(|| Condition::IfVersion(object.version()))
    }
}

fn refuse(conditions: &[(bool, HeaderName)]) -> Result<(), Error> {
    match conditions.iter().find(|(is_there, _)| *is_there) {
        Some((_, name)) => Err(bad(format!("the condition {name} is not known for this request"))),
        None => Ok(()),
    }
}

fn unreadable(name: &HeaderName) -> Error {
    bad(format!("the condition {name} cannot be read"))
}

/// How tags are compared: a weak one is none where bytes must be equal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// A list of entity tags, or `*`. It is well-formed.
#[derive(Debug)]
struct Tags(String);

impl Tags {
    /// Those of a header. Several lines are one list.
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Error> {
        let mut list: Option<String> = None;
        for line in headers.get_all(name) {
            let line = line.to_str().map_err(|_| unreadable(name))?;
            list = Some(list.map_or_else(|| line.to_owned(), |list| format!("{list},{line}")));
        }
        list.map(|list| Self::parse(&list).ok_or_else(|| unreadable(name))).transpose()
    }

    fn parse(text: &str) -> Option<Self> {
        let tags = Self(text.trim().to_owned());
        let mut count = 0;
        let mut rest = tags.0.as_str();
        while let Some((_, _, behind)) = next_tag(rest) {
            (count, rest) = (count + 1, behind);
        }
        // What is left is nothing but separators, or not to be understood.
        let is_list = count > 0 && rest.bytes().all(|byte| matches!(byte, b',' | b' ' | b'\t'));
        (tags.0 == "*" || is_list).then_some(tags)
    }

    /// Each tag without its quotes, and whether it is weak.
    fn iter(&self) -> impl Iterator<Item = (bool, &str)> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let (is_weak, tag, behind) = next_tag(rest)?;
            rest = behind;
            Some((is_weak, tag))
        })
    }

    fn name(&self, etag: &str, comparison: Comparison) -> bool {
        let counts = |is_weak: bool| !is_weak || comparison == Comparison::Weak;
        self.0 == "*" || self.iter().any(|(is_weak, tag)| counts(is_weak) && tag == etag)
    }
}

/// The first tag of a list, whether it is weak, and what comes behind it. A comma between quotes is
/// part of a tag.
fn next_tag(list: &str) -> Option<(bool, &str, &str)> {
    let list = list.trim_start_matches([',', ' ', '\t']);
    let (is_weak, tag) = list.strip_prefix("W/").map_or((false, list), |tag| (true, tag));
    let (tag, behind) = tag.strip_prefix('"')?.split_once('"')?;
    let is_visible = tag.bytes().all(|byte| byte.is_ascii_graphic());
    let behind = behind.trim_start_matches([' ', '\t']);
    (is_visible && (behind.is_empty() || behind.starts_with(','))).then_some((is_weak, tag, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, expected: Option<&[(bool, &str)]>) {
        let found = Tags::parse(list);
        let found = found.as_ref().map(|tags| tags.iter().collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "{list}");
    }

    #[test]
    fn lists_of_tags_are_read_strictly() {
        check("\"a\"", Some(&[(false, "a")]));
        check(" \"a\" ,\tW/\"b\",\"\"", Some(&[(false, "a"), (true, "b"), (false, "")]));
        check("\"a,b\", \"c\\\"", Some(&[(false, "a,b"), (false, "c\\")]));
        check(",, \"a\",,", Some(&[(false, "a")]));
        check("*", Some(&[]));
        for bad in [
            "",
            ",",
            "a",
            "\"a",
            "a\"",
            "\"a\"b",
            "\"a\" \"b\"",
            "w/\"a\"",
            "W/a",
            "W /\"a\"",
            "\"a b\"",
            "*,\"a\"",
            "\"a\",*",
            "\"a\",b",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_weak_tag_names_no_bytes() {
        let names = |list: &str, comparison| Tags::parse(list).unwrap().name("a", comparison);
        assert!(names("\"b\", \"a\"", Comparison::Strong) && names("*", Comparison::Strong));
        assert!(!names("W/\"a\"", Comparison::Strong) && names("W/\"a\"", Comparison::Weak));
        assert!(!names("\"b,a\"", Comparison::Weak) && !names("\"A\"", Comparison::Weak));
    }
}
