//! Segments: appended to, settled, read, listed and removed.

use std::io;

use drystone_store::{CommitBatch, Location, Result, SegmentId, SegmentLen, StoreError};

use super::Fixture;
use super::bench::{Bench, complete, content, ok};

#[track_caller]
pub(super) fn check_kind<T>(result: Result<T>, kind: io::ErrorKind) {
    match result {
        Err(StoreError::Storage { source, .. }) => assert_eq!(source.kind(), kind),
        Err(other) => panic!("expected {kind:?}, found: {other}"),
        Ok(_) => panic!("expected {kind:?}, and it went well"),
    }
}

fn tell(bench: &Bench, told: &[SegmentLen]) {
    ok(bench.records.commit(&CommitBatch { entries: Vec::new(), segments: told }));
}

pub(super) fn appended_bytes_read_back(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let first = bench.append_parts(&[b"one", b"", b"two"]);
    let many: Vec<Vec<u8>> = (0..3000_u32).map(|number| number.to_le_bytes().to_vec()).collect();
    let parts: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let second = bench.append_parts(&parts);
    let last = Location { offset: second.offset + 4 * 2999, len: 4, ..second };
    // Here and in another process.
    let other = fixture.open();
    for segments in [&bench.segments, &other.segments] {
        let mut bytes = [0; 6];
        ok(segments.read(first, &mut bytes));
        assert_eq!(&bytes, b"onetwo", "nothing lies between the parts");
        let mut bytes = [0; 4];
        ok(segments.read(last, &mut bytes));
        assert_eq!(bytes, 2999_u32.to_le_bytes());
    }
    // What is settled stays so when it is asked for again, in another order.
    let settled = bench.segments.settle(&[second.segment, first.segment]);
    assert_eq!(settled.len(), 2, "there is an answer for each");
    assert!(settled.iter().all(Result::is_ok));
}

pub(super) fn reads_beyond_the_end_say_so(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let at = bench.append_parts(&[b"stone"]);
    ok(bench.segments.read(at, &mut [0; 5]));
    let eof = io::ErrorKind::UnexpectedEof;
    check_kind(bench.segments.read(Location { len: 6, ..at }, &mut [0; 6]), eof);
    check_kind(bench.segments.read(Location { offset: 1 << 40, len: 1, ..at }, &mut [0; 1]), eof);
    let nowhere = Location { segment: SegmentId(987_654), len: 1, ..at };
    check_kind(bench.segments.read(nowhere, &mut [0; 1]), io::ErrorKind::NotFound);
}

pub(super) fn what_is_held_is_not_given_back(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("wall", &[b"stone"]);
    let held = bench.append_parts(&[b"to be committed"]);
    let unheld = ok(bench.segments.append(&[b"of an upload that failed"]));
    drop(unheld);
    bench.segments.note_full();
    bench.segments.make_room();
    let mut bytes = [0; 15];
    ok(bench.segments.read(held, &mut bytes));
    assert_eq!(&bytes, b"to be committed");
    let next = bench.append_parts(&[b"new"]);
    let mut bytes = [0; 3];
    ok(bench.segments.read(next, &mut bytes));
    assert_eq!(&bytes, b"new");
}

pub(super) fn a_removed_segment_is_gone(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let at = bench.append_parts(&[b"stone"]);
    let other = fixture.open();
    let listed = || ok(other.segments.list(None, usize::MAX)).contains(&at.segment);
    ok(other.segments.read(at, &mut [0; 5]));
    assert!(listed());
    // Whatever kept it is gone with its process.
    drop(bench);
    ok(other.segments.remove(at.segment));
    assert!(!listed());
    check_kind(other.segments.read(at, &mut [0; 5]), io::ErrorKind::NotFound);
    ok(other.segments.remove(at.segment));
    ok(other.segments.remove(SegmentId(987_654)));
}

pub(super) fn segments_are_listed_by_id(fixture: &dyn Fixture) {
    // Each process has a segment of its own.
    let mut benches: Vec<Bench> = (0..5).map(|_| Bench::new(fixture)).collect();
    let mut made: Vec<SegmentId> =
        benches.iter_mut().map(|bench| bench.append_parts(&[b"stone"]).segment).collect();
    made.sort_unstable();
    let list = |after: Option<SegmentId>, limit| ok(benches[0].segments.list(after, limit));
    assert_eq!(list(None, usize::MAX), made);
    assert_eq!(list(None, 2), made[..2]);
    assert_eq!(list(Some(made[1]), 2), made[2..4]);
    assert_eq!(list(Some(made[4]), 2), []);
}

pub(super) fn the_fullest_open_segment_comes_first(fixture: &dyn Fixture) {
    let texts =
        [&b"stone"[..], b"longer than a stone", b"st", b"sealed, and the longest of them all"];
    let mut benches: Vec<Bench> = texts.iter().map(|_| Bench::new(fixture)).collect();
    let mut told = Vec::new();
    for (at, (bench, text)) in benches.iter_mut().zip(texts).enumerate() {
        bench.append_parts(&[text]);
        told.extend(bench.own_lens().iter().map(|len| SegmentLen { sealed: at == 3, ..*len }));
    }
    let bench = &benches[0];
    tell(bench, &told);
    let open = [told[1].segment, told[0].segment, told[2].segment];
    assert_eq!(ok(bench.records.unsealed_segments(9)), open);
    assert_eq!(ok(bench.records.unsealed_segments(2)), open[..2]);
    assert_eq!(ok(bench.records.segment_len(told[3].segment)), Some(told[3]));
}

pub(super) fn a_committed_length_never_shrinks(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("wall", &[b"stone"]);
    let own = SegmentLen { sealed: false, ..bench.own_lens()[0] };
    tell(&bench, &[SegmentLen { bytes: own.bytes - 1, ..own }]);
    assert_eq!(bench.committed_len(own.segment), own.bytes);
    tell(&bench, &[SegmentLen { sealed: true, ..own }]);
    tell(&bench, &[own]);
    let found = ok(bench.records.segment_len(own.segment)).expect("it is registered");
    assert!(found.sealed, "a sealed segment stays so");
    // A batch may bring lengths and entries; a refused entry does not take the lengths back.
    let (chunks, size) = bench.append_all(&[b"more"]);
    let mut entry = bench.entry(chunks, Some(complete("more", size, content(1))));
    entry.session = bench.dead_session();
    assert!(bench.commit_one(entry).is_err());
    for len in bench.own_lens() {
        assert_eq!(bench.committed_len(len.segment), len.bytes);
    }
}

pub(super) fn a_forgotten_segment_is_not_listed(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let row = ok(bench.records.create_segment());
    assert!(ok(bench.records.unsealed_segments(9)).contains(&row));
    ok(bench.records.forget_segment(row));
    assert!(!ok(bench.records.unsealed_segments(9)).contains(&row), "a row without a file stays");
    assert_eq!(ok(bench.records.segment_len(row)), None);
    ok(bench.records.forget_segment(row));
    assert_ne!(ok(bench.records.create_segment()), row, "an id is used again");
}
