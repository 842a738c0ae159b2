//! What goes in comes out: bytes, names, times and modes.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use drystone_testkit::noise::Noise;
use support::tree::{self, Entry};
use support::{Sandbox, args, assert_nothing_temporary_below};

#[track_caller]
fn a_tree_comes_back(sandbox: &Sandbox, boundaries: &[usize]) {
    let source = sandbox.path("source");
    tree::awkward(&source, 7, boundaries);
    let (expected, folders) = (tree::read(&source), tree::folders(&source));
    let put = sandbox.ok(args!["--json", "put", source]);
    let files = expected.values().filter(|entry| matches!(entry, Entry::File { .. })).count();
    assert_eq!(
        (put.summary("objects"), put.summary("folders")),
        (files as u64, folders.len() as u64)
    );
    assert_eq!((put.summary("failed"), put.summary("skipped"), put.summary("changed")), (0, 0, 0));
    let into = sandbox.get("source");
    tree::assert_same(&tree::read(&into.path().join("source")), &expected);
    assert_eq!(tree::folders(&into.path().join("source")), folders);
    assert_nothing_temporary_below(into.path());
}

#[test]
fn a_tree_comes_back_from_tiny_content_defined_chunks() {
    a_tree_comes_back(
        &Sandbox::chunked("cdc:64,256,1024"),
        &[0, 1, 64, 256, 1024, 1025, 65_536, 300_000],
    );
}

#[test]
fn a_tree_comes_back_from_fixed_chunks() {
    a_tree_comes_back(&Sandbox::chunked("fixed:100"), &[0, 1, 100, 200, 1000, 102_400, 300_000]);
}

#[test]
fn a_tree_comes_back_from_default_chunks() {
    // Lengths around the smallest and largest chunk, the part of a buffer that is read at a time,
    // and a buffer.
    a_tree_comes_back(&Sandbox::new(), &[0, 1, 256 << 10, 1 << 20, 4 << 20, 8 << 20]);
}

#[test]
fn an_object_of_many_manifest_pages_comes_back() {
    let sandbox = Sandbox::chunked("fixed:100");
    // 1024 entries are a step of its manifest.
    for chunks in [1023, 1024, 1025, 5000] {
        let bytes = Noise::new(chunks).bytes(chunks as usize * 100);
        sandbox.put_bytes("many", &bytes);
        assert_eq!(sandbox.cat("many"), bytes, "{chunks} chunks");
    }
}

#[test]
fn links_and_the_like_are_skipped_and_named() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("source");
    tree::file(&source.join("file"), 1, 10);
    symlink("file", source.join("link")).unwrap();
    symlink("/nowhere", source.join("dangling")).unwrap();
    symlink(".", source.join("loop")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, source.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    let put = sandbox.ok(args!["--json", "put", source]);
    put.says(&["link: skipped, it is a symbolic link", "dangling: skipped", "loop: skipped"]);
    put.says(&["fifo: skipped, it is a FIFO", "socket: skipped, it is a socket"]);
    assert_eq!((put.summary("objects"), put.summary("skipped")), (1, 5));
    assert_eq!(sandbox.ok(args!["ls"]).text(), "source/\nsource/file\n");
}

#[test]
fn a_named_link_is_the_file_behind_it() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "behind").unwrap();
    symlink("file", sandbox.path("link")).unwrap();
    sandbox.ok(args!["put", sandbox.path("link")]);
    assert_eq!(sandbox.cat("link"), b"behind");
}

#[test]
fn one_object_becomes_the_file_or_goes_into_the_folder() {
    let sandbox = Sandbox::new();
    sandbox.put_bytes("a/b/c.txt", b"hello");
    sandbox.ok(args!["get", "a/b/c.txt", sandbox.path("new.txt")]);
    assert_eq!(fs::read(sandbox.path("new.txt")).unwrap(), b"hello");
    fs::create_dir(sandbox.path("folder")).unwrap();
    sandbox.ok(args!["get", "a/b/c.txt", sandbox.path("folder")]);
    assert_eq!(fs::read(sandbox.path("folder/c.txt")).unwrap(), b"hello");
    sandbox.ok(args!["get", "a/b/c.txt", "made/"]);
    assert_eq!(fs::read(sandbox.path("made/c.txt")).unwrap(), b"hello");
}

#[test]
fn a_folder_keeps_its_last_component() {
    let sandbox = Sandbox::new();
    for key in ["a/b/c", "a/b/d/e", "a/bc", "a/b-"] {
        sandbox.put_bytes(key, key.as_bytes());
    }
    for name in ["a/b", "a/b/"] {
        let into = sandbox.get(name);
        let names: Vec<_> = tree::read(into.path()).into_keys().collect();
        assert_eq!(names, ["b/c", "b/d/e"], "{name}");
    }
}

