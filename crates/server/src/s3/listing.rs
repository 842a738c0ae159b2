//! Lists of objects, in the three ways S3 has.

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drystone_store::{BucketName, FoldedPage, Key, Listed, ObjectRow, after_prefix};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    ChecksumAlgorithm, CommonPrefix, EncodingType, ListObjectVersionsInput,
    ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::acl::owner;
use super::api::{Api, bucket_name};
use super::checksums::{Fields, KEPT};
use super::describe;
use super::errors::invalid;
use super::objects::{kind, signed};
use super::xml_text::can_carry;
use crate::listing::page_within;

/// Entries of a page; as in S3.
const ENTRIES_MAX: usize = 1000;
/// What stays as it is in an encoded key.
pub(super) const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'*');

/// What every kind of list is asked for.
struct Asked {
    bucket: BucketName,
    prefix: String,
    delimiter: String,
    limit: usize,
    encoding: Encoding,
}

impl Asked {
    fn new(
        bucket: &str,
        prefix: Option<&String>,
        delimiter: Option<&String>,
        limit: Option<i32>,
        encoding: Option<&EncodingType>,
        marker: Option<&String>,
    ) -> Result<Self, S3Error> {
        let text = |text: Option<&String>, what: &str| match text {
            Some(text) if text.len() > Key::BYTES_MAX => {
                Err(invalid(format!("the {what} is longer than any key")))
            }
            text => Ok(text.cloned().unwrap_or_default()),
        };
        let encoding = Encoding::of(encoding)?;
        encoding.check([prefix, delimiter, marker].into_iter().flatten().map(String::as_str))?;
        Ok(Self {
            bucket: bucket_name(bucket)?,
            prefix: text(prefix, "prefix")?,
            delimiter: text(delimiter, "delimiter")?,
            limit: page_limit(limit)?,
            encoding,
        })
    }

    /// The place behind a marker, which may be the last entry of an earlier page: an object's key
    /// or a folder. Behind a folder is behind everything in it.
    fn behind(&self, marker: &str) -> Bound<String> {
        let inside = marker.strip_prefix(&self.prefix).filter(|_| !self.delimiter.is_empty());
        let end = inside
            .and_then(|inside| inside.find(&self.delimiter))
            .map(|at| at + self.delimiter.len());
        let is_folder = end.is_some() && end == inside.map(str::len);
        match after_prefix(marker).filter(|_| is_folder) {
            Some(next) => Bound::Included(next),
            None => Bound::Excluded(marker.to_owned()),
        }
    }
}

pub(super) fn page_limit(limit: Option<i32>) -> Result<usize, S3Error> {
    let limit = usize::try_from(limit.unwrap_or(ENTRIES_MAX as i32));
    limit
        .map(|limit| limit.min(ENTRIES_MAX))
        .map_err(|_| invalid("a page cannot have fewer than 0 entries"))
}

/// How names are written, so that XML can carry every one.
#[derive(Clone, Copy)]
pub(super) struct Encoding(bool);

impl Encoding {
    pub(super) fn of(wanted: Option<&EncodingType>) -> Result<Self, S3Error> {
        match wanted.map(EncodingType::as_str) {
            None | Some("") => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(_) => Err(invalid("the only encoding type is `url`")),
        }
    }

    /// Refuses an answer that would need names which XML cannot carry.
    ///
    /// A client that has not asked for an encoding may not look whether the answer has one: rclone
    /// does not, and takes `a%01b` for the key. Left out, the object would count as deleted.
    pub(super) fn check<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Result<(), S3Error> {
        match names.into_iter().find(|name| !self.0 && !can_carry(name)) {
            Some(name) => Err(invalid(format!(
                "XML cannot carry the name `{}`: list with encoding-type=url (rclone: list_url_encode = true)",
                name.escape_debug()
            ))),
            None => Ok(()),
        }
    }

    /// What the answer says of it.
    pub(super) fn announced(self) -> Option<EncodingType> {
        self.0.then(|| EncodingType::from_static(EncodingType::URL))
    }

    pub(super) fn encode(self, text: &str) -> String {
        if self.0 { utf8_percent_encode(text, PLAIN).to_string() } else { text.to_owned() }
    }

    pub(super) fn echo(self, text: Option<String>) -> Option<String> {
        text.map(|text| self.encode(&text))
    }
}

/// A page, taken apart.
struct Page {
    objects: Vec<ObjectRow>,
    folders: Option<Vec<CommonPrefix>>,
    next: Option<Bound<String>>,
    /// The name of the last entry, if there is a next page.
    last: Option<String>,
}

