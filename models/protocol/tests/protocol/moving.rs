//! A collect moves chunks from segment to segment while readers read them.

use drystone_models::explore::{Scope, check, finish, start};
use drystone_store::StoreError;
use drystone_sync::thread::yield_now;

use crate::rig::{Rig, bucket, key};

/// Five chunks; more than a reader has buffers for.
const SHORT: &[u8] = b"aaaabbbbccccddddeeee";

/// The segment of a reader's chunks is rewritten, and gone, while it reads.
#[test]
fn a_chunk_that_is_moved_is_read_where_it_is_now() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        rig.put("b", b"xxxxyyyyzzzz").expect("nothing fails");
        rig.put("a", SHORT).expect("nothing fails");
        assert!(rig.delete("b"), "it is there");
        let other = rig.clone();
        let reads = start(move || other.get("a"));
        for _ in 0..2 {
            rig.collect_all().expect("nothing fails");
        }
        assert_eq!(finish(reads).as_deref(), Some(SHORT), "wrong bytes were read");
        assert_eq!(rig.memory.segment_bytes(), SHORT.len() as u64, "dead bytes stay");
        rig.finish();
    });
}

/// A small object is read without a session, which nothing waits for.
#[test]
fn a_small_object_is_read_where_it_is_now() {
    check(Scope::STORE, || {
        let rig = Rig::with_buffers(4);
        rig.put("b", b"xxxxyyyyzzzz").expect("nothing fails");
        rig.put("a", b"aaaabbbb").expect("nothing fails");
        assert!(rig.delete("b"), "it is there");
        let other = rig.clone();
        let reads = start(move || {
            let read = other.store.get_small(&bucket(), &key("a"), 12);
            read.unwrap_or_else(|error| panic!("a visible object is not whole: {error}")).1
        });
        rig.collect_all().expect("nothing fails");
        assert_eq!(finish(reads).as_deref(), Some(&b"aaaabbbb"[..]), "wrong bytes were read");
        rig.finish();
    });
}

/// The records say once more that the chunk is there: it is lost, and the reader must not ask for
/// ever.
#[test]
fn a_chunk_that_is_gone_and_was_not_moved_is_damage() {
    check(Scope::STORE.shuttle(600), || {
        let rig = Rig::with_buffers(4);
        rig.put("a", SHORT).expect("nothing fails");
        rig.memory.lose_segments();
        let mut reader = rig.store.get(&bucket(), &key("a"), None).expect("it was stored");
        let read = reader.copy_to(&mut Vec::new());
        assert!(
            matches!(&read, Err(StoreError::Corrupt { detail, .. }) if detail.contains("missing")),
            "lost bytes went unnoticed"
        );
        drop(reader);
        // A worker that reads ahead gives its buffer back when it finds that it is not wanted.
        while rig.store.usage().buffers.now > 0 {
            yield_now();
        }
        rig.finish();
    });
}
