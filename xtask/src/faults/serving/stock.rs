//! What is in the store that the crowds ask for.

use std::sync::Arc;
use std::thread::scope;

use anyhow::{Context as _, Result, bail};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::client::{Address, Healthy, bare_head, head_of};
use super::sigv4::presigned;

/// The most that a page has.
pub(super) const LONG_KEYS: usize = 1_000;
/// Below the 1,024 that a key may have.
const LONG_KEY_BYTES: usize = 1_000;
/// A document with the most keys that it may have is about as large as it may be: 2 MiB.
const DOOMED_KEY_BYTES: usize = 650;
/// Documents that delete, and the objects that each of them finds. It asks for many more, which
/// costs a tenth of the time to prepare.
pub(super) const DOCUMENTS: usize = 16;
const DOOMED_EACH: usize = 100;
/// Files of a folder that fits into a zip: the server's list for one has 128 KiB.
const FEW: usize = 100;
const FEW_REPEATED: usize = 8;
/// Each of these is longer in HTML, JSON or XML than it is.
const ESCAPED: &str = "<&\">'";
const OBJECT_BYTES: usize = 4 << 20;
const HANDS: usize = 8;

/// Multipart uploads that have been begun.
pub(super) const MULTIPARTS: usize = 64;

/// What the crowds have to know of the store.
pub(super) struct Stock {
    /// The bytes of the objects that are downloaded.
    pub(super) object: Arc<[u8]>,
    /// Path and id of each multipart upload.
    pub(super) multiparts: Vec<(String, String)>,
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

/// A key that is there to be deleted by that document; those behind the first ones are not there.
pub(super) fn doomed_key(document: usize, index: usize) -> String {
    filled(format!("doomed/{document:02}/{index:05}-"), DOOMED_KEY_BYTES)
}

fn filled(mut key: String, bytes: usize) -> String {
    key.extend(ESCAPED.chars().cycle().take(bytes - key.len()));
    key
}

/// Fills the store: bucket `storm` for what clients do, `long` with long keys below `deep/`, `few/`
/// and `doomed/`, `open` for everybody.
pub(super) fn fill(address: &Address) -> Result<Stock> {
    let put = |client: &mut Healthy<'_>, target: &str, body: &[u8]| {
        let (status, _) = client.ask(&head_of("PUT", target, body.len() as u64, ""), body)?;
        if status == 201 { Ok(()) } else { bail!("PUT {target:.80} was answered with {status}") }
    };
    let mut stock = Stock { object: unique(OBJECT_BYTES)?, multiparts: Vec::new() };
    let mut client = Healthy::new(address, 0);
    for bucket in ["storm", "long", "open"] {
        put(&mut client, &format!("/_/files/{bucket}/"), &[])?;
    }
    for target in ["/_/files/storm/download", "/_/files/open/public"] {
        put(&mut client, target, &stock.object)?;
    }
    let target = presigned("PUT", "/open", "acl=", &[("x-amz-acl", "public-read")])?;
    let (status, _) =
        client.ask(&bare_head("PUT", &target, 0, "x-amz-acl: public-read\r\n"), &[])?;
    if status != 200 {
        bail!("the bucket `open` could not be made public: status {status}");
    }
    for index in 0..MULTIPARTS {
        let path = format!("/storm/multipart-{index}");
        let id = begin_multipart(&mut client, &path)?;
        stock.multiparts.push((path, id));
    }
    let doomed = (0..DOCUMENTS)
        .flat_map(|document| (0..DOOMED_EACH).map(move |at| doomed_key(document, at)));
    let few = (0..FEW).map(|index| filled(format!("few/{index:05}-"), LONG_KEY_BYTES));
    let keys: &Vec<String> = &(0..LONG_KEYS).map(long_key).chain(few).chain(doomed).collect();
    let filled: Vec<Result<()>> = scope(|scope| {
        let hands: Vec<_> = (0..HANDS)
            .map(|hand| {
                scope.spawn(move || {
                    let mut client = Healthy::new(address, hand);
                    keys.iter().skip(hand).step_by(HANDS).try_for_each(|key| {
                        let target = format!("/_/files/long/{}", in_target(key));
                        put(&mut client, &target, key.repeat(FEW_REPEATED).as_bytes())
                    })
                })
            })
            .collect();
        hands
            .into_iter()
            .map(|hand| hand.join().expect("a thread of ours does not panic"))
            .collect()
    });
    filled.into_iter().collect::<Result<()>>()?;
    Ok(stock)
}

fn begin_multipart(client: &mut Healthy<'_>, path: &str) -> Result<String> {
    let target = presigned("POST", path, "uploads=", &[])?;
    let (status, body) = client.ask(&bare_head("POST", &target, 0, ""), &[])?;
    let text = String::from_utf8_lossy(&body);
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
    let (id, _) =
        id.with_context(|| format!("a multipart upload was answered with {status}: {text}"))?;
    Ok(id.to_owned())
}

/// The key as it is written in a target.
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
