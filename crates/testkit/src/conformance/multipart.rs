//! Multipart uploads: parts come and go, and one transaction makes them an object.

use std::collections::BTreeMap;

use drystone_store::{
    BucketName, Completion, Condition, ContentHash, CopySource, ManifestId, NamedPart, NewBucket,
    ObjectMeta, ObjectPart, ObjectParts, PART_NUMBER_MAX, PartTarget, Result, StoreError, UploadId,
};

use super::Fixture;
use super::bench::{Bench, bucket, complete_at, content, key, ok};

pub(super) fn begin(bench: &Bench, name: &str) -> UploadId {
    ok(bench.records.create_upload(&bucket(), &key(name), &ObjectMeta::default())).id
}

fn etag(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("etag".to_owned(), text.to_owned())])
}

fn try_part(
    bench: &mut Bench,
    upload: UploadId,
    number: u32,
    parts: &[&[u8]],
) -> Result<ManifestId> {
    let (chunks, size) = bench.append_all(parts);
    let target = PartTarget { upload, number, system: etag(&format!("{number}")) };
    let last = complete_at(target, size, content(number as u8));
    bench.commit_one(bench.entry(chunks, Some(last)))
}

/// Puts a part whose etag is its number.
pub(super) fn put_part(
    bench: &mut Bench,
    upload: UploadId,
    number: u32,
    parts: &[&[u8]],
) -> ManifestId {
    ok(try_part(bench, upload, number, parts))
}

pub(super) fn named(numbers: &[u32]) -> Completion {
    let part = |number: &u32| NamedPart { number: *number, ..NamedPart::default() };
    Completion { parts: numbers.iter().map(part).collect(), ..Completion::default() }
}

#[track_caller]
fn check_gone<T: std::fmt::Debug>(result: &Result<T>, upload: UploadId) {
    assert!(
        matches!(result, Err(StoreError::NoSuchUpload(found)) if *found == upload),
        "{result:?}"
    );
}

fn numbers(bench: &Bench, upload: UploadId) -> Vec<u32> {
    ok(bench.records.parts(upload, 0, usize::MAX)).iter().map(|part| part.number).collect()
}

pub(super) fn an_upload_is_what_was_begun(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let meta = ObjectMeta {
        media_type: Some("text/plain".into()),
        user: BTreeMap::from([("colour".to_owned(), "grün".to_owned())]),
        system: etag("first"),
        modified_ns: -5,
        mode: Some(0o640),
    };
    let begun = ok(bench.records.create_upload(&bucket(), &key("wall"), &meta));
    assert_eq!((&begun.bucket, &begun.key, &begun.meta), (&bucket(), &key("wall"), &meta));
    let other = fixture.open();
    assert_eq!(ok(other.records.upload(begun.id)), Some(begun.clone()));
    assert_eq!(ok(other.records.parts(begun.id, 0, 9)), []);
    assert_eq!(bench.stat("wall"), None, "an upload is no object");
    for unknown in [UploadId(987_654), UploadId(u64::MAX)] {
        assert_eq!(ok(bench.records.upload(unknown)), None);
        check_gone(&bench.records.parts(unknown, 0, 9), unknown);
        assert!(!ok(bench.records.abort_upload(unknown)));
    }
    let missing = BucketName::new("missing").expect("a good name");
    let errors = [
        bench.records.create_upload(&missing, &key("wall"), &meta).err(),
        bench.records.uploads(&missing, "", None, 9).err(),
    ];
    for error in errors {
        assert!(
            matches!(&error, Some(StoreError::NoSuchBucket(name)) if *name == missing),
            "{error:?}"
        );
    }
}

pub(super) fn uploads_are_listed_by_key_and_id(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let names = ["b", "a/\u{e4}", "a", "a/b", "a", "a0"];
    let mut begun: Vec<(&str, UploadId)> =
        names.iter().map(|name| (*name, begin(&bench, name))).collect();
    begun.sort();
    for prefix in ["", "a", "a/", "b", "c"] {
        let expected: Vec<_> =
            begun.iter().filter(|(name, _)| name.starts_with(prefix)).copied().collect();
        for page in [1, 2, 99] {
            let mut seen: Vec<(String, UploadId)> = Vec::new();
            loop {
                let after = seen.last().map(|(name, id)| (name.as_str(), *id));
                let rows = ok(bench.records.uploads(&bucket(), prefix, after, page));
                if rows.is_empty() {
                    break;
                }
                seen.extend(rows.into_iter().map(|row| (row.key.as_str().to_owned(), row.id)));
            }
            let seen: Vec<_> = seen.iter().map(|(name, id)| (name.as_str(), *id)).collect();
            assert_eq!(seen, expected, "prefix {prefix:?} page {page}");
        }
    }
    // All uploads of one key are skipped together.
    let later = ok(bench.records.uploads(&bucket(), "", Some(("a", UploadId(u64::MAX))), 1));
    assert_eq!(later[0].key, key("a/b"));
}

