//! What a scrub and a check are told, and what becomes of marks.

use drystone_chunker::ChunkId;
use drystone_store::{
    CopySource, ManifestEntry, ObjectMeta, PartTarget, PlacedChunk, ScrubAsk, ScrubCounts,
    ScrubNote, ScrubPlace, SegmentId, Source,
};

use super::Fixture;
use super::bench::{Bench, bucket, complete, content, key, ok};

const ALL: ScrubAsk = ScrubAsk { since_ms: None, restart: false };

/// All chunks in the order of a scrub, read in pages of one.
fn in_order(bench: &Bench, since_ms: Option<u64>) -> Vec<PlacedChunk> {
    let mut chunks: Vec<PlacedChunk> = Vec::new();
    loop {
        let after = chunks.last().map_or(ScrubPlace::default(), PlacedChunk::place);
        let page = ok(bench.records.chunks_to_scrub(since_ms, after, 1));
        if page.is_empty() {
            return chunks;
        }
        chunks.extend(page);
    }
}

fn named(bench: &Bench, bytes: &[u8]) -> PlacedChunk {
    ok(bench.records.placed_chunk_of(&ChunkId::of(bytes))).expect("it was put")
}

fn mark(bench: &Bench, chunk: PlacedChunk) {
    ok(bench.records.note_scrub(0, &ScrubNote { bad: vec![chunk], ..ScrubNote::default() }));
}

pub(super) fn chunks_are_scrubbed_in_the_order_of_their_bytes(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("abc", &[b"aaa", b"bbbb", b"c"]);
    bench.put("d", &[b"dd"]);
    let chunks = in_order(&bench, None);
    assert_eq!(chunks.len(), 4);
    assert!(chunks.is_sorted_by_key(PlacedChunk::place));
    let all = ok(bench.records.chunks_to_scrub(None, ScrubPlace::default(), 9));
    assert_eq!(all, chunks);
    let b = named(&bench, b"bbbb");
    assert_eq!(b.name, Some((ChunkId::of(b"bbbb"), 4)));
    assert_eq!(ok(bench.records.placed_chunk(b.chunk)), Some(b));
    assert!(chunks.contains(&b) && !b.damaged);
    assert_eq!(ok(bench.records.chunk_bytes()), 10);
}

pub(super) fn a_scrub_remembers_where_it_was(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("ab", &[b"aaa", b"bbbb"]);
    let begun = ok(bench.records.begin_scrub(&ALL));
    assert_eq!((begun.at, begun.counts), (ScrubPlace::default(), ScrubCounts::default()));
    let first = in_order(&bench, None)[0];
    let counts = ScrubCounts { chunks: 1, bytes: 3, bad: 0, well_again: 0 };
    let note = ScrubNote { at: first.place(), counts, ..ScrubNote::default() };
    ok(bench.records.note_scrub(begun.id, &note));
    let again = ok(fixture.open().records.begin_scrub(&ALL));
    assert_eq!((again.id, again.at, again.counts), (begun.id, first.place(), counts));
    // Another process that does the same scrub is not as far.
    ok(bench.records.note_scrub(begun.id, &ScrubNote::default()));
    assert_eq!(ok(bench.records.begin_scrub(&ALL)).at, first.place());
    let restarted = ok(bench.records.begin_scrub(&ScrubAsk { restart: true, ..ALL }));
    assert_ne!(restarted.id, begun.id);
    // A scrub that another has taken the place of moves nothing.
    ok(bench.records.note_scrub(begun.id, &note));
    assert_eq!(ok(bench.records.begin_scrub(&ALL)), restarted);
    ok(bench.records.note_scrub(restarted.id, &ScrubNote { is_over: true, ..note }));
    assert_eq!(ok(bench.records.begin_scrub(&ALL)).counts, ScrubCounts::default());
}

pub(super) fn what_was_verified_may_be_left_out(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("ab", &[b"aaa", b"bbbb"]);
    let begun = ok(bench.records.begin_scrub(&ALL));
    let passed: Vec<SegmentId> = in_order(&bench, None).iter().map(|chunk| chunk.segment).collect();
    assert_eq!(in_order(&bench, Some(1)).len(), 2, "nothing was verified");
    ok(bench.records.note_scrub(begun.id, &ScrubNote { passed, ..ScrubNote::default() }));
    assert_eq!(in_order(&bench, Some(begun.began_ms)), []);
    assert_eq!(in_order(&bench, Some(begun.began_ms + 1)).len(), 2, "that was too long ago");
    assert_eq!(in_order(&bench, None).len(), 2);
    bench.put("c", &[b"cc"]);
    let fresh = in_order(&bench, Some(begun.began_ms));
    assert_eq!(fresh, [named(&bench, b"cc")], "what is newer was not verified");
    mark(&bench, named(&bench, b"aaa"));
    assert_eq!(in_order(&bench, Some(begun.began_ms)).len(), 2, "a marked one is always read");
}