#[test]
fn several_names_are_restored_side_by_side() {
    let sandbox = Sandbox::new();
    for key in ["x/1", "y/2", "three"] {
        sandbox.put_bytes(key, key.as_bytes());
    }
    sandbox.ok(args!["get", "x", "three", "y", sandbox.path("into")]);
    let names: Vec<_> = tree::read(&sandbox.path("into")).into_keys().collect();
    assert_eq!(names, ["three", "x/1", "y/2"]);
}

#[test]
fn cat_joins_objects() {
    let sandbox = Sandbox::new();
    let big = Noise::new(3).bytes(9_000_000);
    sandbox.put_bytes("big", &big);
    sandbox.put_bytes("small", b"small");
    sandbox.put_bytes("empty", b"");
    let joined = sandbox.ok(args!["cat", "small", "big", "empty", "small"]).out;
    assert_eq!(joined.len(), big.len() + 10);
    assert!(
        joined.starts_with(b"small")
            && joined.ends_with(b"small")
            && joined[5..joined.len() - 5] == big
    );
}

#[test]
fn ranges_are_as_in_http() {
    let sandbox = Sandbox::chunked("cdc:64,256,1024");
    let bytes = Noise::new(4).bytes(100_000);
    sandbox.put_bytes("o", &bytes);
    let check = |range: &str, expected: &[u8]| {
        assert!(sandbox.ok(args!["cat", "--range", range, "o"]).out == expected, "{range}");
    };
    check("0-0", &bytes[..1]);
    check("0-99999", &bytes);
    check("99999-", &bytes[99_999..]);
    check("-1", &bytes[99_999..]);
    check("-100001", &bytes);
    check("63-64", &bytes[63..65]);
    check("50000-99998", &bytes[50_000..99_999]);
    check("500-18446744073709551615", &bytes[500..]);
    check("-0", b"");
    check("100000-", b"");
    check("18446744073709551615-18446744073709551615", b"");
    for wrong in ["", "-", "1", "2-1", "x-y", "0x0-1", "18446744073709551616-"] {
        sandbox.fails(2, args!["cat", format!("--range={wrong}"), "o"]).says(&["is not a range"]);
    }
}

#[test]
fn the_folder_dot_is_stored_under_its_real_name() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("real name");
    tree::file(&folder.join("sub/f"), 1, 1);
    for (here, source) in [("real name", "."), ("real name", "./"), ("real name/sub", "..")] {
        assert!(
            sandbox
                .drystone(args!["put", source])
                .current_dir(sandbox.path(here))
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(
            sandbox.ok(args!["ls"]).text(),
            "real name/\nreal name/sub/\nreal name/sub/f\n",
            "{source}"
        );
        sandbox.ok(args!["rm", "-r", "real name"]);
    }
}

#[test]
fn a_prefix_and_a_bucket_keep_things_apart() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("f"), "first").unwrap();
    fs::write(sandbox.path("g"), "second").unwrap();
    sandbox.ok(args!["put", "f", "g", "--prefix", "p/"]);
    sandbox.ok(args!["put", "g", "--name", "f", "--prefix", "p/", "--bucket", "other"]);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "p/f\np/g\n");
    assert_eq!(sandbox.ok(args!["ls", "-b", "other"]).text(), "p/f\n");
    assert_eq!(sandbox.ok(args!["ls", "--buckets"]).text(), "default\nother\n");
    assert_eq!(sandbox.cat("p/f"), b"first");
    assert_eq!(sandbox.ok(args!["cat", "-b", "other", "p/f"]).out, b"second");
    sandbox.fails(4, args!["cat", "-b", "third", "p/f"]).says(&["no bucket `third`"]);
    sandbox.fails(4, args!["cat", "-b", "other", "p/g"]).says(&["no object `p/g`"]);
}

