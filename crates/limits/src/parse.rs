//! Pure parsers of the kernel's text files. They take arbitrary text, never panic, and answer
//! `None` (or skip the line) for what they do not understand.

/// The groups of a process that matter for memory, as in `/proc/self/cgroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupPaths {
    /// Path in the version 2 hierarchy (the line `0::…`).
    pub unified: Option<String>,
    /// Path in the version 1 hierarchy that has the memory controller.
    pub memory_v1: Option<String>,
}

/// Which of the two kinds of hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    /// The unified hierarchy.
    V2,
    /// A version 1 hierarchy with the memory controller.
    V1Memory,
}

/// A mounted hierarchy that may limit memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMount {
    /// Kind of hierarchy.
    pub version: CgroupVersion,
    /// The group that appears at the mount point; not `/` in a bind mount or a container.
    pub root: String,
    /// Where it is mounted: absolute, without `..`.
    pub mount_point: String,
}

/// From here on a version 1 limit means "none". The kernel writes the largest page-aligned signed
/// number, which depends on the page size: 9223372036854771712 with 4 KiB.
const V1_UNLIMITED_MIN: u64 = 1 << 62;

/// `/proc/self/cgroup`: lines of `hierarchy:controllers:path`; the path may contain colons.
pub fn cgroup_paths(text: &str) -> CgroupPaths {
    let mut paths = CgroupPaths::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(hierarchy), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if !path.starts_with('/') {
            continue;
        }
        if hierarchy == "0" && controllers.is_empty() {
            paths.unified.get_or_insert_with(|| path.to_owned());
        } else if controllers.split(',').any(|name| name == "memory") {
            paths.memory_v1.get_or_insert_with(|| path.to_owned());
        }
    }
    paths
}

/// The cgroup mounts of `/proc/self/mountinfo` that may limit memory:
/// `id parent major:minor root mount-point options [optional…] - type source super-options`.
pub fn cgroup_mounts(text: &str) -> impl Iterator<Item = CgroupMount> + '_ {
    text.lines().filter_map(cgroup_mount)
}

fn cgroup_mount(line: &str) -> Option<CgroupMount> {
    // A space inside a field is escaped, so the first lone "-" is the separator.
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let version = match (file_system.next()?, file_system.next_back()) {
        ("cgroup2", _) => CgroupVersion::V2,
        ("cgroup", Some(options)) if options.split(',').any(|name| name == "memory") => {
            CgroupVersion::V1Memory
        }
        _ => return None,
    };
    let mut fields = mount.split(' ').skip(3);
    let (root, mount_point) = (unescape(fields.next()?), unescape(fields.next()?));
    let well_formed = root.starts_with('/')
        && mount_point.starts_with('/')
        && !mount_point.split('/').any(|name| name == "..");
    well_formed.then_some(CgroupMount { version, root, mount_point })
}

/// Undoes the kernel's escapes of three octal digits (`\040` is a space). A backslash that begins
/// no such escape stays.
pub fn unescape(field: &str) -> String {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match bytes.get(at + 1..at + 4) {
            Some(&[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7']) if byte == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                at += 4;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The names that lead from the group `root` down to `path`, or `None` when `path` is not below
/// `root` for sure.
///
/// Compared name by name: `/docker/ab` is not below `/docker/a`. Steps up (`..`) count as below
/// only when they are part of `root` too, so no name in the answer ever leaves a mount point.
pub fn path_below<'path>(root: &str, path: &'path str) -> Option<Vec<&'path str>> {
    let mut path_names = names(path);
    if !names(root).all(|name| path_names.next() == Some(name)) {
        return None;
    }
    let below: Vec<&str> = path_names.collect();
    (!below.contains(&"..")).then_some(below)
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".")
}

/// Version 2 `memory.max`: a number of bytes, or `max` for none.
pub fn memory_max_bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Version 1 `memory.limit_in_bytes`; a huge number means none.
pub fn limit_in_bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok().and_then(v1_limit)
}

/// Version 1 `memory.stat`: the raw number of `hierarchical_memory_limit`; pass it through
/// [`v1_limit`].
pub fn hierarchical_limit_bytes(text: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let number = line.strip_prefix("hierarchical_memory_limit ")?;
        number.trim().parse().ok()
    })
}

/// A version 1 number as a limit: `None` when it is the kernel's way of saying "no limit".
pub fn v1_limit(bytes: u64) -> Option<u64> {
    (bytes < V1_UNLIMITED_MIN).then_some(bytes)
}

/// `/proc/meminfo`: physical memory in bytes, from `MemTotal:   24684084 kB`. Zero counts as
/// unknown.
pub fn mem_total_bytes(text: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let number = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        number.trim().parse::<u64>().ok()?.checked_mul(1024).filter(|&bytes| bytes > 0)
    })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
