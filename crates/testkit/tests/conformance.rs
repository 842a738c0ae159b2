//! The conformance suite over both backends.

use drystone_chunker::Chunking;
use drystone_store::SyncPolicy;
use drystone_testkit::conformance::{self, ObjectMachine};
use drystone_testkit::local::LocalFolder;
use drystone_testkit::memory::{Memory, MemoryConfig};

const SEGMENT_BYTES_MAX: u64 = 1 << 20;

#[test]
fn the_memory_backend_conforms() {
    for sync in [SyncPolicy::Commit, SyncPolicy::Never] {
        conformance::run(|| {
            Box::new(Memory::new(MemoryConfig { sync, segment_bytes_max: SEGMENT_BYTES_MAX }))
        });
    }
}

#[test]
fn segments_that_are_objects_conform() {
    for sync in [SyncPolicy::Commit, SyncPolicy::Never] {
        conformance::run(|| {
            let config = MemoryConfig { sync, segment_bytes_max: SEGMENT_BYTES_MAX };
            Box::new(ObjectMachine(Memory::new(config)))
        });
    }
}

#[test]
fn the_local_backend_conforms() {
    for sync in [SyncPolicy::Commit, SyncPolicy::Never] {
        conformance::run(|| {
            Box::new(LocalFolder::new(Chunking::default(), sync, SEGMENT_BYTES_MAX))
        });
    }
}
