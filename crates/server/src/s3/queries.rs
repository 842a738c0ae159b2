//! The query of a request: which operation it selects, and that nothing in it is left out.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::{S3Error, S3ErrorCode};

use super::errors::{error, invalid, with_headers};
use super::operations::{FORM, Level, OPERATIONS, Operation};
use crate::digest::{Algorithm, Digests};

/// Keys of a presigned URL of version 4. All but the last two belong to each.
pub(super) const SIGNED_V4: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Content-Sha256",
    "X-Amz-Security-Token",
];
/// Those of version 2; all of them belong to each.
pub(super) const SIGNED_V2: [&str; 3] = ["AWSAccessKeyId", "Expires", "Signature"];
/// What version 2 puts into the query of what it signs, and the client has to send as a header.
const SENT_AS_HEADER_V2: [&str; 2] = ["content-md5", "content-type"];
/// Keys that select an operation and have a value; the others have none.
const WITH_VALUE: [&str; 3] = ["list-type", "partNumber", "uploadId"];
/// Keys whose values are numbers. What is read more freely than it was meant would be another
/// request.
const NUMBERS: [&str; 6] =
    ["max-buckets", "max-keys", "max-parts", "max-uploads", "part-number-marker", "partNumber"];
/// As much of a client's text as an error shows.
const SHOWN_CHARS_MAX: usize = 64;

/// A query's keys and values, without their escapes.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query as the protocol crate does.
    ///
    /// # Errors
    /// A key that is there twice: of two values one would be left out.
    pub(super) fn parse(query: &str) -> Result<Self, S3Error> {
        let text = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut pairs: Vec<_> = pairs.map(|(key, value)| (text(key), text(value))).collect();
        pairs.sort();
        match pairs.array_windows().find(|[one, next]| one.0 == next.0) {
            Some([(key, _), _]) => {
                Err(invalid(format!("the query parameter {} is there more than once", shown(key))))
            }
            None => Ok(Self(pairs)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The keys that ask for something of S3: not the signature's, and not those that begin with
    /// `x-`, which S3 leaves to clients and proxies.
    fn asked(&self) -> impl Iterator<Item = (&str, &str)> {
        let v2 = self.has("Signature");
        let own = move |key: &str| {
            SIGNED_V4.contains(&key)
                || begins_with_x(key)
                || SIGNED_V2.contains(&key)
                || (v2 && SENT_AS_HEADER_V2.contains(&key))
        };
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(move |(key, _)| !own(key))
    }

    /// Adds to `headers` what a presigned URL carries in its query instead: an `x-amz-…` there
    /// means what the header of that name means. In version 2 the client has to send it as well.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) -> Result<(), S3Error> {
        let v2 = self.has("Signature");
        for (key, value) in &self.0 {
            let name = key.to_ascii_lowercase();
            let own = SIGNED_V4.contains(&key.as_str()) && key != "X-Amz-Content-Sha256";
            let as_header =
                name.starts_with("x-amz-") || (v2 && SENT_AS_HEADER_V2.contains(&key.as_str()));
            if own || !as_header {
                continue;
            }
            // SDKs that presign without a body put its checksum in all the same: that of no bytes.
            if is_of_no_bytes(&name, value) {
                continue;
            }
            let bad = || invalid(format!("the query parameter {} cannot be a header", shown(key)));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let value = HeaderValue::from_str(value).map_err(|_| bad())?;
            match headers.get(&name) {
                None => _ = headers.insert(name, value),
                Some(there) if *there == value => {}
                // The sender of the body may know more of it than the maker of the URL.
                Some(_) if name == "x-amz-content-sha256" && value == "UNSIGNED-PAYLOAD" => {}
                Some(_) => {
                    let hint = format!("{name} is a header and in the query, with two values");
                    return Err(invalid(hint));
                }
            }
        }
        Ok(())
    }
}

/// Whether it is a checksum, and that of an empty body.
fn is_of_no_bytes(name: &str, value: &str) -> bool {
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.header() == name);
    algorithm.is_some_and(|algorithm| {
        Digests::new([algorithm]).finish().base64(algorithm).is_some_and(|empty| empty == value)
    })
}

fn begins_with_x(key: &str) -> bool {
    key.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

/// A client's text in an error.
pub(super) fn shown(text: &str) -> String {
    let escaped: String = text.escape_default().take(SHOWN_CHARS_MAX).collect();
    format!("`{escaped}`")
}

/// What a request is for.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) level: Level,
    pub(super) is_form: bool,
    pub(super) copies: bool,
}

