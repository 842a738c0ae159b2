//! What is refused before a signature is looked at, because s3s would let it through.

use http::header::{AUTHORIZATION, RANGE};
use http::{HeaderMap, Request, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::{S3Error, S3ErrorCode};

use super::errors::{custom, error};

/// The longest life of a presigned URL: a week, as in S3.
pub(super) const EXPIRES_MAX_S: u64 = 604_800;

/// The code of the refusal from which clients learn the region.
pub(super) const WRONG_REGION: &str = "AuthorizationHeaderMalformed";

pub(super) fn check<B>(request: &mut Request<B>) -> Result<(), S3Error> {
    let headers = request.headers();
    if headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS ")) {
        return Err(version_2());
    }
    let signed = match Signed::of_query(request.uri().query().unwrap_or_default())? {
        Some(signed) => Some(signed),
        None => Signed::of_header(headers),
    };
    if let Some(signed) = &signed {
        if !signed.region_can_be() {
            return Err(custom(
                WRONG_REGION,
                StatusCode::BAD_REQUEST,
                "the region of the signature is wrong",
            ));
        }
        signed.covers(headers)?;
    }
    // What nobody can read as a range is no range, says RFC 9110; s3s would refuse the request. A header that is part of the
    // signature has to stay.
    let odd =
        |value: &http::HeaderValue| value.to_str().map_or(true, |text| s3s::dto::Range::parse(text).is_err());
    if headers.get(RANGE).is_some_and(odd) && !signed.is_some_and(|signed| signed.has("range")) {
        request.headers_mut().remove(RANGE);
    }
    Ok(())
}

/// s3s would take it, however old the request is: whoever has seen one could send it again for ever. In a query it is another
/// thing: it has an end there, and clients still presign so.
fn version_2() -> S3Error {
    let hint =
        "requests are signed with version 4 (AWS4-HMAC-SHA256); version 2 serves in presigned URLs and forms";
    error(S3ErrorCode::InvalidRequest, hint)
}

/// What a signature says of itself.
#[derive(Default)]
struct Signed {
    /// The names of the headers that it covers.
    headers: Vec<String>,
    /// Of its scope.
    region: Option<String>,
}

impl Signed {
    fn with_headers(mut self, list: &str) -> Self {
        self.headers = list.split(';').map(|name| name.trim().to_ascii_lowercase()).collect();
        self
    }

    /// From `ACCESS/DATE/REGION/SERVICE/aws4_request`, where the access key may have slashes.
    fn with_credential(mut self, credential: &str) -> Self {
        self.region = credential.rsplit('/').nth(2).map(str::to_owned);
        self
    }

    /// Any region is ours, but s3s takes none with a capital letter, and s3cmd begins with `US`.
    fn region_can_be(&self) -> bool {
        self.region.as_ref().is_none_or(|region| s3s::region::Region::new(region.as_str().into()).is_ok())
    }

    fn of_header(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let fields = text.strip_prefix("AWS4-HMAC-SHA256")?;
        let field = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name));
        let signed = Self::default().with_headers(field("SignedHeaders=")?);
        Some(signed.with_credential(field("Credential=")?))
    }

    fn of_query(query: &str) -> Result<Option<Self>, S3Error> {
        let mut signed: Option<Self> = None;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            // The name may be written with escapes as well.
            match &*percent_decode_str(name).decode_utf8_lossy() {
                "X-Amz-SignedHeaders" => signed = Some(signed.unwrap_or_default().with_headers(&value)),
                "X-Amz-Credential" => signed = Some(signed.unwrap_or_default().with_credential(&value)),
                "X-Amz-Expires" if !value.parse().is_ok_and(|seconds: u64| seconds <= EXPIRES_MAX_S) => {
                    let hint = "X-Amz-Expires must be a number of seconds, at most a week (604800)";
                    return Err(error(S3ErrorCode::AuthorizationQueryParametersError, hint));
                }
                _ => {}
            }
        }
        Ok(signed)
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|signed| signed == name)
    }

    /// An `x-amz-…` header changes what a request does: whoever holds a presigned URL must not be able to add one. The digest
    /// of the body only says more about it.
    fn covers(&self, headers: &HeaderMap) -> Result<(), S3Error> {
        let open = headers
            .keys()
            .map(http::HeaderName::as_str)
            .find(|name| name.starts_with("x-amz-") && *name != "x-amz-content-sha256" && !self.has(name));
        match open {
            Some(name) => Err(error(S3ErrorCode::AccessDenied, format!("the header {name} is not signed"))),
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

    #[track_caller]
    fn check_code(uri: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let found = check(&mut request).err().map(|error| error.code().as_str().to_owned());
        assert_eq!(found.as_deref(), expected, "{uri} {headers:?}");
    }

    #[test]
    fn a_presigned_url_lives_for_a_week_at_most() {
        let url = |expires: &str| format!("/b/k?X-Amz-Expires={expires}&X-Amz-SignedHeaders=host");
        check_code(&url("604800"), &[], None);
        for bad in ["604801", "99999999999999999999999", "-1", "", "1e3"] {
            check_code(&url(bad), &[], Some("AuthorizationQueryParametersError"));
        }
        check_code("/b/k?X%2DAmz%2DExpires=604801", &[], Some("AuthorizationQueryParametersError"));
    }

    #[test]
    fn a_header_that_changes_the_request_must_be_signed() {
        let presigned = "/b/k?X-Amz-SignedHeaders=host%3Bx-amz-acl";
        check_code(presigned, &[("x-amz-acl", "private"), ("range", "bytes=0-1")], None);
        check_code(presigned, &[("x-amz-copy-source", "b/secret")], Some("AccessDenied"));
        check_code("/b/k?X-Amz-SignedHeaders=x-amz-date", &[], Some("AccessDenied"));
        let authorization =
            "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=0";
        check_code("/b/k", &[("authorization", authorization), ("x-amz-date", "x")], None);
        let added = [("authorization", authorization), ("x-amz-meta-a", "b")];
        check_code("/b/k", &added, Some("AccessDenied"));
    }

    #[test]
    fn a_region_in_capitals_is_put_right() {
        let authorization = |region: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=a/b/20260101/{region}/s3/aws4_request,SignedHeaders=host,Signature=0"
            )
        };
        check_code("/b/k", &[("authorization", &authorization("US"))], Some(WRONG_REGION));
        check_code("/b/k", &[("authorization", &authorization("eu-west-1"))], None);
        let query = "/b/k?X-Amz-SignedHeaders=host&X-Amz-Credential=a%2F20260101%2FUS%2Fs3%2Faws4_request";
        check_code(query, &[], Some(WRONG_REGION));
    }

    #[test]
    fn a_signature_without_an_end_is_of_version_4() {
        check_code("/b/k", &[("authorization", "AWS key:signature")], Some("InvalidRequest"));
        check_code("/b/k?AWSAccessKeyId=key&Expires=9999999999&Signature=x", &[], None);
        check_code("/b/k?X-Amz-Signature=x&X-Amz-SignedHeaders=host", &[], None);
    }

    #[test]
    fn an_odd_range_is_dropped_unless_it_is_signed() {
        let left = |uri: &str, range: &str| {
            let mut request = Request::builder().uri(uri).header(RANGE, range).body(()).unwrap();
            check(&mut request).unwrap();
            request.headers().contains_key(RANGE)
        };
        assert!(left("/b/k", "bytes=0-1"));
        assert!(!left("/b/k", "bytes=0-1,3-4"));
        assert!(left("/b/k?X-Amz-SignedHeaders=host%3Brange", "bytes=0-1,3-4"));
    }
}
