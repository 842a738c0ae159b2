//! Conditional requests: RFC 9110, section 13, as far as S3 has it.

use drystone_store::{Condition, ObjectRow};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};
use s3s::dto::{ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode};

use super::describe::{etag, modified};
use super::errors::{error, invalid, precondition_failed, with_headers};

/// Conditions of a read.
#[derive(Default)]
pub(super) struct Read<'a> {
    pub(super) matches: Option<&'a ETagCondition>,
    pub(super) none_matches: Option<&'a ETagCondition>,
    pub(super) modified_since: Option<&'a Timestamp>,
    pub(super) unmodified_since: Option<&'a Timestamp>,
}

/// Whether a tag is this object's; `weak` lets a weak tag be.
fn names(condition: &ETagCondition, object: &ObjectRow, weak: bool) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) if weak => tag.weak_cmp(&etag(object)),
        ETagCondition::ETag(tag) => tag.strong_cmp(&etag(object)),
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
            Verdict::Failed => Err(precondition_failed()),
            Verdict::NotModified => Err(not_modified(object)),
        }
    }

    /// The same for the source of a copy, where there is no 304.
    pub(super) fn check_source(&self, object: &ObjectRow) -> Result<(), S3Error> {
        if self.verdict(object) == Verdict::Go { Ok(()) } else { Err(precondition_failed()) }
    }

    fn verdict(&self, object: &ObjectRow) -> Verdict {
        let modified = modified(object);
        let failed = match self.matches {
            Some(condition) => !names(condition, object, false),
            None => self.unmodified_since.is_some_and(|date| modified > *date),
        };
        let not_modified = match self.none_matches {
            Some(condition) => names(condition, object, true),
            None => self.modified_since.is_some_and(|date| modified <= *date),
        };
        if failed {
            Verdict::Failed
        } else if not_modified {
            Verdict::NotModified
        } else {
            Verdict::Go
        }
    }
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Go,
    NotModified,
    Failed,
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
    let Ok(text) = value.to_str() else { return false };
    if text.starts_with('"') {
        return ETagCondition::parse_http_header(value.as_bytes())
            .is_ok_and(|tag| names(&tag, object, false));
    }
    Timestamp::parse(TimestampFormat::HttpDate, text).is_ok_and(|date| date == modified(object))
}

/// Conditions of a write, as the client gave them.
pub(super) struct Write {
    matches: Option<ETagCondition>,
    none_matches: Option<ETagCondition>,
}

impl Write {
    pub(super) fn new(matches: Option<ETagCondition>, none_matches: Option<ETagCondition>) -> Self {
        Self { matches, none_matches }
    }

    pub(super) fn of_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        let read = |name: http::HeaderName| match headers.get(&name) {
            None => Ok(None),
            Some(value) => match ETagCondition::parse_http_header(value.as_bytes()) {
                Ok(condition) => Ok(Some(condition)),
                Err(_) => Err(invalid(format!("the header {name} cannot be read"))),
            },
        };
        Ok(Self::new(read(IF_MATCH)?, read(IF_NONE_MATCH)?))
    }

    pub(super) fn is_none(&self) -> bool {
        self.matches.is_none() && self.none_matches.is_none()
    }

    /// What must hold at the commit, given what is there now; it fails at once where it can be seen now.
    pub(super) fn condition(&self, present: Option<&ObjectRow>) -> Result<Condition, S3Error> {
        match (&self.matches, &self.none_matches) {
            (None, None) => Ok(Condition::Always),
            (None, Some(ETagCondition::Any)) if present.is_some() => Err(precondition_failed()),
            (None, Some(ETagCondition::Any)) => Ok(Condition::IfAbsent),
            (Some(condition), None) => match present {
                None => Err(error(S3ErrorCode::NoSuchKey, "If-Match names an object that is not there")),
                Some(object) if names(condition, object, false) => Ok(Condition::IfContent(object.content)),
                Some(_) => Err(precondition_failed()),
            },
            _ => {
                let hint = "a write takes either If-Match or `If-None-Match: *`";
                Err(error(S3ErrorCode::NotImplemented, hint))
            }
        }
    }
}
