//! An answer in XML is well-formed for every key, and never names another key.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod common;
#[allow(dead_code, reason = "each file of tests uses a part of it")]
#[path = "common/sigv4.rs"]
mod sigv4;

use common::{Running, config};
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::Event;
use sigv4::ask;

/// The texts of a document's elements by their names, read as XML 1.0 has it.
struct Texts(Vec<(String, String)>);

impl Texts {
    #[track_caller]
    fn of(document: &str) -> Self {
        let is_char = |char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(document.chars().all(is_char), "no XML: {document:?}");
        let mut reader = Reader::from_str(document);
        let (mut open, mut texts) = (Vec::new(), Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => {
                    open.push((
                        String::from_utf8(tag.name().as_ref().to_vec()).unwrap(),
                        String::new(),
                    ));
                }
                Event::End(_) => texts.push(open.pop().unwrap()),
                // Line ends are read as XML says.
                Event::Text(text) => {
                    if let Some((_, whole)) = open.last_mut() {
                        whole.push_str(&text.xml10_content().unwrap());
                    }
                }
                Event::GeneralRef(name) => {
                    let char = match name.resolve_char_ref().unwrap() {
                        Some(char) => char,
                        None => quick_xml::escape::resolve_xml_entity(&name.decode().unwrap())
                            .unwrap()
                            .chars()
                            .next()
                            .unwrap(),
                    };
                    assert!(is_char(char), "no XML: {document:?}");
                    open.last_mut().unwrap().1.push(char);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert!(open.is_empty(), "{document}");
        Self(texts)
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(found, _)| found == name).map(|(_, text)| text.as_str()).collect()
    }

    /// The names that an answer gives, decoded if it says that they are encoded.
    fn names(&self, element: &str) -> Vec<String> {
        let names = self.all(element).into_iter();
        match self.all("EncodingType")[..] {
            [] => names.map(str::to_owned).collect(),
            ["url"] => names
                .map(|name| percent_decode_str(name).decode_utf8().unwrap().into_owned())
                .collect(),
            ref odd => panic!("{odd:?}"),
        }
    }
}

#[track_caller]
fn texts(server: &Running, method: &str, path: &str, body: &str, status: u16) -> Texts {
    let answer = ask(server, method, path, &[], body.as_bytes());
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    Texts::of(std::str::from_utf8(&answer.body).unwrap())
}

const LISTS: [&str; 3] = ["list-type=2", "max-keys=1000", "versions="];

#[test]
fn a_carriage_return_is_one_in_every_answer() {
    let server = Running::start(config());
    let key = "Icon\r";
    assert_eq!(ask(&server, "PUT", "/files/Icon%0D", &[], b"x").status, 200);
    for list in LISTS {
        let found = texts(&server, "GET", &format!("/files?{list}"), "", 200);
        assert_eq!(
            (found.names("Key"), found.all("EncodingType")),
            (vec![key.to_owned()], vec![]),
            "{list}"
        );
    }
    assert_eq!(texts(&server, "GET", "/files?prefix=Icon%0D", "", 200).names("Prefix"), [key]);
    let begun = texts(&server, "POST", "/files/Icon%0D?uploads", "", 200);
    assert_eq!(begun.all("Key"), [key]);
    let id = begun.all("UploadId")[0];
    assert_eq!(texts(&server, "GET", "/files?uploads", "", 200).names("Key"), [key]);
    let part =
        ask(&server, "PUT", &format!("/files/Icon%0D?partNumber=1&uploadId={id}"), &[], b"part");
    let tag = part.header("etag").unwrap();
    let upload = format!("/files/Icon%0D?uploadId={id}");
    assert_eq!(texts(&server, "GET", &upload, "", 200).all("Key"), [key]);
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    );
    let completed = texts(&server, "POST", &upload, &document, 200);
    assert_eq!(
        (completed.all("Key"), completed.all("Location")),
        (vec![key], vec!["/files/Icon%0D"])
    );
    let document = "<Delete><Object><Key>Icon&#13;</Key></Object><Object><Key>../Icon&#13;</Key></Object></Delete>";
    let deleted = texts(&server, "POST", "/files?delete", document, 200);
    assert_eq!(deleted.all("Key"), [key, "../Icon\r"]);
    texts(&server, "GET", "/files/Icon%0D", "", 404);
}

/// A list, with its query as it is signed.
fn query(pairs: &[&str]) -> String {
    let mut pairs: Vec<&str> = pairs.iter().copied().filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    format!("/files?{}", pairs.join("&"))
}

