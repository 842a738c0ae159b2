//! Who has signed the policy of a form: version 4 of the signature, and the older version 2.
//!
//! What is signed is the policy as it came, in base64. Both are compared in constant time.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode};

use super::errors::{error, invalid};
use super::form_policy::Fields;
use super::precheck::EXPIRES_MAX_S;

/// How far a client's clock may be ahead.
const SKEW: Duration = Duration::from_secs(15 * 60);

/// What a form says of its signature.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub(super) access: &'a str,
    pub(super) policy: &'a str,
    version: Version<'a>,
}

#[derive(Debug)]
enum Version<'a> {
    V4 {
        /// The day, region and service that the key is for.
        scope: [&'a str; 3],
        mac: Vec<u8>,
    },
    V2 {
        mac: Vec<u8>,
    },
}

impl<'a> Signature<'a> {
    pub(super) fn read(fields: &'a Fields, now: SystemTime) -> Result<Self, S3Error> {
        let field = |name: &str| fields.get(name).map(String::as_str);
        let need = |name: &str| {
            field(name).ok_or_else(|| invalid(format!("the form has no field {name}")))
        };
        if field("policy").is_none()
            && field("signature").is_none()
            && field("x-amz-signature").is_none()
        {
            return Err(error(S3ErrorCode::AccessDenied, "this needs a form with a signed policy"));
        }
        if field("signature").is_some() && field("x-amz-signature").is_some() {
            return Err(invalid("the form has two signatures, of both versions: send one"));
        }
        let policy = need("policy")?;
        let wrong =
            || error(S3ErrorCode::SignatureDoesNotMatch, "the form's signature cannot be read");
        if field("x-amz-signature").is_none() && field("x-amz-algorithm").is_none() {
            let mac = BASE64.decode(need("signature")?).map_err(|_| wrong())?;
            return Ok(Self {
                access: need("awsaccesskeyid")?,
                policy,
                version: Version::V2 { mac },
            });
        }
        if need("x-amz-algorithm")? != "AWS4-HMAC-SHA256" {
            return Err(invalid("the form's x-amz-algorithm is not AWS4-HMAC-SHA256"));
        }
        let bad = || invalid("the form's x-amz-credential is not KEY/DATE/REGION/s3/aws4_request");
        // An access key may have slashes.
        let mut items = need("x-amz-credential")?.rsplitn(5, '/');
        let mut item = || items.next().filter(|item| !item.is_empty()).ok_or_else(bad);
        let (last, service, region, day, access) = (item()?, item()?, item()?, item()?, item()?);
        let date = need("x-amz-date")?;
        if last != "aws4_request" || service != "s3" || !date.starts_with(day) {
            return Err(bad());
        }
        check_date(date, now)?;
        let mac = unhex(need("x-amz-signature")?).ok_or_else(wrong)?;
        Ok(Self { access, policy, version: Version::V4 { scope: [day, region, service], mac } })
    }

    /// Whether the signature was made with this secret.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        let policy = self.policy.as_bytes();
        match &self.version {
            Version::V4 { scope, mac } => {
                let sign = |key: &[u8], text: &str| {
                    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
                };
                let first = format!("AWS4{secret}").into_bytes();
                let key = scope
                    .iter()
                    .chain(&["aws4_request"])
                    .fold(first, |key, text| sign(&key, text).as_ref().to_vec());
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), policy, mac).is_ok()
            }
            Version::V2 { mac } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
                hmac::verify(&key, policy, mac).is_ok()
            }
        }
    }
}

