//! A signature whose moment is in the header `Date`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use std::time::{Duration, SystemTime};

use common::{ACCESS, Answer, Running, config, head};
use sigv4::{hex, scope, sign, stamp};

/// A PUT that is signed for a moment, with these headers; all but those that begin with `open:` are
/// covered by the signature.
fn put(server: &Running, moment: SystemTime, headers: &[(&str, &str)]) -> Answer {
    let date = stamp(moment);
    let mut signed = vec![("host", "localhost"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    signed.extend(headers.iter().filter(|(name, _)| !name.starts_with("open:")));
    signed.sort();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("PUT\n/files/a\n\n{lines}\n{names}\nUNSIGNED-PAYLOAD");
    let hash = hex(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()).as_ref());
    let signature = sign(&date, &format!("AWS4-HMAC-SHA256\n{date}\n{}\n{hash}", scope(&date)));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS}/{},SignedHeaders={names},Signature={signature}",
        scope(&date)
    );
    let sent: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.strip_prefix("open:").unwrap_or(name), *value))
        .chain([("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("authorization", &authorization)])
        .collect();
    server.say(&[head(None, "PUT", "/files/a", &sent, Some(5)).as_bytes(), b"stone"].concat())
}

#[track_caller]
fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(code), "{}", answer.text());
}

#[test]
fn the_moment_of_a_signature_may_be_in_the_date() {
    let server = Running::start(config());
    let now = SystemTime::now();
    let date = httpdate::fmt_http_date(now);
    check(&put(&server, now, &[("date", &date)]), 200, "");
    // The text that is signed holds the moment, so the header itself need not be covered.
    check(&put(&server, now, &[("open:date", &date)]), 200, "");
    check(&put(&server, now, &[("x-amz-date", &stamp(now))]), 200, "");
    // Of both, the other one counts.
    let past = httpdate::fmt_http_date(now - Duration::from_secs(3600));
    check(&put(&server, now, &[("date", &past), ("x-amz-date", &stamp(now))]), 200, "");
}

#[test]
fn a_date_is_held_to_the_same_limits() {
    let server = Running::start(config());
    let now = SystemTime::now();
    for apart in [now - Duration::from_secs(16 * 60), now + Duration::from_secs(16 * 60)] {
        let date = httpdate::fmt_http_date(apart);
        check(&put(&server, apart, &[("date", &date)]), 403, "RequestTimeTooSkewed");
        check(&put(&server, apart, &[("x-amz-date", &stamp(apart))]), 403, "RequestTimeTooSkewed");
    }
    // Another moment than the one that was signed.
    let other = httpdate::fmt_http_date(now - Duration::from_secs(60));
    check(&put(&server, now, &[("date", &other)]), 403, "SignatureDoesNotMatch");
    check(&put(&server, now, &[("open:date", &other)]), 403, "SignatureDoesNotMatch");
    for odd in ["now", "", "1700000000", "2026-01-01T00:00:00Z"] {
        check(&put(&server, now, &[("date", odd)]), 403, "AccessDenied");
    }
    let date = httpdate::fmt_http_date(now);
    check(&put(&server, now, &[("open:date", &date), ("open:Date", &date)]), 403, "AccessDenied");
    check(&put(&server, now, &[]), 403, "AccessDenied");
    assert_eq!(
        server.request("GET", "/_/files/files/a", &[], b"").status,
        404,
        "nothing was stored"
    );
}
