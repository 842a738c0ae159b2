//! Conditional requests (RFC 9110, section 13). A condition that cannot be read is never none.

use std::time::SystemTime;

use drystone_store::{Condition, ObjectRow};
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use super::errors::Error;
use super::headers::modified;
use super::understood::{bad, single};
use crate::entity_tags::{Comparison, EntityTags, Quotes};
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
    matches: Option<EntityTags>,
    none_matches: Option<EntityTags>,
    modified_since: Option<Date>,
    unmodified_since: Option<Date>,
    range: Option<Validator>,
}

/// A date of a condition; `None` is what is no date.
type Date = Option<SystemTime>;

/// What an `If-Range` names.
#[derive(Debug)]
enum Validator {
    Tag(EntityTags),
    Date(Date),
}

impl Conditions {
    /// # Errors
    /// When one cannot be read, or is of a kind that is not known.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Error> {
        let known =
            [&IF_MATCH, &IF_NONE_MATCH, &IF_MODIFIED_SINCE, &IF_UNMODIFIED_SINCE, &IF_RANGE];
        let unknown = |name: &&HeaderName| {
            (name.as_str() == "if" || name.as_str().starts_with("if-")) && !known.contains(name)
        };
        if let Some(name) = headers.keys().find(unknown) {
            return Err(bad(format!("the condition {name} is not known")));
        }
        let date = |name: HeaderName| -> Result<Option<Date>, Error> {
            Ok(single(headers, &name)?.map(|text| httpdate::parse_http_date(text).ok()))
        };
        let tags = |name: HeaderName| {
            let tags = EntityTags::of(headers, name.as_str(), Quotes::Needed);
            tags.map_err(|_| unreadable(&name))
        };
        let range = match single(headers, &IF_RANGE)? {
            None => None,
            Some(tag) if tag.starts_with(['"', 'W']) && tag.ends_with('"') => {
                let tag = EntityTags::parse_one(tag, Quotes::Needed);
                Some(Validator::Tag(tag.ok_or_else(|| unreadable(&IF_RANGE))?))
            }
            Some(date) => Some(Validator::Date(httpdate::parse_http_date(date).ok())),
        };
        Ok(Self {
            matches: tags(IF_MATCH)?,
            none_matches: tags(IF_NONE_MATCH)?,
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
        refuse(&[
            (self.matches.is_some(), IF_MATCH),
            (self.unmodified_since.is_some(), IF_UNMODIFIED_SINCE),
        ])
    }

    /// Whether a write is made without looking at what is there.
    pub(super) fn is_none(&self) -> bool {
        self.matches.is_none()
            && self.none_matches.is_none()
            && self.unmodified_since.flatten().is_none()
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
        let is_other =
            !self.none_matches.as_ref().is_some_and(|tags| tags.name(&etag, Comparison::Weak));
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
