//! What the log says of an answer: why a request was refused, and how loudly.

use http::{Extensions, StatusCode};
use tracing::Level;

/// As much of a reason as the log has: a client's text may be in it.
const CHARS_MAX: usize = 300;

/// Why a request was refused. It goes with the answer, for the request's line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason(String);

impl Reason {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim_end().chars().take(CHARS_MAX).collect())
    }

    /// Takes the reason out of an answer.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<String> {
        extensions.remove::<Self>().map(|reason| reason.0)
    }
}

/// How loudly an answer is logged: whether it concerns the operator, too.
pub(crate) fn level(status: StatusCode) -> Level {
    match status {
        // Clients cause these: what they want is not here, or not now.
        StatusCode::NOT_IMPLEMENTED
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Level::INFO,
        // The operator has to make room; nothing is broken.
        StatusCode::INSUFFICIENT_STORAGE => Level::WARN,
        status if status.is_server_error() => Level::ERROR,
        _ => Level::INFO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_cause_is_no_error_of_the_server() {
        for (status, expected) in [
            (200, Level::INFO),
            (403, Level::INFO),
            (500, Level::ERROR),
            (501, Level::INFO),
            (502, Level::ERROR),
            (503, Level::INFO),
            (507, Level::WARN),
        ] {
            assert_eq!(level(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn a_reason_is_short() {
        let mut extensions = Extensions::new();
        assert_eq!(Reason::take(&mut extensions), None);
        extensions.insert(Reason::new(&"ü".repeat(CHARS_MAX + 1)));
        assert_eq!(Reason::take(&mut extensions), Some("ü".repeat(CHARS_MAX)));
    }
}
