//! What `get` makes of its destination: folders, and nothing where nothing was restored.

mod support;

use std::fs;

use drystone_testkit::noise::Noise;
use support::{Sandbox, args, tree};

#[test]
fn a_get_that_restores_nothing_leaves_no_new_folder() {
    let sandbox = Sandbox::new();
    let bytes = Noise::new(1).bytes(3 << 20);
    sandbox.put_bytes("s/deep/er/big", &bytes);
    sandbox.put_bytes("other/f", b"bytes");
    let (segment, at) = sandbox.find_in_segments(&bytes[2 << 20..][..64]);
    let mut damaged = fs::read(&segment).unwrap();
    damaged[at] ^= 1;
    fs::write(&segment, damaged).unwrap();
    for (code, name) in
        [(4, "nothing"), (4, "nothing/"), (2, "a/../b"), (2, "/"), (5, "s"), (5, "s/deep/er")]
    {
        for dest in ["new", "new/", "made/for/it/"] {
            sandbox.fails(code, args!["get", name, dest]);
            assert!(
                !sandbox.path("new").exists() && !sandbox.path("made").exists(),
                "{name} {dest}"
            );
        }
    }
    // A tree of which only the folders could be restored counts as not restored.
    tree::file(&sandbox.path("t/in/f"), 1, 10);
    fs::write(sandbox.path("t/in/f"), &bytes).unwrap();
    sandbox.ok(args!["put", "t"]);
    sandbox.fails(5, args!["get", "t", "new"]);
    assert!(!sandbox.path("new").exists());
    // A folder that was there stays, and so does what came before the failure.
    fs::create_dir(sandbox.path("there")).unwrap();
    sandbox.fails(4, args!["get", "nothing", "there"]);
    assert!(sandbox.path("there").exists());
    sandbox.fails(4, args!["get", "other", "nothing", "new"]);
    assert_eq!(fs::read(sandbox.path("new/other/f")).unwrap(), b"bytes");
}

#[test]
fn a_key_that_ends_with_a_slash_and_has_bytes_is_named_and_the_others_are_restored() {
    let sandbox = Sandbox::new();
    for key in ["s/a", "s/folder/", "s/z"] {
        sandbox.put_bytes(key, b"bytes");
    }
    let get = sandbox.fails(3, args!["--json", "get", "s", "into"]);
    get.says(&["s/folder/: its key ends with `/`", "but it holds bytes", "drystone cat"]);
    assert_eq!((get.summary("objects"), get.summary("failed")), (2, 1));
    assert!(tree::read(&sandbox.path("into")).into_keys().eq(["s/a", "s/z"]));
    assert_eq!(sandbox.cat("s/folder/"), b"bytes");
}

#[test]
fn what_a_killed_get_left_is_ignored_by_the_next() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("s");
    tree::many(&source, 1, 50, 1000);
    sandbox.ok(args!["put", source]);
    let left = sandbox.path("into/s/000/.drystone-100000000.part");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, "half").unwrap();
    sandbox.ok(args!["get", "s", "into"]);
    assert_eq!(fs::read(&left).unwrap(), b"half");
    fs::remove_file(&left).unwrap();
    tree::assert_same(&tree::read(&sandbox.path("into/s")), &tree::read(&source));
}
