//! `scrub` and `check` on a store with damage in it.

mod support;

use std::fs;
use std::path::Path;

use drystone_testkit::noise::Noise;
use support::{Sandbox, args};

fn body() -> Vec<u8> {
    Noise::new(7).bytes(400_000)
}

/// Two objects, of which one is damaged in one byte.
fn damaged() -> Sandbox {
    let sandbox = Sandbox::chunked("cdc:16KiB,64KiB,256KiB");
    sandbox.put_bytes("s/whole", &Noise::new(8).bytes(300_000));
    sandbox.put_bytes("s/bad", &body());
    let (segment, at) = sandbox.find_in_segments(&body()[200_000..200_064]);
    flip(&segment, at);
    sandbox
}

fn flip(segment: &Path, at: usize) {
    let mut bytes = fs::read(segment).expect("a segment");
    bytes[at] ^= 0x10;
    fs::write(segment, bytes).expect("a segment");
}

#[test]
fn a_damaged_byte_is_found_named_and_healed_by_a_put() {
    let sandbox = damaged();
    let ran = sandbox.fails(5, args!["scrub"]);
    ran.says(&["1 are damaged", "--repair-from"]);
    assert!(
        ran.text().contains("damaged chunk ") && ran.text().contains("hash to"),
        "{}",
        ran.text()
    );
    assert!(
        ran.text().contains("object `s/bad` in bucket `default`, from byte "),
        "{}",
        ran.text()
    );
    assert!(!ran.text().contains("s/whole"), "{}", ran.text());
    sandbox.fails(5, args!["cat", "s/bad"]);
    sandbox.put_bytes("again", &body());
    assert!(sandbox.cat("s/bad") == body(), "the first object is healed, too");
    sandbox.ok(args!["scrub"]).says(&[": 0 are damaged"]);
}

#[test]
fn a_scrub_tells_programs_in_json() {
    let sandbox = damaged();
    let lines = sandbox.fails(5, args!["--json", "scrub"]).json();
    let [damaged, affected, summary] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(affected["affected"]["key"], "s/bad");
    assert_eq!(affected["affected"]["bucket"], "default");
    assert!(affected["affected"]["offset"].as_u64().is_some_and(|at| at <= 200_000));
    assert_eq!(affected["chunk"], damaged["damaged"]["chunk"]);
    let summary = &summary["summary"];
    assert_eq!((&summary["damaged"], &summary["finished"]), (&1.into(), &true.into()));
    assert_eq!(summary["bytes"], 700_000);
}

#[test]
fn a_scrub_leaves_out_what_was_verified_lately() {
    let sandbox = damaged();
    let bytes = |ran: support::Ran| ran.summary("bytes");
    assert_eq!(bytes(sandbox.fails(5, args!["--json", "scrub", "--since", "1h"])), 700_000);
    let again = bytes(sandbox.fails(5, args!["--json", "scrub", "--since", "1h"]));
    assert!(again > 0 && again < 300_000, "only the damaged chunk: {again}");
    assert_eq!(bytes(sandbox.fails(5, args!["--json", "scrub", "--since", "0s"])), 700_000);
    sandbox.fails(2, args!["scrub", "--since", "yesterday"]).says(&["for example `7d`"]);
    sandbox.fails(2, args!["scrub", "--rate", "0"]).says(&["would never end"]);
}