pub(super) fn a_marked_chunk_is_healed_by_its_bytes(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("ab", &[b"aaa", b"bbbb"]);
    let known = |bench: &Bench| ok(bench.records.find_chunks(&[ChunkId::of(b"bbbb")]))[0];
    let before = named(&bench, b"bbbb");
    assert!(known(&bench).is_some_and(|known| !known.damaged));
    mark(&bench, before);
    assert!(known(&bench).is_some_and(|known| known.damaged));
    assert_eq!(
        ok(bench.records.damaged_chunks(drystone_store::ChunkRef(0), 9)),
        [named(&bench, b"bbbb")]
    );
    // An upload that carries along what is damaged heals nothing.
    let carried = |id, at| vec![ManifestEntry { offset: 0, id, source: Source::Written(at) }];
    let same = carried(ChunkId::of(b"bbbb"), before.at());
    ok(bench.commit_one(bench.entry(same, Some(complete("carried", 4, content(1))))));
    assert!(named(&bench, b"bbbb").damaged);
    // Bytes that were written again do.
    bench.put("again", &[b"bbbb"]);
    let healed = named(&bench, b"bbbb");
    assert!(!healed.damaged && healed.chunk == before.chunk);
    assert_ne!(healed.place(), before.place());
    // What was read at the old place says nothing of the new one.
    mark(&bench, before);
    assert!(!named(&bench, b"bbbb").damaged);
    mark(&bench, healed);
    let well = ScrubNote { well: vec![before], ..ScrubNote::default() };
    ok(bench.records.note_scrub(0, &well));
    assert!(named(&bench, b"bbbb").damaged);
    let well = ScrubNote { well: vec![healed], ..ScrubNote::default() };
    ok(bench.records.note_scrub(0, &well));
    assert!(!named(&bench, b"bbbb").damaged);
}

pub(super) fn what_a_chunk_is_in_is_found(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let first = bench.put("a", &[b"aaa", b"bbbb", b"aaa"]);
    let second = bench.put("b", &[b"aaa"]);
    let (records, chunk) = (&bench.records, named(&bench, b"aaa").chunk);
    assert_eq!(ok(records.manifests_of(chunk, None, 9)), [first, second]);
    assert_eq!(ok(records.manifests_of(chunk, Some(first), 9)), [second]);
    assert_eq!(ok(records.place_in(chunk, first, 0..u64::MAX)), Some(0));
    assert_eq!(ok(records.place_in(chunk, first, 1..u64::MAX)), Some(7));
    assert_eq!(ok(records.place_in(chunk, first, 1..7)), None);
    let owner = |name| drystone_store::Owner { bucket: bucket(), key: key(name), part: None };
    assert_eq!(ok(records.objects_of(first, None, 9)), [owner("a")]);
    assert_eq!(ok(records.objects_of(first, Some((&bucket(), &key("a"))), 9)), []);
    let upload = ok(records.create_upload(&bucket(), &key("c"), &ObjectMeta::default())).id;
    let source = CopySource { bucket: bucket(), key: key("a"), content: None };
    let target = PartTarget { upload, number: 7, system: Default::default() };
    let part = ok(records.copy_part(&source, Some(2..8), &target));
    let slices = ok(records.slices_of(first, None, 9));
    assert_eq!(slices.len(), 1);
    let found = (slices[0].composite, slices[0].offset, slices[0].start, slices[0].len);
    assert_eq!(found, (part.manifest, 0, 2, 6));
    assert_eq!(ok(records.slices_of(first, Some((part.manifest, 0)), 9)), []);
    let of_part = drystone_store::Owner { part: Some((upload, 7)), ..owner("c") };
    assert_eq!(ok(records.parts_of(part.manifest, None, 9)), [of_part]);
    assert_eq!(ok(records.parts_of(part.manifest, Some((upload, 7)), 9)), []);
    assert_eq!(ok(records.parts_to_check(None, 9)), [(upload, 7, true)]);
}

pub(super) fn a_check_is_told_what_there_is(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("a", &[b"aaa", b"bbbb"]);
    bench.put("b", &[b"aaa"]);
    let facts = ok(bench.records.segment_facts(None, 9));
    let used: Vec<_> = facts.iter().filter(|facts| facts.sum > 0).collect();
    assert_eq!(used.iter().map(|facts| facts.sum).sum::<i64>(), 7);
    for facts in &used {
        assert_eq!(facts.live, facts.sum);
        assert!(facts.end > 0 && facts.end as u64 <= facts.bytes && facts.least > 0, "{facts:?}");
    }
    let last = facts.last().expect("there is a segment").segment;
    assert_eq!(ok(bench.records.segment_facts(Some(last), 9)), []);
    let asked = [last, SegmentId(987_654)];
    assert_eq!(ok(bench.records.has_segments(&asked)), [true, false]);
    assert_eq!(ok(bench.records.segments_without_row(None, 9)), []);
    let objects = ok(bench.records.objects_to_check(&bucket(), None, 1));
    assert_eq!(objects, [(key("a"), true)]);
    let objects = ok(bench.records.objects_to_check(&bucket(), Some(&key("a")), 9));
    assert_eq!(objects, [(key("b"), true)]);
}
