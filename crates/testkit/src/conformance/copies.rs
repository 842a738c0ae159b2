//! Copies: another object, or a part, of the same bytes.

use std::ops::Range;

use drystone_store::{
    BucketName, Condition, ContentHash, CopySource, CopyTarget, NewBucket, ObjectMeta, PartTarget,
    StoreError,
};

use super::Fixture;
use super::bench::{Bench, bucket, content, key, ok};
use super::multipart::{begin, named, put_part};

fn source(name: &str) -> CopySource {
    CopySource { bucket: bucket(), key: key(name), content: None }
}

fn to(name: &str) -> CopyTarget {
    let condition = Condition::Always;
    CopyTarget { bucket: bucket(), key: key(name), meta: None, modified_ns: None, condition }
}

pub(super) fn a_copy_is_an_object_of_its_own(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let manifest = bench.put("wall", &[b"stone", b"mortar"]);
    let before = ok(bench.records.totals());
    let copied = ok(bench.records.copy(&source("wall"), &to("copy")));
    let row = bench.stat("wall").expect("it is still there");
    assert_eq!(bench.stat("copy"), Some(copied.clone()));
    assert_eq!((copied.size, copied.content, copied.manifest), (11, content(2), manifest));
    assert_eq!(copied.meta, row.meta);
    let totals = ok(bench.records.totals());
    assert_eq!(
        (totals.chunks, totals.chunk_bytes),
        (before.chunks, before.chunk_bytes),
        "no byte is copied"
    );
    bench.put("wall", &[b"another"]);
    assert_eq!(bench.bytes(copied.manifest, 0), b"stonemortar");
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), Condition::Always)));
    assert_eq!(bench.stat("copy").map(|row| row.manifest), Some(manifest));
    assert_eq!(bench.bytes(copied.manifest, 0), b"stonemortar");
    // Onto itself, with other properties.
    let meta = ObjectMeta {
        media_type: Some("text/plain".into()),
        modified_ns: 5,
        ..ObjectMeta::default()
    };
    let target = CopyTarget { meta: Some(meta.clone()), ..to("copy") };
    let changed = ok(bench.records.copy(&source("copy"), &target));
    assert_eq!((changed.meta, changed.manifest), (meta.clone(), manifest));
    let target = CopyTarget { modified_ns: Some(6), ..to("later") };
    let later = ok(bench.records.copy(&source("copy"), &target));
    assert_eq!(later.meta, ObjectMeta { modified_ns: 6, ..meta });
    let stones = BucketName::new("stones").expect("a good name");
    ok(bench.records.create_bucket(&NewBucket::named(stones.clone())));
    ok(bench.records.copy(&source("copy"), &CopyTarget { bucket: stones.clone(), ..to("far") }));
    assert_eq!(ok(bench.records.object(&stones, &key("far"))).map(|row| row.size), Some(11));
}

pub(super) fn a_copy_is_refused_with_a_reason(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("wall", &[b"stone"]);
    let missing = BucketName::new("missing").expect("a good name");
    let refused = |source: &CopySource, target: &CopyTarget| {
        bench.records.copy(source, target).expect_err("it should be refused")
    };
    let nowhere = CopySource { bucket: missing.clone(), ..source("wall") };
    assert!(
        matches!(refused(&nowhere, &to("copy")), StoreError::NoSuchBucket(name) if name == missing)
    );
    let nowhere = CopyTarget { bucket: missing.clone(), ..to("copy") };
    assert!(
        matches!(refused(&source("wall"), &nowhere), StoreError::NoSuchBucket(name) if name == missing)
    );
    assert!(
        matches!(refused(&source("wal"), &to("copy")), StoreError::NotFound { key: found, .. } if found == key("wal"))
    );
    let changed = CopySource { content: Some(content(9)), ..source("wall") };
    let error = refused(&changed, &to("copy"));
    assert!(matches!(error, StoreError::PreconditionFailed { key: found } if found == key("wall")));
    let taken = CopyTarget { condition: Condition::IfAbsent, ..to("wall") };
    assert!(matches!(refused(&source("wall"), &taken), StoreError::PreconditionFailed { .. }));
    assert_eq!(bench.names("", None, 9), ["wall"]);
    let same = CopySource { content: Some(content(1)), ..source("wall") };
    ok(bench.records.copy(&same, &CopyTarget { condition: Condition::IfAbsent, ..to("copy") }));
}

fn copy_part(
    bench: &Bench,
    name: &str,
    upload: drystone_store::UploadId,
    number: u32,
    range: Option<Range<u64>>,
) {
    let target = PartTarget { upload, number, system: Default::default() };
    let part = ok(bench.records.copy_part(&source(name), range, &target));
    let parts = ok(bench.records.parts(upload, number - 1, 1));
    assert_eq!(parts, [part], "the part is what was answered");
}