impl Page {
    fn new(page: FoldedPage, encoding: Encoding) -> Self {
        let last = page.entries.last().map(|entry| name(entry).to_owned());
        let (mut objects, mut folders) = (Vec::new(), Vec::new());
        for entry in page.entries {
            match entry {
                Listed::Object(object) => objects.push(object),
                Listed::Folder(folder) => {
                    folders.push(CommonPrefix { prefix: Some(encoding.encode(&folder)) });
                }
            }
        }
        let last = last.filter(|_| page.next.is_some());
        Self { objects, folders: (!folders.is_empty()).then_some(folders), next: page.next, last }
    }
}

impl Api {
    pub(super) async fn list(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let (prefix, delimiter) = (input.prefix.as_ref(), input.delimiter.as_ref());
        let (encoding, marker) = (input.encoding_type.as_ref(), input.marker.as_ref());
        let asked = Asked::new(&input.bucket, prefix, delimiter, input.max_keys, encoding, marker)?;
        let encoding = asked.encoding;
        let from = start(input.marker.as_deref(), &asked);
        let max_keys = asked.limit;
        let page = self.page(asked, from).await?;
        let contents: Vec<Object> =
            page.objects.iter().map(|object| entry(object, encoding, true)).collect();
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encoding.encode(input.prefix.as_deref().unwrap_or_default())),
            marker: Some(encoding.encode(input.marker.as_deref().unwrap_or_default())),
            max_keys: i32::try_from(max_keys).ok(),
            is_truncated: Some(page.next.is_some()),
            contents: Some(contents),
            common_prefixes: page.folders,
            // Without a delimiter clients take the last key; with one it may be a folder.
            next_marker: page
                .last
                .filter(|_| input.delimiter.is_some())
                .map(|last| encoding.encode(&last)),
            delimiter: encoding.echo(input.delimiter.filter(|delimiter| !delimiter.is_empty())),
            encoding_type: encoding.announced(),
            ..ListObjectsOutput::default()
        }))
    }

    pub(super) async fn list_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let (prefix, delimiter) = (input.prefix.as_ref(), input.delimiter.as_ref());
        let (encoding, marker) = (input.encoding_type.as_ref(), input.start_after.as_ref());
        let asked = Asked::new(&input.bucket, prefix, delimiter, input.max_keys, encoding, marker)?;
        let encoding = asked.encoding;
        // An empty one is from a client that has none.
        let from = match input.continuation_token.as_deref().filter(|token| !token.is_empty()) {
            Some(token) => place_of(token)
                .ok_or_else(|| invalid("this continuation token is not one of ours"))?,
            None => start(input.start_after.as_deref(), &asked),
        };
        let max_keys = asked.limit;
        let page = self.page(asked, from).await?;
        let owner = input.fetch_owner.unwrap_or(false);
        let contents: Vec<Object> =
            page.objects.iter().map(|object| entry(object, encoding, owner)).collect();
        let count = contents.len() + page.folders.as_ref().map_or(0, Vec::len);
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encoding.encode(input.prefix.as_deref().unwrap_or_default())),
            max_keys: i32::try_from(max_keys).ok(),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_ref().map(token),
            contents: Some(contents),
            common_prefixes: page.folders,
            delimiter: encoding.echo(input.delimiter.filter(|delimiter| !delimiter.is_empty())),
            encoding_type: encoding.announced(),
            start_after: encoding.echo(input.start_after),
            ..ListObjectsV2Output::default()
        }))
    }

    pub(super) async fn list_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let (prefix, delimiter) = (input.prefix.as_ref(), input.delimiter.as_ref());
        let (encoding, marker) = (input.encoding_type.as_ref(), input.key_marker.as_ref());
        let asked = Asked::new(&input.bucket, prefix, delimiter, input.max_keys, encoding, marker)?;
        let encoding = asked.encoding;
        let from = start(input.key_marker.as_deref(), &asked);
        let max_keys = asked.limit;
        let page = self.page(asked, from).await?;
        let versions: Vec<ObjectVersion> =
            page.objects.iter().map(|object| version(object, encoding)).collect();
        Ok(S3Response::new(ListObjectVersionsOutput {
            name: Some(input.bucket),
            prefix: Some(encoding.encode(input.prefix.as_deref().unwrap_or_default())),
            key_marker: Some(encoding.encode(input.key_marker.as_deref().unwrap_or_default())),
            version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
            max_keys: i32::try_from(max_keys).ok(),
            is_truncated: Some(page.next.is_some()),
            next_version_id_marker: page.last.as_ref().map(|_| "null".to_owned()),
            next_key_marker: page.last.map(|last| encoding.encode(&last)),
            versions: (!versions.is_empty()).then_some(versions),
            common_prefixes: page.folders,
            delimiter: encoding.echo(input.delimiter.filter(|delimiter| !delimiter.is_empty())),
            encoding_type: encoding.announced(),
            ..ListObjectVersionsOutput::default()
        }))
    }

    async fn page(&self, asked: Asked, from: Bound<String>) -> Result<Page, S3Error> {
        let encoding = asked.encoding;
        let listed = self.call(move |store| {
            page_within(store, &asked.bucket, &asked.prefix, &asked.delimiter, from, asked.limit)
        });
        let listed = listed.await?;
        encoding.check(listed.entries.iter().map(name))?;
        Ok(Page::new(listed, encoding))
    }
}

