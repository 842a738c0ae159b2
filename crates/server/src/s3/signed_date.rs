//! The moment of a signature in the header `Date`, where there is no `x-amz-date`. Version 4 allows
//! it; s3s knows the latter only.

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderName, HeaderValue, Request};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode};

use super::errors::error;

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// How every signature of version 4 in a header begins.
const VERSION_4: &[u8] = b"AWS4-HMAC-SHA256";

/// Says the moment in the header that s3s reads. It is part of the text that is signed, so s3s
/// finds a `Date` that was changed, whether or not the signature covers the header; how far off it
/// may be s3s looks at, too.
///
/// Comes after the check that each `x-amz-…` header is signed: this one never is.
pub(super) fn supply<B>(request: &mut Request<B>) -> Result<(), S3Error> {
    let headers = request.headers();
    let is_version_4 =
        headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(VERSION_4));
    if !is_version_4 || headers.contains_key(&AMZ_DATE) {
        return Ok(());
    }
    let mut dates = headers.get_all(DATE).iter();
    let stamp = match (dates.next(), dates.next()) {
        (Some(date), None) => date.to_str().ok().and_then(stamp),
        _ => None,
    };
    let hint = "a signed request needs its moment in x-amz-date, or in one Date like `Sun, 06 Nov 1994 08:49:37 GMT`";
    let stamp = stamp.ok_or_else(|| error(S3ErrorCode::AccessDenied, hint))?;
    request.headers_mut().insert(AMZ_DATE, stamp);
    Ok(())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as `19941106T084937Z`.
fn stamp(date: &str) -> Option<HeaderValue> {
    let moment = Timestamp::from(httpdate::parse_http_date(date).ok()?);
    let mut text = Vec::new();
    moment.format(TimestampFormat::DateTime, &mut text).ok()?;
    // `1994-11-06T08:49:37.000Z`
    let seconds = text.split(|byte| *byte == b'.').next()?.iter();
    let mut stamp: Vec<u8> = seconds.copied().filter(|byte| !b"-:Z".contains(byte)).collect();
    stamp.push(b'Z');
    HeaderValue::from_bytes(&stamp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_the_stamp_that_is_signed() {
        let check = |date: &str, expected: Option<&str>| {
            let found = stamp(date);
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected, "{date}");
        };
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some("19941106T084937Z"));
        check("Thu, 29 Feb 2024 23:59:59 GMT", Some("20240229T235959Z"));
        check("Sun, 06 Nov 1994 08:49:37 +0100", None);
        check("19941106T084937Z", None);
        check("", None);
    }

    #[test]
    fn only_a_request_that_needs_it_gets_a_stamp() {
        let supplied = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/b/k");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let mut request = request.body(()).unwrap();
            supply(&mut request).map(|()| request.headers().get(AMZ_DATE).cloned()).ok()
        };
        let (date, signed) =
            (("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("authorization", "AWS4-HMAC-SHA256 x"));
        assert_eq!(supplied(&[date]), Some(None));
        assert_eq!(
            supplied(&[date, signed]),
            Some(Some(HeaderValue::from_static("19941106T084937Z")))
        );
        assert_eq!(
            supplied(&[date, signed, ("x-amz-date", "x")]),
            Some(Some(HeaderValue::from_static("x")))
        );
        assert_eq!(supplied(&[signed]), None);
        assert_eq!(supplied(&[signed, date, date]), None);
    }
}
