//! Documents of requests, looked at before s3s reads them.
//!
//! s3s passes over what it does not know: a CDATA section, text between elements, attributes, an
//! element with a new name. What the client said there would be lost, and
//! `<Key>a<![CDATA[b]]>c</Key>` would delete `ac`. So a document goes on to s3s only if all of it
//! stands in its table ([`super::document_tables`]), and only in forms that s3s reads as XML 1.0
//! says.

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

use super::bad_body::BadDocument;
use super::conditions::Tags;
use super::document_tables::{ATTRIBUTES, Element, Inside, Reads};
use super::queries::is_number;
use super::xml_text::is_char;

/// Whether s3s reads these bytes as XML says, and leaves out nothing of them. Some operations can
/// do without their document, so an empty one is for s3s to judge.
pub(super) fn check(root: &'static Element, bytes: &[u8]) -> Result<(), BadDocument> {
    if bytes.is_empty() {
        return Ok(());
    }
    let whole = std::str::from_utf8(bytes).map_err(|_| BadDocument::Malformed)?;
    if !whole.chars().all(is_char) {
        return Err(BadDocument::Character);
    }
    let mut reader = Reader::from_reader(bytes);
    reader.config_mut().check_comments = true;
    let mut position =
        DocumentPosition { root, open: Vec::new(), has_root: false, value: String::new() };
    let mut is_first = true;
    loop {
        match reader.read_event()? {
            Event::Start(tag) => {
                let element = position.enter(&tag)?;
                position.open.push((element, 0));
            }
            Event::Empty(tag) => {
                let element = position.enter(&tag)?;
                position.leave(element)?;
            }
            // That the names match is checked by the reader.
            Event::End(_) => {
                if let Some((element, _)) = position.open.pop() {
                    position.leave(element)?;
                }
            }
            Event::Text(text) => position.text(&text)?,
            Event::GeneralRef(reference) => position.reference(&reference)?,
            // It is no part of the text around it, for XML and for s3s.
            Event::Comment(_) => {}
            Event::Decl(declaration) if is_first => declared(&declaration)?,
            Event::Decl(_) => return Err(BadDocument::Malformed),
            Event::CData(_) => return Err(BadDocument::CData),
            Event::DocType(_) => return Err(BadDocument::Doctype),
            Event::PI(_) => return Err(BadDocument::Instruction),
            Event::Eof if position.has_root && position.open.is_empty() => return Ok(()),
            Event::Eof => return Err(BadDocument::Malformed),
        }
        is_first = false;
    }
}

/// A number or an entity tag is shorter.
const VALUE_BYTES_MAX: usize = 1024;

/// Where in a document the reader is.
struct DocumentPosition {
    root: &'static Element,
    /// The elements around it, each with a mask of those that it has had. As deep as the table.
    open: Vec<(&'static Element, u32)>,
    has_root: bool,
    /// What has come of a text that is judged; cut where it is too long for any.
    value: String,
}

impl DocumentPosition {
    fn enter(&mut self, tag: &BytesStart<'_>) -> Result<&'static Element, BadDocument> {
        let name = tag.name();
        let element = match self.open.last_mut() {
            None if self.has_root || name.as_ref() != self.root.name.as_bytes() => {
                return Err(BadDocument::Root(self.root.name));
            }
            None => {
                self.has_root = true;
                self.root
            }
            Some((parent, seen)) => {
                let children = match parent.inside {
                    Inside::Elements(children) => children,
                    Inside::Text(_) | Inside::Unsupported => &[],
                };
                let at = children.iter().position(|child| child.name.as_bytes() == name.as_ref());
                let at = at.ok_or(BadDocument::Unknown(parent.name))?;
                let element = &children[at];
                if *seen & (1 << at) != 0 && !element.is_repeated {
                    return Err(BadDocument::Twice(element.name));
                }
                *seen |= 1 << at;
                element
            }
        };
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| BadDocument::Malformed)?;
            let known = ATTRIBUTES.iter().any(|(name, values)| {
                attribute.key.as_ref() == name.as_bytes()
                    && values.iter().any(|value| value.as_bytes() == &*attribute.value)
            });
            if !known {
                return Err(BadDocument::Attribute(element.name));
            }
        }
        match element.inside {
            Inside::Unsupported => Err(BadDocument::Unsupported(element.name)),
            _ => {
                self.value.clear();
                Ok(element)
            }
        }
    }

    /// Judges the text of an element that has ended.
    fn leave(&mut self, element: &'static Element) -> Result<(), BadDocument> {
        let Inside::Text(reads) = element.inside else { return Ok(()) };
        let can_be = match reads {
            Reads::Anything => true,
            Reads::Number => is_number(&self.value),
            Reads::Tag => self.value.len() <= VALUE_BYTES_MAX && Tags::of_text(&self.value).is_ok(),
        };
        if can_be { Ok(()) } else { Err(BadDocument::Value(element.name)) }
    }

