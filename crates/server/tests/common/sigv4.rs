//! Signs requests as S3 clients do, with the payload left out.

use std::time::SystemTime;

use ring::{digest, hmac};

use crate::common::{ACCESS, Answer, Running, SECRET, head};

const REGION: &str = "us-east-1";

/// The present moment as `20300131T120000Z`.
pub(crate) fn now() -> String {
    let text = httpdate::fmt_http_date(SystemTime::now());
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, _] = words[..] else { panic!("{text}") };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month).unwrap() + 1;
    format!("{year}{month:02}{day}T{hour}{minute}{second}Z")
}

/// The scope of a signing key, behind the access key.
pub(crate) fn scope(date: &str) -> String {
    format!("{}/{REGION}/s3/aws4_request", &date[..8])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The signature of a text.
pub(crate) fn sign(date: &str, text: &str) -> String {
    let mac = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let first = format!("AWS4{SECRET}").into_bytes();
    let key = scope(date).split('/').fold(first, |key, text| mac(&key, text).as_ref().to_vec());
    hex(mac(&key, text).as_ref())
}

/// A signed request. `path` has no characters that would have to be escaped, and at most one query parameter.
pub(crate) fn ask(
    server: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let date = now();
    let own = [("host", "localhost"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-date", &date)];
    let mut signed: Vec<(String, &str)> =
        own.iter().chain(headers).map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
    signed.sort();
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let query = if query.is_empty() || query.contains('=') { query.to_owned() } else { format!("{query}=") };
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{method}\n{bare}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD");
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let scope = scope(&date);
    let signature = sign(&date, &format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}"));
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={ACCESS}/{scope},SignedHeaders={names},Signature={signature}");
    let mut sent = vec![("Authorization", authorization.as_str())];
    sent.extend(own[1..].iter().chain(headers));
    server.say(&[head(None, method, path, &sent, Some(body.len())).as_bytes(), body].concat())
}
