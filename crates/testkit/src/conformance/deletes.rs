//! Many objects deleted at once.

use drystone_store::{BucketName, Condition, DELETES_MAX, Key, ObjectVersion, StoreError};

use super::Fixture;
use super::bench::{Bench, bucket, key, ok};

pub(super) fn many_are_deleted_each_by_its_condition(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    for name in ["always", "changed", "kept", "same"] {
        bench.put(name, &[name.as_bytes()]);
    }
    let version = |bench: &Bench, name: &str| bench.stat(name).expect("it was put").version();
    let (old, same) = (version(&bench, "changed"), version(&bench, "same"));
    bench.put("changed", &[b"later"]);
    let asked = [
        ("same", Condition::IfVersion(same)),
        ("changed", Condition::IfVersion(old)),
        ("missing", Condition::Always),
        ("missing", Condition::IfVersion(ObjectVersion { ..same })),
        ("always", Condition::Always),
        ("always", Condition::Always),
    ];
    let asked = asked.map(|(name, condition)| (key(name), condition));
    let outcomes = ok(bench.records.delete_many(&bucket(), &asked));
    let said: Vec<Option<bool>> =
        outcomes.iter().map(|outcome| outcome.as_ref().ok().copied()).collect();
    // One asked for twice is there the first time only: each sees what the ones before it did.
    assert_eq!(said, [Some(true), None, Some(false), None, Some(true), Some(false)]);
    for refused in [&outcomes[1], &outcomes[3]] {
        assert!(matches!(refused, Err(StoreError::PreconditionFailed { .. })), "{refused:?}");
    }
    assert_eq!(bench.names("", None, 9), ["changed", "kept"], "a refusal costs the others nothing");
    assert!(ok(bench.records.delete_many(&bucket(), &[])).is_empty());

    let all: Vec<(Key, Condition)> =
        (0..DELETES_MAX).map(|number| (key(&format!("{number}")), Condition::Always)).collect();
    bench.put("999", &[b"the last"]);
    let outcomes = ok(bench.records.delete_many(&bucket(), &all));
    assert_eq!(outcomes.len(), DELETES_MAX);
    assert!(matches!(outcomes.last(), Some(Ok(true))), "as many as there may be are deleted");

    let missing = BucketName::new("nowhere").expect("a good name");
    let refused = bench.records.delete_many(&missing, &asked);
    assert!(matches!(refused, Err(StoreError::NoSuchBucket(found)) if found == missing));
}
