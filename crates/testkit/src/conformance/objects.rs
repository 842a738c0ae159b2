//! Objects: put, replaced, conditional, deleted.

use std::collections::BTreeMap;
use std::ops::Bound;

use drystone_store::{
    BucketName, Condition, CopySource, CopyTarget, Entry, ManifestId, ObjectMeta, ObjectRow,
    ObjectVersion, PutTarget, Result, StoreError, TAGS,
};

use super::Fixture;
use super::bench::{Bench, bucket, complete_at, content, key, ok, target};

pub(super) fn an_object_is_what_was_put(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let user = BTreeMap::from([
        ("colour".to_owned(), "grün, \"quoted\"\n".to_owned()),
        (String::new(), String::new()),
    ]);
    let metas = [
        ObjectMeta::default(),
        ObjectMeta {
            media_type: Some("text/plain; charset=utf-8".into()),
            system: BTreeMap::from([("etag".to_owned(), "\"0\"\u{0}".to_owned())]),
            user,
            modified_ns: i64::MIN,
            mode: Some(0o7777),
        },
        ObjectMeta {
            media_type: Some(String::new()),
            modified_ns: i64::MAX,
            mode: Some(u32::MAX),
            ..ObjectMeta::default()
        },
    ];
    for (number, meta) in metas.into_iter().enumerate() {
        let name = format!("object {number}\u{1f9f1}\n");
        let (chunks, size) = bench.append_all(&[name.as_bytes()]);
        let target = PutTarget { meta: meta.clone(), ..target(&name) };
        let last = complete_at(target, size, content(7));
        let manifest = ok(bench.commit_one(bench.entry(chunks, Some(last))));
        let expected = ObjectRow { key: key(&name), size, content: content(7), meta, manifest };
        assert_eq!(bench.stat(&name).as_ref(), Some(&expected));
        assert_eq!(ok(bench.records.list(&bucket(), &name, Bound::Unbounded, 2)), [expected]);
    }
    // Another process sees the same.
    let other = fixture.open();
    assert_eq!(ok(other.records.list(&bucket(), "", Bound::Unbounded, 9)).len(), 3);
}

pub(super) fn a_put_replaces(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let old = bench.put("wall", &[b"old"]);
    let new = bench.put("wall", &[b"new", b"stones"]);
    assert_ne!(old, new, "a manifest never changes under a reader");
    let row = bench.stat("wall").expect("it was put");
    assert_eq!((row.size, row.manifest, row.content), (9, new, content(2)));
    assert_eq!(
        ok(bench.records.manifest_page(old, 0, 9)).len(),
        1,
        "the old manifest stays until a collect"
    );
    assert_eq!(bench.names("", None, 9), ["wall"]);
}

fn entry_if(bench: &mut Bench, condition: Condition, number: u8) -> Entry {
    let (chunks, size) = bench.append_all(&[&[number; 3]]);
    let last = complete_at(PutTarget { condition, ..target("wall") }, size, content(number));
    bench.entry(chunks, Some(last))
}

fn put_if(bench: &mut Bench, condition: Condition, number: u8) -> Result<ManifestId> {
    let entry = entry_if(bench, condition, number);
    bench.commit_one(entry)
}

/// The condition that nothing has come after what is there.
fn unchanged(bench: &Bench) -> Condition {
    Condition::IfVersion(bench.stat("wall").expect("it is there").version())
}

#[track_caller]
fn check_refused(result: &Result<ManifestId>) {
    assert!(
        matches!(result, Err(StoreError::PreconditionFailed { key: found }) if *found == key("wall")),
        "{result:?}"
    );
}

