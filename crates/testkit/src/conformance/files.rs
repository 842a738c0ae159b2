//! Files that segments are: appended to by one owner, adopted by the next. Nothing to check where a
//! backend has none.

use std::io;

use drystone_appender::{OwnedFile, OwnedFiles};
use drystone_store::{CommitBatch, Location, Records, SegmentId, SegmentLen};
use drystone_sync::PlainArc;

use super::Fixture;
use super::bench::ok;
use super::segments::check_kind;

/// A process with a segment file of its own.
struct Owner {
    records: PlainArc<dyn Records>,
    files: PlainArc<dyn OwnedFiles>,
    file: Box<dyn OwnedFile>,
}

fn open(fixture: &dyn Fixture) -> Option<(PlainArc<dyn Records>, PlainArc<dyn OwnedFiles>)> {
    let opened = fixture.open();
    Some((opened.records, opened.files?))
}

impl Owner {
    fn new(fixture: &dyn Fixture) -> Option<Self> {
        let (records, files) = open(fixture)?;
        let file = ok(files.create(ok(records.create_segment())));
        Some(Self { records, files, file })
    }

    /// In another process.
    fn adopting(fixture: &dyn Fixture, segment: SegmentId) -> Self {
        let (records, files) = open(fixture).expect("there are files");
        let file = ok(files.adopt(segment)).expect("it is unowned");
        Self { records, files, file }
    }

    /// Appends some bytes and has the records take them for committed.
    fn commit(&mut self, bytes: &[u8]) {
        ok(self.file.append(&[bytes]));
        ok(self.files.sync(self.file.id()));
        let len = SegmentLen { segment: self.file.id(), bytes: self.file.len(), sealed: false };
        ok(self.records.commit(&CommitBatch { entries: Vec::new(), segments: &[len] }));
    }

    fn committed_len(&self) -> u64 {
        ok(self.records.segment_len(self.file.id())).expect("it is registered").bytes
    }
}

pub(super) fn a_file_grows_by_whole_appends(fixture: &dyn Fixture) {
    let Some(mut owner) = Owner::new(fixture) else { return };
    assert!(owner.file.is_empty());
    let first = ok(owner.file.append(&[b"one", b"", b"two"]));
    assert_eq!(first, owner.file.len() - 6);
    assert!(!owner.file.is_empty());
    let second = ok(owner.file.append(&[b"three"]));
    assert_eq!(second, first + 6, "nothing lies between appends");
    let segment = owner.file.id();
    // Read before and after the sync, here and in another process.
    let (_, other) = open(fixture).expect("there are files");
    for round in 0..2 {
        for files in [&owner.files, &other] {
            let mut bytes = [0; 11];
            ok(files.read(Location { segment, offset: first, len: 11 }, &mut bytes));
            assert_eq!(&bytes, b"onetwothree", "round {round}");
        }
        ok(other.sync(segment));
        ok(owner.files.sync(segment));
    }
}

pub(super) fn an_owned_segment_is_not_adopted(fixture: &dyn Fixture) {
    let Some(owner) = Owner::new(fixture) else { return };
    let (_, other) = open(fixture).expect("there are files");
    let segment = owner.file.id();
    assert!(ok(owner.files.adopt(segment)).is_none(), "by its own process");
    assert!(ok(other.adopt(segment)).is_none(), "by another");
    assert!(ok(other.adopt(SegmentId(987_654))).is_none(), "there is no such segment");
    drop(owner.file);
    let adopted = ok(other.adopt(segment)).expect("it is unowned");
    assert_eq!(adopted.id(), segment);
    assert!(ok(owner.files.adopt(segment)).is_none());
    drop(adopted);
    assert!(ok(owner.files.adopt(segment)).is_some());
}

