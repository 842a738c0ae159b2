//! What the checks are written with.

use std::collections::BTreeMap;
use std::ops::Bound;

use drystone_chunker::ChunkId;
use drystone_store::{
    Appended, BucketName, CommitBatch, CommitOutcome, CommitResult, Complete, Condition,
    ContentHash, Entry, Key, Location, ManifestEntry, ManifestId, NewBucket, ObjectMeta, ObjectRow,
    PutTarget, Records, SegmentId, SegmentLen, SegmentStorage, SessionId, Settled, Source,
    StoreError, Target,
};
use drystone_sync::PlainArc;

use super::Fixture;

/// Longer than any test takes, in milliseconds.
pub(super) const LONG_MS: u64 = 3_600_000;

/// A process with the store open, a live session and a bucket.
pub(super) struct Bench {
    pub(super) records: PlainArc<dyn Records>,
    pub(super) segments: PlainArc<dyn SegmentStorage>,
    pub(super) session: SessionId,
    /// What it has appended to so far.
    lens: BTreeMap<SegmentId, SegmentLen>,
    held: Vec<Appended>,
}

pub(super) fn key(text: &str) -> Key {
    Key::new(text).expect("the checks use good keys")
}

pub(super) fn bucket() -> BucketName {
    BucketName::new("walls").expect("a good name")
}

pub(super) fn content(number: u8) -> ContentHash {
    ContentHash([number; 32])
}

/// `Ok`, or a panic that says what was being done.
#[track_caller]
pub(super) fn ok<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

impl Bench {
    pub(super) fn new(fixture: &dyn Fixture) -> Self {
        let opened = fixture.open();
        let session = ok(opened.records.begin_session(LONG_MS)).id;
        ok(opened.records.create_bucket(&NewBucket::named(bucket())));
        Self {
            records: opened.records,
            segments: opened.segments,
            session,
            lens: BTreeMap::new(),
            held: Vec::new(),
        }
    }

    /// A session that is dead.
    pub(super) fn dead_session(&self) -> SessionId {
        let session = ok(self.records.begin_session(0)).id;
        // The lease runs out a millisecond later.
        while ok(self.records.expire_sessions()) == 0 {}
        session
    }

    /// Appends a chunk and settles it.
    pub(super) fn append(&mut self, bytes: &[u8]) -> ManifestEntry {
        let at = self.append_parts(&[bytes]);
        ManifestEntry { offset: 0, id: ChunkId::of(bytes), source: Source::Written(at) }
    }

    /// Appends parts in one go and settles them; where all of them are.
    pub(super) fn append_parts(&mut self, parts: &[&[u8]]) -> Location {
        let appended = ok(self.segments.append(parts));
        let (segment, offset) = (appended.segment, appended.offset);
        self.held.push(appended);
        let mut settled = self.segments.settle(&[segment]);
        let settled = ok(settled.pop().expect("one answer for one segment"));
        let at =
            Location { segment, offset, len: parts.iter().map(|part| part.len() as u32).sum() };
        let bytes = offset + u64::from(at.len);
        self.lens.insert(segment, SegmentLen { segment, bytes, sealed: settled == Settled::Whole });
        at
    }

    /// Appends chunks that follow one another in an object; the length is that of the object.
    pub(super) fn append_all(&mut self, parts: &[&[u8]]) -> (Vec<ManifestEntry>, u64) {
        let mut end = 0;
        let mut chunks = Vec::new();
        for part in parts {
            chunks.push(ManifestEntry { offset: end, ..self.append(part) });
            end += part.len() as u64;
        }
        (chunks, end)
    }

    pub(super) fn entry(&self, chunks: Vec<ManifestEntry>, complete: Option<Complete>) -> Entry {
        Entry { session: self.session, manifest: None, chunks, complete, advance: false }
    }

    /// Of what it has appended to so far.
    pub(super) fn own_lens(&self) -> Vec<SegmentLen> {
        self.lens.values().copied().collect()
    }

    pub(super) fn commit(&self, entries: &[Entry]) -> Vec<CommitResult> {
        let told = self.own_lens();
        let batch = CommitBatch { entries: entries.iter().collect(), segments: &told };
        let results = ok(self.records.commit(&batch));
        self.segments.note_commit(&told, CommitOutcome::Committed);
        assert_eq!(results.len(), entries.len(), "a commit answers every entry");
        results
    }

    pub(super) fn commit_one(&self, entry: Entry) -> CommitResult {
        self.commit(&[entry]).pop().expect("one answer for one entry")
    }

    /// Puts an object of these chunks.
    pub(super) fn put(&mut self, name: &str, parts: &[&[u8]]) -> ManifestId {
        let (chunks, size) = self.append_all(parts);
        let complete = complete(name, size, content(parts.len() as u8));
        ok(self.commit_one(self.entry(chunks, Some(complete))))
    }

    /// The bytes of a manifest from `from` on, every chunk verified.
    pub(super) fn bytes(&self, manifest: ManifestId, from: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in ok(self.records.manifest_page(manifest, from, usize::MAX)) {
            let mut chunk = vec![0; row.at.len as usize];
            ok(self.segments.read(row.at, &mut chunk));
            assert_eq!(ChunkId::of(&chunk), row.chunk);
            assert_eq!(row.offset, from + bytes.len() as u64, "a manifest has no gaps");
            bytes.extend_from_slice(&chunk[row.skip as usize..][..row.len as usize]);
        }
        bytes
    }

    pub(super) fn stat(&self, name: &str) -> Option<ObjectRow> {
        ok(self.records.object(&bucket(), &key(name)))
    }

    pub(super) fn names(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = ok(self.records.list(&bucket(), prefix, from, limit));
        rows.into_iter().map(|row| row.key.as_str().to_owned()).collect()
    }

    pub(super) fn committed_len(&self, segment: SegmentId) -> u64 {
        ok(self.records.segment_len(segment)).expect("the segment is registered").bytes
    }
}

/// The last step of a put without conditions.
pub(super) fn complete(name: &str, size: u64, content: ContentHash) -> Complete {
    complete_at(target(name), size, content)
}

/// The last step of a put to `target`.
pub(super) fn complete_at(target: impl Into<Target>, size: u64, content: ContentHash) -> Complete {
    Complete { target: target.into(), size, content }
}

/// An object without properties or conditions.
pub(super) fn target(name: &str) -> PutTarget {
    PutTarget {
        bucket: bucket(),
        key: key(name),
        meta: ObjectMeta::default(),
        condition: Condition::Always,
    }
}
