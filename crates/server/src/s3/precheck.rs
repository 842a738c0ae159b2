//! What is refused before a signature is looked at, because s3s would let it through.

use http::header::{AUTHORIZATION, RANGE};
use http::{HeaderMap, Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::{S3Error, S3ErrorCode};

use super::api::bucket_name;
use super::errors::{custom, error, invalid};
use super::operations::{Level, Operation, Takes};
use super::queries::{self, Asked, Query, SIGNED_V2, SIGNED_V4, is_number};
use super::region::WRONG_REGION;
use super::{form, headers};

/// The longest life of a presigned URL: a week, as in S3.
pub(super) const EXPIRES_MAX_S: u64 = 604_800;

/// What the request is for. It is refused if any of it is not understood; nothing has been done
/// then.
pub(super) fn check<B>(request: &mut Request<B>) -> Result<&'static Operation, S3Error> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    headers::check_repeated(request.headers(), is_read)?;
    let query = Query::parse(request.uri().query().unwrap_or_default())?;
    let signed = Signed::of(request.headers(), &query)?;
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
    if let Some(name) = path
        .strip_prefix('/')
        .and_then(|path| path.split('/').next())
        .filter(|name| !name.is_empty())
    {
        bucket_name(name)?;
    }
    let asked = Asked {
        method: request.method().as_str(),
        level: Level::of(&path),
        is_form: request.method() == Method::POST && form::is_form(request.headers()),
        copies: request.headers().contains_key("x-amz-copy-source")
            || query.has("x-amz-copy-source"),
    };
    if asked.is_form && (signed.is_some() || query.has("Signature")) {
        return Err(invalid("a form carries a signature of its own: send no other"));
    }
    let operation = queries::operation(&asked, &query)?;
    let request_headers = request.headers_mut();
    query.add_to(request_headers)?;
    let is_form = operation.takes == Takes::Form;
    if is_form || query.has("Signature") {
        refuse_unread_digests(is_form, request_headers)?;
    }
    headers::check(operation, request_headers)?;
    // What cannot be read as a range is no range, says RFC 9110; s3s would refuse the request. A
    // header that is part of the signature has to stay.
    let odd = |value: &http::HeaderValue| {
        value.to_str().map_or(true, |text| s3s::dto::Range::parse(text).is_err())
    };
    if request_headers.get(RANGE).is_some_and(odd)
        && !signed.is_some_and(|signed| signed.has("range"))
    {
        request_headers.remove(RANGE);
    }
    Ok(operation)
}

/// s3s would take a header signed with version 2, however old the request is: a client that has
/// seen one request could send it again for ever. A presigned URL of version 2 has an end in its
/// query, and clients still make such URLs, so those are taken.
fn version_2() -> S3Error {
    let hint = "requests are signed with version 4 (AWS4-HMAC-SHA256); version 2 serves in presigned URLs and forms";
    error(S3ErrorCode::InvalidRequest, hint)
}

/// Neither a form nor a presigned URL of version 2 says by its signature how the body comes: chunks
/// would be stored as they are, and a digest would not be looked at.
fn refuse_unread_digests(is_form: bool, headers: &HeaderMap) -> Result<(), S3Error> {
    if headers.get("x-amz-content-sha256").is_some_and(|value| value != "UNSIGNED-PAYLOAD") {
        let hint =
            "x-amz-content-sha256 goes neither with a form nor with a presigned URL of version 2";
        return Err(error(S3ErrorCode::InvalidRequest, hint));
    }
    if is_form && headers.contains_key("content-md5") {
        return Err(error(
            S3ErrorCode::InvalidRequest,
            "the Content-MD5 of a form's file is a field of it",
        ));
    }
    Ok(())
}

/// What a signature says of itself.
#[derive(Default)]
struct Signed {
    /// The names of the headers that it covers.
    headers: Vec<String>,
    /// Of its scope.
    region: Option<String>,
    service: Option<String>,
}

impl Signed {
    fn with_headers(mut self, list: &str) -> Self {
        self.headers = list.split(';').map(|name| name.trim().to_ascii_lowercase()).collect();
        self
    }

    /// From `ACCESS/DATE/REGION/SERVICE/aws4_request`, where the access key may have slashes.
    fn with_credential(mut self, credential: &str) -> Self {
        self.service = credential.rsplit('/').nth(1).map(str::to_owned);
        self.region = credential.rsplit('/').nth(2).map(str::to_owned);
        self
    }

