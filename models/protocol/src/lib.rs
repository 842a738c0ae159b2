//! The store's protocol under the model checkers: the production `Store` runs over the memory
//! backend of `drystone-testkit`, the scenarios are in `tests/protocol`, one file per subject. How
//! they are run and replayed: `drystone-models`.

use drystone_store::{BucketName, BucketRecords as _, NewBucket, SyncPolicy};
use drystone_testkit::memory::{FaultPlan, HEADER_BYTES, Memory, MemoryConfig};

/// Bytes of chunks that a segment takes: a few chunks fill one.
const SEGMENT_BYTES_MAX: u64 = 32;

/// The bucket of all scenarios.
///
/// # Panics
/// Never: it is a good name.
pub fn bucket() -> BucketName {
    BucketName::new("wall").expect("a valid name")
}

/// A machine with the bucket, in which nothing fails but `faults`.
///
/// # Panics
/// Never: the bucket is made before anything fails.
pub fn machine(faults: &[FaultPlan]) -> Memory {
    let segment_bytes_max = HEADER_BYTES + SEGMENT_BYTES_MAX;
    let memory = Memory::new(MemoryConfig { sync: SyncPolicy::Commit, segment_bytes_max });
    let (records, _) = memory.open();
    records.create_bucket(&NewBucket::named(bucket())).expect("nothing fails yet");
    memory.arm_all(faults);
    memory
}
