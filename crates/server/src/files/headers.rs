//! Headers of responses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use drystone_store::ObjectRow;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, HeaderName, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::meta;

/// What RFC 8187 leaves as it is in a file name.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Types that a browser may show at once: none of them can run a script in our origin.
const INLINE: [&str; 12] = [
    "text/plain",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "application/pdf",
];

/// Sets a header whose value may come from a client; one that cannot be a header's value is left
/// out.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// When the object was last modified; to the second, as HTTP has it.
pub(super) fn modified(object: &ObjectRow) -> SystemTime {
    let seconds = u64::try_from(object.meta.modified_ns / 1_000_000_000).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Everything that a response with this object's bytes, or without them, says about it.
pub(super) fn describe(headers: &mut HeaderMap, object: &ObjectRow) {
    insert(headers, ETAG, &format!("\"{}\"", meta::etag(object)));
    insert(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified(object)));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let kind = object.meta.media_type.as_deref().unwrap_or("application/octet-stream");
    insert(headers, CONTENT_TYPE, kind);
    let kept = [
        (CACHE_CONTROL, "cache-control"),
        (CONTENT_ENCODING, "content-encoding"),
        (CONTENT_LANGUAGE, "content-language"),
        (EXPIRES, "expires"),
    ];
    for (header, name) in kept {
        if let Some(value) = object.meta.system.get(name) {
            insert(headers, header, value);
        }
    }
    // What a client has stored must not run as a page of this server.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    let bare = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let inline = INLINE.contains(&bare.as_str());
    insert(headers, CONTENT_DISPOSITION, &disposition(inline, object.key.as_str()));
}

/// `Content-Disposition` with the last part of the key as the file's name.
pub(super) fn disposition(inline: bool, key: &str) -> String {
    let name = key.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let encoded = utf8_percent_encode(name, ATTR_CHAR);
    let how = if inline { "inline" } else { "attachment" };
    format!("{how}; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        let header = disposition(false, "a/b\r\nSet-Cookie: x\"; \u{202e}gpj.exe");
        assert!(header.is_ascii() && !header.contains(['\r', '\n', '"']), "{header}");
        assert_eq!(disposition(true, "a/ü b.txt"), "inline; filename*=UTF-8''%C3%BC%20b.txt");
    }
}
