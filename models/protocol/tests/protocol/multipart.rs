//! Objects that come in parts or as copies, and everything that may get in between: one wins, and
//! what is there is whole.

use std::collections::BTreeMap;
use std::io::{self, Read};

use drystone_models::explore::{Scope, check, finish, start};
use drystone_store::{
    Completion, Condition, CopySource, CopyTarget, NamedPart, ObjectMeta, PartTarget, PutFailure,
    StoreError, UploadId,
};

use crate::rig::{PutResult, Rig, bucket, expect_stored, key, target};

const ONE: &[u8] = b"aaaabbbbcc";
const OTHER: &[u8] = b"aaaaddddee";
const TAIL: &[u8] = b"ffffg";
/// No chunk repeats a byte, so a part of one is not another part of it.
const LETTERS: &[u8] = b"abcdefghij";

const SCOPE: Scope = Scope::STORE.shuttle(6_000);

fn begin(rig: &Rig) -> UploadId {
    rig.store.create_upload(&bucket(), &key("a"), &ObjectMeta::default()).expect("nothing fails").id
}

fn part(upload: UploadId, number: u32) -> PartTarget {
    PartTarget { upload, number, system: BTreeMap::new() }
}

fn parts(numbers: &[u32]) -> Completion {
    let named = |number: &u32| NamedPart { number: *number, ..NamedPart::default() };
    Completion { parts: numbers.iter().map(named).collect(), ..Completion::default() }
}

fn source(name: &str) -> CopySource {
    CopySource { bucket: bucket(), key: key(name), content: None }
}

fn copy_to(name: &str) -> CopyTarget {
    let condition = Condition::Always;
    CopyTarget { bucket: bucket(), key: key(name), meta: None, modified_ns: None, condition }
}

fn is_gone<T>(result: &Result<T, StoreError>) -> bool {
    match result {
        Ok(_) => false,
        Err(StoreError::NoSuchUpload(_)) => true,
        Err(error) => panic!("another failure: {error}"),
    }
}

/// `false` when the upload was over before the part was committed.
fn is_stored(put: PutResult) -> bool {
    match put {
        Ok(_) => true,
        Err(PutFailure::Store(StoreError::NoSuchUpload(_))) => false,
        Err(failure) => panic!("a part was refused: {failure}"),
    }
}

#[test]
fn an_upload_is_completed_or_aborted() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(2);
        let upload = begin(&rig);
        rig.put_at(part(upload, 1), ONE).expect("nothing fails");
        let other = rig.clone();
        let aborts = start(move || other.store.abort_upload(upload).expect("nothing fails"));
        let completed = rig.store.complete_upload(upload, &parts(&[1]));
        let aborted = finish(aborts);
        assert_eq!(is_gone(&completed), aborted, "an upload was completed and aborted, or neither");
        assert_eq!(
            rig.get("a").as_deref(),
            (!aborted).then_some(ONE),
            "an aborted upload is visible"
        );
        rig.finish();
    });
}

#[test]
fn an_upload_is_completed_once() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(2);
        let upload = begin(&rig);
        rig.put_at(part(upload, 1), ONE).expect("nothing fails");
        rig.put_at(part(upload, 2), TAIL).expect("nothing fails");
        let other = rig.clone();
        let first = start(move || other.store.complete_upload(upload, &parts(&[1])));
        let second = rig.store.complete_upload(upload, &parts(&[1, 2]));
        let first = finish(first);
        assert_ne!(is_gone(&first), is_gone(&second), "an upload was completed twice, or never");
        let expected = if first.is_ok() { ONE.to_vec() } else { [ONE, TAIL].concat() };
        assert_eq!(rig.get("a"), Some(expected), "an acknowledged object is not there");
        rig.finish();
    });
}

/// The part is the old one or the new one, never something in between; what came too late is told
/// so.
#[test]
fn a_part_is_replaced_while_its_upload_is_completed() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        let upload = begin(&rig);
        rig.put_at(part(upload, 1), ONE).expect("nothing fails");
        rig.put_at(part(upload, 2), TAIL).expect("nothing fails");
        let other = rig.clone();
        let replaces = start(move || is_stored(other.put_at(part(upload, 1), OTHER)));
        rig.store.complete_upload(upload, &parts(&[1, 2])).expect("the parts are there");
        let replaced = finish(replaces);
        rig.memory.lose_power();
        let found = rig.get("a").expect("it was completed");
        let expected = if replaced { OTHER } else { ONE };
        assert_eq!(found, [expected, TAIL].concat(), "a mixture of two objects was read");
        rig.finish();
    });
}

