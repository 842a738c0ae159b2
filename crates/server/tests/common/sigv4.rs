//! Signs requests as S3 clients do, with the payload left out.

use std::time::SystemTime;

use ring::{digest, hmac};

use crate::common::{ACCESS, Answer, Running, SECRET, head};

const REGION: &str = "us-east-1";

/// The present moment as `20300131T120000Z`.
pub(crate) fn now() -> String {
    stamp(SystemTime::now())
}

/// A moment as `20300131T120000Z`.
pub(crate) fn stamp(moment: SystemTime) -> String {
    let text = httpdate::fmt_http_date(moment);
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, _] = words[..] else { panic!("{text}") };
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
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
    let mac = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
    };
    let first = format!("AWS4{SECRET}").into_bytes();
    let key = scope(date).split('/').fold(first, |key, text| mac(&key, text).as_ref().to_vec());
    hex(mac(&key, text).as_ref())
}

/// A request that is about to be signed. `path` has no characters that would have to be escaped,
/// and at most one query parameter.
pub(crate) struct Signing<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Beside the host, the date and the payload's; all are signed.
    pub(crate) extra: &'a [(&'a str, &'a str)],
    pub(crate) payload: &'a str,
    pub(crate) date: String,
}

impl<'a> Signing<'a> {
    /// With the payload left out of the signature.
    pub(crate) fn now(method: &'a str, path: &'a str, extra: &'a [(&'a str, &'a str)]) -> Self {
        Self { method, path, extra, payload: "UNSIGNED-PAYLOAD", date: now() }
    }

    /// The signature over these headers, and their names.
    fn sign(&self, query: &str, headers: &[(&str, &str)]) -> (String, String) {
        let mut signed: Vec<(String, &str)> =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
        signed.sort();
        signed.dedup();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String =
            signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (bare, _) = self.path.split_once('?').unwrap_or((self.path, ""));
        let query = query.replace("{names}", &names.replace(';', "%3B"));
        let canonical =
            format!("{}\n{bare}\n{query}\n{lines}\n{names}\n{}", self.method, self.payload);
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let (date, scope) = (&self.date, scope(&self.date));
        (sign(date, &format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}")), names)
    }

    /// What is to be sent with it, but for the host.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let own = [("x-amz-content-sha256", self.payload), ("x-amz-date", &self.date)];
        let mut headers = vec![("host", "localhost")];
        headers.extend(own.iter().chain(self.extra));
        let (_, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let query = if query.is_empty() || query.contains('=') {
            query.to_owned()
        } else {
            format!("{query}=")
        };
        let (signature, names) = self.sign(&query, &headers);
        let scope = scope(&self.date);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS}/{scope},SignedHeaders={names},Signature={signature}"
        );
        let mut sent: Vec<_> = headers[1..]
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        sent.dedup();
        sent.push(("authorization".to_owned(), authorization));
        sent
    }

    /// The path with the signature in its query, good for so long. What is in `extra` must be sent
    /// with it.
    pub(crate) fn presigned(&self, expires_s: u64) -> String {
        let mut headers = vec![("host", "localhost")];
        headers.extend(self.extra);
        let (bare, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let credential = format!("{ACCESS}/{}", scope(&self.date)).replace('/', "%2F");
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}&X-Amz-Expires={expires_s}\
             &X-Amz-SignedHeaders={{names}}{}{query}",
            self.date,
            if query.is_empty() { "" } else { "&" }
        );
        let (signature, names) = self.sign(&query, &headers);
        query = query.replace("{names}", &names.replace(';', "%3B"));
        format!("{bare}?{query}&X-Amz-Signature={signature}")
    }
}

/// A signed request, as [`Signing::now`] has it.
pub(crate) fn ask(
    server: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let sent = Signing::now(method, path, headers).headers();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    server.say(&[head(None, method, path, &sent, Some(body.len())).as_bytes(), body].concat())
}
