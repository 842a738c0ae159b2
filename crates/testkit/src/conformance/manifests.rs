//! Manifests: in pages, and in several steps.

use drystone_chunker::ChunkId;
use drystone_store::{Entry, ManifestEntry};

use super::Fixture;
use super::bench::{Bench, LONG_MS, complete, content, ok};

pub(super) fn a_manifest_is_paged_from_any_byte(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let parts: [&[u8]; 5] = [b"a", b"bcd", b"efghi", b"bcd", b"j"];
    bench.put("other", &[b"xyz"]);
    let manifest = bench.put("wall", &parts);
    bench.put("another", &[b"xyz", b"xyz"]);
    let mut offset = 0;
    let rows: Vec<(u64, ChunkId, u32)> = parts
        .iter()
        .map(|part| {
            offset += part.len() as u64;
            (offset - part.len() as u64, ChunkId::of(part), part.len() as u32)
        })
        .collect();
    for from in 0..offset {
        let first = rows.iter().rposition(|row| row.0 <= from).expect("the first begins at 0");
        for limit in 1..=rows.len() + 1 {
            let page = ok(bench.records.manifest_page(manifest, from, limit));
            let found: Vec<_> =
                page.iter().map(|row| (row.offset, row.chunk, row.at.len)).collect();
            let expected: Vec<_> = rows[first..].iter().take(limit).copied().collect();
            assert_eq!(found, expected, "from {from} limit {limit}");
        }
    }
    for row in ok(bench.records.manifest_page(manifest, 0, 9)) {
        let mut bytes = vec![0; row.at.len as usize];
        ok(bench.segments.read(row.at, &mut bytes));
        assert_eq!(ChunkId::of(&bytes), row.chunk);
    }
}

pub(super) fn an_empty_object_has_an_empty_manifest(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    bench.put("before", &[b"stone"]);
    let manifest = bench.put("empty", &[]);
    bench.put("after", &[b"stone"]);
    assert_eq!(ok(bench.records.manifest_page(manifest, 0, 9)), []);
    assert_eq!(bench.stat("empty").map(|row| row.size), Some(0));
}

/// A manifest in steps of one chunk each; the last step is left to do.
fn pend(bench: &mut Bench, parts: &[&[u8]]) -> (Entry, u64) {
    let (chunks, size) = bench.append_all(parts);
    let mut manifest = None;
    let (last, steps) = chunks.split_last().expect("there are parts");
    for chunk in steps {
        let step = Entry { manifest, ..bench.entry(vec![*chunk], None) };
        let named = ok(bench.commit_one(step));
        assert!(
            manifest.is_none_or(|known| known == named),
            "later steps go into the same manifest"
        );
        manifest = Some(named);
    }
    (Entry { manifest, ..bench.entry(vec![*last], None) }, size)
}

pub(super) fn a_pending_manifest_becomes_an_object(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let (step, size) = pend(&mut bench, &[b"one", b"two", b"three"]);
    let last = Entry { complete: Some(complete("wall", size, content(1))), ..step };
    let manifest = ok(bench.commit_one(last.clone()));
    assert_eq!(Some(manifest), last.manifest);
    assert_eq!(bench.stat("wall").map(|row| (row.manifest, row.size)), Some((manifest, 11)));
    let offsets: Vec<u64> =
        ok(bench.records.manifest_page(manifest, 0, 9)).iter().map(|row| row.offset).collect();
    assert_eq!(offsets, [0, 3, 6]);
    // The last step may add nothing.
    let (step, size) = pend(&mut bench, &[b"one", b"two"]);
    let manifest = ok(bench.commit_one(step));
    let nothing: Vec<ManifestEntry> = Vec::new();
    let last = Entry {
        manifest: Some(manifest),
        ..bench.entry(nothing, Some(complete("two", size, content(2))))
    };
    assert_eq!(ok(bench.commit_one(last)), manifest);
    assert_eq!(bench.stat("two").map(|row| row.manifest), Some(manifest));
}

pub(super) fn a_pending_manifest_is_invisible(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let (_, _) = pend(&mut bench, &[b"one", b"two", b"three"]);
    assert_eq!(bench.names("", None, 9), [""; 0]);
    let totals = ok(bench.records.totals());
    assert_eq!((totals.objects, totals.object_bytes), (0, 0));
    assert_eq!(totals.chunks, 2, "the chunks of the steps are known, so that others find them");
    ok(bench.records.end_session(bench.session));
    assert_eq!(bench.names("", None, 9), [""; 0]);
}

pub(super) fn what_is_left_pending_is_taken_back(fixture: &dyn Fixture) {
    let mut bench = Bench::new(fixture);
    let stored = bench.put("wall", &[b"one", b"stone"]);
    let (first, _) = pend(&mut bench, &[b"one", b"two", b"three"]);
    let first = first.manifest.expect("two steps were committed");
    let (second, size) = pend(&mut bench, &[b"two", b"four"]);
    let other = ok(bench.records.begin_session(LONG_MS)).id;
    assert!(
        ok(bench.records.take_back(other, Some(first), 9)),
        "what is not of the session is none of its"
    );
    assert_eq!(ok(bench.records.manifest_page(first, 0, 9)).len(), 2);

    assert!(!ok(bench.records.take_back(bench.session, Some(first), 1)), "there is another row");
    assert_eq!(ok(bench.records.manifest_page(first, 0, 9)).len(), 1);
    while !ok(bench.records.take_back(bench.session, Some(first), 1)) {}
    assert!(ok(bench.records.manifest_page(first, 0, 9)).is_empty());

    // Another upload of the session goes on, and finds the chunks of the first.
    let last = Entry { complete: Some(complete("second", size, content(1))), ..second };
    let manifest = ok(bench.commit_one(last));
    assert_eq!(bench.bytes(manifest, 0), b"twofour");
    pend(&mut bench, &[b"five", b"six"]);
    pend(&mut bench, &[b"seven", b"eight"]);
    ok(bench.records.end_session(bench.session));
    while !ok(bench.records.take_back(bench.session, None, 1)) {}
    assert!(ok(bench.records.take_back(bench.session, None, 1)), "there is nothing left");
    // What is committed cannot be taken back.
    assert!(ok(bench.records.take_back(bench.session, Some(stored), 9)));
    assert_eq!(
        (bench.bytes(stored, 0), bench.bytes(manifest, 0)),
        (b"onestone".into(), b"twofour".into())
    );
}
