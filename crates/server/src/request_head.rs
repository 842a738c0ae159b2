//! What a request's head must be like, whichever face it is for. Looked at before a face is chosen.
//!
//! hyper has read it: lines are well-formed, and there is one `Content-Length` at most. What hyper
//! lets through although it leaves in doubt who is meant, how long the body is or what is to be
//! done with it is refused here.

use std::net::Ipv6Addr;

use http::header::{CONTENT_RANGE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};

/// Headers by which some servers take another method than that of the first line.
const METHODS: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// Why a request goes to no face.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// What S3 calls it.
    pub(crate) code: &'static str,
    pub(crate) why: String,
    /// Where the next request begins is in doubt, so there is none on this connection.
    pub(crate) is_last: bool,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, why: impl Into<String>) -> Self {
        Self { status, code, why: why.into(), is_last: false }
    }

    fn bad(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", why)
    }
}

/// Looks at a request's head. Where its target is a whole address, the host of that takes the place
/// of the header's, as RFC 9112 (3.2.2) has it.
///
/// # Errors
/// When it is refused.
pub(crate) fn check<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let whole = target(request.method(), request.uri())?;
    host(request.headers(), request.version())?;
    if let Some(whole) = whole {
        request.headers_mut().insert(HOST, whole);
    }
    let headers = request.headers();
    transfer_coding(headers)?;
    if headers.contains_key(EXPECT) && !only(headers, &EXPECT, "100-continue") {
        let why = "nothing can be expected but `100-continue`, once";
        return Err(Refusal::new(StatusCode::EXPECTATION_FAILED, "ExpectationFailed", why));
    }
    if headers.contains_key(CONTENT_RANGE) {
        let why = "a part of an object cannot be written: send all of it, without `Content-Range`";
        return Err(Refusal::bad(why));
    }
    if let Some(name) = METHODS.iter().find(|name| headers.contains_key(**name)) {
        return Err(Refusal::bad(format!(
            "the method is that of the first line: send no `{name}`"
        )));
    }
    Ok(())
}

/// The only value of a header; `None` if there is none.
///
/// # Errors
/// When it has several lines or is not ASCII: then it cannot be said what it means.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(Unreadable),
    }
}

/// A header that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

fn only(headers: &HeaderMap, name: &HeaderName, text: &str) -> bool {
    single(headers, name)
        .is_ok_and(|found| found.is_some_and(|found| found.eq_ignore_ascii_case(text)))
}

/// The host of a target that is a whole address; `None` for a path.
fn target(method: &Method, uri: &Uri) -> Result<Option<HeaderValue>, Refusal> {
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => Ok(None),
        (None, None) if uri.path() == "*" && method == Method::OPTIONS => Ok(None),
        (Some("http" | "https"), Some(authority)) if is_host(authority.as_str()) => {
            HeaderValue::from_str(authority.as_str())
                .map(Some)
                .map_err(|_| Refusal::bad("the address is no text"))
        }
        _ => Err(Refusal::bad("the target of a request is a path, or an address of http or https")),
    }
}

fn host(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    match single(headers, &HOST) {
        Ok(Some(host)) if is_host(host) => Ok(()),
        // It came with HTTP/1.1.
        Ok(None) if version < Version::HTTP_11 => Ok(()),
        Ok(None) => Err(Refusal::bad("the request needs a `Host`")),
        Ok(Some(_)) => {
            Err(Refusal::bad("the `Host` is not a host's name or address, with or without a port"))
        }
        Err(Unreadable) => {
            Err(Refusal::bad("the request has more than one `Host`, or one that is not ASCII"))
        }
    }
}

/// `HOST` or `HOST:PORT`. The name of a host has letters, digits, `-`, `.` and `_`; a name with
/// anything else is no host.
fn is_host(text: &str) -> bool {
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => {
            let Some((address, rest)) = text.split_once(']') else { return false };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = |port: &str| {
        port.is_empty()
            || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    };
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// hyper takes the chunks off a body, and looks at the last coding only.
fn transfer_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    if !headers.contains_key(TRANSFER_ENCODING) || only(headers, &TRANSFER_ENCODING, "chunked") {
        return Ok(());
    }
    let unknown = headers.get_all(TRANSFER_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut unknown = unknown.flat_map(|codings| codings.split(',').map(str::trim));
    let is_other = |coding: &&str| !coding.is_empty() && !coding.eq_ignore_ascii_case("chunked");
    let refused = match unknown.find(is_other) {
        Some(coding) => {
            let why = format!(
                "the transfer coding `{}` is not known: only `chunked` is",
                coding.escape_default()
            );
            Refusal::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", why)
        }
        None => Refusal::bad("a body is sent in chunks once: `Transfer-Encoding: chunked`"),
    };
    Err(Refusal { is_last: true, ..refused })
}