/// Keys that XML 1.0 cannot carry, as they stand in a path.
const ODD: [(&str, &str); 4] = [
    ("a\u{1}b", "a%01b"),
    ("a\u{1f}/b", "a%1F/b"),
    ("c\u{fffe}", "c%EF%BF%BE"),
    ("d\u{ffff}", "d%EF%BF%BF"),
];

#[test]
fn a_list_with_names_that_xml_cannot_carry_is_given_encoded_only() {
    let server = Running::start(config());
    for (_, path) in ODD {
        assert_eq!(ask(&server, "PUT", &format!("/files/{path}"), &[], b"x").status, 200, "{path}");
        texts(&server, "POST", &format!("/files/{path}?uploads"), "", 200);
    }
    assert_eq!(ask(&server, "PUT", "/files/plain%25+", &[], b"x").status, 200);
    let keys: Vec<&str> = ODD.iter().map(|(key, _)| *key).collect();
    let everything: Vec<&str> = keys.iter().copied().chain(["plain%+"]).collect();
    for list in LISTS.into_iter().chain(["uploads="]) {
        let encoded =
            |more: &str| texts(&server, "GET", &query(&[list, "encoding-type=url", more]), "", 200);
        let wanted = if list == "uploads=" { &keys } else { &everything };
        let found = encoded("");
        assert_eq!(found.names("Key"), *wanted, "{list}");
        assert_eq!(found.all("EncodingType"), ["url"], "{list}");
        assert!(
            encoded("delimiter=%2F").names("Prefix").contains(&"a\u{1f}/".to_owned()),
            "{list}"
        );
        assert_eq!(encoded("prefix=a%01").names("Prefix"), ["a\u{1}"], "{list}");
        assert_eq!(encoded("delimiter=%01").names("Delimiter"), ["\u{1}"], "{list}");
        // A client that has not asked might take an encoded name for the key.
        for more in ["", "delimiter=%2F", "prefix=c", "prefix=z%01", "delimiter=%01"] {
            let refused = texts(&server, "GET", &query(&[list, more]), "", 400);
            assert_eq!(refused.all("Code"), ["InvalidArgument"], "{list} {more}");
            assert!(refused.all("Message")[0].contains("encoding-type=url"), "{list} {more}");
        }
        let found = texts(&server, "GET", &query(&[list, "prefix=p"]), "", 200);
        assert_eq!(found.all("EncodingType"), Vec::<&str>::new());
        assert_eq!(found.all("Key"), wanted[4..], "{list}");
    }
    // Page by page, by the marker that each page names.
    let mut found = Vec::new();
    let mut marker = String::new();
    loop {
        let here = format!("marker={marker}");
        let path = query(&["delimiter=%0A", "encoding-type=url", &here, "max-keys=1"]);
        let page = texts(&server, "GET", &path, "", 200);
        found.extend(page.names("Key"));
        let Some(next) = page.names("NextMarker").pop() else { break };
        marker = percent_encoding::utf8_percent_encode(&next, percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    }
    assert_eq!(found, everything);
}

#[test]
fn an_answer_that_cannot_name_its_key_names_none() {
    let server = Running::start(config());
    for (_, path) in ODD {
        let begun = texts(&server, "POST", &format!("/files/{path}?uploads"), "", 200);
        assert_eq!((begun.all("Key"), begun.all("Bucket")), (vec![], vec!["files"]));
        let id = begun.all("UploadId")[0];
        let upload = format!("/files/{path}?uploadId={id}");
        let part =
            ask(&server, "PUT", &format!("/files/{path}?partNumber=1&uploadId={id}"), &[], b"part");
        let tag = part.header("etag").unwrap();
        assert_eq!(texts(&server, "GET", &upload, "", 200).all("Key"), Vec::<&str>::new());
        let document = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
        );
        let completed = texts(&server, "POST", &upload, &document, 200);
        assert_eq!(completed.all("Key"), Vec::<&str>::new());
        assert_eq!(completed.all("Location"), [format!("/files/{path}")]);
        assert_eq!(ask(&server, "GET", &format!("/files/{path}"), &[], b"").body, b"part");
        assert_eq!(ask(&server, "DELETE", &format!("/files/{path}"), &[], b"").status, 204);
        let refused = texts(&server, "GET", &format!("/files/{path}"), "", 404);
        assert_eq!(refused.all("Code"), ["NoSuchKey"]);
    }
}
