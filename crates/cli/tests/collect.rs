//! `drystone collect` gives back the space of what was deleted, and of nothing else.

mod support;

use drystone_testkit::noise::Noise;
use support::{Sandbox, args};

fn segment_bytes(sandbox: &Sandbox) -> u64 {
    sandbox.segments().iter().map(|path| path.metadata().expect("it is there").len()).sum()
}

/// Within 5 % and a header for each segment.
#[track_caller]
fn assert_tight(sandbox: &Sandbox, live: u64) {
    let (found, headers) = (segment_bytes(sandbox), 64 * sandbox.segments().len() as u64);
    assert!(found >= live && found <= live + live / 20 + headers, "{found} bytes for {live}");
}

#[test]
fn what_was_deleted_or_overwritten_goes() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    let bytes = [1, 2, 3].map(|seed| Noise::new(seed).bytes(600_000));
    sandbox.put_bytes("gone", &bytes[0]);
    sandbox.put_bytes("kept", &bytes[1]);
    sandbox.put_bytes("changed", &bytes[0]);
    sandbox.put_bytes("changed", &bytes[2]);
    sandbox.ok(args!["rm", "gone"]);
    let before = segment_bytes(&sandbox);
    let dry = sandbox.ok(args!["--json", "collect", "--dry-run"]);
    assert!(dry.summary("condemned_manifests") >= 2);
    assert_eq!(segment_bytes(&sandbox), before, "a dry run changed something");
    let collected = sandbox.ok(args!["--json", "collect"]);
    assert_eq!(collected.summary("chunk_bytes"), 600_000);
    assert_tight(&sandbox, 1_200_000);
    assert!(sandbox.cat("kept") == bytes[1] && sandbox.cat("changed") == bytes[2]);
    // There is nothing left to do.
    let again = sandbox.ok(args!["--json", "collect"]);
    assert_eq!((again.summary("chunks"), again.summary("segments_removed")), (0, 0));
    sandbox.ok(args!["rm", "kept", "changed"]);
    sandbox.ok(args!["collect"]);
    assert_eq!(sandbox.segments().len(), 0, "an empty store has segments");
    // What is gone is stored again.
    sandbox.put_bytes("gone", &bytes[0]);
    assert!(sandbox.cat("gone") == bytes[0]);
}

#[test]
fn a_store_whose_segments_are_missing_is_left_alone() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    sandbox.put_bytes("gone", &Noise::new(1).bytes(100_000));
    sandbox.put_bytes("kept", &Noise::new(2).bytes(100_000));
    sandbox.ok(args!["rm", "gone"]);
    let segment = sandbox.segments().remove(0);
    let aside = sandbox.path("aside");
    std::fs::rename(&segment, &aside).expect("a folder that can be written to");
    let refused = sandbox.fails(5, args!["collect"]);
    refused.says(&["is missing, and chunks are in it"]);
    // Lost for good: what was deleted goes, and what is lost is told of.
    let collected = sandbox.run(args!["--json", "collect", "--despite-damage"]);
    assert_eq!(collected.code, Some(0), "{}", collected.err);
    assert_eq!(collected.summary("chunk_bytes"), 100_000);
    sandbox.fails(5, args!["cat", "kept"]);
    std::fs::rename(&aside, &segment).expect("a folder that can be written to");
    sandbox.ok(args!["collect"]);
    assert_eq!(sandbox.cat("kept"), Noise::new(2).bytes(100_000));
}

/// An older database was put back beside newer segments: what it does not know is not garbage.
#[test]
fn segments_that_are_newer_than_the_records_are_left_alone() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    sandbox.put_bytes("a", &Noise::new(1).bytes(100_000));
    let stray = sandbox.store().join("segments/ff/00000000000000ff");
    std::fs::create_dir_all(stray.parent().unwrap()).expect("a folder that can be written to");
    std::fs::copy(&sandbox.segments()[0], &stray).expect("a folder that can be written to");
    let refused = sandbox.fails(5, args!["collect"]);
    refused.says(&["they are older than the segments"]);
    assert!(stray.exists());
}