pub(super) fn parts_are_replaced_and_paged(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let (upload, other) = (begin(&bench, "wall"), begin(&bench, "wall"));
    for number in [7, 2, PART_NUMBER_MAX, 1] {
        put_part(&mut bench, upload, number, &[b"old"]);
    }
    put_part(&mut bench, other, 3, &[b"other"]);
    let new = put_part(&mut bench, upload, 2, &[b"new", b"stone"]);
    assert_eq!(numbers(&bench, upload), [1, 2, 7, PART_NUMBER_MAX]);
    let page = ok(bench.records.parts(upload, 1, 2));
    assert_eq!(page.iter().map(|part| part.number).collect::<Vec<_>>(), [2, 7]);
    let part = &page[0];
    assert_eq!((part.size, part.content, part.manifest), (8, content(2), new));
    assert_eq!(part.system, etag("2"));
    for number in [0, PART_NUMBER_MAX + 1] {
        let refused = try_part(&mut bench, upload, number, &[b"stone"]);
        assert!(matches!(refused, Err(StoreError::PartNumber { .. })), "{refused:?}");
    }
    check_gone(&try_part(&mut bench, UploadId(987_654), 1, &[b"stone"]), UploadId(987_654));
    let totals = ok(bench.records.totals());
    assert_eq!((totals.objects, totals.object_bytes), (0, 0), "parts are no objects");
}

pub(super) fn an_upload_becomes_an_object(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let meta = ObjectMeta { system: etag("begun"), modified_ns: 77, ..ObjectMeta::default() };
    let upload = ok(bench.records.create_upload(&bucket(), &key("wall"), &meta)).id;
    put_part(&mut bench, upload, 2, &[b"three", b"four"]);
    put_part(&mut bench, upload, 1, &[b"one", b"two"]);
    put_part(&mut bench, upload, 5, &[]);
    put_part(&mut bench, upload, 9, &[b"not named"]);
    let mut completion = named(&[1, 2, 5]);
    completion.parts[0].content = Some(content(1));
    completion.parts[1].system = etag("2");
    completion.system = etag("all");
    let row = ok(bench.records.complete_upload(upload, &completion));
    assert_eq!(bench.stat("wall").as_ref(), Some(&row));
    assert_eq!((row.size, row.meta.system.clone(), row.meta.modified_ns), (15, etag("all"), 77));
    assert_eq!(bench.bytes(row.manifest, 0), b"onetwothreefour");
    let offsets: Vec<u64> =
        ok(bench.records.manifest_page(row.manifest, 0, 9)).iter().map(|row| row.offset).collect();
    assert_eq!(offsets, [0, 3, 6, 11]);
    check_gone(&bench.records.complete_upload(upload, &completion), upload);
    check_gone(&bench.records.parts(upload, 0, 9), upload);
    check_gone(&try_part(&mut bench, upload, 1, &[b"late"]), upload);
    assert!(!ok(bench.records.abort_upload(upload)), "it was completed");
    assert_eq!(ok(bench.records.uploads(&bucket(), "", None, 9)), []);
    // What was acknowledged stays when other things of the same name come and go.
    let again = begin(&bench, "wall");
    put_part(&mut bench, again, 1, &[b"again"]);
    let replaced = ok(bench.records.complete_upload(again, &named(&[1])));
    assert_eq!(bench.bytes(row.manifest, 0), b"onetwothreefour");
    assert_eq!(replaced.content, content(1), "all of one part contains what that part contains");
    let empty = begin(&bench, "empty");
    let row = ok(bench.records.complete_upload(empty, &named(&[])));
    assert_eq!((row.size, bench.bytes(row.manifest, 0)), (0, Vec::new()));
}

pub(super) fn the_parts_of_an_object_are_remembered(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let upload = begin(&bench, "wall");
    for (number, bytes) in [(2, &[&b"two"[..]][..]), (3, &[]), (7, &[b"seven"]), (9, &[b"nine"])] {
        put_part(&mut bench, upload, number, bytes);
    }
    let row = ok(bench.records.complete_upload(upload, &named(&[2, 3, 9])));
    let part = |number, offset, size, tag| ObjectPart { number, offset, size, system: etag(tag) };
    let expected = [part(1, 0, 3, "2"), part(2, 3, 0, "3"), part(3, 3, 4, "9")];
    let other = fixture.open().records;
    let parts = |after, limit| ok(other.object_parts(row.manifest, upload, after, limit));
    assert_eq!(parts(0, usize::MAX), ObjectParts { total: 3, page: expected.to_vec() });
    assert_eq!(parts(1, 1), ObjectParts { total: 3, page: expected[1..2].to_vec() });
    assert_eq!(parts(3, 9), ObjectParts { total: 3, page: Vec::new() });
    // An object of one part shares the part's manifest, and so may others: each has the parts that
    // it was made of.
    let source = CopySource { bucket: bucket(), key: key("wall"), content: None };
    let mut made = Vec::new();
    for tag in ["first", "second"] {
        let upload = begin(&bench, tag);
        let target = PartTarget { upload, number: 5, system: etag(tag) };
        ok(bench.records.copy_part(&source, Some(0..3), &target));
        made.push((upload, ok(bench.records.complete_upload(upload, &named(&[5]))).manifest));
    }
    assert_eq!(made[0].1, made[1].1, "both are all of one manifest");
    for ((upload, manifest), tag) in made.iter().zip(["first", "second"]) {
        let parts = ok(bench.records.object_parts(*manifest, *upload, 0, 9));
        assert_eq!(parts.page, [part(1, 0, 3, tag)]);
    }
    for (manifest, upload) in
        [(row.manifest, made[0].0), (made[0].1, upload), (row.manifest, UploadId(u64::MAX))]
    {
        assert_eq!(ok(bench.records.object_parts(manifest, upload, 0, 9)), ObjectParts::default());
    }
}