pub(super) fn ranges_become_parts(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("letters", &[b"abc", b"defgh", b"i", b"jklmnop"]);
    let all = b"abcdefghijklmnop";
    for from in 0..=all.len() {
        for to in from..=all.len() {
            let upload = begin(&bench, "copy");
            copy_part(&bench, "letters", upload, 1, Some(from as u64..to as u64));
            put_part(&mut bench, upload, 2, &[b"-+-"]);
            copy_part(&bench, "letters", upload, 3, None);
            let row = ok(bench.records.complete_upload(upload, &named(&[1, 2, 3])));
            let expected = [&all[from..to], b"-+-", all].concat();
            assert_eq!(bench.bytes(row.manifest, 0), expected, "{from}..{to}");
            assert_eq!(row.size, expected.len() as u64);
        }
    }
    let upload = begin(&bench, "copy");
    let target = PartTarget { upload, number: 1, system: Default::default() };
    for range in [0..17, 17..17, 0..u64::MAX, u64::MAX..u64::MAX, Range { start: 3, end: 2 }] {
        let refused = bench.records.copy_part(&source("letters"), Some(range), &target);
        assert!(matches!(refused, Err(StoreError::RangeBeyondEnd { size: 16 })), "{refused:?}");
    }
    let changed = CopySource { content: Some(ContentHash([9; 32])), ..source("letters") };
    let refused = bench.records.copy_part(&changed, None, &target);
    assert!(matches!(refused, Err(StoreError::PreconditionFailed { .. })), "{refused:?}");
    let nowhere = PartTarget { upload: drystone_store::UploadId(987_654), ..target.clone() };
    let refused = bench.records.copy_part(&source("letters"), None, &nowhere);
    assert!(matches!(refused, Err(StoreError::NoSuchUpload(_))), "{refused:?}");
    let refused =
        bench.records.copy_part(&source("letters"), None, &PartTarget { number: 0, ..target });
    assert!(matches!(refused, Err(StoreError::PartNumber { .. })), "{refused:?}");
}

/// A composite's rows, from every byte and in every page, are those of its bytes.
pub(super) fn a_composite_is_paged_from_any_byte(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("letters", &[b"abc", b"defgh", b"i"]);
    bench.put("digits", &[b"01234", b"56789"]);
    let upload = begin(&bench, "both");
    copy_part(&bench, "letters", upload, 1, Some(1..7));
    copy_part(&bench, "digits", upload, 2, Some(3..4));
    copy_part(&bench, "digits", upload, 3, None);
    let both = ok(bench.records.complete_upload(upload, &named(&[1, 2, 3])));
    let expected = b"bcdefg30123456789";
    assert_eq!(bench.bytes(both.manifest, 0), expected);
    // A composite of a composite is one of its plain manifests.
    let upload = begin(&bench, "again");
    copy_part(&bench, "both", upload, 4, Some(4..9));
    copy_part(&bench, "both", upload, 8, None);
    let again = ok(bench.records.complete_upload(upload, &named(&[4, 8])));
    assert_eq!(bench.bytes(again.manifest, 0), [&expected[4..9], expected].concat());
    // And one that takes a plain manifest to pieces and puts all of them together is that manifest.
    let upload = begin(&bench, "whole");
    copy_part(&bench, "digits", upload, 1, Some(0..7));
    copy_part(&bench, "both", upload, 2, Some(14..17));
    let whole = ok(bench.records.complete_upload(upload, &named(&[1, 2])));
    let digits = bench.stat("digits").expect("it was put");
    assert_eq!((whole.manifest, whole.content), (digits.manifest, digits.content));
    for name in ["letters", "digits", "both", "again", "whole"] {
        assert!(ok(bench.records.delete(&bucket(), &key(name), Condition::Always)));
    }
    for (row, size) in [(&both, 17), (&again, 22)] {
        let rows = ok(bench.records.manifest_page(row.manifest, 0, usize::MAX));
        for from in 0..size + 2 {
            let first =
                rows.iter().rposition(|row| row.offset <= from).expect("the first begins at 0");
            for limit in 0..=rows.len() + 1 {
                let page = ok(bench.records.manifest_page(row.manifest, from, limit));
                let expected: Vec<_> = rows[first..].iter().take(limit).copied().collect();
                assert_eq!(page, expected, "from {from} limit {limit}");
            }
        }
        assert_eq!(ok(bench.records.manifest_page(row.manifest, u64::MAX, 9)).len(), 1);
    }
}
