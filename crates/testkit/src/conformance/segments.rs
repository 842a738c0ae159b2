//! Segments: appended to by one owner, adopted by the next.

use std::io;

use drystone_store::{
    CommitBatch, Location, Result, SegmentId, SegmentLen, SegmentWriter, StoreError,
};

use super::Fixture;
use super::bench::{Bench, complete, content, ok};

#[track_caller]
fn check_kind<T>(result: Result<T>, kind: io::ErrorKind) {
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
    assert!(bench.writer.is_empty());
    let first = ok(bench.writer.append(&[b"one", b"", b"two"]));
    assert_eq!(first, bench.writer.len() - 6);
    assert!(!bench.writer.is_empty());
    let many: Vec<Vec<u8>> = (0..3000_u32).map(|number| number.to_le_bytes().to_vec()).collect();
    let parts: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let second = ok(bench.writer.append(&parts));
    assert_eq!(second, first + 6, "nothing lies between appends");
    let segment = bench.writer.id();
    // Read before and after the sync, here and in another process.
    let other = fixture.open();
    for round in 0..2 {
        for segments in [&bench.segments, &other.segments] {
            let mut bytes = [0; 6];
            ok(segments.read(Location { segment, offset: first, len: 6 }, &mut bytes));
            assert_eq!(&bytes, b"onetwo", "round {round}");
            let mut bytes = [0; 4];
            ok(segments.read(Location { segment, offset: second + 4 * 2999, len: 4 }, &mut bytes));
            assert_eq!(bytes, 2999_u32.to_le_bytes());
        }
        ok(other.segments.sync(segment));
        ok(bench.segments.sync(segment));
    }
}

pub(super) fn reads_beyond_the_end_say_so(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let offset = ok(bench.writer.append(&[b"stone"]));
    let segment = bench.writer.id();
    ok(bench.segments.read(Location { segment, offset, len: 5 }, &mut [0; 5]));
    let eof = io::ErrorKind::UnexpectedEof;
    check_kind(bench.segments.read(Location { segment, offset, len: 6 }, &mut [0; 6]), eof);
    check_kind(
        bench.segments.read(Location { segment, offset: 1 << 40, len: 1 }, &mut [0; 1]),
        eof,
    );
    let segment = SegmentId(987_654);
    check_kind(
        bench.segments.read(Location { segment, offset, len: 1 }, &mut [0; 1]),
        io::ErrorKind::NotFound,
    );
}

pub(super) fn an_owned_segment_is_not_adopted(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let other = fixture.open();
    let segment = bench.writer.id();
    assert!(ok(bench.segments.adopt(segment)).is_none(), "by its own process");
    assert!(ok(other.segments.adopt(segment)).is_none(), "by another");
    assert!(ok(other.segments.adopt(SegmentId(987_654))).is_none(), "there is no such segment");
    drop(bench.writer);
    let adopted = ok(other.segments.adopt(segment)).expect("nobody owns it any more");
    assert_eq!(adopted.id(), segment);
    assert!(ok(bench.segments.adopt(segment)).is_none());
    drop(adopted);
    assert!(ok(bench.segments.adopt(segment)).is_some());
}

fn adopt(fixture: &dyn Fixture, segment: SegmentId) -> (super::Opened, Box<dyn SegmentWriter>) {
    let other = fixture.open();
    let writer = ok(other.segments.adopt(segment)).expect("nobody owns it");
    (other, writer)
}

pub(super) fn a_new_owner_reads_the_length_again(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let segment = bench.writer.id();
    let before = bench.committed_len(segment);
    bench.put("wall", &[b"stone"]);
    let len = bench.writer.len();
    assert!(before < len);
    drop(bench.writer);
    let (other, mut writer) = adopt(fixture, segment);
    let found = ok(other.records.segment_len(segment));
    assert_eq!(found, Some(SegmentLen { segment, bytes: len, sealed: false }));
    ok(writer.rewind(len));
    assert_eq!(writer.len(), len);
    assert_eq!(ok(writer.append(&[b"more"])), len);
    let mut bytes = [0; 9];
    ok(other.segments.read(Location { segment, offset: len - 5, len: 9 }, &mut bytes));
    assert_eq!(&bytes, b"stonemore");
    assert_eq!(ok(other.records.segment_len(SegmentId(987_654))), None);
}

