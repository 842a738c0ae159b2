//! Refusals in the words of S3: a code that programs know, and a message that says what to do.

use drystone_edge::fault::{FAILED, FULL, Fault};
use drystone_store::{NameError, StoreError};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode};

use super::bad_body::{Bad, BadDocument};
use super::framing::BadFraming;
use crate::access::Refused;
use crate::digest::Algorithm;

/// An error with one of S3's codes.
pub(super) fn error(code: S3ErrorCode, message: impl Into<String>) -> S3Error {
    S3Error::with_message(code, message.into())
}

/// An error with a code that the protocol crate has no name for.
pub(super) fn custom(
    code: &'static str,
    status: StatusCode,
    message: impl Into<String>,
) -> S3Error {
    let mut error = error(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// Adds headers to an error, beside the one that says that it is XML.
pub(super) fn with_headers(mut error: S3Error, mut headers: HeaderMap) -> S3Error {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    error.set_headers(headers);
    error
}

fn come_back(error: S3Error) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    with_headers(error, headers)
}

/// Nothing more is read of what it sends.
fn go_away(error: S3Error) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    with_headers(error, headers)
}

/// What the server has refused.
pub(super) fn fault(fault: Fault) -> S3Error {
    let message = fault.to_string();
    match fault {
        Fault::Store(refused) => store(&refused),
        Fault::Busy(_) => come_back(error(S3ErrorCode::SlowDown, message)),
        Fault::TooSlow(_) | Fault::MadeWay => go_away(error(S3ErrorCode::RequestTimeout, message)),
        Fault::Incomplete(_) => error(S3ErrorCode::IncompleteBody, message),
        Fault::BadBody(why) => match why.downcast_ref() {
            Some(reason) => bad(*reason),
            None => error(S3ErrorCode::InvalidRequest, message),
        },
        Fault::BadDigest(_) => error(S3ErrorCode::BadDigest, message),
        // As in S3, which has the other code for `Content-MD5` only: what is no checksum is not the
        // body's.
        Fault::InvalidDigest(name) if name != Algorithm::Md5.name() => {
            error(S3ErrorCode::BadDigest, message)
        }
        Fault::InvalidDigest(_) => error(S3ErrorCode::InvalidDigest, message),
        Fault::Revoked => error(S3ErrorCode::AccessDenied, message),
        Fault::Internal => error(S3ErrorCode::InternalError, message),
    }
}

