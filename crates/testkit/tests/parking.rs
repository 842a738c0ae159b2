//! Wherever an upload is parked, and however often, it becomes what it would have become without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use drystone_chunker::Chunking;
use drystone_store::{
    BucketName, Condition, Key, ObjectMeta, PutTarget, Store, StoreConfig, Stored, SyncPolicy,
};
use drystone_testkit::memory::{Memory, MemoryConfig};
use drystone_testkit::noise::Noise;
use proptest::prelude::*;

/// Longer than some buffers; most places are in the middle of a chunk.
const LEN_MAX: usize = 6000;

fn store(chunking: Chunking) -> Store {
    let sync = SyncPolicy::Commit;
    let (records, segments) = Memory::new(MemoryConfig { sync, segment_bytes_max: 1 << 20 }).open();
    let config = StoreConfig {
        chunking,
        workers: 2,
        buffers: 4,
        ingests: 2,
        buffer_bytes: chunking.chunk_bytes_max() + 97,
        read_ahead_max: 2,
        commit_queue_bytes: 1 << 20,
    };
    let store = Store::new(records, segments, config).unwrap();
    store.create_bucket(&BucketName::new("wall").unwrap()).unwrap();
    store
}

fn target(name: &str) -> PutTarget {
    let (bucket, key) = (BucketName::new("wall").unwrap(), Key::new(name).unwrap());
    PutTarget { bucket, key, meta: ObjectMeta::default(), condition: Condition::Always }
}

/// Two ingests take turns, and each has its own unfinished business in between.
fn put_in_turns(store: &Store, bytes: &[u8], places: &[usize]) -> Stored {
    let mut ingests = [store.ingest(60_000).unwrap(), store.ingest(60_000).unwrap()];
    let mut waits = None;
    let mut from = 0;
    for (turn, &place) in places.iter().enumerate() {
        let ingest = &mut ingests[turn % 2];
        let mut writing = match waits.take() {
            None => ingest.begin(None),
            Some((parked, tail)) => {
                let mut writing = ingest.resume(parked);
                writing.push(&Vec::<u8>::clone(&tail)).unwrap();
                writing
            }
        };
        writing.push(&bytes[from..place]).unwrap();
        from = place;
        let (parked, tail) = writing.park().unwrap();
        waits = Some((parked, tail.as_deref().map(<[u8]>::to_vec).unwrap_or_default()));
        let other = ingest.put(target("other"), None, &mut &bytes[..place % 100]).unwrap();
        ingest.rest().unwrap();
        other.join().unwrap();
    }
    let ingest = &mut ingests[places.len() % 2];
    let mut writing = match waits {
        None => ingest.begin(None),
        Some((parked, tail)) => {
            let mut writing = ingest.resume(parked);
            writing.push(&tail).unwrap();
            writing
        }
    };
    writing.push(&bytes[from..]).unwrap();
    let pending = writing.finish(target("parked")).unwrap();
    pending.wait(ingest).unwrap()
}

fn check(chunking: &str, seed: u64, len: usize, mut places: Vec<usize>) {
    let store = store(chunking.parse().unwrap());
    let bytes = Noise::new(seed).bytes(len);
    places.iter_mut().for_each(|place| *place %= len + 1);
    places.sort_unstable();
    let whole = store.ingest(60_000).unwrap().put_now(target("whole"), &mut &bytes[..]).unwrap();
    let parked = put_in_turns(&store, &bytes, &places);
    assert_eq!((parked.size, parked.content), (whole.size, whole.content), "another object");
    assert_eq!(parked.new_bytes, 0, "other chunks");
    let usage = store.usage();
    assert_eq!((usage.buffers.now, usage.ingests.now), (0, 0), "something was not given back");
    let mut reader = store.get(&target("parked").bucket, &target("parked").key, None).unwrap();
    let mut read = Vec::new();
    reader.copy_to(&mut read).unwrap().unwrap();
    assert!(read == bytes, "other bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_of_a_fixed_size_are_the_same(
        seed: u64, len in 0..LEN_MAX, places in prop::collection::vec(0..=LEN_MAX, 0..6),
    ) {
        check("fixed:512", seed, len, places);
    }

    #[test]
    fn chunks_cut_by_content_are_the_same(
        seed: u64, len in 0..LEN_MAX, places in prop::collection::vec(0..=LEN_MAX, 0..6),
    ) {
        check("cdc:64,256,1024", seed, len, places);
    }
}