pub(super) fn conditions_are_held(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let nothing = ObjectVersion { manifest: ManifestId(1), modified_ns: 0 };
    check_refused(&put_if(&mut bench, Condition::IfVersion(nothing), 1));
    assert_eq!(bench.stat("wall"), None);
    ok(put_if(&mut bench, Condition::IfAbsent, 1));
    check_refused(&put_if(&mut bench, Condition::IfAbsent, 2));
    let first = unchanged(&bench);
    ok(put_if(&mut bench, first, 2));
    check_refused(&put_if(&mut bench, first, 3));
    assert_eq!(bench.stat("wall").map(|row| row.content), Some(content(2)));
    ok(put_if(&mut bench, Condition::Always, 3));
    assert_eq!(bench.stat("wall").map(|row| row.content), Some(content(3)));
    let last = unchanged(&bench);
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), Condition::Always)));
    check_refused(&put_if(&mut bench, last, 4));
    ok(put_if(&mut bench, Condition::IfAbsent, 4));
}

pub(super) fn a_delete_holds_its_condition(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    ok(put_if(&mut bench, Condition::Always, 1));
    let first = unchanged(&bench);
    ok(put_if(&mut bench, Condition::Always, 2));
    let second = unchanged(&bench);
    for wrong in [first, Condition::IfAbsent] {
        check_kept(&bench, wrong);
    }
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), second)));
    assert_eq!(bench.stat("wall"), None);
    let refused = bench.records.delete(&bucket(), &key("wall"), second);
    assert!(matches!(refused, Err(StoreError::PreconditionFailed { .. })), "{refused:?}");
    assert!(!ok(bench.records.delete(&bucket(), &key("wall"), Condition::IfAbsent)));
}

#[track_caller]
fn check_kept(bench: &Bench, condition: Condition) {
    let refused = bench.records.delete(&bucket(), &key("wall"), condition);
    assert!(
        matches!(refused, Err(StoreError::PreconditionFailed { .. })),
        "{condition:?}: {refused:?}"
    );
    assert!(bench.stat("wall").is_some(), "what is refused removes nothing");
}

/// A condition about an object holds for that object only. One with the same bytes is another: the
/// same put again, and a copy onto itself.
pub(super) fn the_same_bytes_again_are_another_object(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    ok(put_if(&mut bench, Condition::Always, 1));
    let seen = unchanged(&bench);
    ok(put_if(&mut bench, seen, 1));
    check_refused(&put_if(&mut bench, seen, 2));
    check_kept(&bench, seen);

    let seen = unchanged(&bench);
    let source = CopySource { bucket: bucket(), key: key("wall"), content: None };
    let onto = |condition, modified_ns| CopyTarget {
        bucket: bucket(),
        key: key("wall"),
        meta: None,
        modified_ns: Some(modified_ns),
        condition,
    };
    ok(bench.records.copy(&source, &onto(seen, 7)));
    let refused = bench.records.copy(&source, &onto(seen, 8));
    assert!(matches!(refused, Err(StoreError::PreconditionFailed { .. })), "{refused:?}");
    check_refused(&put_if(&mut bench, seen, 2));
    check_kept(&bench, seen);
    let row = bench.stat("wall").expect("it is there");
    assert_eq!((row.content, row.meta.modified_ns), (content(1), 7));
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), Condition::IfVersion(row.version()))));
}

pub(super) fn conditions_see_their_own_batch(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    // Of two that have seen the same, the first gets through: with nothing there, and with an
    // object there.
    for number in [1, 3] {
        let seen = if number == 1 { Condition::IfAbsent } else { unchanged(&bench) };
        let entries = [entry_if(&mut bench, seen, number), entry_if(&mut bench, seen, number + 1)];
        let [first, second]: [_; 2] = bench.commit(&entries).try_into().expect("two results");
        ok(first);
        check_refused(&second);
        assert_eq!(bench.stat("wall").map(|row| row.content), Some(content(number)));
    }
}