    /// Any region is ours, but s3s takes none with a capital letter, and s3cmd begins with `US`.
    fn region_can_be(&self) -> bool {
        self.region
            .as_ref()
            .is_none_or(|region| s3s::region::Region::new(region.as_str().into()).is_ok())
    }

    /// The signature of a request, if it has one and one only.
    fn of(headers: &HeaderMap, query: &Query) -> Result<Option<Self>, S3Error> {
        let v4 = SIGNED_V4[..SIGNED_V4.len() - 2].iter().any(|key| query.has(key));
        let v2 = SIGNED_V2.iter().any(|key| query.has(key));
        let header = headers.get(AUTHORIZATION);
        if usize::from(v4) + usize::from(v2) + usize::from(header.is_some()) > 1 {
            let hint = "a request is signed once: in the header Authorization, or in the query";
            return Err(invalid(hint));
        }
        let signed = match header {
            Some(value) => Self::of_header(value.to_str().unwrap_or_default())?,
            None if v4 => Self::of_query(query)?,
            None if v2 => return Self::check_version_2(query).map(|()| None),
            None => return Ok(None),
        };
        signed.check_scope()?;
        signed.covers(headers)?;
        Ok(Some(signed))
    }

    fn of_header(text: &str) -> Result<Self, S3Error> {
        if text.starts_with("AWS ") {
            return Err(version_2());
        }
        let fields = text.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(|| {
            let hint =
                "the Authorization of S3 is a signature (AWS4-HMAC-SHA256); passwords and tokens are for /_/";
            error(S3ErrorCode::InvalidRequest, hint)
        })?;
        let field = |name: &str| {
            let mut found = fields.split(',').filter_map(|field| field.trim().strip_prefix(name));
            match (found.next(), found.next()) {
                (Some(field), None) => Ok(field),
                _ => Err(error(
                    S3ErrorCode::InvalidRequest,
                    format!("the Authorization header has {name} once, and this one has not"),
                )),
            }
        };
        field("Signature=")?;
        let signed = Self::default().with_headers(field("SignedHeaders=")?);
        Ok(signed.with_credential(field("Credential=")?))
    }

    fn of_query(query: &Query) -> Result<Self, S3Error> {
        let bad = |hint: String| error(S3ErrorCode::AuthorizationQueryParametersError, hint);
        let need = |key: &str| {
            query.get(key).ok_or_else(|| bad(format!("the presigned URL has no {key}")))
        };
        for key in &SIGNED_V4[..SIGNED_V4.len() - 2] {
            need(key)?;
        }
        let expires = need("X-Amz-Expires")?;
        if !is_number(expires)
            || !expires.parse().is_ok_and(|seconds: u64| seconds <= EXPIRES_MAX_S)
        {
            let hint =
                "X-Amz-Expires must be a number of seconds in digits, at most a week (604800)";
            return Err(bad(hint.into()));
        }
        let signed = Self::default().with_headers(need("X-Amz-SignedHeaders")?);
        Ok(signed.with_credential(need("X-Amz-Credential")?))
    }

    fn check_version_2(query: &Query) -> Result<(), S3Error> {
        for key in SIGNED_V2 {
            if query.get(key).is_none_or(str::is_empty) {
                return Err(error(
                    S3ErrorCode::AccessDenied,
                    format!("the presigned URL has no {key}"),
                ));
            }
        }
        if !query.get("Expires").is_some_and(is_number) {
            return Err(error(
                S3ErrorCode::AccessDenied,
                "Expires is a number of seconds, in digits only",
            ));
        }
        Ok(())
    }

    fn check_scope(&self) -> Result<(), S3Error> {
        if self.service.as_deref() != Some("s3") {
            return Err(error(
                S3ErrorCode::InvalidRequest,
                "the signature is for another service than s3",
            ));
        }
        if !self.region_can_be() {
            return Err(custom(
                WRONG_REGION,
                StatusCode::BAD_REQUEST,
                "the region of the signature is wrong",
            ));
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|signed| signed == name)
    }