pub(super) fn an_owned_segment_is_not_removed(fixture: &dyn Fixture) {
    let Some(owner) = Owner::new(fixture) else { return };
    let (_, other) = open(fixture).expect("there are files");
    let segment = owner.file.id();
    for files in [&owner.files, &other] {
        check_kind(files.remove(segment), io::ErrorKind::ResourceBusy);
    }
    drop(owner.file);
    ok(other.remove(segment));
    assert!(ok(owner.files.adopt(segment)).is_none(), "it is gone");
}

pub(super) fn a_new_owner_reads_the_length_again(fixture: &dyn Fixture) {
    let Some(mut owner) = Owner::new(fixture) else { return };
    let (segment, before) = (owner.file.id(), owner.committed_len());
    owner.commit(b"stone");
    let len = owner.file.len();
    assert!(before < len);
    drop(owner.file);
    let mut other = Owner::adopting(fixture, segment);
    let found = ok(other.records.segment_len(segment));
    assert_eq!(found, Some(SegmentLen { segment, bytes: len, sealed: false }));
    ok(other.file.rewind(len));
    assert_eq!(other.file.len(), len);
    assert_eq!(ok(other.file.append(&[b"more"])), len);
    let mut bytes = [0; 9];
    ok(other.files.read(Location { segment, offset: len - 5, len: 9 }, &mut bytes));
    assert_eq!(&bytes, b"stonemore");
    assert_eq!(ok(other.records.segment_len(SegmentId(987_654))), None);
}

pub(super) fn a_rewind_drops_what_was_not_committed(fixture: &dyn Fixture) {
    let Some(mut owner) = Owner::new(fixture) else { return };
    let segment = owner.file.id();
    owner.commit(b"stone");
    let committed = owner.file.len();
    ok(owner.file.append(&[b"never committed, and longer than what follows"]));
    drop(owner.file);
    let mut other = Owner::adopting(fixture, segment);
    ok(other.file.rewind(committed));
    check_kind(
        other.files.read(Location { segment, offset: committed, len: 1 }, &mut [0; 1]),
        io::ErrorKind::UnexpectedEof,
    );
    assert_eq!(ok(other.file.append(&[b"new"])), committed);
    let mut bytes = [0; 8];
    ok(other.files.read(Location { segment, offset: committed - 5, len: 8 }, &mut bytes));
    assert_eq!(&bytes, b"stonenew");
    // Nothing was ever committed: the segment begins anew.
    let Some(mut fresh) = Owner::new(fixture) else { return };
    let (segment, empty_len) = (fresh.file.id(), fresh.file.len());
    ok(fresh.file.append(&[b"lost"]));
    drop(fresh.file);
    let mut other = Owner::adopting(fixture, segment);
    ok(other.file.rewind(0));
    assert!(other.file.is_empty());
    assert_eq!(other.file.len(), empty_len);
    assert_eq!(ok(other.file.append(&[b"found"])), empty_len);
}

pub(super) fn a_rewind_beyond_the_end_is_refused(fixture: &dyn Fixture) {
    let Some(mut owner) = Owner::new(fixture) else { return };
    ok(owner.file.append(&[b"stone"]));
    let (segment, len) = (owner.file.id(), owner.file.len());
    drop(owner.file);
    let mut other = Owner::adopting(fixture, segment);
    check_kind(other.file.rewind(len + 1), io::ErrorKind::UnexpectedEof);
    ok(other.file.rewind(len));
}

pub(super) fn a_segment_is_full_at_its_limit(fixture: &dyn Fixture) {
    let Some(mut owner) = Owner::new(fixture) else { return };
    let file = &mut owner.file;
    assert!(!file.is_full(u64::from(u32::MAX)), "an empty segment takes any chunk");
    ok(file.append(&[b"stone"]));
    let mut room = 1_u64 << 40;
    for bit in (0..40).rev() {
        if file.is_full(room - (1 << bit)) {
            room -= 1 << bit;
        }
    }
    assert!(file.is_full(room) && !file.is_full(room - 1), "full is a matter of length");
    ok(file.append(&[b"123"]));
    assert!(file.is_full(room - 3) && !file.is_full(room - 4));
}