    /// Keeps a piece of a text that is judged at its end.
    fn keep(&mut self, piece: &str) {
        let is_judged = self
            .text_element()
            .is_some_and(|element| !matches!(element.inside, Inside::Text(Reads::Anything)));
        if is_judged {
            let left = (VALUE_BYTES_MAX + 1).saturating_sub(self.value.len());
            self.value.extend(piece.chars().take(left));
        }
    }

    /// The element whose text may be read here.
    fn text_element(&self) -> Option<&'static Element> {
        self.open
            .last()
            .map(|(element, _)| *element)
            .filter(|element| matches!(element.inside, Inside::Text(_)))
    }

    fn text(&mut self, text: &[u8]) -> Result<(), BadDocument> {
        if self.text_element().is_none() {
            let is_space = text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
            return if is_space { Ok(()) } else { Err(self.misplaced()) };
        }
        // XML reads it, alone or before a line feed, as a line feed; s3s does not.
        if text.contains(&b'\r') {
            return Err(BadDocument::CarriageReturn);
        }
        if text.windows(3).any(|three| three == b"]]>") {
            return Err(BadDocument::Malformed);
        }
        self.keep(std::str::from_utf8(text).map_err(|_| BadDocument::Malformed)?);
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), BadDocument> {
        if self.text_element().is_none() {
            return Err(self.misplaced());
        }
        let name = std::str::from_utf8(reference).map_err(|_| BadDocument::Malformed)?;
        let Some(number) = name.strip_prefix('#') else {
            let text =
                quick_xml::escape::resolve_predefined_entity(name).ok_or(BadDocument::Entity)?;
            self.keep(text);
            return Ok(());
        };
        let (digits, radix) = match number.strip_prefix('x') {
            Some(digits) => (digits, 16),
            None => (number, 10),
        };
        // The standard library would take a sign.
        if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
            return Err(BadDocument::Malformed);
        }
        let named = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        match named.filter(|char| is_char(*char)) {
            // s3s knows only some of these. It would refuse the others without saying why.
            Some('\u{10000}'..) => Err(BadDocument::Reference),
            Some(char) => {
                self.keep(char.encode_utf8(&mut [0; 4]));
                Ok(())
            }
            None => Err(BadDocument::Character),
        }
    }

    fn misplaced(&self) -> BadDocument {
        self.open
            .last()
            .map_or(BadDocument::Malformed, |(element, _)| BadDocument::Text(element.name))
    }
}

