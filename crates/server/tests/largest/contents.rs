//! A store in which every list is as long as a list can be, and every name in it.

use std::collections::BTreeMap;

use drystone_store::{
    BucketName, Completion, Condition, CopySource, Key, NamedPart, ObjectMeta, PartTarget,
    PutTarget, Store, UploadId,
};

use super::common::noise;

/// Of each kind of page one more than fits.
pub(crate) const ENTRIES: usize = 1001;
const BUCKETS: usize = 10_000;
pub(crate) const PARTS: u32 = 10_000;
/// The least that S3 takes for a part which is not the last.
pub(crate) const PART_BYTES: usize = 5 << 20;

/// A key of 1,024 bytes of which nearly each is one that needs an escape.
pub(crate) fn key(number: usize, odd: char) -> Key {
    let mut text = format!("{number:04}");
    while text.len() + odd.len_utf8() <= Key::BYTES_MAX {
        text.push(odd);
    }
    Key::new(text).unwrap()
}

fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

/// As much as the head of a request can say of an object.
fn described() -> ObjectMeta {
    let long = |name: &str| (name.to_owned(), "x".repeat(6 << 10));
    ObjectMeta {
        user: BTreeMap::from([("note".to_owned(), "y".repeat(2040))]),
        system: BTreeMap::from(["cache-control", "content-disposition"].map(long)),
        ..ObjectMeta::default()
    }
}

fn put(store: &Store, place: &str, key: Key, meta: &ObjectMeta, bytes: &[u8]) {
    let mut ingest = store.ingest(60_000).unwrap();
    let (bucket, condition) = (bucket(place), Condition::Always);
    ingest.put_now(PutTarget { bucket, key, meta: meta.clone(), condition }, &mut &*bytes).unwrap();
}

/// What could be a checksum of so many characters.
fn sum(len: usize) -> String {
    match len {
        8 => "AAAAAA==".into(),
        12 | 28 | 44 => "A".repeat(len - 1) + "=",
        _ => "a".repeat(len),
    }
}

/// What may be known of a part.
fn sums() -> BTreeMap<String, String> {
    let named = |name: &str, len: usize| {
        let name = if name == "etag" { name.into() } else { format!("x-amz-checksum-{name}") };
        (name, sum(len))
    };
    BTreeMap::from([
        named("etag", 32),
        named("crc32", 8),
        named("crc32c", 8),
        named("crc64nvme", 12),
        named("sha1", 28),
        named("sha256", 44),
    ])
}

/// What was made, as far as requests have to name it.
pub(crate) struct Contents {
    /// Has ten thousand parts, and is not completed.
    pub(crate) upload: UploadId,
    /// Names all of its parts.
    pub(crate) completion: String,
}

/// Fills a store that has the bucket `files`.
pub(crate) fn fill(store: &Store) -> Contents {
    for name in ["quotes", "controls", "uploads", "small"] {
        store.create_bucket(&bucket(name)).unwrap();
    }
    for number in 0..BUCKETS {
        store.create_bucket(&bucket(&format!("{number:05}{}", "b".repeat(58)))).unwrap();
    }
    let meta = described();
    for number in 0..ENTRIES {
        put(store, "quotes", key(number, '"'), &meta, b"x");
        put(store, "controls", key(number, '\u{1}'), &meta, b"x");
        store.create_upload(&bucket("uploads"), &key(number, '"'), &meta).unwrap();
    }
    for number in 0..40 {
        put(store, "small", key(number, '\u{1}'), &meta, &noise(30_000, number as u64));
    }
    put(store, "files", Key::new("large").unwrap(), &meta, &noise(20_000_000, 1));
    put(store, "files", Key::new("part").unwrap(), &meta, &noise(PART_BYTES, 2));
    let upload = parts(store, PARTS, &Key::new("parts").unwrap());
    let part = format!("<ETag>{}</ETag><ChecksumSHA256>{}</ChecksumSHA256>", sum(32), sum(44));
    let named: String = (1..=PARTS)
        .map(|number| format!("<Part><PartNumber>{number}</PartNumber>{part}</Part>"))
        .collect();
    let completion = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    let many = Key::new("many-parts").unwrap();
    let id = parts(store, ENTRIES as u32, &many);
    let named = |number| NamedPart { number, content: None, system: BTreeMap::new() };
    let parts = (1..=ENTRIES as u32).map(named).collect();
    let system = BTreeMap::from([("parts-of".to_owned(), format!("{:016x}", id.0))]);
    store.complete_upload(id, &Completion { parts, system, condition: Condition::Always }).unwrap();
    Contents { upload, completion }
}

/// An upload with so many parts, which share their bytes.
fn parts(store: &Store, count: u32, key: &Key) -> UploadId {
    let upload = store.create_upload(&bucket("files"), key, &ObjectMeta::default()).unwrap().id;
    let source =
        CopySource { bucket: bucket("files"), key: Key::new("part").unwrap(), content: None };
    for number in 1..=count {
        let target = PartTarget { upload, number, system: sums() };
        store.copy_part(&source, None, &target).unwrap();
    }
    upload
}
