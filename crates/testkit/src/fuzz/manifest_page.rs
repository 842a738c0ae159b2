//! Manifests read in pages, from anywhere.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use drystone_chunker::ChunkId;
use drystone_store::{
    Appended, BucketName, CommitBatch, Complete, Completion, Condition, ContentHash, CopySource,
    Entry, Key, Location, ManifestEntry, ManifestId, NamedPart, NewBucket, ObjectMeta,
    ObjectRecords as _, ObjectRow, OpenObject, PartTarget, PutTarget, Records, SegmentId,
    SegmentLen, SegmentStorage, Source, Store, SyncPolicy,
};

use crate::memory::{Memory, MemoryConfig};
use crate::noise::Noise;
use crate::reference::{CutBy, Setup};

/// Longer than any chunk here; nothing is cut, so the store's own chunking only sizes the buffers.
const CHUNK_BYTES_MAX: usize = 100;

#[derive(Debug, Arbitrary)]
struct ManifestInput {
    /// Seed and length of each chunk; the seeds repeat, so chunks do.
    chunks: Vec<(u8, u8)>,
    /// Chunks in one step.
    step: u8,
    ranges: Vec<(u16, u16)>,
    pages: Vec<(u16, u8)>,
    /// Ranges of the object that another one is put together from.
    slices: Vec<(u16, u16)>,
}

/// Any range of an object is the slice of its bytes, and any page of a manifest the rows from the
/// chunk that holds its byte.
///
/// # Panics
/// When that does not hold.
pub fn manifest_page(data: &[u8]) {
    let Ok(input) = ManifestInput::arbitrary(&mut Unstructured::new(data)) else { return };
    let chunks: Vec<Vec<u8>> = input
        .chunks
        .iter()
        .take(600)
        .map(|(seed, len)| {
            Noise::new(u64::from(seed % 5)).bytes(1 + usize::from(*len) % CHUNK_BYTES_MAX)
        })
        .collect();
    let memory =
        Memory::new(MemoryConfig { sync: SyncPolicy::Commit, segment_bytes_max: u64::MAX });
    let (records, segments) = memory.open();
    let object = insert(&*records, &*segments, &chunks, usize::from(input.step).max(1));
    assert_eq!(memory.violations(), [""; 0]);
    check_pages(&*records, object.manifest, &rows_of(&chunks), &input.pages);
    let bytes = chunks.concat();
    let (composite, its_bytes) = put_together(&*records, &bytes, &input.slices);
    let rows = records.manifest_page(composite.manifest, 0, usize::MAX).expect("nothing fails");
    let rows: Vec<_> = rows.iter().map(|row| (row.offset, row.chunk)).collect();
    check_pages(&*records, composite.manifest, &rows, &input.pages);

    let setup = Setup { cut: CutBy::Fixed100, two_workers: false, tiny_queue: false };
    let store = Store::new(records, segments, setup.config()).expect("threads can be started");
    check_ranges(&store, &object, &bytes, &input.ranges);
    check_ranges(&store, &composite, &its_bytes, &input.ranges);
}

fn check_ranges(store: &Store, object: &ObjectRow, bytes: &[u8], ranges: &[(u16, u16)]) {
    assert_eq!(object.size, bytes.len() as u64);
    let bucket = BucketName::new("walls").expect("a good name");
    let open = OpenObject::unpinned(bucket, object.clone());
    let whole = (0, u16::MAX);
    for &(from, len) in ranges.iter().take(40).chain([&whole]) {
        let (from, end) = (u64::from(from), u64::from(from) + u64::from(len));
        let mut found = Vec::new();
        let copied = store.read(&open, Some(from..end)).copy_to(&mut found);
        copied.expect("nothing is damaged").expect("a vector takes everything");
        let end = (end as usize).min(bytes.len());
        assert_eq!(found, bytes[(from as usize).min(end)..end], "{from}..{end}");
    }
}

