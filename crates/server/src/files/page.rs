//! A folder, or the list of buckets, as a page that works without a script.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::listing::{Entry, Page};

/// What may stand in a path's part as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const STYLE: &str = "body{font:1rem system-ui;margin:2rem;max-width:60rem}td{padding:.15rem 1rem .15rem 0}\
    td+td{text-align:right;white-space:nowrap}bdi{unicode-bidi:isolate}h1{font-size:1.4rem}\
    form,nav{margin:1rem 0;padding:.6rem 1rem;background:#8881;border-radius:.4rem}";

/// What the key that a page is shown to may do there: a page offers nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offers {
    pub(super) upload: bool,
    pub(super) archive: bool,
    pub(super) limits: bool,
}

pub(super) fn html(page: &Page, offers: Offers) -> String {
    let title = page
        .bucket
        .as_ref()
        .map_or("buckets".to_owned(), |bucket| format!("{bucket}/{}", page.prefix));
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>",
        escape(&title)
    );
    way(&mut text, page);
    if offers.upload {
        // To the folder itself, without the query of this page.
        text.push_str(
            "<form method=\"post\" enctype=\"multipart/form-data\" action=\"./\">\
             <label>Upload into this folder: <input type=\"file\" name=\"file\" multiple required>\
             </label> <button>Upload</button></form>",
        );
    }
    entries(&mut text, page);
    if let Some(next) = &page.next {
        let next = utf8_percent_encode(next, SEGMENT);
        let _ = write!(text, "<p><a href=\"?from={next}\">more</a>");
    }
    if offers.archive || offers.limits {
        text.push_str("<nav>");
        if offers.archive {
            text.push_str(
                "The whole folder: <a href=\"?archive=tar\">as a tar archive</a>, \
                 <a href=\"?archive=zip\">as a zip archive</a>. ",
            );
        }
        if offers.limits {
            text.push_str("<a href=\"/_/limits\">Limits of this server</a>.");
        }
        text.push_str("</nav>");
    }
    text.push_str("</html>\n");
    text
}

/// The folders around this one, each as a link.
fn way(text: &mut String, page: &Page) {
    let Some(bucket) = page.bucket.as_deref() else {
        text.push_str("<h1>buckets</h1>");
        return;
    };
    text.push_str("<h1><a href=\"/_/files/\">buckets</a>");
    let folders: Vec<&str> = page.prefix.split_terminator('/').collect();
    let mut link = String::from("/_/files/");
    for (at, name) in std::iter::once(bucket).chain(folders.iter().copied()).enumerate() {
        let _ = write!(link, "{}/", utf8_percent_encode(name, SEGMENT));
        // A key may have several slashes in a row.
        let name = if name.is_empty() { "(no name)".to_owned() } else { escape(name) };
        let _ = match at == folders.len() {
            true => write!(text, " / <bdi>{name}</bdi>"),
            false => write!(text, " / <a href=\"{link}\"><bdi>{name}</bdi></a>"),
        };
    }
    text.push_str("</h1>");
}

fn entries(text: &mut String, page: &Page) {
    text.push_str("<table>");
    if page.bucket.is_some() {
        text.push_str("<tr><td><a href=\"../\">../</a><td><td>");
    }
    for entry in &page.entries {
        let (name, slash, size, modified) = match entry {
            Entry::Bucket { name, .. } => (name, "/", String::new(), ""),
            Entry::Folder { name } => (name, "", String::new(), ""),
            Entry::Object { name, size, modified, .. } => {
                (name, "", size.to_string(), modified.as_str())
            }
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
            // A newline in a name is part of the name, and cannot be seen otherwise.
            c if c.is_control() => escaped.extend(c.escape_default()),
            // So are the marks that write the rest of a name backwards, `gpj.exe` as `exe.jpg`.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}
