//! Pages of other sites that make a browser write here.
//!
//! A browser remembers the password that it was once given for this server, and attaches it to
//! every request that any page makes it send: a form of a foreign page could overwrite an object.
//! What a page cannot attach by itself, a bearer token or a signature of S3, is no such password.

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};

use crate::request_head::{Refusal, single};

/// What a browser says of the page that made it send a request. A page cannot change it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that would change something, that comes from a page of another site, and that
/// is not one which `is_proven` by what it has itself.
pub(crate) fn check<B>(
    request: &Request<B>,
    is_proven: impl FnOnce(&Request<B>) -> bool,
) -> Result<(), Refusal> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if is_safe || !is_foreign(request.headers()) || is_proven(request) {
        return Ok(());
    }
    let why = "a page of another site made this browser ask, and the password that the browser \
               remembers is not enough for that: use a bearer token or a signature; or, where a \
               proxy is in front, let it pass on the `Host` that the browser sent";
    Err(Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", why))
}

/// The scheme of a request's `Authorization`.
pub(crate) fn scheme(headers: &HeaderMap) -> Option<&str> {
    let text = single(headers, &AUTHORIZATION).ok().flatten()?;
    text.split(' ').next()
}

/// What the browser says of the page decides. A browser that does not say it (an older one, and any
/// over plain HTTP) names the page's origin in every request but GET; a client that names none is
/// no browser.
fn is_foreign(headers: &HeaderMap) -> bool {
    match single(headers, &SITE) {
        Ok(Some("same-origin")) => false,
        // `none`: a person made it.
        Ok(None | Some("none")) => match single(headers, &ORIGIN) {
            Ok(None) => false,
            Ok(Some(origin)) => !is_own(origin, headers),
            Err(_) => true,
        },
        // `cross-site`, `same-site`, what may come later, and what cannot be read.
        _ => true,
    }
}

/// Whether an origin is this server. Not by its scheme: a proxy may have ended TLS.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Some((scheme, page)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |host: &str| {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(port).unwrap_or(&host);
        host.strip_suffix(':').unwrap_or(host).to_owned()
    };
    let host = single(headers, &HOST).ok().flatten();
    host.is_some_and(|host| !page.is_empty() && bare(host) == bare(page))
}
