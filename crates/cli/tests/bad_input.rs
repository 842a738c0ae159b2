//! A source that cannot be stored is named in a message, and the others are stored.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use drystone_testkit::noise::Noise;
use support::{Ran, Sandbox, args, is_root, spawn, tree};

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_others_are_stored() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("good"), "good").unwrap();
    // Its folder lists it as a regular file, and it can be opened. Reading it fails, also for root.
    let put = sandbox.fails(3, args!["--json", "put", "/proc/self/mem", "good", "missing"]);
    put.says(&["mem: cannot read it: ", "missing: cannot read it: No such file or directory"]);
    assert_eq!((put.summary("objects"), put.summary("failed")), (1, 2));
    assert_eq!(sandbox.ok(args!["ls"]).text(), "good\n");
}

#[test]
fn a_file_without_permission_is_named() {
    let sandbox = Sandbox::new();
    for name in ["s/closed", "s/open", "s/closed folder/f"] {
        tree::file(&sandbox.path(name), 1, 10);
    }
    for name in ["s/closed", "s/closed folder"] {
        fs::set_permissions(sandbox.path(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let mut put = sandbox.clean("setpriv");
    // Root may read everything, unless it gives that up.
    let bounds = if is_root() { "-dac_override,-dac_read_search" } else { "+all" };
    put.arg(format!("--bounding-set={bounds}")).arg(env!("CARGO_BIN_EXE_drystone"));
    let put = Ran::of(put.arg("--store").arg(sandbox.store()).args(["put", "s"]));
    assert_eq!(put.code, Some(3), "{}", put.err);
    put.says(&[
        "s/closed: cannot open it: Permission denied",
        "closed folder: cannot read the folder",
    ]);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "s/\ns/open\n");
    fs::set_permissions(sandbox.path("s/closed folder"), fs::Permissions::from_mode(0o700))
        .unwrap();
}

#[test]
fn a_name_that_is_not_utf8_is_named_and_the_others_are_stored() {
    let sandbox = Sandbox::new();
    let odd = OsStr::from_bytes(b"odd\xff");
    fs::create_dir_all(sandbox.path("s").join(odd)).unwrap();
    fs::write(sandbox.path("s").join(odd).join("below"), "x").unwrap();
    fs::write(sandbox.path("s/good"), "good").unwrap();
    fs::write(sandbox.path("s").join(OsStr::from_bytes(b"\xc3\x28")), "x").unwrap();
    let put = sandbox.fails(3, args!["--json", "put", "s"]);
    // The folder itself cannot be stored, and neither can the files in it.
    put.says(&[
        "s/odd\u{fffd}: its name is not UTF-8",
        "s/odd\u{fffd}/below: its name is not UTF-8",
    ]);
    assert_eq!((put.summary("objects"), put.summary("failed")), (1, 3));
    assert_eq!(sandbox.ok(args!["ls"]).text(), "s/\ns/good\n");
}

#[test]
fn a_named_source_whose_name_is_not_utf8_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    let odd = sandbox.path("").join(OsStr::from_bytes(b"odd\xff"));
    fs::write(&odd, "x").unwrap();
    fs::write(sandbox.path("good"), "good").unwrap();
    sandbox.fails(3, args!["put", odd, "good"]).says(&["odd\u{fffd}: its name is not UTF-8"]);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "good\n");
    sandbox.ok(args!["put", odd, "--name", "even"]);
    assert_eq!(sandbox.cat("even"), b"x");
}

#[test]
fn a_special_file_is_refused_without_waiting_for_it() {
    let sandbox = Sandbox::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, sandbox.path("fifo"), rustix::fs::Mode::RWXU).unwrap();
    sandbox.fails(1, args!["put", "fifo"]).says(&["fifo: not a regular file"]);
    sandbox.fails(1, args!["put", "/dev/null"]).says(&["null: not a regular file"]);
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("f"), "x").unwrap();
    let long = "k".repeat(4096);
    for (key, why) in [
        ("..", "must not have `.` or `..`"),
        ("a/../b", "must not have `.` or `..`"),
        ("./a", "must not have `.` or `..`"),
        ("", "must not be empty"),
        (&long, "at most 1024 bytes, this one has 4096"),
    ] {
        for command in ["cat", "stat", "rm"] {
            sandbox.fails(2, args![command, "--", key]).says(&[why]);
        }
        sandbox.fails(2, args!["put", "f", "--name", key]).says(&["--name", why]);
    }
    assert_eq!(sandbox.ok(args!["ls", "--buckets"]).text(), "");
}

#[test]
fn a_key_that_is_too_long_does_not_stop_its_folder() {
    let sandbox = Sandbox::new();
    let deep = (0..6).fold(sandbox.path("s"), |folder, _| folder.join("d".repeat(200)));
    tree::file(&deep.join("f"), 1, 1);
    tree::file(&sandbox.path("s/good"), 1, 1);
    sandbox.fails(3, args!["put", "s"]).says(&["at most 1024 bytes"]);
    // The folders down to where a key would be too long, and the file.
    let listed = sandbox.ok(args!["ls"]);
    assert_eq!((listed.text().lines().count(), listed.text().lines().last()), (7, Some("s/good")));
}

#[test]
fn a_newline_in_a_key_forges_no_line() {
    let sandbox = Sandbox::new();
    let key = "two\nlines\u{1b}[2J";
    sandbox.put_bytes(key, b"bytes");
    assert_eq!(sandbox.ok(args!["ls"]).text(), "two\\nlines\\u{1b}[2J\n");
    assert_eq!(sandbox.ok(args!["--json", "ls"]).json()[0]["key"], key);
    assert_eq!(sandbox.cat(key), b"bytes");
    let missing = sandbox.fails(4, args!["cat", "other\nline\u{1b}[2J"]);
    assert_eq!(missing.err.lines().count(), 1);
    assert!(!missing.err.contains('\u{1b}'));
}

