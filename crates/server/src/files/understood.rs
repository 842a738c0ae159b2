//! What a request may say on this face. Lists of what is known: what is not on them is refused, for
//! it might change what the request means.

use http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, HeaderName};
use http::{HeaderMap, Method, Request, StatusCode};
use percent_encoding::percent_decode_str;

use super::errors::Error;
use crate::digest::Algorithm;
use crate::request_head;

/// Checksums that other servers look at, and this one does not.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "unencoded-digest", "digest"];
/// What a body may be coded with. It is stored as it came, and readers are told its coding.
const CODINGS: [&str; 7] = ["br", "compress", "deflate", "gzip", "x-compress", "x-gzip", "zstd"];

pub(super) fn bad(why: impl Into<String>) -> Error {
    Error::Status(StatusCode::BAD_REQUEST, why.into())
}

/// The only value of a header.
///
/// # Errors
/// When it has several lines or is not ASCII.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Error> {
    request_head::single(headers, name)
        .map_err(|_| bad(format!("the header {name} is there more than once, or is not ASCII")))
}

/// The values of a request's query, each decoded, by the names that its route knows.
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// # Errors
    /// When there is a name that is not among those known, or one twice.
    pub(super) fn read<B>(request: &Request<B>, known: &[&'static str]) -> Result<Self, Error> {
        let mut query = Self(Vec::new());
        let pairs = request.uri().query().unwrap_or_default();
        for pair in pairs.split('&').filter(|_| !pairs.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| {
                let text = text.replace('+', " ");
                percent_decode_str(&text)
                    .decode_utf8()
                    .map(Into::into)
                    .map_err(|_| bad("the query is not UTF-8"))
            };
            let (name, value): (String, String) = (decoded(name)?, decoded(value)?);
            let shown = name.escape_debug();
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(bad(format!("the query `{shown}` is not known for this request")));
            };
            if query.get(name).is_some() {
                return Err(bad(format!("the query has `{shown}` more than once")));
            }
            query.0.push((name, value));
        }
        Ok(query)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether JSON is wanted; `None` where the query does not say.
    ///
    /// # Errors
    /// When it is another format.
    pub(super) fn wants_json(&self) -> Result<Option<bool>, Error> {
        match self.get("format") {
            None => Ok(None),
            Some("json") => Ok(Some(true)),
            Some("html") => Ok(Some(false)),
            Some(_) => Err(bad("the query `format` is `json` or `html`")),
        }
    }
}

/// Refuses headers that promise or ask for something that nothing here looks at. An object's PUT
/// knows checksums, and what a body is coded with.
pub(super) fn check_headers(
    method: &Method,
    is_object: bool,
    headers: &HeaderMap,
) -> Result<(), Error> {
    let is_put = is_object && method == Method::PUT;
    let is_sum = |name: &str| Algorithm::ALL.iter().any(|algorithm| algorithm.header() == name);
    for name in headers.keys() {
        let text = name.as_str();
        if is_sum(text) || text == "content-md5" {
            if !is_put {
                return Err(bad(format!("the checksum {name} is not known for this request")));
            }
            single(headers, name)?;
        } else if text.starts_with("x-amz-checksum-") || DIGESTS.contains(&text) {
            let why = "is not known here: send Content-MD5 or x-amz-checksum-sha256";
            return Err(bad(format!("the checksum {name} {why}")));
        } else if text.starts_with("x-amz-") {
            return Err(bad(format!("the header {name} belongs to S3, which is not below /_/")));
        }
    }
    if !is_put && !codings(headers)?.is_empty() {
        let why = "the body of this request cannot be read with a Content-Encoding";
        return Err(Error::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE, why.into()));
    }
    Ok(())
}

/// What a PUT says of its body, by the names under which an object's description has it.
pub(super) fn said_of_body(headers: &HeaderMap) -> Result<Vec<(&'static str, String)>, Error> {
    let mut said = Vec::new();
    let codings = codings(headers)?;
    if !codings.is_empty() {
        said.push(("content-encoding", codings.join(", ")));
    }
    for (name, key) in
        [(CONTENT_LANGUAGE, "content-language"), (CONTENT_DISPOSITION, "content-disposition")]
    {
        if let Some(value) = single(headers, &name)?.filter(|value| !value.is_empty()) {
            said.push((key, value.to_owned()));
        }
    }
    Ok(said)
}

/// In the order in which they were applied. Bounded by the head.
fn codings(headers: &HeaderMap) -> Result<Vec<&str>, Error> {
    let mut codings = Vec::new();
    for line in headers.get_all(CONTENT_ENCODING) {
        let line = line.to_str().map_err(|_| bad("the header content-encoding is not ASCII"))?;
        for coding in line.split(',').map(str::trim) {
            if coding.eq_ignore_ascii_case("identity") {
                continue;
            }
            if !CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known)) {
                let why = format!("the content coding `{}` is not known", coding.escape_default());
                return Err(Error::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
            }
            codings.push(coding);
        }
    }
    Ok(codings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<&[(&str, &str)], &str>) {
        let request = Request::builder().uri(format!("/a?{query}")).body(()).unwrap();
        match (Query::read(&request, &["from", "format"]), expected) {
            (Ok(found), Ok(expected)) => {
                let found: Vec<_> =
                    found.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
                assert_eq!(found, expected, "{query}");
            }
            (Err(refused), Err(why)) => {
                assert!(refused.to_string().contains(why), "{query}: {refused}");
            }
            (found, _) => {
                panic!(
                    "{query}: {:?}",
                    found.map(|query| query.0).map_err(|error| error.to_string())
                )
            }
        }
    }

    #[test]
    fn a_query_has_known_names_once() {
        check("", Ok(&[]));
        check("from=a+b%2B&format=", Ok(&[("from", "a b+"), ("format", "")]));
        check("f%72om=a%26b", Ok(&[("from", "a&b")]));
        check("from=a&from=b", Err("more than once"));
        check("from=a&fr%6fm=b", Err("more than once"));
        check("from=a&", Err("``"));
        check("=a", Err("``"));
        check("From=a", Err("`From`"));
        check("a%0Ab", Err("`a\\nb`"));
        check("from=%ff", Err("UTF-8"));
        check("%ff", Err("UTF-8"));
    }
}