/// A signing key serves for a week, from the moment that the form names.
fn check_date(date: &str, now: SystemTime) -> Result<(), S3Error> {
    let bad = || invalid("the form's x-amz-date is not a time as in 20300131T120000Z");
    let digits = |range: std::ops::Range<usize>| date.get(range).ok_or_else(bad);
    let text = format!(
        "{}-{}-{}{}:{}:{}",
        digits(0..4)?,
        digits(4..6)?,
        digits(6..8)?,
        digits(8..11)?,
        digits(11..13)?,
        digits(13..date.len())?
    );
    let signed = Timestamp::parse(TimestampFormat::DateTime, &text).map_err(|_| bad())?;
    let (earliest, latest) = (now - Duration::from_secs(EXPIRES_MAX_S), now + SKEW);
    if signed < Timestamp::from(earliest) || signed > Timestamp::from(latest) {
        return Err(error(
            S3ErrorCode::AccessDenied,
            "the form was signed more than a week ago, or later than now",
        ));
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// 2015-12-29T00:00:00Z.
    const AT: u64 = 1_451_347_200;
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Of the text `policy`, made with another implementation.
    const V4: [(&str, &str); 5] = [
        ("policy", "policy"),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", "AKIA/EXAMPLE/20151229/us-east-1/s3/aws4_request"),
        ("x-amz-date", "20151229T000000Z"),
        ("x-amz-signature", "5044f7676a849e6c4e8744369b1253937fb1c283af2ea5a83296d4887ac435ad"),
    ];

    #[test]
    fn a_signature_proves_its_own_secret_and_policy_only() {
        let v4 = fields(&V4);
        let signature = Signature::read(&v4, at(AT)).unwrap();
        assert_eq!(signature.access, "AKIA/EXAMPLE");
        assert!(signature.is_of(SECRET));
        assert!(!signature.is_of("another"));
        for (name, value) in [
            ("policy", "Policy"),
            ("x-amz-credential", "AKIA/EXAMPLE/20151229/us-east-2/s3/aws4_request"),
            ("x-amz-signature", "00"),
            ("x-amz-signature", ""),
        ] {
            let mut changed = v4.clone();
            changed.insert(name.into(), value.into());
            assert!(!Signature::read(&changed, at(AT)).unwrap().is_of(SECRET), "{name}");
        }
        let v2 = fields(&[
            ("policy", "policy"),
            ("awsaccesskeyid", "A"),
            ("signature", "RDbpo48fznv4y75aJ1A4eQxc9AA="),
        ]);
        let signature = Signature::read(&v2, at(AT)).unwrap();
        assert!(signature.is_of(SECRET));
        assert!(!signature.is_of("another"));
    }

    #[test]
    fn a_signature_serves_for_a_week() {
        let v4 = fields(&V4);
        for (moment, expected) in [
            (AT - 901, false),
            (AT - 900, true),
            (AT + EXPIRES_MAX_S, true),
            (AT + EXPIRES_MAX_S + 1, false),
        ] {
            assert_eq!(Signature::read(&v4, at(moment)).is_ok(), expected, "{moment}");
        }
    }

    #[test]
    fn what_is_missing_or_strange_is_refused() {
        #[track_caller]
        fn check(fields: &Fields, code: &S3ErrorCode) {
            assert_eq!(Signature::read(fields, at(AT)).unwrap_err().code(), code, "{fields:?}");
        }
        check(&Fields::new(), &S3ErrorCode::AccessDenied);
        for missing in 0..V4.len() {
            let mut pairs = V4.to_vec();
            pairs.remove(missing);
            check(&fields(&pairs), &S3ErrorCode::InvalidArgument);
        }
        for (name, value) in [
            ("x-amz-algorithm", "AWS4-HMAC-SHA1"),
            ("x-amz-credential", "20151229/us-east-1/s3/aws4_request"),
            ("x-amz-credential", "A/20151229/us-east-1/sts/aws4_request"),
            ("x-amz-credential", "A/20151230/us-east-1/s3/aws4_request"),
            ("x-amz-date", "20151229"),
            ("x-amz-date", "20151229T0000é"),
        ] {
            let mut changed = fields(&V4);
            changed.insert(name.into(), value.into());
            check(&changed, &S3ErrorCode::InvalidArgument);
        }
        let mut changed = fields(&V4);
        changed.insert("x-amz-signature".into(), "0x".into());
        check(&changed, &S3ErrorCode::SignatureDoesNotMatch);
        let mut changed = fields(&V4);
        changed.insert("signature".into(), "AAAA".into());
        check(&changed, &S3ErrorCode::InvalidArgument);
        check(&fields(&[("policy", "p"), ("awsaccesskeyid", "A")]), &S3ErrorCode::InvalidArgument);
        check(
            &fields(&[("signature", "AAAA"), ("awsaccesskeyid", "A")]),
            &S3ErrorCode::InvalidArgument,
        );
    }
}