/// The operation that a request asks for, if all of its query is understood.
pub(super) fn operation(asked: &Asked<'_>, query: &Query) -> Result<&'static Operation, S3Error> {
    let here =
        || OPERATIONS.iter().filter(|row| row.method == asked.method && row.level == asked.level);
    let operation = if asked.is_form {
        &FORM
    } else {
        let selects = |key: &str| here().any(|row| row.selects.contains(&key));
        // Elsewhere the header is one that is not known, and refused as such.
        let copies = asked.copies && here().any(|row| row.copies);
        let exact = |row: &&Operation| {
            let parameter = |key: &str| row.parameters.contains(&key);
            row.copies == copies
                && row.selects.iter().all(|key| query.has(key))
                && query
                    .asked()
                    .all(|(key, _)| row.selects.contains(&key) || parameter(key) || !selects(key))
        };
        // Of several, such as the plain one beside one with a sub-resource, the one that most of
        // the query selects.
        match here().filter(exact).max_by_key(|row| row.selects.len()) {
            Some(row) => row,
            None => return Err(no_operation(asked, query)),
        }
    };
    for (key, value) in query.asked() {
        let selects = operation.selects.contains(&key);
        if !selects && !operation.parameters.contains(&key) {
            return Err(not_here(&[key], asked));
        }
        if selects && !WITH_VALUE.contains(&key) && !value.is_empty() {
            return Err(invalid(format!("the query parameter {} has no value", shown(key))));
        }
        if key == "list-type" && value != "2" {
            return Err(invalid("list-type is 2, or not there"));
        }
        if NUMBERS.contains(&key) && !is_number(value) {
            return Err(invalid(format!(
                "the query parameter {} is a number, in digits only",
                shown(key)
            )));
        }
    }
    // SDKs say in it which operation they mean.
    match query.get("x-id") {
        Some(id) if id != operation.name => {
            let hint = format!(
                "x-id names the operation {}, but this is {}: nothing was done",
                shown(id),
                operation.name
            );
            Err(error(S3ErrorCode::NotImplemented, hint))
        }
        _ => Ok(operation),
    }
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn no_operation(asked: &Asked<'_>, query: &Query) -> S3Error {
    let keys: Vec<&str> = query.asked().map(|(key, _)| key).collect();
    if !keys.is_empty() {
        return not_here(&keys, asked);
    }
    let level = asked.level.name();
    let hint =
        format!("{} of {level} is no operation of S3: nothing was done", shown(asked.method));
    let mut refused = error(S3ErrorCode::MethodNotAllowed, hint);
    refused.set_status_code(StatusCode::METHOD_NOT_ALLOWED);
    let plain = OPERATIONS.iter().filter(|row| row.level == asked.level && row.selects.is_empty());
    let mut methods: Vec<&str> = plain.map(|row| row.method).collect();
    methods.dedup();
    let mut headers = HeaderMap::new();
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        headers.insert(http::header::ALLOW, methods);
    }
    with_headers(refused, headers)
}

/// The refusal of keys that are not understood, or not together.
fn not_here(keys: &[&str], asked: &Asked<'_>) -> S3Error {
    let keys: Vec<String> = keys.iter().take(4).map(|key| shown(key)).collect();
    let hint = format!(
        "{} of {} with {} in the query is not implemented here: nothing was done",
        shown(asked.method),
        asked.level.name(),
        keys.join(" and ")
    );
    error(S3ErrorCode::NotImplemented, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, path: &str, query: &str) -> Result<&'static str, String> {
        let asked = Asked { method, level: Level::of(path), is_form: false, copies: false };
        let found = Query::parse(query).and_then(|query| operation(&asked, &query));
        found.map(|row| row.name).map_err(|refused| refused.code().as_str().to_owned())
    }

    #[track_caller]
    fn check(method: &str, path: &str, query: &str, expected: Result<&str, &str>) {
        let found = find(method, path, query);
        let found = found.as_ref().map(|name| &**name).map_err(String::as_str);
        assert_eq!(found, expected, "{method} {path}?{query}");
    }

    #[test]
    fn a_query_selects_its_operation() {
        check("GET", "/", "", Ok("ListBuckets"));
        check("GET", "/b", "prefix=a&marker=b", Ok("ListObjects"));
        check("GET", "/b/", "list-type=2&prefix=&fetch-owner=true", Ok("ListObjectsV2"));
        check("GET", "/b", "uploads", Ok("ListMultipartUploads"));
        check("GET", "/b/k", "partNumber=1", Ok("GetObject"));
        check("GET", "/b/k", "uploadId=1&max-parts=5", Ok("ListParts"));
        check("GET", "/b/k", "%61cl=&versionId=null", Ok("GetObjectAcl"));
        check("PUT", "/b/k", "partNumber=1&uploadId=7", Ok("UploadPart"));
        check("PUT", "/b/k", "x-id=PutObject&x-own=1&X-other", Ok("PutObject"));
        check("POST", "/b/k", "uploads=", Ok("CreateMultipartUpload"));
        check("POST", "/b", "delete", Ok("DeleteObjects"));
        check("DELETE", "/b/k", "uploadId=7", Ok("AbortMultipartUpload"));
        check("DELETE", "/b", "", Ok("DeleteBucket"));
        let v4 = SIGNED_V4.map(|key| format!("{key}=1")).join("&");
        check("DELETE", "/b/k", &v4, Ok("DeleteObject"));
        check(
            "PUT",
            "/b/k",
            "AWSAccessKeyId=a&Expires=9&Signature=s&content-type=a",
            Ok("PutObject"),
        );
    }

    #[test]
    fn what_is_not_known_is_never_the_plain_operation() {
        for key in [
            "acl",
            "retention",
            "legal-hold",
            "encryption",
            "fooBar",
            "annotation",
            "%66ooBar",
            "ACL",
        ] {
            check("DELETE", "/b/k", key, Err("NotImplemented"));
            check("DELETE", "/b", key, Err("NotImplemented"));
            check("DELETE", "/b/k", &format!("{key}=1"), Err("NotImplemented"));
        }
        check("PUT", "/b/k", "renameObject", Err("NotImplemented"));
        check("PUT", "/b/k", "append", Err("NotImplemented"));
        check("POST", "/b/k", "restore", Err("NotImplemented"));
        check("PUT", "/b", "tagging", Err("NotImplemented"));
        check("GET", "/b", "list-type=2&marker=a", Err("NotImplemented"));
        check("HEAD", "/b/k", "acl", Err("NotImplemented"));
        check("GET", "/b/k", "content-type=a", Err("NotImplemented"));
        check("DELETE", "/b/k", "x-id=DeleteObjectAnnotation", Err("NotImplemented"));
        check("PATCH", "/b/k", "", Err("MethodNotAllowed"));
        check("POST", "/b/k", "", Err("MethodNotAllowed"));
    }

    #[test]
    fn keys_that_do_not_go_together_are_no_operation() {
        for (method, path, query) in [
            ("DELETE", "/b/k", "uploadId=7&acl"),
            ("DELETE", "/b/k", "uploadId=7&versionId=null"),
            ("DELETE", "/b/k", "uploadId=7&tagging"),
            ("PUT", "/b/k", "partNumber=1"),
            ("PUT", "/b/k", "uploadId=1"),
            ("PUT", "/b/k", "partNumber=1&uploadId=1&acl"),
            ("POST", "/b/k", "uploads&uploadId=1"),
            ("GET", "/b", "acl&policy"),
            ("GET", "/b", "versions&list-type=2"),
            ("GET", "/b/k", "acl&partNumber=1"),
        ] {
            check(method, path, query, Err("NotImplemented"));
        }
    }

    #[test]
    fn a_value_is_read_as_it_was_meant_or_not_at_all() {
        for (method, path, query) in [
            ("GET", "/b/k", "acl=x"),
            ("POST", "/b/k", "uploads=1"),
            ("GET", "/b", "list-type=1"),
            ("GET", "/b", "max-keys=%2B5"),
            ("GET", "/b", "max-keys=5x"),
            ("PUT", "/b/k", "partNumber=%2B1&uploadId=7"),
            ("PUT", "/b/k", "partNumber=1&partNumber=2&uploadId=7"),
            ("DELETE", "/b/k", "versionId=null&version%49d=null"),
        ] {
            check(method, path, query, Err("InvalidArgument"));
        }
    }

    #[test]
    fn a_copy_is_another_operation() {
        let find = |query: &str| {
            let asked = Asked { method: "PUT", level: Level::Object, is_form: false, copies: true };
            operation(&asked, &Query::parse(query).unwrap()).map(|row| row.name).ok()
        };
        assert_eq!(find(""), Some("CopyObject"));
        assert_eq!(find("partNumber=1&uploadId=7"), Some("UploadPartCopy"));
        assert_eq!(find("tagging"), None);
    }

    #[test]
    fn what_a_url_carries_for_a_header_means_the_same() {
        let add = |query: &str, sent: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-acl", HeaderValue::from_static(sent));
            Query::parse(query).unwrap().add_to(&mut headers).map(|()| headers)
        };
        let headers = add("X-Amz-Meta-Colour=red%20&x-own=1&X-Amz-Date=2", "private").unwrap();
        assert_eq!(headers["x-amz-meta-colour"], "red ");
        assert_eq!(headers.len(), 2, "{headers:?}");
        let sums = "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-checksum-crc32c=AAAAAQ%3D%3D";
        let headers = add(sums, "private").unwrap();
        assert!(!headers.contains_key("x-amz-checksum-crc32"));
        assert_eq!(headers["x-amz-checksum-crc32c"], "AAAAAQ==");
        assert!(add("x-amz-acl=private", "private").is_ok());
        assert!(add("x-amz-acl=public-read", "private").is_err());
        assert!(add("x-amz-meta-a=%0a", "private").is_err());
    }
}