pub(super) fn a_refused_completion_changes_nothing(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("wall", &[b"stands"]);
    let upload = begin(&bench, "wall");
    put_part(&mut bench, upload, 1, &[b"one"]);
    put_part(&mut bench, upload, 2, &[b"two"]);
    let refused = |completion: &Completion| {
        bench.records.complete_upload(upload, completion).expect_err("it should be refused")
    };
    assert!(matches!(refused(&named(&[1, 3])), StoreError::PartMissing { number: 3 }));
    assert!(matches!(refused(&named(&[2, 1])), StoreError::PartOrder { number: 1 }));
    assert!(matches!(refused(&named(&[1, 1])), StoreError::PartOrder { number: 1 }));
    let mut wrong = named(&[1, 2]);
    wrong.parts[1].system = etag("1");
    assert!(matches!(refused(&wrong), StoreError::PartChanged { number: 2 }));
    wrong = named(&[1, 2]);
    wrong.parts[0].content = Some(ContentHash([0xEE; 32]));
    assert!(matches!(refused(&wrong), StoreError::PartChanged { number: 1 }));
    wrong = named(&[1, 2]);
    wrong.condition = Condition::IfAbsent;
    assert!(matches!(refused(&wrong), StoreError::PreconditionFailed { .. }));
    assert_eq!(numbers(&bench, upload), [1, 2]);
    assert_eq!(bench.stat("wall").map(|row| row.size), Some(6));
    let there = bench.stat("wall").expect("it was refused");
    wrong.condition = Condition::IfVersion(there.version());
    let row = ok(bench.records.complete_upload(upload, &wrong));
    assert_eq!(bench.bytes(row.manifest, 0), b"onetwo");
    assert_eq!(ok(bench.records.object_parts(row.manifest, upload, 0, 9)).total, 2);
}

pub(super) fn an_aborted_upload_is_gone(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let (upload, other) = (begin(&bench, "wall"), begin(&bench, "wall"));
    put_part(&mut bench, upload, 1, &[b"one"]);
    put_part(&mut bench, other, 1, &[b"other"]);
    assert!(ok(bench.records.abort_upload(upload)));
    assert!(!ok(bench.records.abort_upload(upload)));
    check_gone(&bench.records.complete_upload(upload, &named(&[1])), upload);
    check_gone(&try_part(&mut bench, upload, 1, &[b"late"]), upload);
    assert_eq!(ok(bench.records.upload(upload)), None);
    assert_eq!(numbers(&bench, other), [1], "the other upload lives");
    // An upload needs no session: its parts stay when the one that put them is over.
    ok(bench.records.end_session(bench.session));
    let row = ok(bench.records.complete_upload(other, &named(&[1])));
    assert_eq!(bench.bytes(row.manifest, 0), b"other");
    assert_ne!(begin(&bench, "wall"), other, "an upload's id is used again");
}

pub(super) fn uploads_go_with_their_bucket(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let upload = begin(&bench, "wall");
    put_part(&mut bench, upload, 1, &[b"one"]);
    bench.put("wall", &[b"stands"]);
    let refused = bench.records.delete_bucket(&bucket());
    assert!(
        matches!(&refused, Err(StoreError::BucketNotEmpty(name)) if *name == bucket()),
        "{refused:?}"
    );
    assert_eq!(numbers(&bench, upload), [1]);
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), Condition::Always)));
    ok(bench.records.delete_bucket(&bucket()));
    assert!(ok(bench.records.create_bucket(&NewBucket::named(bucket()))), "it was removed");
    assert_eq!(ok(bench.records.upload(upload)), None);
    assert_eq!(ok(bench.records.uploads(&bucket(), "", None, 9)), []);
    check_gone(&bench.records.complete_upload(upload, &named(&[1])), upload);
    check_gone(&bench.records.parts(upload, 0, 9), upload);
    check_gone(&try_part(&mut bench, upload, 2, &[b"late"]), upload);
    assert!(!ok(bench.records.abort_upload(upload)));
    assert_eq!(bench.names("", None, 9), [""; 0]);
}