    /// An `x-amz-…` header changes what a request does: the holder of a presigned URL must not be
    /// able to add one. The digest of the body only says more about it.
    fn covers(&self, headers: &HeaderMap) -> Result<(), S3Error> {
        let open = headers.keys().map(http::HeaderName::as_str).find(|name| {
            name.starts_with("x-amz-") && *name != "x-amz-content-sha256" && !self.has(name)
        });
        match open {
            Some(name) => {
                Err(error(S3ErrorCode::AccessDenied, format!("the header {name} is not signed")))
            }
            None if !self.has("host") => {
                Err(error(S3ErrorCode::AccessDenied, "the header host is not signed"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A presigned URL, and what stands in it instead of what belongs there.
    fn presigned(changes: &[(&str, &str)]) -> String {
        let fields = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", "a%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"),
            ("X-Amz-Date", "20260101T000000Z"),
            ("X-Amz-Expires", "60"),
            ("X-Amz-Signature", "00"),
            ("X-Amz-SignedHeaders", "host"),
        ];
        let changed = |name: &str| {
            changes.iter().find(|(changed, _)| changed == &name).map(|(_, value)| *value)
        };
        let field =
            |(name, value): (&str, &str)| format!("{name}={}", changed(name).unwrap_or(value));
        format!("/bucket/k?{}", fields.map(field).join("&"))
    }

    fn authorization(region: &str, service: &str, signed: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=a/b/20260101/{region}/{service}/aws4_request, \
             SignedHeaders={signed}, Signature=0"
        )
    }

    #[track_caller]
    fn check_code(uri: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let mut request = Request::builder().uri(uri).method("PUT");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let found = check(&mut request).err().map(|error| error.code().as_str().to_owned());
        assert_eq!(found.as_deref(), expected, "{uri} {headers:?}");
    }

    #[test]
    fn a_presigned_url_lives_for_a_week_at_most() {
        check_code(&presigned(&[("X-Amz-Expires", "604800")]), &[], None);
        for bad in
            ["604801", "99999999999999999999999", "-1", "", "1e3", "%2B600", "+600", "600%20"]
        {
            let url = presigned(&[("X-Amz-Expires", bad)]);
            check_code(&url, &[], Some("AuthorizationQueryParametersError"));
        }
        let escaped = presigned(&[("X-Amz-Expires", "604801")]).replace("X-Amz-E", "X%2DAmz%2DE");
        check_code(&escaped, &[], Some("AuthorizationQueryParametersError"));
    }

    #[test]
    fn a_presigned_url_is_whole_or_none() {
        for key in &SIGNED_V4[..6] {
            let url = presigned(&[]).replace(key, "x-other");
            check_code(&url, &[], Some("AuthorizationQueryParametersError"));
        }
        for query in
            ["Expires=9&Signature=s", "AWSAccessKeyId=a&Signature=s", "AWSAccessKeyId=a&Expires=9"]
        {
            check_code(&format!("/bucket/k?{query}"), &[], Some("AccessDenied"));
        }
        check_code(
            "/bucket/k?AWSAccessKeyId=a&Expires=%2B9&Signature=s",
            &[],
            Some("AccessDenied"),
        );
        let chunks = [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")];
        check_code(
            "/bucket/k?AWSAccessKeyId=a&Expires=9&Signature=s",
            &chunks,
            Some("InvalidRequest"),
        );
    }

    #[test]
    fn a_request_is_signed_once() {
        let authorization = authorization("us-east-1", "s3", "host");
        let header = ("authorization", authorization.as_str());
        check_code("/bucket/k", &[header], None);
        check_code("/bucket/k", &[header, header], Some("InvalidRequest"));
        check_code("/bucket/k", &[header, ("authorization", "Basic eDp5")], Some("InvalidRequest"));
        check_code(&presigned(&[]), &[header], Some("InvalidArgument"));
        check_code(&presigned(&[]), &[("authorization", "Basic eDp5")], Some("InvalidArgument"));
        let old = "AWSAccessKeyId=a&Expires=9&Signature=s";
        check_code(&format!("/bucket/k?{old}"), &[header], Some("InvalidArgument"));
        check_code(&format!("{}&{old}", presigned(&[])), &[], Some("InvalidArgument"));
        check_code(&format!("{}&X-Amz-Signature=1", presigned(&[])), &[], Some("InvalidArgument"));
        check_code(&format!("{}&X-Amz%2DExpires=1", presigned(&[])), &[], Some("InvalidArgument"));
        let twice = format!("{authorization}, SignedHeaders=host;x-amz-date");
        check_code("/bucket/k", &[("authorization", &twice)], Some("InvalidRequest"));
        check_code("/bucket/k", &[("authorization", "Basic eDp5")], Some("InvalidRequest"));
    }

    #[test]
    fn a_form_has_a_signature_of_its_own_only() {
        let code = |uri: &str, authorization: Option<&str>| {
            let mut request = Request::builder().uri(uri).method("POST");
            request = request.header("content-type", "multipart/form-data; boundary=x");
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            check(&mut request.body(()).unwrap())
                .map(|row| row.name)
                .map_err(|refused| refused.code().clone())
        };
        assert_eq!(code("/bucket", None), Ok("PostObject"));
        let authorization = authorization("us-east-1", "s3", "host");
        assert_eq!(code("/bucket", Some(&authorization)), Err(S3ErrorCode::InvalidArgument));
        assert_eq!(code("/bucket", Some("Basic eDp5")), Err(S3ErrorCode::InvalidRequest));
        let old = "AWSAccessKeyId=a&Expires=9&Signature=s";
        assert_eq!(code(&format!("/bucket?{old}"), None), Err(S3ErrorCode::InvalidArgument));
        assert_eq!(code("/bucket?delete", None), Err(S3ErrorCode::NotImplemented));
    }

    #[test]
    fn a_header_that_changes_the_request_must_be_signed() {
        let url = presigned(&[("X-Amz-SignedHeaders", "host%3Bx-amz-acl")]);
        check_code(&url, &[("x-amz-acl", "private"), ("range", "bytes=0-1")], None);
        check_code(&url, &[("x-amz-copy-source", "b/secret")], Some("AccessDenied"));
        let url = presigned(&[("X-Amz-SignedHeaders", "x-amz-date")]);
        check_code(&url, &[], Some("AccessDenied"));
        let authorization = authorization("us-east-1", "s3", "host;x-amz-date");
        check_code("/bucket/k", &[("authorization", &authorization), ("x-amz-date", "x")], None);
        let added = [("authorization", authorization.as_str()), ("x-amz-meta-a", "b")];
        check_code("/bucket/k", &added, Some("AccessDenied"));
    }

    #[test]
    fn a_region_in_capitals_is_put_right() {
        let by_header = |region: &str| authorization(region, "s3", "host");
        check_code("/bucket/k", &[("authorization", &by_header("US"))], Some(WRONG_REGION));
        check_code("/bucket/k", &[("authorization", &by_header("eu-west-1"))], None);
        let url = presigned(&[("X-Amz-Credential", "a%2F20260101%2FUS%2Fs3%2Faws4_request")]);
        check_code(&url, &[], Some(WRONG_REGION));
        let other = authorization("us-east-1", "sts", "host");
        check_code("/bucket/k", &[("authorization", &other)], Some("InvalidRequest"));
    }

    #[test]
    fn a_signature_without_an_end_is_of_version_4() {
        check_code("/bucket/k", &[("authorization", "AWS key:signature")], Some("InvalidRequest"));
        check_code("/bucket/k?AWSAccessKeyId=key&Expires=9999999999&Signature=x", &[], None);
    }

    #[test]
    fn an_odd_range_is_dropped_unless_it_is_signed() {
        let left = |uri: &str, range: &str| {
            let mut request = Request::builder().uri(uri).header(RANGE, range).body(()).unwrap();
            check(&mut request).unwrap();
            request.headers().contains_key(RANGE)
        };
        assert!(left("/bucket/k", "bytes=0-1"));
        assert!(!left("/bucket/k", "bytes=0-1,3-4"));
        assert!(left(&presigned(&[("X-Amz-SignedHeaders", "host%3Brange")]), "bytes=0-1,3-4"));
    }

    #[test]
    fn a_name_that_is_no_buckets_is_told_why() {
        let mut request = Request::builder().uri("/Bucket/k").body(()).unwrap();
        let refused = check(&mut request).unwrap_err();
        assert_eq!(refused.code(), &S3ErrorCode::InvalidBucketName);
        assert!(refused.message().is_some_and(|text| text.contains("Bucket")), "{refused}");
    }
}
