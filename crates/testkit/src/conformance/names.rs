//! Listing: keys in the order of their bytes, buckets by name, in pages.

use std::collections::BTreeSet;
use std::ops::Bound;

use drystone_chunker::Chunking;
use drystone_store::{
    BucketName, Condition, FoldedPage, Listed, NewBucket, Store, StoreConfig, StoreError,
};
use drystone_sync::PlainArc;

use super::Fixture;
use super::bench::{Bench, bucket, key, ok};

/// In byte order: `.` and `-` sort before `/`, digits and letters after it, multibyte characters
/// last.
const NAMES: [&str; 14] = [
    "a",
    "a b",
    "a-",
    "a.",
    "a/",
    "a/b",
    "a/b/c",
    "a/\u{e4}",
    "a0",
    "aa",
    "b",
    "\u{e4}",
    "\u{ffff}",
    "\u{1f9f1}",
];

fn bench_with_names(fixture: &dyn Fixture) -> Bench {
    let mut bench = Bench::new(fixture);
    for name in NAMES.iter().rev() {
        bench.put(name, &[b"stone"]);
    }
    bench
}

#[track_caller]
fn check(bench: &Bench, prefix: &str, after: Option<&str>, limit: usize) {
    let matching = NAMES.iter().filter(|name| name.starts_with(prefix));
    let later = matching.filter(|name| after.is_none_or(|after| **name > after));
    let expected: Vec<&str> = later.take(limit).copied().collect();
    assert_eq!(
        bench.names(prefix, after, limit),
        expected,
        "prefix {prefix:?} after {after:?} limit {limit}"
    );
}

fn included(bench: &Bench, prefix: &str, first: &str) -> Vec<String> {
    let rows = ok(bench.records.list(&bucket(), prefix, Bound::Included(first), 99));
    rows.into_iter().map(|row| row.key.as_str().to_owned()).collect()
}

pub(super) fn objects_are_listed_in_byte_order(fixture: &dyn Fixture) {
    let bench = bench_with_names(fixture);
    assert!(NAMES.is_sorted());
    let edges = [
        "",
        "a",
        "a/",
        "a/b",
        "a/b/",
        "a0",
        "a\u{ff}",
        "\u{e4}",
        "\u{ffff}",
        "\u{10ffff}",
        "zz",
        "A",
    ];
    for prefix in edges {
        for limit in [1, 3, 99] {
            check(&bench, prefix, None, limit);
            for after in edges {
                check(&bench, prefix, Some(after), limit);
            }
        }
        for first in edges {
            let matching = NAMES.iter().filter(|name| name.starts_with(prefix) && **name >= first);
            assert_eq!(included(&bench, prefix, first), matching.copied().collect::<Vec<_>>());
        }
    }
    check(&bench, "", None, 0);
}

pub(super) fn a_listing_can_be_paged(fixture: &dyn Fixture) {
    let bench = bench_with_names(fixture);
    for (prefix, page) in [("", 1), ("", 5), ("a/", 2)] {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let names = bench.names(prefix, seen.last().map(String::as_str), page);
            if names.is_empty() {
                break;
            }
            seen.extend(names);
        }
        let expected: Vec<&str> =
            NAMES.iter().filter(|name| name.starts_with(prefix)).copied().collect();
        assert_eq!(seen, expected);
    }
}

fn folded(names: &[&str], prefix: &str, delimiter: &str) -> BTreeSet<(String, bool)> {
    let matching = names.iter().filter(|name| name.starts_with(prefix));
    let fold = |name: &&str| match name[prefix.len()..]
        .find(delimiter)
        .filter(|_| !delimiter.is_empty())
    {
        Some(at) => (name[..prefix.len() + at + delimiter.len()].to_owned(), true),
        None => ((*name).to_owned(), false),
    };
    matching.map(fold).collect()
}