fn name(entry: &Listed) -> &str {
    match entry {
        Listed::Object(object) => object.key.as_str(),
        Listed::Folder(folder) => folder,
    }
}

fn start(marker: Option<&str>, asked: &Asked) -> Bound<String> {
    marker
        .filter(|marker| !marker.is_empty())
        .map_or(Bound::Unbounded, |marker| asked.behind(marker))
}

/// A place in a list, as an opaque text.
fn token(place: &Bound<String>) -> String {
    let (kind, text) = match place {
        Bound::Included(text) => ('i', text.as_str()),
        Bound::Excluded(text) => ('e', text.as_str()),
        Bound::Unbounded => ('u', ""),
    };
    URL_SAFE_NO_PAD.encode(format!("{kind}{text}"))
}

fn place_of(token: &str) -> Option<Bound<String>> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    match text.split_at_checked(1)? {
        ("i", text) => Some(Bound::Included(text.to_owned())),
        ("e", text) => Some(Bound::Excluded(text.to_owned())),
        _ => None,
    }
}

fn algorithms(object: &ObjectRow) -> Option<Vec<ChecksumAlgorithm>> {
    let has =
        KEPT.into_iter().filter(|algorithm| object.meta.system.contains_key(algorithm.header()));
    let names: Vec<_> = has
        .map(|algorithm| ChecksumAlgorithm::from(algorithm.name().to_ascii_uppercase()))
        .collect();
    (!names.is_empty()).then_some(names)
}

fn entry(object: &ObjectRow, encoding: Encoding, with_owner: bool) -> Object {
    Object {
        checksum_algorithm: algorithms(object),
        checksum_type: kind(object, &Fields::of(&object.meta.system)),
        e_tag: Some(describe::etag(object)),
        key: Some(encoding.encode(object.key.as_str())),
        last_modified: Some(describe::modified(object)),
        owner: with_owner.then(owner),
        restore_status: None,
        size: Some(signed(object.size)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
    }
}

fn version(object: &ObjectRow, encoding: Encoding) -> ObjectVersion {
    ObjectVersion {
        checksum_algorithm: algorithms(object),
        checksum_type: kind(object, &Fields::of(&object.meta.system)),
        e_tag: Some(describe::etag(object)),
        is_latest: Some(true),
        key: Some(encoding.encode(object.key.as_str())),
        last_modified: Some(describe::modified(object)),
        owner: Some(owner()),
        restore_status: None,
        size: Some(signed(object.size)),
        storage_class: Some(ObjectVersionStorageClass::from_static(
            ObjectVersionStorageClass::STANDARD,
        )),
        version_id: Some("null".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_as_tokens() {
        for place in [Bound::Included("a/0".to_owned()), Bound::Excluded("ü\n".to_owned())] {
            assert_eq!(place_of(&token(&place)), Some(place));
        }
        for odd in
            ["", "!", "eA", &URL_SAFE_NO_PAD.encode("xabc"), &URL_SAFE_NO_PAD.encode([b'e', 0xff])]
        {
            assert_eq!(place_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_marker_that_is_a_folder_skips_it() {
        let text = |text: &str| Some(text.to_owned());
        let asked = Asked::new("bucket", text("p/").as_ref(), text("/").as_ref(), None, None, None)
            .unwrap();
        assert_eq!(asked.behind("p/a/"), Bound::Included("p/a0".to_owned()));
        assert_eq!(asked.behind("p/a/b"), Bound::Excluded("p/a/b".to_owned()));
        assert_eq!(asked.behind("p/a"), Bound::Excluded("p/a".to_owned()));
        assert_eq!(asked.behind("q/"), Bound::Excluded("q/".to_owned()));
    }

    #[test]
    fn encoded_names_are_plain_text() {
        assert_eq!(Encoding(true).encode("a b/ü\u{1}+&"), "a%20b/%C3%BC%01%2B%26");
        assert_eq!(Encoding(false).encode("a b"), "a b");
    }
}