/// Another object, of ranges of the one that was inserted; with its bytes, of which there are not
/// many.
fn put_together(
    records: &dyn Records,
    bytes: &[u8],
    slices: &[(u16, u16)],
) -> (ObjectRow, Vec<u8>) {
    let sound = "nothing fails without a fault";
    let (bucket, key) =
        (BucketName::new("walls").expect("a good name"), Key::new("wall").expect("a good key"));
    let upload = records.create_upload(&bucket, &key, &ObjectMeta::default()).expect(sound).id;
    let source = CopySource { bucket, key, content: None };
    let mut completion = Completion::default();
    let mut expected = Vec::new();
    for (number, &(from, len)) in (1..).zip(slices.iter().take(8)) {
        let from = usize::from(from) % (bytes.len() + 1);
        let end = (from + usize::from(len)).min(bytes.len());
        let target = PartTarget { upload, number, system: BTreeMap::new() };
        records.copy_part(&source, Some(from as u64..end as u64), &target).expect(sound);
        completion.parts.push(NamedPart { number, ..NamedPart::default() });
        expected.extend_from_slice(&bytes[from..end]);
    }
    (records.complete_upload(upload, &completion).expect(sound), expected)
}

fn rows_of(chunks: &[Vec<u8>]) -> Vec<(u64, ChunkId)> {
    let mut end = 0;
    let row = |bytes: &Vec<u8>| {
        end += bytes.len() as u64;
        (end - bytes.len() as u64, ChunkId::of(bytes))
    };
    chunks.iter().map(row).collect()
}

fn insert(
    records: &dyn Records,
    segments: &dyn SegmentStorage,
    chunks: &[Vec<u8>],
    step: usize,
) -> ObjectRow {
    let sound = "nothing fails without a fault";
    let bucket = BucketName::new("walls").expect("a good name");
    records.create_bucket(&NewBucket::named(bucket.clone())).expect(sound);
    let session = records.begin_session(1000).expect(sound).id;
    let content =
        ContentHash::of_chunks(chunks.iter().map(|bytes| (ChunkId::of(bytes), bytes.len() as u64)));
    let (mut end, mut manifest) = (0, None);
    let mut held = Vec::new();
    let mut commit = |chunks: &[Vec<u8>], last: bool| {
        let (mut rows, mut ends) = (Vec::new(), BTreeMap::new());
        for bytes in chunks {
            let Appended { segment, offset, hold } = segments.append(&[bytes]).expect(sound);
            held.push(hold);
            let at = Location { segment, offset, len: bytes.len() as u32 };
            ends.insert(segment, offset + bytes.len() as u64);
            rows.push(ManifestEntry {
                offset: end,
                id: ChunkId::of(bytes),
                source: Source::Written(at),
            });
            end += bytes.len() as u64;
        }
        let named: Vec<SegmentId> = ends.keys().copied().collect();
        segments.settle(&named).into_iter().for_each(|settled| {
            settled.expect(sound);
        });
        let complete = last.then(|| Complete {
            target: PutTarget {
                bucket: bucket.clone(),
                key: Key::new("wall").expect("a good key"),
                meta: ObjectMeta::default(),
                condition: Condition::Always,
            }
            .into(),
            size: end,
            content,
        });
        let entry = Entry { session, manifest, chunks: rows, complete, advance: false };
        let told: Vec<SegmentLen> = ends
            .into_iter()
            .map(|(segment, bytes)| SegmentLen { segment, bytes, sealed: false })
            .collect();
        let batch = CommitBatch { entries: vec![&entry], segments: &told };
        let result = records.commit(&batch).expect(sound).pop().expect("one answer for one entry");
        manifest = Some(result.expect("the session lives"));
    };
    for part in chunks.chunks(step) {
        commit(part, false);
    }
    commit(&[], true);
    let key = Key::new("wall").expect("a good key");
    records.object(&bucket, &key).expect(sound).expect("it was just put")
}

fn check_pages(
    records: &dyn Records,
    manifest: ManifestId,
    rows: &[(u64, ChunkId)],
    pages: &[(u16, u8)],
) {
    for &(from, limit) in pages.iter().take(40) {
        let page =
            records.manifest_page(manifest, from.into(), limit.into()).expect("nothing fails");
        let found: Vec<_> = page.iter().map(|row| (row.offset, row.chunk)).collect();
        let first = rows.iter().rposition(|row| row.0 <= u64::from(from)).unwrap_or(0);
        let expected: Vec<_> = rows.iter().skip(first).take(limit.into()).copied().collect();
        assert_eq!(found, expected, "from {from} limit {limit}");
    }
}