pub(super) fn a_rewind_drops_what_was_not_committed(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let segment = bench.writer.id();
    bench.put("wall", &[b"stone"]);
    let committed = bench.writer.len();
    ok(bench.writer.append(&[b"never committed, and longer than what follows"]));
    drop(bench.writer);
    let (other, mut writer) = adopt(fixture, segment);
    ok(writer.rewind(committed));
    check_kind(
        other.segments.read(Location { segment, offset: committed, len: 1 }, &mut [0; 1]),
        io::ErrorKind::UnexpectedEof,
    );
    assert_eq!(ok(writer.append(&[b"new"])), committed);
    let mut bytes = [0; 8];
    ok(other.segments.read(Location { segment, offset: committed - 5, len: 8 }, &mut bytes));
    assert_eq!(&bytes, b"stonenew");
    // Nothing was ever committed: the segment begins anew.
    let fresh = ok(other.records.create_segment());
    let mut first = ok(other.segments.create(fresh));
    let empty_len = first.len();
    ok(first.append(&[b"lost"]));
    drop(first);
    let (_, mut writer) = adopt(fixture, fresh);
    ok(writer.rewind(0));
    assert!(writer.is_empty());
    assert_eq!(writer.len(), empty_len);
    assert_eq!(ok(writer.append(&[b"found"])), empty_len);
}

pub(super) fn a_rewind_beyond_the_end_is_refused(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    ok(bench.writer.append(&[b"stone"]));
    let (segment, len) = (bench.writer.id(), bench.writer.len());
    drop(bench.writer);
    let (_, mut writer) = adopt(fixture, segment);
    check_kind(writer.rewind(len + 1), io::ErrorKind::UnexpectedEof);
    ok(writer.rewind(len));
}

pub(super) fn the_fullest_open_segment_comes_first(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("wall", &[b"stone"]);
    let own = bench.own_len();
    let mut others: Vec<Box<dyn SegmentWriter>> = Vec::new();
    for bytes in [&b"longer than a stone"[..], b"st", b"sealed, and the longest of them all"] {
        let mut writer = ok(bench.segments.create(ok(bench.records.create_segment())));
        ok(writer.append(&[bytes]));
        ok(bench.segments.sync(writer.id()));
        others.push(writer);
    }
    let told: Vec<SegmentLen> = others
        .iter()
        .enumerate()
        .map(|(at, writer)| SegmentLen {
            segment: writer.id(),
            bytes: writer.len(),
            sealed: at == 2,
        })
        .collect();
    tell(&bench, &told);
    let open = [told[0].segment, own.segment, told[1].segment];
    assert_eq!(ok(bench.records.unsealed_segments(9)), open);
    assert_eq!(ok(bench.records.unsealed_segments(2)), open[..2]);
    assert_eq!(ok(bench.records.segment_len(told[2].segment)), Some(told[2]));
}

pub(super) fn a_committed_length_never_shrinks(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("wall", &[b"stone"]);
    let own = bench.own_len();
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
    assert_eq!(bench.committed_len(own.segment), bench.writer.len());
}

pub(super) fn a_segment_is_full_at_its_limit(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    assert!(!bench.writer.is_full(u64::from(u32::MAX)), "an empty segment takes any chunk");
    ok(bench.writer.append(&[b"stone"]));
    let mut room = 1_u64 << 40;
    for bit in (0..40).rev() {
        if bench.writer.is_full(room - (1 << bit)) {
            room -= 1 << bit;
        }
    }
    assert!(
        bench.writer.is_full(room) && !bench.writer.is_full(room - 1),
        "full is a matter of length"
    );
    let before = room;
    ok(bench.writer.append(&[b"123"]));
    assert!(bench.writer.is_full(before - 3) && !bench.writer.is_full(before - 4));
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
