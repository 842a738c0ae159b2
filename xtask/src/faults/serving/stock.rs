//! The objects that are in the store, for the crowds to ask for.

use std::sync::Arc;
use std::thread::scope;

use anyhow::{Context as _, Result, bail};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::client::{Address, Healthy, bare_head, head_of};
use super::scripts::doomed;
use super::sigv4::presigned;
use crate::stage::Mode;

/// The most entries that a page has.
pub(super) const LONG_KEYS: usize = 1_000;
/// Below the 1,024 that a key may have.
const LONG_KEY_BYTES: usize = 1_000;
/// With as many keys as it may have, a document of such keys is about as large as it may be: 2 MiB.
const DOOMED_KEY_BYTES: usize = 650;
/// How many documents delete keys.
pub(super) const DOCUMENTS: usize = 16;
/// Files of a folder that fits into a zip: the server's list for a zip has 128 KiB.
const FEW: usize = 100;
const FEW_REPEATED: usize = 8;
/// Each of these characters is longer in HTML, JSON or XML than by itself.
const ESCAPED: &str = "<&\">'";
const OBJECT_BYTES: usize = 4 << 20;
const HANDS: usize = 8;
/// The longest name of a bucket.
const BUCKET_NAME_BYTES: usize = 63;

/// Multipart uploads that have been begun.
pub(super) const MULTIPARTS: usize = 64;
/// Uploads that can be completed: each has a part of the least size, and a last one.
pub(super) const COMPLETIONS: usize = 16;
const PART_BYTES_MIN: usize = 5 << 20;
/// The path of the upload that has the most parts.
pub(super) const PARTS_PATH: &str = "/long/parts";
/// The bytes of each of those parts.
const SMALL_PART: &[u8] = b"a part";

/// How many of its keys each deleting document finds.
fn doomed_each(mode: Mode) -> usize {
    if mode == Mode::Full { LONG_KEYS } else { LONG_KEYS / 10 }
}

/// How many buckets there are: as many as a list may have.
fn buckets(mode: Mode) -> usize {
    if mode == Mode::Full { 10_000 } else { 1_000 }
}

/// How many parts the largest upload has: as many as an upload may have.
pub(super) fn parts_max(mode: Mode) -> usize {
    if mode == Mode::Full { 10_000 } else { 1_000 }
}

/// What the crowds have to know about the store.
pub(super) struct Stock {
    /// The bytes of the objects that are downloaded.
    pub(super) object: Arc<[u8]>,
    pub(super) multiparts: Vec<Multipart>,
    pub(super) complete: Vec<Complete>,
    /// The id of the upload that has the most parts, and the tag of each part.
    pub(super) many_parts: String,
    pub(super) small_part_tag: String,
    /// A document that deletes as many keys as one document may name. None of them exists.
    pub(super) absent: Arc<[u8]>,
}

/// An upload under way.
pub(super) struct Multipart {
    pub(super) path: String,
    pub(super) id: String,
}

/// An upload that has all its parts.
pub(super) struct Complete {
    pub(super) upload: Multipart,
    /// The tags of its parts, in order.
    pub(super) tags: Vec<String>,
}

/// Bytes that no other object shares.
pub(super) fn unique(bytes: usize) -> Result<Arc<[u8]>> {
    let mut filled = vec![0; bytes];
    SystemRandom::new().fill(&mut filled).ok().context("random bytes")?;
    Ok(filled.into())
}

/// A key of the length at which pages are largest.
fn long_key(index: usize) -> String {
    filled(format!("deep/{index:05}-"), LONG_KEY_BYTES)
}

/// A key that this document deletes. Only the first keys of a document exist.
pub(super) fn doomed_key(document: usize, index: usize) -> String {
    filled(format!("doomed/{document:02}/{index:05}-"), DOOMED_KEY_BYTES)
}

fn filled(mut key: String, bytes: usize) -> String {
    key.extend(ESCAPED.chars().cycle().take(bytes - key.len()));
    key
}

