//! `get` replaces nothing that it was not told to, and writes nowhere but below its destination.

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use drystone_testkit::noise::Noise;
use support::{Sandbox, args, assert_nothing_temporary_below, tree};

#[test]
fn an_existing_file_is_kept_without_force() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("s/a", b"stored a");
    sandbox.put_bytes("s/b", b"stored b");
    let into = sandbox.path("into");
    fs::create_dir_all(into.join("s")).unwrap();
    fs::write(into.join("s/a"), "mine").unwrap();
    let get = sandbox.fails(3, args!["--json", "get", "s", into]);
    get.says(&["s/a: it exists already; use --force"]);
    assert_eq!((get.summary("objects"), get.summary("failed")), (1, 1));
    assert_eq!(fs::read(into.join("s/a")).unwrap(), b"mine");
    assert_eq!(fs::read(into.join("s/b")).unwrap(), b"stored b");
    sandbox.ok(args!["get", "--force", "s", into]);
    assert_eq!(fs::read(into.join("s/a")).unwrap(), b"stored a");
    assert_nothing_temporary_below(&into);
}

#[test]
fn the_same_holds_for_one_file() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("a", b"stored");
    let file = sandbox.path("file");
    fs::write(&file, "mine").unwrap();
    sandbox.fails(1, args!["get", "a", file]).says(&["it exists already"]);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    sandbox.ok(args!["get", "-f", "a", file]);
    assert_eq!(fs::read(&file).unwrap(), b"stored");
}

#[test]
fn a_link_to_a_folder_is_not_followed() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("s/in/f", b"stored");
    sandbox.put_bytes("s/ok", b"stored");
    let (into, outside) = (sandbox.path("into"), sandbox.path("outside"));
    for target in [outside.as_path(), std::path::Path::new("../../outside")] {
        fs::create_dir_all(into.join("s")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        symlink(target, into.join("s/in")).unwrap();
        for force in ["--json", "--force"] {
            sandbox
                .fails(3, args!["get", force, "s", into])
                .says(&["s/in/f: cannot open the folder"]);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
            fs::remove_file(into.join("s/ok")).unwrap();
        }
        assert_nothing_temporary_below(&into);
        fs::remove_dir_all(&into).unwrap();
    }
}

#[test]
fn a_link_to_a_file_is_replaced_not_followed() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("s/f", b"stored");
    let (into, outside) = (sandbox.path("into"), sandbox.path("outside"));
    fs::create_dir_all(into.join("s")).unwrap();
    fs::write(&outside, "outside").unwrap();
    symlink(&outside, into.join("s/f")).unwrap();
    sandbox.fails(1, args!["get", "s", into]).says(&["it exists already"]);
    sandbox.ok(args!["get", "--force", "s", into]);
    assert_eq!(fs::read(&outside).unwrap(), b"outside");
    assert_eq!(fs::read(into.join("s/f")).unwrap(), b"stored");
    assert!(into.join("s/f").symlink_metadata().unwrap().is_file());
}

#[test]
fn keys_that_are_no_paths_are_named_and_restored_nowhere() {
    let sandbox = Sandbox::new();
    for key in ["/absolute", "a//b", "trailing/", "fine/x"] {
        sandbox.put_bytes(key, b"bytes");
    }
    for name in ["/absolute", "a"] {
        let into = sandbox.path("into");
        fs::create_dir_all(&into).unwrap();
        let ran = sandbox.run(args!["get", "--", name, into]);
        // `/absolute` alone is a file's name and may be restored as `absolute`, below the folder.
        assert!(matches!(ran.code, Some(0 | 1)), "{name}: {:?} {}", ran.code, ran.err);
        for found in tree::read(&into).keys() {
            assert_eq!(found, "absolute");
        }
        fs::remove_dir_all(&into).unwrap();
    }
    sandbox
        .fails(3, args!["get", "a", "trailing", "fine", "into/"])
        .says(&["a//b: its key cannot be a path"]);
    assert_eq!(fs::read(sandbox.path("into/fine/x")).unwrap(), b"bytes");
}

#[test]
fn a_key_that_is_a_file_and_a_folder_fails_for_one_of_them_only() {
    let sandbox = Sandbox::new();
    for key in ["s/a", "s/a/b", "s/c"] {
        sandbox.put_bytes(key, key.as_bytes());
    }
    let into = sandbox.path("into");
    let get = sandbox.fails(3, args!["--json", "get", "s", into]);
    assert_eq!((get.summary("objects"), get.summary("failed")), (2, 1));
    assert_eq!(fs::read(into.join("s/c")).unwrap(), b"s/c");
    assert_nothing_temporary_below(&into);
}

#[test]
fn a_failed_restore_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let bytes = Noise::new(1).bytes(6 << 20);
    sandbox.put_bytes("s/big", &bytes);
    let (segment, at) = sandbox.find_in_segments(&bytes[5 << 20..][..64]);
    let mut damaged = fs::read(&segment).unwrap();
    damaged[at] ^= 1;
    fs::write(&segment, damaged).unwrap();
    let into = sandbox.path("into");
    sandbox.fails(5, args!["get", "s", into]);
    assert!(!into.join("s/big").exists());
    assert_nothing_temporary_below(&into);
    sandbox.fails(5, args!["get", "s/big", sandbox.path("file")]);
    assert!(!sandbox.path("file").exists());
    assert_nothing_temporary_below(&sandbox.path(""));
}
