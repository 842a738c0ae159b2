//! The policy of an upload by HTML form: its author has signed what a client that has the form may
//! send.
//!
//! It is a JSON document in base64. Every field of the form must be covered by a condition, and
//! every condition must hold.
//!
//! Not `s3s::post_policy`: only its parser is public, and that is laxer where a policy must be
//! strict (a field without its `$`, a time with another zone or without its `T`) and stricter where
//! clients are not (a length that is written as a string).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode};
use serde::Deserialize;
use serde_json::Value;

use super::errors::error;

/// The fields of a form by their names in lower case.
pub(super) type Fields = BTreeMap<String, String>;

#[derive(Deserialize)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

/// A policy that was understood.
#[derive(Debug)]
pub(super) struct Policy {
    expires: Timestamp,
    conditions: Vec<Condition>,
    sizes: RangeInclusive<u64>,
}

#[derive(Debug)]
struct Condition {
    /// In lower case.
    field: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Is(String),
    BeginsWith(String),
}

impl Policy {
    pub(super) fn parse(base64: &str) -> Result<Self, S3Error> {
        let json = BASE64.decode(base64).map_err(|_| malformed("it is not base64"))?;
        // The parser's own limit of depth bounds what is in it; a form's ceiling how long it is.
        let document: Document =
            serde_json::from_slice(&json).map_err(|refused| malformed(&refused.to_string()))?;
        // The parser would let a blank stand for the T, and any zone.
        let text = Some(&document.expiration)
            .filter(|text| text.get(10..11) == Some("T") && text.ends_with('Z'));
        let expires = text.and_then(|text| Timestamp::parse(TimestampFormat::DateTime, text).ok());
        let expires = expires
            .ok_or_else(|| malformed("its expiration is not a time as in 2030-01-31T12:00:00Z"))?;
        let mut policy = Self { expires, conditions: Vec::new(), sizes: 0..=u64::MAX };
        for condition in document.conditions {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: Value) -> Result<(), S3Error> {
        let bad = || malformed("each condition is {FIELD: VALUE} or [OPERATOR, FIELD, VALUE]");
        let (field, test) = match condition {
            Value::Object(pairs) if pairs.len() == 1 => {
                let (field, value) = pairs.into_iter().next().ok_or_else(bad)?;
                (field, Test::Is(text(value).ok_or_else(bad)?))
            }
            Value::Array(items) => {
                let [operator, first, second]: [Value; 3] = items.try_into().map_err(|_| bad())?;
                let operator = text(operator).ok_or_else(bad)?.to_ascii_lowercase();
                if operator == "content-length-range" {
                    let (least, most) =
                        (number(&first).ok_or_else(bad)?, number(&second).ok_or_else(bad)?);
                    // Of several ranges, each must hold.
                    self.sizes = least.max(*self.sizes.start())..=most.min(*self.sizes.end());
                    return Ok(());
                }
                let field = text(first).ok_or_else(bad)?;
                let field = field.strip_prefix('$').ok_or_else(bad)?.to_owned();
                let value = text(second).ok_or_else(bad)?;
                match operator.as_str() {
                    "eq" => (field, Test::Is(value)),
                    "starts-with" => (field, Test::BeginsWith(value)),
                    _ => return Err(bad()),
                }
            }
            _ => return Err(bad()),
        };
        self.conditions.push(Condition { field: field.to_ascii_lowercase(), test });
        Ok(())
    }

    /// Whether a form with these fields may be sent now. The bucket is a field like the others, and
    /// so is the key, with the file's name put in.
    pub(super) fn check(&self, fields: &Fields, now: SystemTime) -> Result<(), S3Error> {
        if self.expires <= Timestamp::from(now) {
            return Err(denied("it has expired"));
        }
        for condition in &self.conditions {
            let found = fields.get(&condition.field);
            if !found.is_some_and(|value| condition.holds(value)) {
                return Err(denied(&format!(
                    "its condition for the field {} does not hold",
                    condition.field
                )));
            }
        }
        let covered = |name: &str| self.conditions.iter().any(|condition| condition.field == name);
        match fields.keys().find(|name| !is_free(name) && !covered(name)) {
            Some(name) => Err(denied(&format!("it does not speak of the field {name}"))),
            None => Ok(()),
        }
    }

    /// Lengths that the file may have.
    pub(super) fn sizes(&self) -> RangeInclusive<u64> {
        self.sizes.clone()
    }
}

impl Condition {
    fn holds(&self, value: &str) -> bool {
        match &self.test {
            Test::Is(expected) => value == expected,
            // A list of media types must be one of nothing else.
            Test::BeginsWith(prefix) if self.field == "content-type" => {
                value.split(',').all(|kind| kind.trim_start().starts_with(prefix.as_str()))
            }
            Test::BeginsWith(prefix) => value.starts_with(prefix.as_str()),
        }
    }
}

/// Fields that no condition has to cover: the signature itself, what means nothing, and digests of
/// the file, with which an upload can only fail.
fn is_free(name: &str) -> bool {
    matches!(name, "policy" | "x-amz-signature" | "signature" | "awsaccesskeyid")
        || name.starts_with("x-ignore-")
        || name.starts_with("x-amz-checksum-")
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A length, which some clients write as a string.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

fn malformed(why: &str) -> S3Error {
    error(S3ErrorCode::InvalidPolicyDocument, format!("the policy cannot be read: {why}"))
}

fn denied(why: &str) -> S3Error {
    error(S3ErrorCode::AccessDenied, format!("the policy does not allow this: {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const CONDITIONS: &str = r#"{"bucket": "photos"}, ["starts-with", "$key", "in/"], ["eq", "$ACL", "private"],
        ["starts-with", "$Content-Type", "image/"], ["Content-Length-Range", 3, "9"]"#;

    fn parse(json: &str) -> Result<Policy, S3Error> {
        Policy::parse(&BASE64.encode(json))
    }

    fn policy(conditions: &str) -> Result<Policy, S3Error> {
        parse(&format!(
            r#"{{"expiration": "2030-01-31T12:00:00.000Z", "conditions": [{conditions}]}}"#
        ))
    }

    fn check(changes: &[(&str, Option<&str>)], expected: bool) {
        let mut fields: Fields = [
            ("bucket", "photos"),
            ("key", "in/a.png"),
            ("acl", "private"),
            ("content-type", "image/png"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in changes {
            match value {
                Some(value) => fields.insert((*name).to_owned(), (*value).to_owned()),
                None => fields.remove(*name),
            };
        }
        let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let checked = policy(CONDITIONS).unwrap().check(&fields, at);
        assert_eq!(checked.is_ok(), expected, "{changes:?} {checked:?}");
    }

    #[test]
    fn conditions_hold_and_cover_every_field() {
        check(&[], true);
        check(&[("key", Some("out/a.png"))], false);
        check(&[("key", Some("In/a.png"))], false);
        check(&[("bucket", Some("others"))], false);
        check(&[("acl", Some("private "))], false);
        check(&[("acl", None)], false);
        check(&[("content-type", Some("image/png, image/gif"))], true);
        check(&[("content-type", Some("image/png,text/html"))], false);
        check(&[("x-amz-meta-a", Some("b"))], false);
        check(&[("success_action_redirect", Some("http://elsewhere/"))], false);
        check(&[("x-ignore-a", Some("b")), ("signature", Some("c")), ("policy", Some("d"))], true);
        check(&[("x-amz-checksum-crc32", Some("AAAAAA=="))], true);
    }

    #[test]
    fn a_policy_holds_until_it_expires() {
        let policy = policy("").unwrap();
        let end = UNIX_EPOCH + Duration::from_secs(1_896_091_200);
        assert!(policy.check(&Fields::new(), end - Duration::from_secs(1)).is_ok());
        assert!(policy.check(&Fields::new(), end).is_err());
    }

    #[test]
    fn sizes_are_those_of_all_ranges() {
        assert_eq!(policy(CONDITIONS).unwrap().sizes(), 3..=9);
        assert_eq!(policy("").unwrap().sizes(), 0..=u64::MAX);
        let both = r#"["content-length-range", 1, 7], ["content-length-range", 2, 8]"#;
        assert_eq!(policy(both).unwrap().sizes(), 2..=7);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for conditions in [
            "{}",
            "[]",
            "1",
            r#"{"a": "b", "c": "d"}"#,
            r#"{"a": 1}"#,
            r#"["eq", "key", "a"]"#,
            r#"["eq", "$key"]"#,
            r#"["like", "$key", "a"]"#,
            r#"["content-length-range", 0]"#,
            r#"["content-length-range", -1, 0]"#,
            r#"["content-length-range", "+1", 2]"#,
        ] {
            let refused = policy(conditions).unwrap_err();
            assert_eq!(refused.code(), &S3ErrorCode::InvalidPolicyDocument, "{conditions}");
        }
        for json in [
            "",
            "{}",
            r#"{"expiration": "2030-01-31T12:00:00Z"}"#,
            r#"{"expiration": "2030-01-31T12:00:00Z", "CONDITIONS": []}"#,
            r#"{"expiration": "tomorrow", "conditions": []}"#,
            r#"{"expiration": "2030-01-31", "conditions": []}"#,
            r#"{"expiration": "2030-01-31 12:00:00Z", "conditions": []}"#,
            r#"{"expiration": "2030-01-31T12:00:00+01:00", "conditions": []}"#,
            r#"{"expiration": "2030-01-31T12:00:00Z", "conditions": [], "conditions": []}"#,
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
        let deep = format!("{}{}", "[".repeat(9999), "]".repeat(9999));
        assert!(policy(&deep).is_err());
        assert!(Policy::parse("no base64").is_err());
    }
}