/// A body that came to a bad end.
pub(super) fn bad(reason: Bad) -> S3Error {
    let message = reason.to_string();
    let code = match reason {
        Bad::Early | Bad::Broken | Bad::Length => S3ErrorCode::IncompleteBody,
        Bad::Late => S3ErrorCode::RequestTimeout,
        Bad::Document(BadDocument::Unsupported(_)) => S3ErrorCode::NotImplemented,
        Bad::Elements | Bad::Document(_) => S3ErrorCode::MalformedXML,
        Bad::Long => S3ErrorCode::MaxMessageLengthExceeded,
        Bad::Signature => S3ErrorCode::SignatureDoesNotMatch,
        Bad::TooLarge => S3ErrorCode::EntityTooLarge,
        Bad::TooSmall => S3ErrorCode::EntityTooSmall,
        Bad::Sum(_) => S3ErrorCode::BadDigest,
        Bad::Digest => {
            return custom("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message);
        }
        Bad::Framing(BadFraming::TooLarge) => {
            return custom("InvalidChunkSizeError", StatusCode::BAD_REQUEST, message);
        }
        Bad::Framing(_) | Bad::Unreadable | Bad::Trailers => S3ErrorCode::InvalidRequest,
    };
    error(code, message)
}

/// What the store has refused.
pub(super) fn store(refused: &StoreError) -> S3Error {
    let message = refused.to_string();
    let code = match refused {
        StoreError::NotFound { .. } => S3ErrorCode::NoSuchKey,
        StoreError::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
        StoreError::BucketNotEmpty(_) => S3ErrorCode::BucketNotEmpty,
        StoreError::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
        StoreError::PartMissing { .. } | StoreError::PartChanged { .. } => S3ErrorCode::InvalidPart,
        StoreError::PartOrder { .. } => S3ErrorCode::InvalidPartOrder,
        StoreError::PartNumber { .. } => S3ErrorCode::InvalidArgument,
        StoreError::RangeBeyondEnd { .. } => S3ErrorCode::InvalidRange,
        StoreError::TooManySlices { .. } => S3ErrorCode::InvalidRequest,
        StoreError::PreconditionFailed { .. } => S3ErrorCode::PreconditionFailed,
        StoreError::Name(refused) => return name(refused),
        StoreError::SessionExpired | StoreError::Closed | StoreError::Replaced { .. } => {
            return come_back(error(S3ErrorCode::ServiceUnavailable, message));
        }
        full if full.is_full() => {
            tracing::warn!(error = %full, "the disk is full");
            return custom("InsufficientStorage", StatusCode::INSUFFICIENT_STORAGE, FULL);
        }
        other => {
            let cause = std::error::Error::source(other).map(ToString::to_string);
            tracing::error!(error = %other, cause, "the store failed");
            return error(S3ErrorCode::InternalError, FAILED);
        }
    };
    error(code, message)
}

/// A name that cannot be.
pub(super) fn name(refused: &NameError) -> S3Error {
    let code = match refused {
        NameError::TooLong { .. } => S3ErrorCode::KeyTooLongError,
        NameError::Bucket(_) | NameError::BucketReserved { .. } => S3ErrorCode::InvalidBucketName,
        _ => S3ErrorCode::InvalidArgument,
    };
    error(code, refused.to_string())
}

/// A request that is not let in.
pub(super) fn refused(refused: Refused) -> S3Error {
    match refused {
        Refused::Fault(refused) => fault(refused),
        Refused::WrongKey | Refused::TwoKeys => {
            error(S3ErrorCode::InvalidAccessKeyId, refused.to_string())
        }
        Refused::KeyNeeded => error(S3ErrorCode::AccessDenied, "this needs a signed request"),
        Refused::NotAllowed => error(S3ErrorCode::AccessDenied, refused.to_string()),
    }
}

pub(super) fn invalid(message: impl Into<String>) -> S3Error {
    error(S3ErrorCode::InvalidArgument, message)
}

/// The header that names a condition which does not hold, on its way into the document of the
/// answer.
pub(super) const CONDITION: HeaderName = HeaderName::from_static("x-drystone-condition");

/// A condition of this name does not hold.
pub(super) fn precondition_failed(name: &'static str) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert(CONDITION, HeaderValue::from_static(name));
    let hint = format!("the condition {name} does not hold: look at the object and try again");
    with_headers(error(S3ErrorCode::PreconditionFailed, hint), headers)
}

#[cfg(test)]
mod tests {
    use drystone_store::{BucketName, Key};

    use super::*;

    #[track_caller]
    fn check(found: &S3Error, code: &str, status: u16) {
        assert_eq!(
            (found.code().as_str(), found.status_code().unwrap().as_u16()),
            (code, status),
            "{found}"
        );
    }

    #[test]
    fn each_refusal_has_its_code_and_status() {
        let key = Key::new("k").unwrap();
        let bucket = BucketName::new("bucket").unwrap();
        check(
            &store(&StoreError::NotFound { bucket: bucket.clone(), key: key.clone() }),
            "NoSuchKey",
            404,
        );
        check(&store(&StoreError::BucketNotEmpty(bucket)), "BucketNotEmpty", 409);
        check(&store(&StoreError::PreconditionFailed { key }), "PreconditionFailed", 412);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        check(&store(&StoreError::storage("cannot append", full)), "InsufficientStorage", 507);
        check(&store(&StoreError::Inconsistent("x".into())), "InternalError", 500);
        check(&name(&Key::new("k".repeat(1025)).unwrap_err()), "KeyTooLongError", 400);
        check(&name(&Key::new("a/../b").unwrap_err()), "InvalidArgument", 400);
        check(&fault(Fault::TooSlow(5)), "RequestTimeout", 400);
    }

    #[test]
    fn files_of_the_server_are_not_named() {
        for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::PermissionDenied] {
            let failed =
                StoreError::storage("cannot append to /srv/segments/7", std::io::Error::from(kind));
            let message = store(&failed).message().map(str::to_owned).unwrap();
            assert!(message.len() > 20 && !message.contains('/'), "{message}");
        }
    }

    #[test]
    fn a_refusal_for_lack_of_room_says_when_to_come_back() {
        let busy = fault(Fault::Busy("places"));
        assert_eq!(busy.headers().unwrap()[RETRY_AFTER], "1");
        check(&busy, "SlowDown", 503);
    }
}