fn declared(declaration: &BytesDecl<'_>) -> Result<(), BadDocument> {
    let version = declaration.version()?;
    let encoding = declaration.encoding().transpose().map_err(|_| BadDocument::Malformed)?;
    let is_utf_8 = encoding.is_none_or(|encoding| encoding.eq_ignore_ascii_case(b"utf-8"));
    if &*version == b"1.0" && is_utf_8 { Ok(()) } else { Err(BadDocument::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::document_tables::of;

    #[track_caller]
    fn check_all(operation: &str, documents: &[&str], expected: Result<(), BadDocument>) {
        for document in documents {
            let found = check(of(operation).unwrap(), document.as_bytes());
            assert_eq!(found, expected, "{document}");
        }
    }

    #[test]
    fn what_clients_send_is_read() {
        let namespace = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
        let delete = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<Delete {namespace}>\r\n <Quiet>true</Quiet>\n\
             <Object><Key> a &amp;&#xe4;&#13;\n\u{1f600}</Key></Object><Object><Key>b</Key><ETag>&quot;a&#45;&quot;</ETag></Object></Delete>\n"
        );
        check_all("DeleteObjects", &["", &delete, "<!-- a --><Delete></Delete>"], Ok(()));
        check_all(
            "DeleteObjects",
            &["<Delete><Object><Key>a<!-- b -->c</Key></Object></Delete>"],
            Ok(()),
        );
        let part = "<Part><ChecksumCRC32>A==</ChecksumCRC32><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber></Part>";
        let complete =
            format!("<CompleteMultipartUpload {namespace}>{part}{part}</CompleteMultipartUpload>");
        check_all("CompleteMultipartUpload", &[&complete], Ok(()));
        let region = "<LocationConstraint>eu-west-1</LocationConstraint>";
        let bucket =
            format!("\u{feff}<CreateBucketConfiguration>{region}</CreateBucketConfiguration >");
        check_all("CreateBucket", &[&bucket], Ok(()));
        let tags =
            "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag><Tag/></TagSet></Tagging>";
        check_all("PutObjectTagging", &[tags], Ok(()));
        let grantee = "<Grantee xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:type='CanonicalUser'>";
        let grant =
            format!("<Grant>{grantee}<ID>a</ID></Grantee><Permission>READ</Permission></Grant>");
        let list = format!(
            "<AccessControlPolicy><AccessControlList>{grant}{grant}</AccessControlList></AccessControlPolicy>"
        );
        check_all("PutBucketAcl", &[&list], Ok(()));
        assert!(of("PutObject").is_none() && of("PutBucketPolicy").is_none());
    }

    #[test]
    fn text_that_would_be_lost_or_read_otherwise_is_refused() {
        let with_key = |key: &str| format!("<Delete><Object><Key>{key}</Key></Object></Delete>");
        for (key, why) in [
            ("a<![CDATA[b]]>c", BadDocument::CData),
            ("a<?b c?>d", BadDocument::Instruction),
            ("a&b;c", BadDocument::Entity),
            ("a&#1;", BadDocument::Character),
            ("a&#x0;", BadDocument::Character),
            ("a&#xd800;", BadDocument::Character),
            ("a&#xfffe;", BadDocument::Character),
            ("a&#99999999999;", BadDocument::Character),
            ("a&#x1f600;", BadDocument::Reference),
            ("a&#+65;", BadDocument::Malformed),
            ("a&#x;", BadDocument::Malformed),
            ("a\u{1}", BadDocument::Character),
            ("a\u{ffff}", BadDocument::Character),
            ("a\r", BadDocument::CarriageReturn),
            ("a\r\nb", BadDocument::CarriageReturn),
            ("a]]>b", BadDocument::Malformed),
            ("a<!-- b -- c -->d", BadDocument::Malformed),
            ("a<b>c</b>", BadDocument::Unknown("Key")),
            ("a&", BadDocument::Malformed),
        ] {
            check_all("DeleteObjects", &[&with_key(key)], Err(why));
        }
        let stray = [
            "<Delete>a<Object><Key>b</Key></Object></Delete>",
            "<Delete>&#65;<Object><Key>b</Key></Object></Delete>",
        ];
        check_all("DeleteObjects", &stray, Err(BadDocument::Text("Delete")));
    }

    #[test]
    fn what_stands_in_no_table_is_refused() {
        let unknown = ["<Delete><Bypass/></Delete>", "<Delete><s3:Quiet>true</s3:Quiet></Delete>"];
        check_all("DeleteObjects", &unknown, Err(BadDocument::Unknown("Delete")));
        let root = ["<Deletes/>", "<Delete/><Delete/>", "<s3:Delete/>"];
        check_all("DeleteObjects", &root, Err(BadDocument::Root("Delete")));
        let twice = ["<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>"];
        check_all("DeleteObjects", &twice, Err(BadDocument::Twice("Key")));
        let attribute =
            ["<Delete a='b'/>", "<Delete xmlns='http://example.com/'/>", "<Delete xml:lang='de'/>"];
        check_all("DeleteObjects", &attribute, Err(BadDocument::Attribute("Delete")));
        let tags = ["<CreateBucketConfiguration><Tags><Tag/></Tags></CreateBucketConfiguration>"];
        check_all("CreateBucket", &tags, Err(BadDocument::Unsupported("Tags")));
    }

    #[test]
    fn a_value_that_would_be_read_as_another_is_refused() {
        let delete =
            |inside: &str| format!("<Delete><Object><Key>a</Key>{inside}</Object></Delete>");
        for size in
            ["<Size>+1</Size>", "<Size>-1</Size>", "<Size> 1</Size>", "<Size/>", "<Size></Size>"]
        {
            check_all("DeleteObjects", &[&delete(size)], Err(BadDocument::Value("Size")));
        }
        check_all("DeleteObjects", &[&delete("<Size>1&#50;</Size>")], Ok(()));
        for tag in
            ["", "'a'", "&quot;a", "a&quot;", "a, b", "w/&quot;a&quot;", "*", "&quot;a&quot; b"]
        {
            let tag = delete(&format!("<ETag>{tag}</ETag>"));
            check_all("DeleteObjects", &[&tag], Err(BadDocument::Value("ETag")));
        }
        let long = delete(&format!("<ETag>{}</ETag>", "a".repeat(VALUE_BYTES_MAX + 1)));
        check_all("DeleteObjects", &[&long], Err(BadDocument::Value("ETag")));
        for tag in ["a-1", "\"a\"", "W/&quot;a&#34;"] {
            check_all("DeleteObjects", &[&delete(&format!("<ETag>{tag}</ETag>"))], Ok(()));
        }
        let part = [
            "<CompleteMultipartUpload><Part><PartNumber>+1</PartNumber></Part></CompleteMultipartUpload>",
        ];
        check_all("CompleteMultipartUpload", &part, Err(BadDocument::Value("PartNumber")));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let malformed = [
            " ",
            "a",
            "<Delete>",
            "<Delete><Object></Delete></Object>",
            "</Delete>",
            "<Delete/>a",
            "<Delete a a/>",
            "<?xml version=\"1.1\"?><Delete/>",
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><Delete/>",
            " <?xml version=\"1.0\"?><Delete/>",
        ];
        check_all("DeleteObjects", &malformed, Err(BadDocument::Malformed));
        check_all("DeleteObjects", &["<!DOCTYPE a><Delete/>"], Err(BadDocument::Doctype));
        let latin = check(
            of("DeleteObjects").unwrap(),
            b"<Delete><Object><Key>\xe4</Key></Object></Delete>",
        );
        assert_eq!(latin, Err(BadDocument::Malformed));
    }
}
