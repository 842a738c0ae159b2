//! Conditional requests: RFC 9110, section 13, as far as S3 has it.

use drystone_store::{Condition, ObjectRow};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode};

use super::describe::{etag, modified};
use super::errors::{error, invalid, precondition_failed, with_headers};
use crate::entity_tags::{Comparison, EntityTags, Quotes};
use crate::meta;

/// Conditions of a read.
#[derive(Default)]
pub(super) struct Read<'a> {
    pub(super) matches: Option<Tags>,
    pub(super) none_matches: Option<Tags>,
    pub(super) modified_since: Option<&'a Timestamp>,
    pub(super) unmodified_since: Option<&'a Timestamp>,
}

/// Headers that name tags.
const WITH_TAGS: [&str; 4] =
    ["if-match", "if-none-match", "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match"];
/// Those with a date that guard a write. A read's dates are for s3s, which refuses what is none.
const WITH_DATES: [&str; 3] = [
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-if-match-last-modified-time",
];

/// Refuses a condition that cannot be read, before anything is done.
pub(super) fn check(headers: &HeaderMap) -> Result<(), S3Error> {
    for name in WITH_TAGS {
        Tags::of(headers, name)?;
    }
    let check =
        |name: &str, can_be: fn(&str) -> bool| match headers.get(name).map(HeaderValue::to_str) {
            None => Ok(()),
            Some(Ok(text)) if can_be(text) => Ok(()),
            Some(_) => Err(unreadable(name)),
        };
    for name in WITH_DATES {
        check(name, |text| date(text).is_some())?;
    }
    check(IF_RANGE.as_str(), |text| Validator::of(text).is_some())
}

fn unreadable(name: &str) -> S3Error {
    invalid(format!("the condition {name} cannot be read: nothing was done"))
}

fn date(text: &str) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

/// The entity tags of a condition, or `*`. They are read from the header itself: the protocol crate
/// takes a list for one long tag.
pub(super) struct Tags(EntityTags);

impl Tags {
    /// Those of a header, if it is there.
    pub(super) fn of(headers: &HeaderMap, name: impl AsRef<str>) -> Result<Option<Self>, S3Error> {
        let name = name.as_ref();
        let tags = EntityTags::of(headers, name, Quotes::Optional).map_err(|_| unreadable(name))?;
        Ok(tags.map(Self))
    }

    /// That of an element of a document.
    pub(super) fn of_text(text: &str) -> Result<Self, S3Error> {
        EntityTags::parse_one(text, Quotes::Optional).map(Self).ok_or_else(|| unreadable("ETag"))
    }

    /// Whether one of them is this object's; `weak` lets a weak tag be.
    fn names(&self, object: &ObjectRow, weak: bool) -> bool {
        let comparison = if weak { Comparison::Weak } else { Comparison::Strong };
        self.0.name(&meta::etag(object), comparison)
    }
}

impl Read<'_> {
    /// Whether the object is to be read.
    ///
    /// # Errors
    /// 412, or 304 with the headers that it needs.
    pub(super) fn check(&self, object: &ObjectRow) -> Result<(), S3Error> {
        match self.verdict(object) {
            Verdict::Go => Ok(()),
            Verdict::Failed(failed) => Err(precondition_failed(failed.name())),
            Verdict::NotModified(_) => Err(not_modified(object)),
        }
    }

    /// The same for the source of a copy, where there is no 304.
    pub(super) fn check_source(&self, object: &ObjectRow) -> Result<(), S3Error> {
        match self.verdict(object) {
            Verdict::Go => Ok(()),
            Verdict::Failed(failed) | Verdict::NotModified(failed) => {
                Err(precondition_failed(failed.name_of_source()))
            }
        }
    }

    fn verdict(&self, object: &ObjectRow) -> Verdict {
        let modified = modified(object);
        let (failed, first) = match &self.matches {
            Some(tags) => (!tags.names(object, false), Header::Match),
            None => (
                self.unmodified_since.is_some_and(|date| modified > *date),
                Header::UnmodifiedSince,
            ),
        };
        let (not_modified, second) = match &self.none_matches {
            Some(tags) => (tags.names(object, true), Header::NoneMatch),
            None => {
                (self.modified_since.is_some_and(|date| modified <= *date), Header::ModifiedSince)
            }
        };
        if failed {
            Verdict::Failed(first)
        } else if not_modified {
            Verdict::NotModified(second)
        } else {
            Verdict::Go
        }
    }
}

enum Verdict {
    Go,
    NotModified(Header),
    Failed(Header),
}

/// A condition, as an answer names it.
enum Header {
    Match,
    NoneMatch,
    ModifiedSince,
    UnmodifiedSince,
}

