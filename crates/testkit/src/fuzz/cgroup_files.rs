//! The kernel's text files.

use drystone_limits::parse;

/// The parsers take any text, and what they give can be used.
///
/// # Panics
/// When that does not hold.
pub fn cgroup_files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (one, other) = text.split_once('\0').unwrap_or((&text, &text));
    let paths = parse::cgroup_paths(one);
    for path in [&paths.unified, &paths.memory_v1].into_iter().flatten() {
        assert!(path.starts_with('/'), "a cgroup's path is absolute: {path:?}");
        check_below("/", path);
    }
    for mount in parse::cgroup_mounts(other) {
        assert!(mount.root.starts_with('/') && mount.mount_point.starts_with('/'), "{mount:?}");
        assert!(!mount.mount_point.split('/').any(|name| name == ".."), "{mount:?}");
        for path in [&paths.unified, &paths.memory_v1].into_iter().flatten() {
            check_below(&mount.root, path);
        }
    }
    check_below(one, other);
    assert!(parse::unescape(one).len() <= one.len() * 3, "a lone byte becomes three at most");
    let _ = parse::memory_max_bytes(one);
    assert!(parse::limit_in_bytes(one).is_none_or(|bytes| parse::v1_limit(bytes) == Some(bytes)));
    let _ = parse::hierarchical_limit_bytes(one).and_then(parse::v1_limit);
    assert!(parse::mem_total_bytes(one).is_none_or(|bytes| bytes > 0 && bytes % 1024 == 0));
}

fn check_below(root: &str, path: &str) {
    let Some(names) = parse::path_below(root, path) else { return };
    for name in names {
        assert!(
            !name.is_empty() && name != "." && name != ".." && !name.contains('/'),
            "{path:?} below {root:?}"
        );
    }
}
