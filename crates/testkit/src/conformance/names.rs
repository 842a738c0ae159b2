//! Listing: keys in the order of their bytes, buckets by name, in pages.

use drystone_store::BucketName;

use super::Fixture;
use super::bench::{Bench, bucket, ok};

/// In byte order: `.` and `-` sort before `/`, digits and letters after it, multibyte characters last.
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

pub(super) fn objects_are_listed_in_byte_order(fixture: &dyn Fixture) {
    let bench = bench_with_names(fixture);
    assert!(NAMES.is_sorted());
    let edges =
        ["", "a", "a/", "a/b", "a/b/", "a0", "a\u{ff}", "\u{e4}", "\u{ffff}", "\u{10ffff}", "zz", "A"];
    for prefix in edges {
        for limit in [1, 3, 99] {
            check(&bench, prefix, None, limit);
            for after in edges {
                check(&bench, prefix, Some(after), limit);
            }
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
        let expected: Vec<&str> = NAMES.iter().filter(|name| name.starts_with(prefix)).copied().collect();
        assert_eq!(seen, expected);
    }
}

pub(super) fn buckets_are_made_once_and_listed(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let name = |text: &str| BucketName::new(text).expect("a good name");
    for new in ["stones", "a.b", "a-b", "zzz"] {
        assert!(ok(bench.records.create_bucket(&name(new))));
        assert!(!ok(bench.records.create_bucket(&name(new))));
    }
    assert!(!ok(bench.records.create_bucket(&bucket())));
    let list = |after: Option<&str>, limit| {
        let names = ok(bench.records.buckets(after.map(name).as_ref(), limit));
        names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
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
    assert_eq!(ok(bench.records.buckets(None, usize::MAX)), [bucket()]);
    assert_eq!(ok(bench.records.unsealed_segments(usize::MAX)), [bench.writer.id()]);
    assert_eq!(ok(bench.records.manifest_page(manifest, 0, usize::MAX)).len(), 2);
    let last = ok(bench.records.manifest_page(manifest, u64::MAX, usize::MAX));
    assert!(last.len() <= 1);
}
