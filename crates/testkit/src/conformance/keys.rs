//! Access keys.

use drystone_store::{BucketName, Grant, NewKey, Secret, StoreError};

use super::Fixture;
use super::bench::{Bench, bucket, ok};

fn grant(bucket: Option<BucketName>) -> Grant {
    let read = bucket.is_some();
    Grant { bucket, read, write: !read, list: true, admin: false }
}

fn new_key(access: &str, grants: Vec<Grant>) -> NewKey {
    let secret = Secret(format!("secret of {access}"));
    NewKey { access: access.to_owned(), secret, name: "Änne \"A\"\n".to_owned(), grants }
}

pub(super) fn a_key_is_what_was_put(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let stones = BucketName::new("stones").expect("a good name");
    let many = vec![grant(Some(bucket())), grant(None), grant(Some(stones))];
    for key in [new_key("AK/2+=", many), new_key("AK1", Vec::new())] {
        ok(bench.records.put_key(&key));
        let found = ok(fixture.open().records.key(&key.access)).expect("it was put");
        let mut expected = key.clone();
        expected.grants.sort_by(|a, b| a.bucket.cmp(&b.bucket));
        assert_eq!(found.key, expected);
        let again =
            bench.records.put_key(&NewKey { secret: Secret("other".into()), ..key.clone() });
        assert!(
            matches!(&again, Err(StoreError::KeyExists(name)) if *name == key.access),
            "{again:?}"
        );
        assert_eq!(ok(bench.records.key(&key.access)), Some(found));
    }
    assert_eq!(ok(bench.records.key("AK")), None);
    assert_eq!(ok(bench.records.key("")), None);
}

pub(super) fn keys_are_listed_and_revoked(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let names = ["", "A", "AB", "a", "b"];
    for access in names.iter().rev() {
        ok(bench.records.put_key(&new_key(access, vec![grant(None)])));
    }
    let list = |after: Option<&str>, limit| {
        let rows = ok(bench.records.keys(after, limit));
        assert!(rows.iter().all(|row| row.key.grants == [grant(None)]));
        rows.into_iter().map(|row| row.key.access).collect::<Vec<_>>()
    };
    assert_eq!(list(None, usize::MAX), names);
    assert_eq!(list(None, 2), names[..2]);
    assert_eq!(list(Some("A"), 2), names[2..4]);
    assert_eq!(list(Some("b"), 2), [""; 0]);
    assert!(ok(bench.records.revoke_key("A")));
    assert!(!ok(bench.records.revoke_key("A")));
    assert_eq!(ok(bench.records.key("A")), None);
    assert_eq!(list(None, 9), ["", "AB", "a", "b"]);
    ok(bench.records.put_key(&new_key("A", Vec::new())));
    let row = ok(bench.records.key("A")).expect("it was put again");
    assert_eq!(row.key.grants, [], "what a revoked key might do is forgotten");
}
