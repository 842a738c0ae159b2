//! What is stored already is not stored again.

mod support;

use drystone_testkit::noise::Noise;
use support::{Sandbox, args, tree};

#[test]
fn a_second_put_writes_nothing() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    let source = sandbox.path("s");
    tree::awkward(&source, 1, &[1000, 300_000]);
    let first = sandbox.ok(args!["--json", "put", source]);
    assert!(first.summary("new_bytes") > 800_000);
    let bytes = sandbox.segments().iter().map(|path| path.metadata().unwrap().len()).sum::<u64>();
    for prefix in ["", "elsewhere/"] {
        let again = sandbox.ok(args!["--json", "put", source, "--prefix", prefix]);
        assert_eq!((again.summary("new_bytes"), again.summary("new_chunks")), (0, 0));
        assert_eq!(again.summary("saved_bytes"), again.summary("bytes"));
    }
    let after = sandbox.segments().iter().map(|path| path.metadata().unwrap().len()).sum::<u64>();
    assert_eq!(after, bytes);
}

#[test]
fn equal_files_of_one_put_are_written_once() {
    let sandbox = Sandbox::new();
    let bytes = Noise::new(1).bytes(3 << 20);
    for name in ["s/a", "s/b", "s/c", "s/d"] {
        let path = sandbox.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes).unwrap();
    }
    let put = sandbox.ok(args!["--json", "put", sandbox.path("s")]);
    assert_eq!(put.summary("new_bytes"), 3 << 20);
    assert_eq!(put.summary("saved_bytes"), 9 << 20);
}

/// 30 MiB with 17 bytes inserted every 3 MiB.
fn before_and_after() -> (Vec<u8>, Vec<u8>) {
    let mut noise = Noise::new(2);
    let before = noise.bytes(30 << 20);
    let mut after = Vec::with_capacity(before.len() + 170);
    for piece in before.chunks(3 << 20) {
        after.extend_from_slice(&piece[..1 << 20]);
        after.extend_from_slice(&noise.bytes(17));
        after.extend_from_slice(&piece[1 << 20..]);
    }
    (before, after)
}

#[track_caller]
fn new_share_after_insertions(chunking: &str) -> f64 {
    let (before, after) = before_and_after();
    let sandbox = Sandbox::chunked(chunking);
    sandbox.put_bytes("k", &before);
    let new = sandbox.put_bytes("k", &after).summary("new_bytes");
    assert!(sandbox.cat("k") == after);
    new as f64 / after.len() as f64
}

#[test]
fn small_insertions_cost_little() {
    let share = new_share_after_insertions("cdc:16KiB,64KiB,256KiB");
    assert!(share > 0.0 && share < 0.1, "{share}");
}

#[test]
fn fixed_chunks_show_what_content_defined_ones_save() {
    let share = new_share_after_insertions("fixed:64KiB");
    assert!(share > 0.9, "{share}");
}