impl Header {
    fn name(&self) -> &'static str {
        match self {
            Self::Match => "If-Match",
            Self::NoneMatch => "If-None-Match",
            Self::ModifiedSince => "If-Modified-Since",
            Self::UnmodifiedSince => "If-Unmodified-Since",
        }
    }

    fn name_of_source(&self) -> &'static str {
        match self {
            Self::Match => "x-amz-copy-source-if-match",
            Self::NoneMatch => "x-amz-copy-source-if-none-match",
            Self::ModifiedSince => "x-amz-copy-source-if-modified-since",
            Self::UnmodifiedSince => "x-amz-copy-source-if-unmodified-since",
        }
    }
}

/// The first condition of a write that a request has: where another write came in between, it is
/// the one that failed.
pub(super) fn of_write(headers: &HeaderMap) -> Option<&'static str> {
    const NAMES: [&str; 4] =
        ["If-None-Match", "If-Match", "x-amz-if-match-size", "x-amz-if-match-last-modified-time"];
    NAMES.into_iter().find(|name| headers.contains_key(*name))
}

fn not_modified(object: &ObjectRow) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(tag) = etag(object).to_http_header() {
        headers.insert(ETAG, tag);
    }
    let mut date = Vec::new();
    if modified(object).format(TimestampFormat::HttpDate, &mut date).is_ok()
        && let Ok(date) = HeaderValue::from_bytes(&date)
    {
        headers.insert(LAST_MODIFIED, date);
    }
    with_headers(S3ErrorCode::NotModified.into(), headers)
}

/// Whether a range applies: with `If-Range`, only to what it names.
pub(super) fn range_applies(headers: &HeaderMap, object: &ObjectRow) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    match value.to_str().ok().and_then(Validator::of) {
        Some(Validator::Tag(tags)) => tags.names(object, false),
        Some(Validator::Date(date)) => date == modified(object),
        None => false,
    }
}

/// What an `If-Range` names.
enum Validator {
    Tag(Tags),
    Date(Timestamp),
}

impl Validator {
    fn of(text: &str) -> Option<Self> {
        let tag = EntityTags::parse_one(text, Quotes::Optional).map(|tag| Self::Tag(Tags(tag)));
        tag.or_else(|| date(text).map(Self::Date))
    }
}

/// Conditions of a write, as the client gave them.
pub(super) struct Write {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
}

impl Write {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, S3Error> {
        let tags = |name: HeaderName| Tags::of(headers, name);
        Ok(Self { matches: tags(IF_MATCH)?, none_matches: tags(IF_NONE_MATCH)? })
    }

    pub(super) fn is_none(&self) -> bool {
        self.matches.is_none() && self.none_matches.is_none()
    }

    /// What must hold at the commit, given what is there now: that this is still there. It fails at
    /// once where it can be seen now.
    pub(super) fn condition(&self, present: Option<&ObjectRow>) -> Result<Condition, S3Error> {
        if self.is_none() {
            return Ok(Condition::Always);
        }
        let Some(object) = present else {
            return match self.matches {
                Some(_) => {
                    Err(error(S3ErrorCode::NoSuchKey, "If-Match names an object that is not there"))
                }
                None => Ok(Condition::IfAbsent),
            };
        };
        if !self.matches.as_ref().is_none_or(|tags| tags.names(object, false)) {
            return Err(precondition_failed("If-Match"));
        }
        if self.none_matches.as_ref().is_some_and(|tags| tags.names(object, true)) {
            return Err(precondition_failed("If-None-Match"));
        }
        Ok(Condition::IfVersion(object.version()))
    }
}

/// Conditions of a delete: of the three, those that were given.
pub(super) struct Delete {
    pub(super) matches: Option<Tags>,
    pub(super) size: Option<i64>,
    pub(super) modified: Option<Timestamp>,
}

impl Delete {
    pub(super) fn is_none(&self) -> bool {
        self.matches.is_none() && self.size.is_none() && self.modified.is_none()
    }