/// The collector must find the chunks of a copy by way of a manifest that is not its own.
#[test]
fn a_copy_survives_its_source() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(4);
        rig.put("old", LETTERS).expect("nothing fails");
        let upload = begin(&rig);
        rig.store.copy_part(&source("old"), Some(2..9), &part(upload, 1)).expect("it is there");
        let other = rig.clone();
        let deletes = start(move || {
            assert!(other.delete("old"), "there is always one to delete");
            for _ in 0..2 {
                other.collect().expect("nothing fails");
            }
        });
        let copied = rig.store.copy(&source("old"), &copy_to("b"));
        rig.store.complete_upload(upload, &parts(&[1])).expect("the part is there");
        finish(deletes);
        match copied {
            Ok(_) => assert_eq!(
                rig.get("b").as_deref(),
                Some(LETTERS),
                "a copy is not what it was made of"
            ),
            Err(StoreError::NotFound { .. }) => {
                assert_eq!(rig.get("b"), None, "a refused copy is visible");
            }
            Err(error) => panic!("another failure: {error}"),
        }
        assert_eq!(
            rig.get("a").as_deref(),
            Some(&LETTERS[2..9]),
            "a copy is not what it was made of"
        );
        rig.finish();
    });
}

/// A client that goes away half-way, then others, in pieces; acknowledged by another thread.
#[test]
fn pieces_of_different_objects_do_not_mix() {
    check(SCOPE, || {
        let rig = Rig::with_buffers(2);
        let mut ingest = rig.ingest().expect("the store is open");
        // Longer than a buffer, so that a part of it is on its way already.
        let gone = [ONE, OTHER].concat();
        for (name, bytes) in [("gone", &gone[..]), ("a", OTHER), ("b", TAIL)] {
            let mut writing = ingest.begin(None);
            for piece in bytes.chunks(3) {
                writing.push(piece).expect("nothing fails");
            }
            if name == "gone" {
                drop(writing);
                continue;
            }
            let pending = writing.finish(target(name)).expect("nothing fails");
            ingest.flush().expect("nothing fails");
            let waits = start(move || pending.join().map_err(PutFailure::Store));
            expect_stored([waits]);
        }
        ingest.rest().expect("nothing fails");
        assert_eq!(rig.store.usage().buffers.now, 0, "a resting ingest holds a buffer");
        drop(ingest);
        assert_eq!(rig.get("gone"), None, "a cancelled object is visible");
        assert_eq!(rig.get("a").as_deref(), Some(OTHER), "an acknowledged object is not there");
        assert_eq!(rig.get("b").as_deref(), Some(TAIL), "an acknowledged object is not there");
        rig.finish();
    });
}

/// Gives its bytes only when no thread holds a buffer for them.
struct Patient<'a> {
    rig: &'a Rig,
    bytes: &'a [u8],
    has_begun: bool,
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.has_begun, true) {
            assert_eq!(
                self.rig.store.usage().buffers.now,
                0,
                "a buffer was leased for bytes that are not there"
            );
        }
        self.bytes.read(into)
    }
}

#[test]
fn no_buffer_is_leased_before_there_are_bytes() {
    check(Scope::STORE.shuttle(1_000), || {
        let rig = Rig::with_buffers(2);
        let mut ingest = rig.ingest().expect("the store is open");
        let mut source = Patient { rig: &rig, bytes: ONE, has_begun: false };
        ingest.put_now(target("a"), &mut source).expect("nothing fails");
        ingest.put_now(target("empty"), &mut io::empty()).expect("nothing fails");
        drop(ingest);
        assert_eq!(rig.get("a").as_deref(), Some(ONE), "an acknowledged object is not there");
        assert_eq!(
            rig.get("empty").as_deref(),
            Some(&b""[..]),
            "an acknowledged object is not there"
        );
        rig.finish();
    });
}
