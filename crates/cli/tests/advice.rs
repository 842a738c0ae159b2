//! What the binary says when it is used wrongly: at once, once, and with the command to try next.

mod support;

use std::fs;

use support::{Ran, Sandbox, args};

#[test]
fn a_prefix_that_no_key_can_have_is_one_usage_error() {
    let sandbox = Sandbox::new();
    for name in ["s/a", "s/b"] {
        fs::create_dir_all(sandbox.path("s")).unwrap();
        fs::write(sandbox.path(name), "x").unwrap();
    }
    let long = "p".repeat(1024);
    for (prefix, says) in [
        ("../", "--prefix `../`: a key must not have `.` or `..`"),
        ("a/./b/", "--prefix `a/./b/`: a key must not"),
        (&long, "at most 1024 bytes"),
    ] {
        let ran = sandbox.fails(2, args!["put", "--prefix", prefix, "s"]);
        assert_eq!(ran.says(&[says]).err.lines().count(), 1, "{}", ran.err);
    }
    sandbox
        .fails(2, args!["put", "s/a", "--name", "f", "--prefix", "../"])
        .says(&["--prefix `../`"]);
    // Nothing was done, not even a bucket was made.
    assert_eq!(sandbox.ok(args!["ls", "--buckets"]).text(), "");
    for prefix in ["..", "a/.", ".../", "/"] {
        sandbox.ok(args!["put", "--prefix", prefix, "s"]);
    }
    // Two files and their folder, four times.
    assert_eq!(sandbox.ok(args!["ls"]).text().lines().count(), 12);
}

#[test]
fn two_sources_of_the_same_name_are_refused() {
    let sandbox = Sandbox::new();
    for name in ["a/x/f", "b/x/g", "c/x", "d/y"] {
        fs::create_dir_all(sandbox.path(name).parent().unwrap()).unwrap();
        fs::write(sandbox.path(name), name).unwrap();
    }
    for (first, second) in [("a/x", "b/x"), ("a/x/", "c/x"), ("c/x", "c/x"), ("c/x", "missing/x")] {
        let says = format!("`{first}` and `{second}` would both become `p/x`");
        sandbox
            .fails(2, args!["put", "d/y", first, second, "--prefix", "p/"])
            .says(&[&says, "--prefix"]);
    }
    let here =
        Ran::of(sandbox.drystone(args!["put", ".", "../b/x"]).current_dir(sandbox.path("a/x")));
    assert_eq!(here.code, Some(2), "{}", here.err);
    assert_eq!(sandbox.ok(args!["ls", "--buckets"]).text(), "");
    sandbox.ok(args!["put", "a/x", "d/y", "d"]);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "d/\nd/y\nx/\nx/f\ny\n");
}

#[test]
fn a_store_that_is_a_file_is_called_one() {
    let sandbox = Sandbox::bare();
    fs::write(sandbox.store(), "a file").unwrap();
    for command in [args!["init"], args!["ls"], args!["put", "config"], args!["plan"]] {
        let ran = sandbox.fails(4, command);
        ran.says(&["is not a drystone store but a file", "give --store the folder"]);
        assert!(!ran.err.contains("make one with"), "{}", ran.err);
    }
    assert_eq!(fs::read(sandbox.store()).unwrap(), b"a file");
}

#[test]
fn a_chunk_of_an_impossible_size_is_called_that() {
    let sandbox = Sandbox::bare();
    for (chunk, says) in [
        ("fixed:1TiB", "the fixed chunk size is 1099511627776 bytes; it must be from 1 B to 1 GiB"),
        ("fixed:0", "the fixed chunk size is 0 bytes; it must be from 1 B to 1 GiB"),
        (
            "cdc:1KiB,1MiB,2TiB",
            "the maximum chunk size is 2199023255552 bytes; it must be from 256 B to 1 GiB",
        ),
        ("cdc:1MiB,1MiB,4MiB", "chunk sizes must ascend"),
        ("fixed:lots", "is not a chunking: write fixed:SIZE or cdc:MIN,AVG,MAX"),
        ("tar:1TiB", "is not a chunking: write fixed:SIZE or cdc:MIN,AVG,MAX"),
    ] {
        for command in ["plan", "init"] {
            sandbox.fails(2, args![command, "--chunk", chunk]).says(&["--chunk", says]);
        }
    }
}

#[test]
fn a_bucket_that_does_not_exist_is_named_also_without_an_object() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"bytes");
    for command in [
        args!["stat", "-b", "nosuch"],
        args!["stat", "-b", "nosuch", "k"],
        args!["ls", "-b", "nosuch"],
    ] {
        sandbox.fails(4, command).says(&["no bucket `nosuch`"]);
    }
    assert!(sandbox.ok(args!["stat", "-b", "default"]).text().contains("objects   1"));
}

#[test]
fn who_removes_is_told_how_its_space_comes_back() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"bytes");
    let removed = sandbox.ok(args!["rm", "k"]);
    removed.says(&["removed 1 objects", "`drystone collect`"]);
}

#[test]
fn a_variable_that_is_empty_counts_as_unset() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("k", b"bytes");
    let mut command = sandbox.drystone(args!["ls"]);
    for name in ["STORE", "MEMORY", "WORKERS", "SYNC", "CONFIG", "JSON", "QUIET", "BUCKET", "CHUNK"]
    {
        command.env(format!("DRYSTONE_{name}"), "");
    }
    let ran = Ran::of(&mut command);
    assert_eq!((ran.code, ran.err.as_str(), ran.text()), (Some(0), "", "k\n"));
    let plan = Ran::of(
        sandbox.drystone(args!["plan"]).env("DRYSTONE_CHUNK", "").env("DRYSTONE_WORKERS", ""),
    );
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    // A variable that is set counts, also for a flag that takes no value.
    for (value, json) in
        [("1", true), ("true", true), ("yes", true), ("0", false), ("false", false)]
    {
        let ran = Ran::of(sandbox.drystone(args!["ls"]).env("DRYSTONE_JSON", value));
        assert_eq!(ran.code, Some(0), "{value}: {}", ran.err);
        assert_eq!(ran.text().starts_with('{'), json, "{value}");
    }
    for name in ["DRYSTONE_JSON", "DRYSTONE_QUIET"] {
        let unclear = Ran::of(sandbox.drystone(args!["ls"]).env(name, "flase"));
        assert_eq!(unclear.code, Some(2), "{name}: {}", unclear.err);
    }
    let wrong = Ran::of(sandbox.drystone(args!["ls"]).env("DRYSTONE_MEMORY", "lots"));
    assert_eq!(wrong.code, Some(2));
}
