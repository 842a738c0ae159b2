//! What the server does for browsers: at the address itself, where S3 is, they are sent to the
//! files.

use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use crate::face::{Answer, text};

/// The redirect to the files, for a browser at `/`. Clients of S3 sign, and do not accept HTML.
pub(crate) fn for_browser<B>(
    request: &Request<B>,
    is_signed: impl FnOnce(&Request<B>) -> bool,
) -> Option<Answer> {
    let is_browser = matches!(*request.method(), Method::GET | Method::HEAD)
        && request.uri().path() == "/"
        && accepts_html(request.headers())
        && !is_signed(request)
        && !request
            .headers()
            .get(AUTHORIZATION)
            .is_some_and(|value| value.as_bytes().starts_with(b"AWS"));
    is_browser.then(|| {
        let mut response = to_files();
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept, authorization"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    })
}

pub(crate) fn to_files() -> Answer {
    let mut response = text(StatusCode::TEMPORARY_REDIRECT, "see /_/files/\n");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/_/files/"));
    response
}

/// Whether HTML is among what a client takes, by name: `*/*` is what programs say.
pub(crate) fn accepts_html(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = lines.flat_map(|line| line.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        let is_refused = |part: &str| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality.is_some_and(|quality| quality.parse() == Ok(0.0))
        };
        is_html && !parts.any(is_refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_accepted_by_its_name() {
        let accepts = |text: &'static str| {
            accepts_html(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))]))
        };
        assert!(
            accepts("text/html,application/xhtml+xml,*/*;q=0.8") && accepts("a/b, Text/HTML;q=0.1")
        );
        for other in [
            "",
            "*/*",
            "text/*",
            "application/xml",
            "text/html;q=0",
            "text/html; q=0.000",
            "x-text/html",
        ] {
            assert!(!accepts(other), "{other}");
        }
    }
}