pub(super) fn a_property_is_changed_and_nothing_else(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let system = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let meta = ObjectMeta {
        system: system(&[("etag", "\"tags\":")]),
        modified_ns: 7,
        ..ObjectMeta::default()
    };
    let (chunks, size) = bench.append_all(&[b"stone"]);
    let last = complete_at(PutTarget { meta, ..target("wall") }, size, content(1));
    ok(bench.commit_one(bench.entry(chunks, Some(last))));
    let before = bench.stat("wall").expect("it was put");
    let (walls, wall) = (bucket(), key("wall"));
    let set =
        |name: &str, value: Option<&str>| bench.records.set_property(&walls, &wall, name, value);
    ok(set(TAGS, Some("\"grün\"\n")));
    ok(set("colour", Some("")));
    let expected = system(&[("colour", ""), ("etag", "\"tags\":"), (TAGS, "\"grün\"\n")]);
    let changed = ObjectRow {
        meta: ObjectMeta { system: expected, ..before.meta.clone() },
        ..before.clone()
    };
    assert_eq!(ok(fixture.open().records.object(&walls, &wall)), Some(changed.clone()));
    assert_eq!(changed.version(), before.version());
    // What may be long stays out of lists.
    let mut listed = changed;
    listed.meta.system.remove(TAGS);
    assert_eq!(ok(bench.records.list(&walls, "", Bound::Unbounded, 9)), [listed]);
    ok(set(TAGS, None));
    ok(set("colour", None));
    ok(set("none", None));
    assert_eq!(bench.stat("wall"), Some(before));
    ok(set(TAGS, Some("old")));
    let refused = bench.records.set_property(&walls, &key("none"), TAGS, Some("new"));
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    let missing = BucketName::new("missing").expect("a good name");
    let refused = bench.records.set_property(&missing, &wall, TAGS, None);
    assert!(matches!(refused, Err(StoreError::NoSuchBucket(_))), "{refused:?}");
    bench.put("wall", &[b"new"]);
    assert_eq!(
        bench.stat("wall").expect("it was put").meta,
        ObjectMeta::default(),
        "a put replaces all of it"
    );
    let meta =
        ObjectMeta { system: system(&[(TAGS, "a"), ("etag", "b")]), ..ObjectMeta::default() };
    let begun = ok(bench.records.create_upload(&walls, &wall, &meta));
    assert_eq!(ok(bench.records.upload(begun.id)), Some(begun));
    let listed = ok(bench.records.uploads(&walls, "", None, 9));
    assert_eq!(listed[0].meta.system, system(&[("etag", "b")]));
}

pub(super) fn a_missing_bucket_is_an_error(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let missing = BucketName::new("missing").expect("a good name");
    let (chunks, size) = bench.append_all(&[b"stone"]);
    let target = PutTarget { bucket: missing.clone(), ..target("wall") };
    let last = complete_at(target, size, content(1));
    let errors = [
        bench.commit_one(bench.entry(chunks, Some(last))).err(),
        bench.records.object(&missing, &key("wall")).err(),
        bench.records.list(&missing, "", Bound::Unbounded, 1).err(),
        bench.records.delete(&missing, &key("wall"), Condition::Always).err(),
        bench.records.set_bucket_public(&missing, true).err(),
        bench.records.delete_bucket(&missing).err(),
    ];
    for error in errors {
        assert!(
            matches!(&error, Some(StoreError::NoSuchBucket(name)) if *name == missing),
            "{error:?}"
        );
    }
}

pub(super) fn a_deleted_object_is_gone(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let manifest = bench.put("wall", &[b"stone"]);
    bench.put("wall/top", &[b"stone"]);
    assert!(!ok(bench.records.delete(&bucket(), &key("wal"), Condition::Always)));
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), Condition::Always)));
    assert!(!ok(bench.records.delete(&bucket(), &key("wall"), Condition::Always)));
    assert_eq!(bench.stat("wall"), None);
    assert_eq!(bench.names("", None, 9), ["wall/top"]);
    // A reader that looked the object up before can still read it.
    assert_eq!(ok(bench.records.manifest_page(manifest, 0, 9)).len(), 1);
    bench.put("wall", &[b"stone"]);
    assert_eq!(bench.names("", None, 9), ["wall", "wall/top"]);
}