    /// What must hold at the commit, given what is there now. Where nothing is, a tag has nothing
    /// to match; for the other two, as in S3, what is to be done is done already, and `None`
    /// says so.
    pub(super) fn condition(
        &self,
        present: Option<&ObjectRow>,
    ) -> Result<Option<Condition>, S3Error> {
        if self.is_none() {
            return Ok(Some(Condition::Always));
        }
        let Some(object) = present else {
            return match self.matches {
                Some(_) => {
                    Err(error(S3ErrorCode::NoSuchKey, "If-Match names an object that is not there"))
                }
                None => Ok(None),
            };
        };
        let failed = if !self.matches.as_ref().is_none_or(|tags| tags.names(object, false)) {
            Some("If-Match")
        } else if !self.size.is_none_or(|size| u64::try_from(size) == Ok(object.size)) {
            Some("x-amz-if-match-size")
        } else if self.modified.as_ref().is_some_and(|date| *date != modified(object)) {
            Some("x-amz-if-match-last-modified-time")
        } else {
            None
        };
        match failed {
            Some(name) => Err(precondition_failed(name)),
            None => Ok(Some(Condition::IfVersion(object.version()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use drystone_store::{ContentHash, Key, ManifestId, ObjectMeta};

    use super::*;

    /// An object with the tag `abc`.
    fn object() -> ObjectRow {
        let mut meta = ObjectMeta { modified_ns: 5_000_000_001, ..ObjectMeta::default() };
        meta::note_etag(&mut meta.system, "abc".into());
        ObjectRow {
            key: Key::new("k").unwrap(),
            size: 7,
            content: ContentHash([1; 32]),
            meta,
            manifest: ManifestId(1),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_list_names_each_of_its_tags() {
        for (list, weak, expected) in [
            ("\"abc\"", false, true),
            ("abc", false, true),
            ("\"x\", \"abc\"", false, true),
            ("\"abc\",\"x\"", false, true),
            ("x,abc", false, true),
            ("*", false, true),
            ("W/\"abc\"", false, false),
            ("W/\"x\", W/\"abc\"", true, true),
            ("\"x\", \"y\"", true, false),
            ("\"x,*\"", false, false),
            ("\"ab\"", false, false),
        ] {
            let tags = Tags(EntityTags::parse(list, Quotes::Optional).unwrap());
            assert_eq!(tags.names(&object(), weak), expected, "{list} {weak}");
        }
    }

    #[test]
    fn a_write_is_pinned_to_what_was_seen() {
        #[track_caller]
        fn check(
            pairs: &[(&'static str, &'static str)],
            present: bool,
            expected: Result<Condition, &str>,
        ) {
            let object = object();
            let wanted = Write::of(&headers(pairs)).unwrap();
            let found = wanted.condition(present.then_some(&object));
            let found = found.as_ref().map_err(|refused| refused.code().as_str());
            assert_eq!(found, expected.as_ref().map_err(|code| *code), "{pairs:?} {present}");
        }
        let pinned = Ok(Condition::IfVersion(object().version()));
        let (failed, missing) = (Err("PreconditionFailed"), Err("NoSuchKey"));
        check(&[], true, Ok(Condition::Always));
        check(&[("if-none-match", "*")], false, Ok(Condition::IfAbsent));
        check(&[("if-none-match", "*")], true, failed);
        check(&[("if-none-match", "\"x\", \"abc\"")], true, failed);
        check(&[("if-none-match", "\"x\"")], true, pinned);
        check(&[("if-none-match", "\"x\"")], false, Ok(Condition::IfAbsent));
        check(&[("if-match", "\"x\", \"abc\"")], true, pinned);
        check(&[("if-match", "\"x\"")], true, failed);
        check(&[("if-match", "*")], false, missing);
        check(&[("if-match", "*"), ("if-none-match", "\"x\"")], true, pinned);
        check(&[("if-match", "*"), ("if-none-match", "\"abc\"")], true, failed);
    }

    #[test]
    fn a_delete_holds_all_that_was_given() {
        #[track_caller]
        fn check(wanted: &Delete, present: bool, expected: Result<Option<Condition>, &str>) {
            let object = object();
            let found = wanted.condition(present.then_some(&object));
            let found = found.as_ref().map_err(|refused| refused.code().as_str());
            assert_eq!(found, expected.as_ref().map_err(|code| *code));
        }
        let delete = |tags: Option<&str>, size, modified_s: Option<u64>| Delete {
            matches: tags.map(|tags| Tags(EntityTags::parse(tags, Quotes::Optional).unwrap())),
            size,
            modified: modified_s.map(|seconds| {
                (std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).into()
            }),
        };
        let pinned = Ok(Some(Condition::IfVersion(object().version())));
        let failed = Err("PreconditionFailed");
        check(&delete(None, None, None), false, Ok(Some(Condition::Always)));
        check(&delete(Some("\"abc\""), Some(7), Some(5)), true, pinned);
        check(&delete(Some("\"x\""), Some(7), Some(5)), true, failed);
        check(&delete(Some("*"), Some(8), None), true, failed);
        check(&delete(None, Some(-1), None), true, failed);
        check(&delete(None, None, Some(6)), true, failed);
        check(&delete(Some("*"), None, None), false, Err("NoSuchKey"));
        check(&delete(None, Some(7), Some(5)), false, Ok(None));
    }
}
