use super::*;

fn check_paths(text: &str, unified: Option<&str>, memory_v1: Option<&str>) {
    let paths = cgroup_paths(text);
    assert_eq!(
        (paths.unified.as_deref(), paths.memory_v1.as_deref()),
        (unified, memory_v1),
        "{text:?}"
    );
}

#[test]
fn the_path_is_all_that_follows_the_second_colon() {
    check_paths("0::/\n", Some("/"), None);
    check_paths("0::/a:b/c\n", Some("/a:b/c"), None);
    check_paths("4:cpu,memory:/x\n0::/y", Some("/y"), Some("/x"));
    check_paths("1:name=systemd:/s\n4:memory:/x (deleted)\n", None, Some("/x (deleted)"));
    check_paths("0::/../..\n", Some("/../.."), None);
    check_paths("4:memoryless:/x\n", None, None);
    check_paths("0::relative\n::\n:\n\n0:\n", None, None);
}

fn check_mount(line: &str, expected: Option<(CgroupVersion, &str, &str)>) {
    let mounts: Vec<_> = cgroup_mounts(line).collect();
    let found = mounts.first().map(|m| (m.version, m.root.as_str(), m.mount_point.as_str()));
    assert_eq!(found, expected, "{line:?}");
}

#[test]
fn only_mounts_that_can_limit_memory_are_listed() {
    use CgroupVersion::{V1Memory, V2};
    check_mount("31 23 0:28 / /c rw - cgroup2 cgroup2 rw", Some((V2, "/", "/c")));
    check_mount("31 23 0:28 / /c rw shared:1 master:2 - cgroup2 none rw", Some((V2, "/", "/c")));
    check_mount(
        "31 23 0:28 /d/e /c rw - cgroup cgroup rw,cpu,memory",
        Some((V1Memory, "/d/e", "/c")),
    );
    check_mount("31 23 0:28 /d\\040e /c\\134d rw - cgroup2 x rw", Some((V2, "/d e", "/c\\d")));
    check_mount("31 23 0:28 / /c rw - cgroup cgroup rw,cpu", None);
    check_mount("31 23 0:28 / /memory rw - tmpfs memory rw,memory", None);
    check_mount("31 23 0:28 / /c/../../etc rw - cgroup2 cgroup2 rw", None);
    check_mount("31 23 0:28 / c rw - cgroup2 cgroup2 rw", None);
    check_mount("31 23 0:28 / /c rw cgroup2 cgroup2 rw", None);
    check_mount(" - cgroup2", None);
    check_mount("31 23 0:28 / - cgroup2 cgroup2 rw", None);
}

#[test]
fn octal_escapes_are_undone_and_other_backslashes_stay() {
    for (field, expected) in [
        ("/a\\040b", "/a b"),
        ("\\011\\012\\134\\043", "\t\n\\#"),
        ("\\303\\251", "é"),
        ("a\\", "a\\"),
        ("a\\04", "a\\04"),
        ("a\\048", "a\\048"),
        ("a\\777", "a\\777"),
        ("\\\\040", "\\ "),
        ("é\\040é", "é é"),
        ("\\377", "\u{fffd}"),
    ] {
        assert_eq!(unescape(field), expected, "{field:?}");
    }
}

#[test]
fn a_path_is_below_a_root_name_by_name() {
    for (root, path, expected) in [
        ("/", "/", Some(vec![])),
        ("/", "/a/b", Some(vec!["a", "b"])),
        ("/a", "/a/b", Some(vec!["b"])),
        ("/a/", "//a//b/", Some(vec!["b"])),
        ("/a/b", "/a/b", Some(vec![])),
        ("/a/b", "/a", None),
        ("/docker/a", "/docker/ab", None),
        ("/..", "/../x", Some(vec!["x"])),
        ("/..", "/../..", None),
        ("/..", "/", None),
        ("/", "/../x", None),
        ("/", "/x/..", None),
    ] {
        assert_eq!(path_below(root, path), expected, "{path} below {root}");
    }
}

#[test]
fn limits_are_numbers_or_nothing() {
    assert_eq!(memory_max_bytes("1073741824\n"), Some(1 << 30));
    assert_eq!(memory_max_bytes("0\n"), Some(0));
    assert_eq!(memory_max_bytes("18446744073709551615"), Some(u64::MAX));
    for nothing in ["max\n", "", "-1", "12 34", "18446744073709551616", "1e9", "\0"] {
        assert_eq!(memory_max_bytes(nothing), None, "{nothing:?}");
    }
    assert_eq!(limit_in_bytes("536870912\n"), Some(512 << 20));
    for none in ["9223372036854771712", "9223372036854710272", "18446744073709551615", "-1", "x"] {
        assert_eq!(limit_in_bytes(none), None, "{none:?}");
    }
}

#[test]
fn the_hierarchical_limit_is_found_among_the_other_lines() {
    let stat = "cache 4096\nhierarchical_memory_limit 123\nhierarchical_memsw_limit 456\n";
    assert_eq!(hierarchical_limit_bytes(stat), Some(123));
    assert_eq!(
        hierarchical_limit_bytes("hierarchical_memory_limitless 1\nhierarchical_memory_limit x"),
        None
    );
    assert_eq!(v1_limit((1 << 62) - 1), Some((1 << 62) - 1));
    assert_eq!(v1_limit(1 << 62), None);
}

#[test]
fn physical_memory_is_in_kilobytes_of_1024() {
    assert_eq!(
        mem_total_bytes("MemTotal:       24684084 kB\nMemFree: 1 kB\n"),
        Some(24_684_084 * 1024)
    );
    for nothing in
        ["", "MemTotal:", "MemTotal: 5", "MemTotal: 0 kB", "MemTotal: 18446744073709551615 kB"]
    {
        assert_eq!(mem_total_bytes(nothing), None, "{nothing:?}");
    }
}

/// A small stand-in for the fuzz target: characters that the formats give a meaning to, in random
/// order.
#[test]
fn arbitrary_text_never_panics_and_never_leaves_the_mount_point() {
    let alphabet = [
        "/", "..", ".", ":", "\\", "0", "40", "7", " ", " - ", "\n", "cgroup2", "memory", "é", "\0",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..20_000 {
        let mut text =
            || (0..next() % 24).map(|_| alphabet[next() % alphabet.len()]).collect::<String>();
        let (text, other) = (text(), text());
        cgroup_paths(&text);
        for mount in cgroup_mounts(&text) {
            assert!(!mount.mount_point.split('/').any(|name| name == ".."), "{text:?}");
        }
        unescape(&text);
        for name in path_below(&other, &text).unwrap_or_default() {
            assert!(
                !name.is_empty() && !name.contains('/') && name != "." && name != "..",
                "{text:?}"
            );
        }
        memory_max_bytes(&text);
        limit_in_bytes(&text);
        hierarchical_limit_bytes(&text);
        mem_total_bytes(&text);
    }
}
