//! Refusals of plain HTTP: a status, and a text that says what to do.

use drystone_edge::fault::{self, Fault};
use drystone_store::{NameError, StoreError};
use http::header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::headers;
use crate::access::Refused;
use crate::face::{Answer, text};
use crate::reason::Reason;

/// Why a plain request fails; the text is what the client reads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{1}")]
    Status(StatusCode, String),
    #[error("this path takes {0}")]
    Method(&'static str),
    #[error("no such range")]
    Range(u64),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Fault(Fault::Store(error))
    }
}

/// The answer to a request that fails.
pub(super) fn refusal(error: &Error) -> Answer {
    let status = match error {
        Error::Refused(Refused::KeyNeeded | Refused::WrongKey | Refused::TwoKeys) => {
            StatusCode::UNAUTHORIZED
        }
        Error::Refused(Refused::NotAllowed) => StatusCode::FORBIDDEN,
        Error::Refused(Refused::Fault(fault)) | Error::Fault(fault) => fault_status(fault),
        Error::Name(_) => StatusCode::BAD_REQUEST,
        Error::Status(status, _) => *status,
        Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        Error::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%error, "a request failed");
    }
    // What the store says of itself has names of files in it.
    let said = match status {
        StatusCode::INTERNAL_SERVER_ERROR => fault::FAILED.into(),
        StatusCode::INSUFFICIENT_STORAGE => fault::FULL.into(),
        _ => error.to_string(),
    };
    let mut response = text(status, format!("{said}\n"));
    response.extensions_mut().insert(Reason::new(&error.to_string()));
    let headers = response.headers_mut();
    match error {
        Error::Method(allowed) => {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        Error::Range(size) => {
            headers::insert(headers, http::header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
        _ if status == StatusCode::UNAUTHORIZED => {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"drystone\", charset=\"UTF-8\""),
            );
        }
        _ if status == StatusCode::REQUEST_TIMEOUT => {
            // Nothing more is read of what it sends.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ if status == StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

fn fault_status(fault: &Fault) -> StatusCode {
    match fault {
        Fault::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        Fault::TooSlow(_) | Fault::MadeWay => StatusCode::REQUEST_TIMEOUT,
        Fault::Incomplete(_)
        | Fault::BadBody(_)
        | Fault::BadDigest(_)
        | Fault::InvalidDigest(_) => StatusCode::BAD_REQUEST,
        Fault::Revoked => StatusCode::FORBIDDEN,
        Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::Store(error) => match error {
            StoreError::NotFound { .. } | StoreError::NoSuchBucket(_) => StatusCode::NOT_FOUND,
            StoreError::PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
            StoreError::BucketNotEmpty(_) => StatusCode::CONFLICT,
            StoreError::Closed | StoreError::Replaced { .. } => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Name(_) => StatusCode::BAD_REQUEST,
            error if error.is_full() => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_of_the_server_are_not_named() {
        for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::PermissionDenied] {
            let failed =
                StoreError::storage("cannot append to /srv/segments/7", std::io::Error::from(kind));
            let mut answer = refusal(&Error::from(failed));
            let reason = Reason::take(answer.extensions_mut());
            assert!(reason.is_some_and(|reason| reason.contains("segments/7")));
            let bytes =
                http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            let message = String::from_utf8_lossy(&bytes);
            assert!(message.len() > 20 && !message.contains('/'), "{message}");
        }
    }
}