#[test]
fn listings_page_and_begin_where_they_are_told() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("s");
    // More than two pages of the listing.
    tree::many(&source, 1, 2100, 3);
    sandbox.ok(args!["put", source]);
    let mut expected: Vec<String> =
        tree::read(&source).keys().map(|name| format!("s/{name}")).collect();
    expected.extend(tree::folders(&source).keys().map(|name| format!("s/{name}")));
    expected.sort();
    let lines = |args: &[&std::ffi::OsStr]| -> Vec<String> {
        sandbox.ok(args).text().lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(args!["ls"]), expected);
    let below: Vec<_> = expected.iter().filter(|key| key.starts_with("s/01")).cloned().collect();
    assert_eq!(lines(args!["ls", "s/01"]), below);
    for (limit, after) in [(0, 0), (1, 0), (999, 5), (1000, 1), (1001, 0), (2000, 99), (5000, 2)] {
        let found = lines(args!["ls", "--after", expected[after], "--limit", limit.to_string()]);
        assert_eq!(found, expected.iter().skip(after + 1).take(limit).cloned().collect::<Vec<_>>());
    }
    assert_eq!(lines(args!["ls", "t"]), [""; 0]);
}

#[test]
fn stat_and_long_listings_tell_what_was_stored() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("f");
    fs::write(&file, "12345").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(951_782_400, 5);
    fs::File::open(&file).unwrap().set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    sandbox.ok(args!["put", file]);
    assert_eq!(sandbox.ok(args!["ls", "-l"]).text(), "             5  2000-02-29 00:00:00  f\n");
    let stat = sandbox.ok(args!["stat", "f"]);
    for line in [
        "key       f\n",
        "size      5 (",
        "modified  2000-02-29 00:00:00 UTC\n",
        "mode      0640\n",
    ] {
        assert!(stat.text().contains(line), "{line:?} is not in {}", stat.text());
    }
    let json = &sandbox.ok(args!["--json", "stat", "f"]).json()[0];
    assert_eq!(
        (
            json["key"].as_str(),
            json["size"].as_u64(),
            json["mode"].as_u64(),
            json["modified_ns"].as_i64()
        ),
        (Some("f"), Some(5), Some(0o640), Some(951_782_400_000_000_005))
    );
    assert_eq!(json["content"].as_str().map(str::len), Some(64));
    let store = &sandbox.ok(args!["--json", "stat"]).json()[0];
    assert_eq!((store["objects"].as_u64(), store["object_bytes"].as_u64()), (Some(1), Some(5)));
    sandbox.fails(4, args!["stat", "nothing"]);
}

#[test]
fn removed_is_gone_and_the_rest_stays() {
    let sandbox = Sandbox::new();
    for key in ["a", "a/1", "a/2/3", "ab", "b"] {
        sandbox.put_bytes(key, key.as_bytes());
    }
    sandbox.fails(4, args!["rm", "a/2"]).says(&["a folder needs --recursive"]);
    sandbox.ok(args!["rm", "a"]);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "a/1\na/2/3\nab\nb\n");
    let removed = sandbox.ok(args!["--json", "rm", "--recursive", "a"]).json();
    assert_eq!(removed[0]["removed"], 2);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "ab\nb\n");
    sandbox.fails(4, args!["rm", "a", "b"]).says(&["a: no such object"]);
    assert_eq!(sandbox.ok(args!["ls"]).text(), "ab\n");
    assert_eq!(sandbox.cat("ab"), b"ab");
}

#[test]
fn json_lines_add_up() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("s");
    tree::many(&source, 5, 250, 5000);
    let bytes_total: u64 = tree::read(&source)
        .values()
        .map(|entry| if let Entry::File { bytes, .. } = entry { bytes.len() as u64 } else { 0 })
        .sum();
    let put = sandbox.ok(args!["--json", "put", source]);
    let get = sandbox.ok(args!["--json", "get", "s", sandbox.path("into")]);
    for ran in [&put, &get] {
        let lines = ran.json();
        // 250 files in three folders, and the folder that they are in.
        assert_eq!((lines.len(), ran.summary("folders")), (255, 4));
        let sum =
            |name: &str| lines[..254].iter().map(|line| line[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((ran.summary("objects"), ran.summary("bytes")), (250, bytes_total));
        assert_eq!(sum("size"), bytes_total);
        assert_eq!(ran.err, "");
    }
    let lines = put.json();
    let new: u64 = lines[..254].iter().map(|line| line["new_bytes"].as_u64().unwrap()).sum();
    assert_eq!(put.summary("new_bytes"), new);
    assert_eq!(put.summary("new_bytes") + put.summary("saved_bytes"), bytes_total);
}

#[test]
fn an_overwritten_object_has_the_new_bytes() {
    let sandbox = Sandbox::new();
    for number in 0..5_u64 {
        let bytes = Noise::new(number).bytes(100_000 >> number);
        sandbox.put_bytes("k", &bytes);
        assert_eq!(sandbox.cat("k"), bytes);
    }
    assert_eq!(sandbox.ok(args!["ls"]).text(), "k\n");
}
