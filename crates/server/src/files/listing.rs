//! Folders and buckets as a page or as JSON, a bounded number of entries at a time.

use std::fmt::Write as _;
use std::ops::Bound;

use drystone_store::{BucketName, Listed, Store};
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use super::{Error, Files, headers};
use crate::access::{Right, Who, may};
use crate::meta;
use crate::route::full;
use crate::server::Answer;
use crate::unread::RequestBody;

/// Entries of a page.
const PAGE: usize = 1000;
/// What may stand in a path's part as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Serialize)]
struct Page<'a> {
    bucket: Option<&'a str>,
    prefix: &'a str,
    entries: Vec<Entry>,
    /// Give it back as `?from=` for the next page.
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Entry {
    Bucket { name: String, public: bool },
    Folder { name: String },
    Object { name: String, size: u64, etag: String, modified: String },
}

/// One value of the query, percent-decoded.
pub(super) fn query(request: &Request<RequestBody>, name: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&');
    let mut values = pairs.filter_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (found == name).then_some(value)
    });
    percent_decode_str(&values.next()?.replace('+', " ")).decode_utf8().ok().map(Into::into)
}

impl Files {
    pub(super) async fn list_buckets(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
    ) -> Result<Answer, Error> {
        let Who::Key(key) = who else { return Err(crate::access::Refused::KeyNeeded.into()) };
        let from = query(request, "from").map(BucketName::new).transpose()?;
        let rows = self.engine.call(move |store: &Store| store.buckets(from.as_ref(), PAGE)).await?;
        let next =
            (rows.len() == PAGE).then(|| rows.last().map(|row| row.name.as_str().to_owned())).flatten();
        let seen = rows.into_iter().filter(|row| may(key, Right::List, Some(&row.name)));
        let entries = seen
            .map(|row| Entry::Bucket { name: row.name.as_str().to_owned(), public: row.public })
            .collect();
        answer(request, &Page { bucket: None, prefix: "", entries, next })
    }

    pub(super) async fn folder(
        &self,
        request: &Request<RequestBody>,
        who: &Who,
        bucket: BucketName,
        prefix: String,
    ) -> Result<Answer, Error> {
        self.engine.allow(who, Right::List, Some(&bucket)).await?;
        if let Some(kind) = query(request, "archive") {
            self.engine.allow(who, Right::Read, Some(&bucket)).await?;
            return self.archive(request, who.share(request.extensions()), bucket, prefix, &kind).await;
        }
        let from = query(request, "from").map_or(Bound::Unbounded, bound_of_token);
        let page = {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            let list = move |store: &Store| {
                store.list_folded(&bucket, &prefix, "/", from.as_ref().map(String::as_str), PAGE)
            };
            self.engine.call(list).await?
        };
        let name = |key: &str| key.strip_prefix(&prefix).unwrap_or(key).to_owned();
        let entry = |listed: &Listed| match listed {
            Listed::Folder(folder) => Entry::Folder { name: name(folder) },
            Listed::Object(object) => Entry::Object {
                name: name(object.key.as_str()),
                size: object.size,
                etag: meta::etag(object),
                modified: httpdate::fmt_http_date(headers::modified(object)),
            },
        };
        let entries = page.entries.iter().map(entry).collect();
        let next = page.next.and_then(token_of_bound);
        answer(request, &Page { bucket: Some(bucket.as_str()), prefix: &prefix, entries, next })
    }
}

/// Where a listing goes on, as text: `>` behind the key, `=` at it.
fn token_of_bound(bound: Bound<String>) -> Option<String> {
    match bound {
        Bound::Unbounded => None,
        Bound::Included(key) => Some(format!("={key}")),
        Bound::Excluded(key) => Some(format!(">{key}")),
    }
}

fn bound_of_token(token: String) -> Bound<String> {
    match token.split_at_checked(1) {
        Some(("=", key)) => Bound::Included(key.to_owned()),
        Some((">", key)) => Bound::Excluded(key.to_owned()),
        _ => Bound::Excluded(token),
    }
}

fn answer(request: &Request<RequestBody>, page: &Page<'_>) -> Result<Answer, Error> {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = query(request, "format").map_or(!accept.contains("text/html"), |format| format == "json");
    let (kind, text) = if json {
        ("application/json", serde_json::to_string(page).map_err(|_| crate::fault::Fault::Internal)?)
    } else {
        ("text/html; charset=utf-8", html(page))
    };
    let body = if request.method() == Method::HEAD { String::new() } else { text };
    let mut response = Response::new(full(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Ok(response)
}

fn html(page: &Page<'_>) -> String {
    let title = page.bucket.map_or("buckets".to_owned(), |bucket| format!("{bucket}/{}", page.prefix));
    let title = escape(&title);
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{{font:1rem system-ui;margin:2rem;max-width:60rem}}td{{padding:.15rem 1rem .15rem 0}}\
         td+td{{text-align:right;white-space:nowrap}}bdi{{unicode-bidi:isolate}}</style><h1><bdi>{title}</bdi></h1><table>"
    );
    if page.bucket.is_some() {
        text.push_str("<tr><td><a href=\"../\">../</a><td><td>");
    }
    for entry in &page.entries {
        let (name, slash, size, modified) = match entry {
            Entry::Bucket { name, .. } => (name, "/", String::new(), ""),
            Entry::Folder { name } => (name, "", String::new(), ""),
            Entry::Object { name, size, modified, .. } => (name, "", size.to_string(), modified.as_str()),
        };
        let link: Vec<String> =
            name.split('/').map(|part| utf8_percent_encode(part, SEGMENT).to_string()).collect();
        // `./`, because a name may begin with something that looks like a scheme.
        let (link, name) = (link.join("/"), escape(name));
        let _ = write!(
            text,
            "<tr><td><a href=\"./{link}{slash}\"><bdi>{name}</bdi>{slash}</a><td>{size}<td>{modified}"
        );
    }
    text.push_str("</table>");
    if let Some(next) = &page.next {
        let next = utf8_percent_encode(next, SEGMENT);
        let _ = write!(text, "<p><a href=\"?from={next}\">more</a>");
    }
    text.push_str("</html>\n");
    text
}

/// Text as it may stand in HTML, also in an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A newline in a name is part of the name, and nobody sees it otherwise.
            c if c.is_control() => escaped.extend(c.escape_default()),
            // So are the marks that write the rest of a name backwards, `gpj.exe` as `exe.jpg`.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}