#[test]
fn usage_errors_are_explained() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("f"), "x").unwrap();
    for (args, says) in [
        (args!["put", "-"], "add --name KEY"),
        (args!["put", "-", "-", "--name", "x"], "only once"),
        (args!["put", "f", "f", "--name", "x"], "give one SRC"),
        (args!["put", "config", "--name", "x"], "use --prefix"),
        (args!["put"], "required"),
        (args!["get", "x"], "required"),
        (args!["put", "f", "--bucket", "B!"], "is not a bucket name"),
        (args!["init", "--chunk", "fixed:0"], "chunk"),
        (args!["init", "--chunk", "cdc:3,2,1"], "chunk"),
        (args!["init", "--chunk", "cdc:1,2"], "chunk"),
        (args!["init", "--chunk", "lots"], "chunk"),
        (args!["plan", "--memory", "many"], "--memory"),
        (args!["plan", "--workers", "0"], "--workers"),
        (args!["plan", "--workers", "65"], "--workers"),
        (args!["frobnicate"], "unrecognized subcommand"),
        (args!["man", "nowhere"], "is not a folder"),
    ] {
        sandbox.fails(2, args).says(&[says]);
    }
}

#[test]
fn too_little_memory_is_refused_with_what_to_change() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("f"), "x").unwrap();
    for command in [args!["--memory", "1MiB", "put", "f"], args!["--memory", "1", "plan"]] {
        sandbox.fails(6, command).says(&["memory", "--memory"]);
    }
    let bare = Sandbox::bare();
    bare.fails(6, args!["init", "--chunk", "fixed:1GiB"]).says(&["--memory"]);
    assert!(!bare.store().exists());
}

#[test]
fn settings_come_from_a_file_and_wrong_ones_are_named() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("config/drystone/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (text, says) in [
        ("stoer = 1", "unknown field `stoer`"),
        ("store = 1", "store"),
        ("workers = 0", "workers: must be between 1 and 64"),
        ("memory = \"lots\"", "memory: "),
        ("chunk = \"lots\"", "chunk: "),
        ("sync = \"sometimes\"", "sync"),
        ("= = =", "config.toml"),
    ] {
        fs::write(&file, text).unwrap();
        sandbox.fails(2, args!["ls"]).says(&[says]);
    }
    fs::write(
        &file,
        "bucket = \"from-file\"\nmemory = \"100MiB\"\nworkers = 1\nsync = \"never\"\n",
    )
    .unwrap();
    sandbox.put_bytes("k", b"bytes");
    assert_eq!(sandbox.ok(args!["ls", "--buckets"]).text(), "from-file\n");
    assert_eq!(sandbox.ok(args!["--json", "plan"]).json()[0]["workers"], 1);
    assert_eq!(sandbox.ok(args!["--json", "--workers", "2", "plan"]).json()[0]["workers"], 2);
    sandbox.fails(1, args!["--config", "nowhere.toml", "ls"]).says(&["cannot read nowhere.toml"]);
    // A device that has no length and no end.
    sandbox.fails(2, args!["--config", "/dev/zero", "ls"]).says(&["is not a settings file"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("big", &Noise::new(1).bytes(20 << 20));
    tree::many(&sandbox.path("s"), 1, 3000, 0);
    sandbox.ok(args!["put", "s"]);
    for args in [args!["cat", "big"], args!["ls"], args!["--json", "ls", "-l"]] {
        let mut child = spawn(&mut sandbox.drystone(args));
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0]).unwrap();
        drop(out);
        let ran = Ran::new(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_reader_of_acknowledgements_that_leaves_does_not_stop_the_work() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("s");
    tree::many(&source, 1, 3000, 100);
    for args in [args!["--json", "put", source], args!["--json", "get", "s", "into"]] {
        let mut child = spawn(&mut sandbox.drystone(args));
        drop(child.stdout.take());
        let ran = Ran::new(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
    }
    tree::assert_same(&tree::read(&sandbox.path("into/s")), &tree::read(&source));
}

#[test]
fn a_store_in_the_folder_that_is_put_is_passed_over() {
    let sandbox = Sandbox::chunked("fixed:1000");
    // The fixed chunks of a segment are never equal to those in it. So each round would double the
    // store.
    sandbox.put_bytes("s", &Noise::new(1).bytes(1 << 20));
    fs::write(sandbox.path("f"), "x").unwrap();
    let put = sandbox.ok(args!["--json", "put", "."]);
    put.says(&["store: skipped, it is the store itself"]);
    assert_eq!(put.summary("skipped"), 1);
    let put = sandbox.ok(args!["--json", "put", "store"]);
    assert_eq!((put.summary("objects"), put.summary("skipped")), (0, 1));
    // A folder inside the store is not recognised as the store. The put still ends: a file is read
    // up to the length that it had when it was opened.
    let put = sandbox.run(args!["--json", "put", "store/segments"]);
    assert!(matches!(put.code, Some(0 | 3)), "{}", put.err);
    assert!(put.summary("bytes") < 3 << 20);
}

#[test]
fn a_file_that_the_kernel_makes_up_is_read_whole() {
    let sandbox = Sandbox::new();
    sandbox.ok(args!["put", "/proc/version"]);
    assert_eq!(sandbox.cat("version"), fs::read("/proc/version").unwrap());
}
