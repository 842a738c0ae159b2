//! Objects: put, replaced, conditional, deleted.

use std::collections::BTreeMap;
use std::ops::Bound;

use drystone_store::{
    BucketName, Condition, ManifestId, ObjectMeta, ObjectRow, PutTarget, Result, StoreError,
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
    assert_eq!(ok(bench.records.manifest_page(old, 0, 9)).len(), 1, "the old manifest stays until a collect");
    assert_eq!(bench.names("", None, 9), ["wall"]);
}

fn put_if(bench: &mut Bench, condition: Condition, number: u8) -> Result<ManifestId> {
    let (chunks, size) = bench.append_all(&[&[number; 3]]);
    let last = complete_at(PutTarget { condition, ..target("wall") }, size, content(number));
    bench.commit_one(bench.entry(chunks, Some(last)))
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
    check_refused(&put_if(&mut bench, Condition::IfContent(content(1)), 1));
    assert_eq!(bench.stat("wall"), None);
    ok(put_if(&mut bench, Condition::IfAbsent, 1));
    check_refused(&put_if(&mut bench, Condition::IfAbsent, 2));
    check_refused(&put_if(&mut bench, Condition::IfContent(content(2)), 2));
    assert_eq!(bench.stat("wall").map(|row| row.content), Some(content(1)));
    ok(put_if(&mut bench, Condition::IfContent(content(1)), 2));
    ok(put_if(&mut bench, Condition::Always, 3));
    assert_eq!(bench.stat("wall").map(|row| row.content), Some(content(3)));
    assert!(ok(bench.records.delete(&bucket(), &key("wall"), Condition::Always)));
    check_refused(&put_if(&mut bench, Condition::IfContent(content(3)), 4));
    ok(put_if(&mut bench, Condition::IfAbsent, 4));
}

pub(super) fn a_delete_holds_its_condition(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    ok(put_if(&mut bench, Condition::Always, 1));
    let delete = |condition| bench.records.delete(&bucket(), &key("wall"), condition);
    for wrong in [Condition::IfContent(content(2)), Condition::IfAbsent] {
        let refused = delete(wrong);
        assert!(matches!(refused, Err(StoreError::PreconditionFailed { .. })), "{wrong:?}: {refused:?}");
    }
    assert!(bench.stat("wall").is_some(), "what is refused removes nothing");
    assert!(ok(delete(Condition::IfContent(content(1)))));
    assert_eq!(bench.stat("wall"), None);
    let refused = delete(Condition::IfContent(content(1)));
    assert!(matches!(refused, Err(StoreError::PreconditionFailed { .. })), "{refused:?}");
    assert!(!ok(delete(Condition::IfAbsent)));
}

pub(super) fn conditions_see_their_own_batch(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let mut entries = Vec::new();
    let conditions = [Condition::IfAbsent, Condition::IfAbsent, Condition::IfContent(content(0))];
    for (number, condition) in (0..).zip(conditions) {
        let (chunks, size) = bench.append_all(&[&[number; 3]]);
        let last = complete_at(PutTarget { condition, ..target("wall") }, size, content(number));
        entries.push(bench.entry(chunks, Some(last)));
    }
    let mut results = bench.commit(&entries).into_iter();
    let mut next = || results.next().expect("three results");
    ok(next());
    check_refused(&next());
    ok(next());
    assert_eq!(bench.stat("wall").map(|row| row.content), Some(content(2)));
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
        assert!(matches!(&error, Some(StoreError::NoSuchBucket(name)) if *name == missing), "{error:?}");
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
    // Who looked the object up before can still read it.
    assert_eq!(ok(bench.records.manifest_page(manifest, 0, 9)).len(), 1);
    bench.put("wall", &[b"stone"]);
    assert_eq!(bench.names("", None, 9), ["wall", "wall/top"]);
}