fn entry_of(listed: &Listed) -> (String, bool) {
    match listed {
        Listed::Object(row) => (row.key.as_str().to_owned(), false),
        Listed::Folder(folder) => (folder.clone(), true),
    }
}

/// A store over the fixture, to list with.
fn store(fixture: &dyn Fixture) -> Store {
    let opened = fixture.open();
    let config = StoreConfig {
        chunking: Chunking::fixed(16).expect("a valid size"),
        workers: 1,
        buffers: 2,
        ingests: 1,
        buffer_bytes: 64,
        read_ahead_max: 1,
        commit_queue_bytes: 1 << 16,
    };
    Store::new(opened.records, opened.segments, config).expect("a thread can be started")
}

/// Begins with what is before it in byte order, and ends with a character that nothing follows.
const FOLDED: [&str; 16] = [
    "-/x",
    "a",
    "a//b",
    "a/b",
    "a/b/c",
    "a/b/d",
    "a/c",
    "a/\u{e4}/x",
    "a/\u{10ffff}",
    "a/\u{10ffff}/x",
    "a0",
    "ab",
    "a\u{d7ff}x",
    "a\u{e000}x",
    "b\u{10ffff}y",
    "\u{10ffff}\u{10ffff}",
];

pub(super) fn a_folded_listing_skips_what_is_below(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let many: Vec<String> = (0..200).map(|number| format!("m/{number:03}")).collect();
    let names: Vec<&str> = FOLDED.iter().copied().chain(many.iter().map(String::as_str)).collect();
    for name in &names {
        bench.put(name, &[b"stone"]);
    }
    let store = store(fixture);
    let list = |prefix: &str, delimiter: &str, from: Bound<&str>, limit| -> FoldedPage {
        ok(store.list_folded(&bucket(), prefix, delimiter, from, limit))
    };
    for prefix in ["", "a", "a/", "a/b", "a/b/", "m/", "b", "a/\u{10ffff}", "zz"] {
        for delimiter in
            ["/", "", "b", "/b", "//", "\u{10ffff}", "\u{e4}/", "\u{d7ff}", "\u{e000}", "x", "0"]
        {
            let expected: Vec<_> = folded(&names, prefix, delimiter).into_iter().collect();
            for limit in [1, 2, 3, 5, usize::MAX] {
                let mut seen = Vec::new();
                let mut from = Bound::Unbounded;
                loop {
                    let page = list(prefix, delimiter, from.as_ref().map(String::as_str), limit);
                    assert!(
                        page.entries.len() <= limit
                            && (page.next.is_none() || page.entries.len() == limit)
                    );
                    seen.extend(page.entries.iter().map(entry_of));
                    match page.next {
                        Some(next) => from = next,
                        None => break,
                    }
                }
                assert_eq!(
                    seen, expected,
                    "prefix {prefix:?} delimiter {delimiter:?} limit {limit}"
                );
            }
        }
    }
    let entries = |from| list("a/", "/", from, 9).entries.iter().map(entry_of).collect::<Vec<_>>();
    let behind = [("a/b/".to_owned(), true), ("a/c".to_owned(), false)];
    assert_eq!(
        entries(Bound::Excluded("a/b/c"))[..2],
        behind,
        "what is left of a folder is still a folder"
    );
    assert_eq!(entries(Bound::Included("a/b/d"))[..2], behind);
    assert_eq!(entries(Bound::Excluded("a/b/d"))[..1], behind[1..]);
    assert_eq!(list("", "/", Bound::Unbounded, 0), FoldedPage::default());
    let missing = BucketName::new("missing").expect("a good name");
    assert!(matches!(
        store.list_folded(&missing, "", "/", Bound::Unbounded, 9),
        Err(StoreError::NoSuchBucket(_))
    ));
}

