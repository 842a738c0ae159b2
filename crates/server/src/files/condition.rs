//! Conditional requests (RFC 9110, section 13).

use std::time::SystemTime;

use drystone_store::{Condition, ObjectRow};
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use super::headers::modified;
use crate::meta::etag;

/// What the conditions of a read come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    NotModified,
    Failed,
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    text(headers, name).and_then(|text| httpdate::parse_http_date(text).ok())
}

/// Whether a list of entity tags names this one. `weak` allows the `W/` of a tag to be ignored.
fn names(list: &str, etag: &str, weak: bool) -> bool {
    list.split(',').map(str::trim).any(|tag| {
        let tag = if weak { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
        tag == "*" || tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(etag)
    })
}

/// Judges a GET or HEAD.
pub(super) fn read(headers: &HeaderMap, object: &ObjectRow) -> Verdict {
    let etag = etag(object);
    if let Some(list) = text(headers, &IF_MATCH) {
        if !names(list, &etag, false) {
            return Verdict::Failed;
        }
    } else if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|date| modified(object) > date) {
        return Verdict::Failed;
    }
    if let Some(list) = text(headers, &IF_NONE_MATCH) {
        if names(list, &etag, true) {
            return Verdict::NotModified;
        }
    } else if date(headers, &IF_MODIFIED_SINCE).is_some_and(|date| modified(object) <= date) {
        return Verdict::NotModified;
    }
    Verdict::Go
}

/// Whether a range applies: with `If-Range`, only to what it names.
pub(super) fn range_applies(headers: &HeaderMap, object: &ObjectRow) -> bool {
    match text(headers, &IF_RANGE) {
        None => true,
        Some(tag) if tag.starts_with('"') => names(tag, &etag(object), false),
        Some(date) => httpdate::parse_http_date(date).is_ok_and(|date| modified(object) == date),
    }
}

/// What a PUT asks of the object that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PutCondition {
    Always,
    IfAbsent,
    /// The entity tags of `If-Match`.
    IfMatch(String),
    /// Conditions that a PUT does not know.
    Unknown(&'static str),
}

/// Reads the conditions of a PUT.
pub(super) fn put(headers: &HeaderMap) -> PutCondition {
    match (text(headers, &IF_NONE_MATCH), text(headers, &IF_MATCH)) {
        (None, None) => PutCondition::Always,
        (Some("*"), None) => PutCondition::IfAbsent,
        (Some(_), _) => PutCondition::Unknown("a PUT takes `If-None-Match: *` only"),
        (None, Some(list)) => PutCondition::IfMatch(list.to_owned()),
    }
}

/// What must hold at the commit so that `If-Match` holds; `None` when it does not hold already.
pub(super) fn put_if_match(list: &str, object: Option<&ObjectRow>) -> Option<Condition> {
    let object = object?;
    names(list, &etag(object), false).then_some(Condition::IfVersion(object.version()))
}