/// Fills the store. The bucket `storm` is for what clients do. `long` has long keys below `deep/`,
/// `few/` and `doomed/`, uploads below `begun/`, and one upload with many parts. Every client may
/// read `open`. Many more buckets make the list of buckets long.
pub(super) fn fill(address: &Address, mode: Mode) -> Result<Stock> {
    let mut client = Healthy::new(address, 0);
    for bucket in ["storm", "long", "open"] {
        put(&mut client, &format!("/_/files/{bucket}/"), &[])?;
    }
    let object = unique(OBJECT_BYTES)?;
    for target in ["/_/files/storm/download", "/_/files/open/public"] {
        put(&mut client, target, &object)?;
    }
    let target = presigned("PUT", "/open", "acl=", &[("x-amz-acl", "public-read")])?;
    let (status, _) =
        client.ask(&bare_head("PUT", &target, 0, "x-amz-acl: public-read\r\n"), &[])?;
    if status != 200 {
        bail!("the bucket `open` could not be made public: status {status}");
    }
    let multiparts = (0..MULTIPARTS)
        .map(|index| begin_multipart(&mut client, format!("/storm/multipart-{index}")))
        .collect::<Result<_>>()?;
    let complete = (0..COMPLETIONS)
        .map(|index| completable(&mut client, format!("/storm/complete-{index}")))
        .collect::<Result<_>>()?;
    let many_parts = begin_multipart(&mut client, PARTS_PATH.to_owned())?;
    let small_part_tag = put_part(&mut client, &many_parts, 1, SMALL_PART)?;

    let there = (0..DOCUMENTS)
        .flat_map(|document| (0..doomed_each(mode)).map(move |at| doomed_key(document, at)));
    let few = (0..FEW).map(|index| filled(format!("few/{index:05}-"), LONG_KEY_BYTES));
    let keys: Vec<String> = (0..LONG_KEYS).map(long_key).chain(few).chain(there).collect();
    in_hands(address, keys.len(), |client, index| {
        let key = &keys[index];
        let target = format!("/_/files/long/{}", in_target(key));
        put(client, &target, key.repeat(FEW_REPEATED).as_bytes())
    })?;
    in_hands(address, LONG_KEYS, |client, index| {
        let key = filled(format!("begun/{index:05}-"), LONG_KEY_BYTES);
        begin_multipart(client, format!("/long/{}", in_target(&key))).map(drop)
    })?;
    in_hands(address, buckets(mode), |client, index| {
        let name = format!("{index:05}-{}", "of-many-buckets-".repeat(4));
        put(client, &format!("/_/files/{}/", &name[..BUCKET_NAME_BYTES]), &[])
    })?;
    in_hands(address, parts_max(mode) - 1, |client, index| {
        put_part(client, &many_parts, index + 2, SMALL_PART).map(drop)
    })?;
    Ok(Stock {
        object,
        multiparts,
        complete,
        many_parts: many_parts.id,
        small_part_tag,
        absent: doomed(DOCUMENTS),
    })
}

fn put(client: &mut Healthy<'_>, target: &str, body: &[u8]) -> Result<()> {
    let (status, _) = client.ask(&head_of("PUT", target, body.len() as u64, ""), body)?;
    if status == 201 { Ok(()) } else { bail!("PUT {target:.80} was answered with {status}") }
}

/// Calls `work` so many times, from several clients.
fn in_hands(
    address: &Address,
    count: usize,
    work: impl Fn(&mut Healthy<'_>, usize) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    let done: Vec<Result<()>> = scope(|scope| {
        let hands: Vec<_> = (0..HANDS)
            .map(|hand| {
                scope.spawn(move || {
                    let mut client = Healthy::new(address, hand);
                    (hand..count).step_by(HANDS).try_for_each(|index| work(&mut client, index))
                })
            })
            .collect();
        hands
            .into_iter()
            .map(|hand| hand.join().expect("a thread of ours does not panic"))
            .collect()
    });
    done.into_iter().collect()
}

/// An upload that only has to be completed. All of them have the same bytes.
fn completable(client: &mut Healthy<'_>, path: String) -> Result<Complete> {
    let upload = begin_multipart(client, path)?;
    let first = put_part(client, &upload, 1, &vec![b'x'; PART_BYTES_MIN])?;
    let last = put_part(client, &upload, 2, SMALL_PART)?;
    Ok(Complete { upload, tags: vec![first, last] })
}

/// Puts a part, and returns its tag.
fn put_part(
    client: &mut Healthy<'_>,
    upload: &Multipart,
    number: usize,
    body: &[u8],
) -> Result<String> {
    let query = format!("partNumber={number}&uploadId={}", upload.id);
    let target = presigned("PUT", &upload.path, &query, &[])?;
    let (status, _) = client.ask(&bare_head("PUT", &target, body.len() as u64, ""), body)?;
    client.etag().with_context(|| format!("a part was answered with {status}"))
}

fn begin_multipart(client: &mut Healthy<'_>, path: String) -> Result<Multipart> {
    let target = presigned("POST", &path, "uploads=", &[])?;
    let (status, body) = client.ask(&bare_head("POST", &target, 0, ""), &[])?;
    let text = String::from_utf8_lossy(&body);
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
    let (id, _) =
        id.with_context(|| format!("a multipart upload was answered with {status}: {text}"))?;
    Ok(Multipart { path, id: id.to_owned() })
}

/// The key as it is written in a request's target.
fn in_target(key: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'/' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    key.bytes().map(escaped).collect()
}

/// The key as it is written in XML.
pub(super) fn in_xml(key: &str) -> String {
    key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
