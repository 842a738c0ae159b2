//! Chunk rows: found, shared, condemned and revived.

use drystone_chunker::ChunkId;
use drystone_store::{ChunkRef, ManifestEntry, ObjectRow, Source, StoreError, Totals};

use super::Fixture;
use super::bench::{Bench, complete, content, ok};

pub(super) fn chunks_are_found_in_the_order_asked(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("ab", &[b"aaa", b"bbb"]);
    let [a, b, c] = [b"aaa", b"bbb", b"ccc"].map(|bytes| ChunkId::of(bytes));
    let found = ok(bench.records.find_chunks(&[b, c, a, b]));
    assert!(found[0].is_some() && found[1].is_none() && found[2].is_some());
    assert_eq!(found[0], found[3]);
    assert_ne!(found[0], found[2]);
    assert!(found.iter().flatten().all(|known| !known.condemned));
    assert_eq!(ok(bench.records.find_chunks(&[])), []);
}

pub(super) fn the_first_row_of_a_chunk_stays(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let first = bench.put("first", &[b"same bytes"]);
    let before = ok(bench.records.find_chunks(&[ChunkId::of(b"same bytes")]));
    let second = bench.put("second", &[b"same bytes"]);
    assert_eq!(ok(bench.records.find_chunks(&[ChunkId::of(b"same bytes")])), before);
    let rows = [first, second].map(|manifest| ok(bench.records.manifest_page(manifest, 0, 9)));
    assert_eq!(rows[0], rows[1], "both name the bytes that were there first");
    // Known and written chunks mix in one entry, and one chunk may come twice.
    let known = before[0].expect("it was put").chunk;
    let (written, _) = bench.append_all(&[b"fresh"]);
    let source = Source::Known(known);
    let id = ChunkId::of(b"same bytes");
    let chunks = vec![
        ManifestEntry { offset: 0, id, source },
        ManifestEntry { offset: 10, ..written[0] },
        ManifestEntry { offset: 15, id, source },
    ];
    let third = ok(bench.commit_one(bench.entry(chunks, Some(complete("third", 25, content(3))))));
    let ids: Vec<_> = ok(bench.records.manifest_page(third, 0, 9))
        .iter()
        .map(|row| (row.offset, row.chunk))
        .collect();
    assert_eq!(ids, [(0, id), (10, ChunkId::of(b"fresh")), (15, id)]);
}

pub(super) fn a_vanished_chunk_is_refused(fixture: &dyn Fixture) {
    let bench = Bench::new(fixture);
    let source = Source::Known(ChunkRef(987_654));
    let chunks = vec![ManifestEntry { offset: 0, id: ChunkId::of(b"nowhere"), source }];
    let refused = bench.commit_one(bench.entry(chunks, Some(complete("ghost", 7, content(1)))));
    assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");
    assert_eq!(bench.stat("ghost"), None);
}

pub(super) fn a_condemned_chunk_is_revived(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("doomed", &[b"doomed"]);
    let id = ChunkId::of(b"doomed");
    let known = |bench: &Bench| ok(bench.records.find_chunks(&[id]))[0].expect("it has a row");
    assert!(!known(&bench).condemned);
    fixture.condemn(&id);
    let row = known(&bench);
    assert!(row.condemned);
    let dead = bench.dead_session();
    let refused = bench.records.revive_chunks(dead, &[row.chunk]);
    assert!(matches!(refused, Err(StoreError::SessionExpired)), "{refused:?}");
    assert!(known(&bench).condemned, "a dead session revives nothing");
    let nothing = ChunkRef(987_654);
    let revived = ok(bench.records.revive_chunks(bench.session, &[row.chunk, nothing]));
    assert_eq!(revived, [true, false], "of the second one there is no row");
    assert_eq!(known(&bench).chunk, row.chunk);
}

pub(super) fn writing_a_condemned_chunk_again_revives_it(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("doomed", &[b"doomed"]);
    let id = ChunkId::of(b"doomed");
    let before = ok(bench.records.find_chunks(&[id]))[0].expect("it has a row");
    fixture.condemn(&id);
    bench.put("again", &[b"doomed"]);
    assert_eq!(ok(bench.records.find_chunks(&[id])), [Some(before)]);
}

pub(super) fn totals_add_up(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    assert_eq!(ok(bench.records.totals()), Totals::default());
    bench.put("one", &[b"aaaa", b"bb"]);
    bench.put("two", &[b"bb"]);
    let expected = Totals { objects: 2, object_bytes: 8, chunks: 2, chunk_bytes: 6 };
    assert_eq!(ok(bench.records.totals()), expected);
    let sizes: u64 = ["one", "two"]
        .iter()
        .filter_map(|name| bench.stat(name))
        .map(|ObjectRow { size, .. }| size)
        .sum();
    assert_eq!(sizes, expected.object_bytes);
}
