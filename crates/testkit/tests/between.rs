//! Pairs of operations over both backends, the second between any two calls of the first.

use drystone_store::SyncPolicy;
use drystone_testkit::between::{check, chunking};
use drystone_testkit::local::LocalFolder;
use drystone_testkit::memory::{Memory, MemoryConfig};

/// So small that segments are sealed, too.
const SEGMENT_BYTES_MAX: u64 = 64;

#[test]
fn in_memory_one_comes_after_the_other() {
    let sync = SyncPolicy::Commit;
    let config = MemoryConfig { sync, segment_bytes_max: SEGMENT_BYTES_MAX };
    let times = check(&|| Box::new(Memory::new(config)));
    println!("{times} times something came between");
    assert!(times > 500, "only {times} times");
}

#[test]
fn in_files_one_comes_after_the_other() {
    let sync = SyncPolicy::Never;
    let times = check(&|| Box::new(LocalFolder::new(chunking(), sync, SEGMENT_BYTES_MAX)));
    println!("{times} times something came between");
    assert!(times > 500, "only {times} times");
}
