//! An object's description: from the headers of a request, and into those of an answer.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use s3s::dto::{ETag, Metadata, Timestamp};
use s3s::{S3Error, S3ErrorCode};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use drystone_store::{ContentHash, ObjectMeta, ObjectRow};

use super::acl::{self, Canned};
use super::errors::{error, invalid};
use super::tags;
use crate::meta::{self, KEPT_HEADERS};

/// The user's own names and values together, in bytes; as in S3.
const USER_BYTES_MAX: usize = 2048;
/// What a body is said to be whose client has not said it; as in S3.
const UNKNOWN_TYPE: &str = "binary/octet-stream";

/// Refuses what would change what the request means, if we left it out. Headers that an operation
/// does not know at all were refused before: see [`super::headers`].
pub(super) fn refuse_unsupported(operation: &str, headers: &HeaderMap) -> Result<(), S3Error> {
    Canned::of(headers)?;
    for (name, value) in headers {
        let value = value.as_bytes();
        match name.as_str() {
            name if name.starts_with("x-amz-grant-") => {
                return Err(acl::unsupported(format!("{name} cannot be granted")));
            }
            "x-amz-storage-class" if !value.is_empty() && value != b"STANDARD" => {
                let hint = "this store has one storage class: STANDARD";
                return Err(error(S3ErrorCode::InvalidStorageClass, hint));
            }
            "x-amz-bucket-object-lock-enabled" if value == b"false" => {}
            name if name.starts_with("x-amz-object-lock-")
                || name == "x-amz-bucket-object-lock-enabled" =>
            {
                return Err(error(
                    S3ErrorCode::InvalidRequest,
                    "object locks are not implemented here",
                ));
            }
            // A form's tags would be a document.
            tags::HEADER if operation == "PostObject" && !value.is_empty() => {
                let hint = "the tags of a form are not implemented here";
                return Err(error(S3ErrorCode::NotImplemented, hint));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The description that a request gives.
pub(super) fn meta(headers: &HeaderMap, user: Option<Metadata>) -> Result<ObjectMeta, S3Error> {
    let text = |name: &str| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(Err(_)) => Err(invalid(format!("the header {name} is not ASCII"))),
    };
    let user: BTreeMap<String, String> = user.unwrap_or_default().into_iter().collect();
    let user_bytes: usize = user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if user_bytes > USER_BYTES_MAX {
        let hint =
            format!("user metadata has at most {USER_BYTES_MAX} bytes, this has {user_bytes}");
        return Err(error(S3ErrorCode::MetadataTooLarge, hint));
    }
    let mut system = BTreeMap::new();
    for name in KEPT_HEADERS {
        let value = text(name)?.map(str::to_owned);
        let value = if name == "content-encoding" {
            value.and_then(|value| encoding(&value))
        } else {
            value
        };
        if let Some(value) = value {
            system.insert(name.to_owned(), value);
        }
    }
    let media_type = text(CONTENT_TYPE.as_str())?.map(str::to_owned);
    Ok(ObjectMeta { media_type, user, system, modified_ns: now_ns(), ..ObjectMeta::default() })
}

/// The encodings that stay: `aws-chunked` is one of the request.
fn encoding(value: &str) -> Option<String> {
    let is_own = |token: &&str| token.eq_ignore_ascii_case("aws-chunked");
    let tokens = || value.split(',').map(str::trim);
    if !tokens().any(|token| is_own(&token)) {
        return Some(value.to_owned());
    }
    let stays: Vec<&str> = tokens().filter(|token| !is_own(token)).collect();
    (!stays.is_empty()).then(|| stays.join(", "))
}

pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// When the object was last modified, to the second, as HTTP has it.
pub(super) fn modified(object: &ObjectRow) -> Timestamp {
    let seconds = u64::try_from(object.meta.modified_ns / 1_000_000_000).unwrap_or(0);
    Timestamp::from(UNIX_EPOCH + Duration::from_secs(seconds))
}

pub(super) fn from_ms(ms: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(ms))
}

pub(super) fn etag(object: &ObjectRow) -> ETag {
    ETag::Strong(meta::etag(object))
}

pub(super) fn etag_in(system: &BTreeMap<String, String>, content: &ContentHash) -> ETag {
    ETag::Strong(meta::etag_in(system, content))
}

pub(super) fn media_type(object: &ObjectRow) -> String {
    object.meta.media_type.clone().unwrap_or_else(|| UNKNOWN_TYPE.into())
}

pub(super) fn kept(object: &ObjectRow, name: &str) -> Option<String> {
    object.meta.system.get(name).cloned()
}

pub(super) fn user(object: &ObjectRow) -> Option<Metadata> {
    // Objects that came another way may have names that no header can have.
    let can_be =
        |name: &str| http::HeaderName::from_bytes(format!("x-amz-meta-{name}").as_bytes()).is_ok();
    let user = object.meta.user.iter().filter(|(name, _)| can_be(name));
    let user: Metadata = user.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!user.is_empty()).then_some(user)
}

/// Headers that every answer with an object's bytes has: what a client has stored must not run as a
/// page of this server.
pub(super) fn headers(object: &ObjectRow, expires_overridden: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(http::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    // As it came: the protocol crate would have it a date, and clients write what they like.
    if let Some(expires) = object.meta.system.get("expires").filter(|_| !expires_overridden)
        && let Ok(expires) = HeaderValue::from_str(expires)
    {
        headers.insert(http::header::EXPIRES, expires);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers_of(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn the_requests_own_encoding_is_not_the_objects() {
        let encoding = |value| {
            meta(&headers_of(&[("content-encoding", value)]), None)
                .unwrap()
                .system
                .remove("content-encoding")
        };
        assert_eq!(encoding("aws-chunked"), None);
        assert_eq!(encoding("gzip, aws-chunked").as_deref(), Some("gzip"));
        assert_eq!(encoding("AWS-chunked,gzip,br").as_deref(), Some("gzip, br"));
        assert_eq!(encoding("aws-chunked, aws-chunked"), None);
        assert_eq!(encoding("gzip,br").as_deref(), Some("gzip,br"));
        assert_eq!(encoding("deflate, gzip").as_deref(), Some("deflate, gzip"));
    }

    #[test]
    fn user_metadata_is_bounded() {
        let user = |len: usize| Some(Metadata::from([("k".to_owned(), "v".repeat(len - 1))]));
        assert!(meta(&HeaderMap::new(), user(USER_BYTES_MAX)).is_ok());
        let refused = meta(&HeaderMap::new(), user(USER_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(refused.code(), &S3ErrorCode::MetadataTooLarge);
    }

    #[test]
    fn what_cannot_be_done_is_not_left_out_silently() {
        let refused = |operation, name, value| {
            refuse_unsupported(operation, &headers_of(&[(name, value)])).is_err()
        };
        for (name, value) in [
            ("x-amz-acl", "public-read-write"),
            ("x-amz-grant-read", "id=drystone"),
            ("x-amz-storage-class", "GLACIER"),
            ("x-amz-object-lock-mode", "COMPLIANCE"),
        ] {
            assert!(refused("PutObject", name, value), "{name}");
        }
        for (name, value) in [("x-amz-acl", "public-read"), ("x-amz-tagging", "a=b")] {
            assert!(!refused("PutObject", name, value), "{name}");
        }
        assert!(refused("PostObject", "x-amz-tagging", "a=b"));
        let fine =
            [("x-amz-acl", "private"), ("x-amz-storage-class", "STANDARD"), ("x-amz-date", "x")];
        assert!(refuse_unsupported("DeleteObject", &headers_of(&fine)).is_ok());
    }
}