pub(super) fn a_bucket_can_be_public_and_removed(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let other = PlainArc::clone(&fixture.open().records);
    let before = ok(bench.records.bucket(&bucket())).expect("it was made");
    assert_eq!((before.name.clone(), before.public), (bucket(), false));
    ok(bench.records.set_bucket_public(&bucket(), true));
    assert!(!ok(bench.records.create_bucket(&NewBucket::named(bucket()))), "it exists");
    let public = ok(other.bucket(&bucket())).expect("it was made");
    assert_eq!((public.public, public.created_ms), (true, before.created_ms));
    assert_eq!(ok(other.buckets(None, 9)), [public]);
    ok(bench.records.set_bucket_public(&bucket(), false));
    assert_eq!(ok(other.bucket(&bucket())), Some(before));
    bench.put("wall", &[b"stone"]);
    let refused = bench.records.delete_bucket(&bucket());
    assert!(
        matches!(&refused, Err(StoreError::BucketNotEmpty(name)) if *name == bucket()),
        "{refused:?}"
    );
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), Condition::Always)));
    ok(bench.records.delete_bucket(&bucket()));
    assert_eq!(ok(other.bucket(&bucket())), None);
    assert_eq!(ok(other.buckets(None, 9)), []);
}

pub(super) fn a_bucket_keeps_what_was_said_of_it(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let name = BucketName::new("stones").expect("a good name");
    let new = NewBucket { name: name.clone(), region: Some("eu-west-1".into()), public: true };
    assert!(ok(bench.records.create_bucket(&new)));
    let other = PlainArc::clone(&fixture.open().records);
    let made = ok(other.bucket(&name)).expect("it was made");
    assert_eq!((made.region.as_deref(), made.public), (Some("eu-west-1"), true));
    let again = NewBucket { region: Some("eu-west-2".into()), ..NewBucket::named(name.clone()) };
    assert!(!ok(bench.records.create_bucket(&again)));
    assert_eq!(
        ok(other.bucket(&name)),
        Some(made.clone()),
        "a bucket that is there stays as it is"
    );
    let plain = ok(other.bucket(&bucket())).expect("it was made");
    assert_eq!((plain.region.as_deref(), plain.public), (None, false));
    assert_eq!(ok(other.buckets(None, 9)), [made, plain]);
}

pub(super) fn buckets_are_made_once_and_listed(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let name = |text: &str| BucketName::new(text).expect("a good name");
    for new in ["stones", "a.b", "a-b", "zzz"] {
        assert!(ok(bench.records.create_bucket(&NewBucket::named(name(new)))));
        assert!(!ok(bench.records.create_bucket(&NewBucket::named(name(new)))));
    }
    assert!(!ok(bench.records.create_bucket(&NewBucket::named(bucket()))));
    let list = |after: Option<&str>, limit| {
        let names = ok(bench.records.buckets(after.map(name).as_ref(), limit));
        names.iter().map(|row| row.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 99), ["a-b", "a.b", "stones", "walls", "zzz"]);
    assert_eq!(list(None, 2), ["a-b", "a.b"]);
    assert_eq!(list(Some("a.b"), 2), ["stones", "walls"]);
    assert_eq!(list(Some("b-b"), 1), ["stones"]);
    assert_eq!(list(Some("zzz"), 9), [""; 0]);
}

pub(super) fn huge_limits_mean_everything(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let manifest = bench.put("wall", &[b"stone", b"mortar"]);
    assert_eq!(bench.names("", None, usize::MAX), ["wall"]);
    assert_eq!(ok(bench.records.buckets(None, usize::MAX)).len(), 1);
    let open = bench.own_lens().iter().filter(|len| !len.sealed).count();
    assert_eq!(ok(bench.records.unsealed_segments(usize::MAX)).len(), open);
    assert_eq!(ok(bench.records.manifest_page(manifest, 0, usize::MAX)).len(), 2);
    let last = ok(bench.records.manifest_page(manifest, u64::MAX, usize::MAX));
    assert!(last.len() <= 1);
}