#[test]
fn a_file_and_another_store_repair_what_they_have() {
    let sandbox = damaged();
    sandbox
        .ok(args!["scrub", "--repair-from", sandbox.store().join("drystone.toml")])
        .says(&["no chunk is marked as damaged"]);
    sandbox.fails(5, args!["scrub"]);
    let file = sandbox.path("original");
    fs::write(&file, Noise::new(9).bytes(100_000)).unwrap();
    let left = sandbox.fails(5, args!["scrub", "--repair-from", file]);
    left.says(&["healed 0 chunks; 1 stay damaged"]);
    assert!(left.text().contains("s/bad"), "{}", left.text());
    fs::write(&file, body()).unwrap();
    sandbox.ok(args!["scrub", "--repair-from", file]).says(&["healed 1 chunks; 0 stay damaged"]);
    assert!(sandbox.cat("s/bad") == body());
    // And from another store, which is left as it is.
    let backup = Sandbox::chunked("cdc:16KiB,64KiB,256KiB");
    backup.put_bytes("copy", &body());
    let (segment, at) = sandbox.find_in_segments(&body()[300_000..300_064]);
    flip(&segment, at);
    sandbox.fails(5, args!["scrub"]);
    sandbox.fails(2, args!["scrub", "--repair-from", sandbox.store()]).says(&["from itself"]);
    sandbox.fails(4, args!["scrub", "--repair-from", sandbox.path("config")]);
    let before = fs::read(backup.store().join("records.db")).unwrap();
    sandbox
        .ok(args!["scrub", "--repair-from", backup.store()])
        .says(&["healed 1 chunks; 0 stay damaged"]);
    assert!(fs::read(backup.store().join("records.db")).unwrap() == before);
    assert!(sandbox.cat("s/bad") == body());
    sandbox.ok(args!["scrub"]);
    sandbox.ok(args!["check"]);
}

#[test]
fn rows_that_cannot_be_stop_no_scrub() {
    let sandbox = Sandbox::chunked("fixed:1000");
    sandbox.put_bytes("o", &Noise::new(1).bytes(100_000));
    let db = rusqlite::Connection::open(sandbox.store().join("records.db")).unwrap();
    db.execute_batch(
        "PRAGMA foreign_keys = OFF;
         UPDATE chunks SET length = -1 WHERE id = 10;
         UPDATE chunks SET length = 1 << 40 WHERE id = 20;
         UPDATE chunks SET hash = x'00' WHERE id = 30;
         UPDATE chunks SET offset = 1 << 60 WHERE id = 40;
         UPDATE chunks SET segment = 99 WHERE id = 50;",
    )
    .unwrap();
    db.close().unwrap();
    let ran = sandbox.fails(5, args!["--json", "scrub"]);
    assert_eq!((ran.summary("damaged"), ran.summary("chunks")), (5, 100), "{}", ran.text());
    let found = sandbox.fails(5, args!["--json", "check"]);
    for what in ["chunks_beyond", "segment_unknown"] {
        assert!(found.text().contains(what), "{what}: {}", found.text());
    }
}

#[test]
fn a_check_compares_records_and_segments() {
    let sandbox = damaged();
    sandbox.ok(args!["check"]).says(&["0 are damaged, 0 are left over"]);
    // It reads no chunks, so it does not find the byte. It finds these.
    let segment = sandbox.segments().remove(0);
    let extra = segment.with_file_name("0000000000000f01");
    fs::copy(&segment, segment.parent().unwrap().join("0000000000000f01")).unwrap();
    assert!(extra.exists());
    let ran = sandbox.ok(args!["check"]);
    assert!(ran.text().contains("is left over"), "{}", ran.text());
    let len = fs::metadata(&segment).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.set_len(len / 2).unwrap();
    let ran = sandbox.fails(5, args!["check"]);
    assert!(ran.text().contains("is shorter than"), "{}", ran.text());
    fs::remove_file(&segment).unwrap();
    let ran = sandbox.fails(5, args!["--json", "check"]);
    assert!(ran.text().contains("segment_missing"), "{}", ran.text());
    let db = rusqlite::Connection::open(sandbox.store().join("records.db")).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF; UPDATE objects SET manifest = 999").unwrap();
    db.execute_batch("UPDATE segments SET live = live + 1").unwrap();
    db.close().unwrap();
    let ran = sandbox.fails(5, args!["--json", "check"]);
    for what in ["object_without_manifest", "live_wrong", "s/whole"] {
        assert!(ran.text().contains(what), "{what}: {}", ran.text());
    }
}
