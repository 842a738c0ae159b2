//! Presigned targets, as clients of S3 make them: the signature is in the query, the body is left
//! out of it.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use ring::{digest, hmac};

use super::client::{ACCESS, SECRET};

const REGION: &str = "us-east-1";
const EXPIRES_S: u32 = 3_600;

/// `path?query` with a signature. The query's parameters are in order, each with a `=`, and sort
/// behind `X-Amz-…`. Nothing in path or query needs escaping any more. `headers` are lower-case
/// names in order, all behind `host`, and are sent with the request.
pub(super) fn presigned(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<String> {
    Ok(signed_at(&stamp(SystemTime::now())?, method, path, query, headers))
}

fn signed_at(
    date: &str,
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
) -> String {
    let scope = format!("{}/{REGION}/s3/aws4_request", &date[..8]);
    let mut names = String::from("host");
    let mut lines = String::from("host:localhost\n");
    for (name, value) in headers {
        names += &format!(";{name}");
        lines += &format!("{name}:{value}\n");
    }
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={date}\
         &X-Amz-Expires={EXPIRES_S}&X-Amz-SignedHeaders={}{}{query}",
        format!("{ACCESS}/{scope}").replace('/', "%2F"),
        names.replace(';', "%3B"),
        if query.is_empty() { "" } else { "&" },
    );
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD");
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
    format!("{path}?{query}&X-Amz-Signature={}", signature(&scope, &text))
}

/// Fields of a form that allow a file of any name in that bucket, in the order in which they are to
/// be sent.
pub(super) fn signed_policy(bucket: &str) -> Result<Vec<(&'static str, String)>> {
    let date = stamp(SystemTime::now())?;
    let scope = format!("{}/{REGION}/s3/aws4_request", &date[..8]);
    let credential = format!("{ACCESS}/{scope}");
    let policy = format!(
        "{{\"expiration\":\"2099-01-01T00:00:00Z\",\"conditions\":[{{\"bucket\":\"{bucket}\"}},\
         [\"starts-with\",\"$key\",\"\"],[\"starts-with\",\"$x-amz-algorithm\",\"\"],\
         [\"starts-with\",\"$x-amz-credential\",\"\"],[\"starts-with\",\"$x-amz-date\",\"\"]]}}"
    );
    let policy = base64(policy.as_bytes());
    let signature = signature(&scope, &policy);
    Ok(vec![
        ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("x-amz-credential", credential),
        ("x-amz-date", date),
        ("policy", policy),
        ("x-amz-signature", signature),
    ])
}

fn signature(scope: &str, text: &str) -> String {
    let mac = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
    };
    let first = format!("AWS4{SECRET}").into_bytes();
    let key = scope.split('/').fold(first, |key, part| mac(&key, part).as_ref().to_vec());
    hex(mac(&key, text).as_ref())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A moment as `20300131T120000Z`.
fn stamp(moment: SystemTime) -> Result<String> {
    let text = httpdate::fmt_http_date(moment);
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, _] = words[..] else {
        anyhow::bail!("a date without its parts: {text}")
    };
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month).context("a month")? + 1;
    Ok(format!("{year}{month:02}{day}T{hour}{minute}{second}Z"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bytes_are_written_in_base64_with_padding() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf, 0]), "+/+/AA==");
    }

    #[test]
    fn a_moment_is_written_as_s3_wants_it() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        assert_eq!(stamp(moment).expect("a date"), "20300317T174640Z");
    }

    #[test]
    fn the_signature_depends_on_everything_that_is_signed() {
        let signed = |method, path, query, headers: &[(&str, &str)]| {
            signed_at("20300317T174640Z", method, path, query, headers)
                .rsplit_once("X-Amz-Signature=")
                .map(|(_, signature)| signature.to_owned())
        };
        let all = [
            signed("GET", "/a", "acl=", &[]),
            signed("PUT", "/a", "acl=", &[]),
            signed("GET", "/b", "acl=", &[]),
            signed("GET", "/a", "tagging=", &[]),
            signed("GET", "/a", "acl=", &[("x-amz-acl", "private")]),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert!(
            different.len() == all.len()
                && all.iter().all(|one| one.as_ref().is_some_and(|hex| hex.len() == 64))
        );
    }
}
