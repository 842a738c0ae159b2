//! What another process commits after a look and before the lock that the write is made under.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::thread;
use std::time::Duration;

use drystone_chunker::Chunking;
use drystone_local::{LocalConfig, LocalStore};
use drystone_store::{BucketName, BucketRecords as _, NewBucket};
use rusqlite::{Connection, TransactionBehavior};

/// A thread that has only to look comes to wait for the lock in that time. If it does not, the test
/// sees less and passes.
const LOOKS: Duration = Duration::from_millis(200);

#[test]
fn a_bucket_that_another_process_makes_meanwhile_is_not_new() {
    let folder = tempfile::tempdir().unwrap();
    LocalStore::init(folder.path(), Chunking::default()).unwrap();
    let store = LocalStore::open(folder.path(), &LocalConfig::default()).unwrap();
    let mut other = Connection::open(folder.path().join("records.db")).unwrap();
    let locked = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();

    let records = store.records;
    let bucket = NewBucket::named(BucketName::new("walls").unwrap());
    let makes = thread::spawn(move || records.create_bucket(&bucket));
    thread::sleep(LOOKS);
    locked.execute("INSERT INTO buckets (name, created_ms) VALUES ('walls', 1)", []).unwrap();
    locked.commit().unwrap();
    assert!(!makes.join().unwrap().unwrap(), "the other process made it");

    let count = other.query_row("SELECT count(*) FROM buckets", [], |row| row.get::<_, i64>(0));
    assert_eq!(count.unwrap(), 1);
}
