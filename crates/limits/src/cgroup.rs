//! The memory limit that control groups set on this process.
//!
//! The kernel kills a process for exceeding the limit of *any* group on its path, so the ceiling is
//! the minimum over the whole path, not the value at the leaf.
//! - `/proc/self/cgroup` names the path, as seen from the root of the cgroup namespace.
//! - `/proc/self/mountinfo` says which part of the hierarchy is mounted where. In a container the
//!   mount's root is often a sub-path; then the files lie at mount point + (path − root).
//! - When the path is not below the mount's root, the names in between are unknown. This happens
//!   when a namespace gives `/../..`, or when the mount comes from another namespace. Then the
//!   mount point itself is read: it is an ancestor, or the container's own group. At worst the
//!   ceiling is lower than necessary.
//! - Version 1 and 2 are both looked at and the lower limit wins, which also covers a hybrid
//!   set-up.
//!
//! Not read: `memory.high`, because it slows a process down and does not kill it; and swap, because
//! a process should not plan to use it.

use crate::parse::{self, CgroupMount, CgroupVersion};
use crate::{Limit, Probe};

/// A path that can be opened has at most `PATH_MAX` (4,096) bytes, so at most half as many levels.
const PATH_LEVELS_MAX: usize = 2048;

/// The lowest memory limit on the path of this process, if any group sets one.
pub(crate) fn memory_limit(probe: &Probe) -> Option<Limit> {
    let paths =
        probe.read("/proc/self/cgroup").map(|text| parse::cgroup_paths(&text)).unwrap_or_default();
    let mounts = match probe.read("/proc/self/mountinfo") {
        Some(text) => parse::cgroup_mounts(&text).collect(),
        None => customary_mounts(),
    };
    let unified = version_limit(probe, &mounts, CgroupVersion::V2, paths.unified.as_deref());
    let legacy = version_limit(probe, &mounts, CgroupVersion::V1Memory, paths.memory_v1.as_deref());
    unified.into_iter().chain(legacy).min_by_key(|limit| limit.value)
}

/// Where the hierarchies are by custom, for when the mounts cannot be read.
fn customary_mounts() -> Vec<CgroupMount> {
    let mount = |version, mount_point: &str| CgroupMount {
        version,
        root: "/".to_owned(),
        mount_point: mount_point.to_owned(),
    };
    vec![
        mount(CgroupVersion::V2, "/sys/fs/cgroup"),
        mount(CgroupVersion::V1Memory, "/sys/fs/cgroup/memory"),
    ]
}

fn version_limit(
    probe: &Probe,
    mounts: &[CgroupMount],
    version: CgroupVersion,
    path: Option<&str>,
) -> Option<Limit> {
    let path = path.unwrap_or("/");
    let mounts = || mounts.iter().filter(|mount| mount.version == version);
    let limit_below = |mount: &CgroupMount, names: &[&str]| match version {
        CgroupVersion::V2 => v2_limit(probe, &mount.mount_point, names),
        CgroupVersion::V1Memory => v1_limit(probe, &mount.mount_point, names),
    };
    let lowest = |limits: &mut dyn Iterator<Item = Limit>| limits.min_by_key(|limit| limit.value);

    let holds_path = |mount: &&CgroupMount| parse::path_below(&mount.root, path).is_some();
    if mounts().any(|mount| holds_path(&mount)) {
        let names = |mount: &CgroupMount| parse::path_below(&mount.root, path).unwrap_or_default();
        lowest(
            &mut mounts().filter(holds_path).filter_map(|mount| limit_below(mount, &names(mount))),
        )
    } else {
        lowest(&mut mounts().filter_map(|mount| limit_below(mount, &[])))
    }
}

fn v2_limit(probe: &Probe, mount_point: &str, names: &[&str]) -> Option<Limit> {
    let at_level = |directory: String| {
        let path = format!("{directory}/memory.max");
        Some(Limit::new(parse::memory_max_bytes(&probe.read(&path)?)?, path))
    };
    leaf_to_root(mount_point, names).filter_map(at_level).min_by_key(|limit| limit.value)
}

/// `hierarchical_memory_limit` already is the minimum over the ancestors that count. With
/// `use_hierarchy` off, no ancestor counts. So the walk ends at the first group that has it. Below
/// that group, the groups' own limits are taken.
fn v1_limit(probe: &Probe, mount_point: &str, names: &[&str]) -> Option<Limit> {
    let mut lowest: Option<Limit> = None;
    let mut take = |bytes: Option<u64>, source: String| {
        if let Some(bytes) = bytes
            && lowest.as_ref().is_none_or(|limit| bytes < limit.value)
        {
            lowest = Some(Limit::new(bytes, source));
        }
    };
    for directory in leaf_to_root(mount_point, names) {
        let path = format!("{directory}/memory.stat");
        let hierarchical =
            probe.read(&path).and_then(|text| parse::hierarchical_limit_bytes(&text));
        if let Some(bytes) = hierarchical {
            take(parse::v1_limit(bytes), format!("{path} (hierarchical_memory_limit)"));
            break;
        }
        let path = format!("{directory}/memory.limit_in_bytes");
        take(probe.read(&path).and_then(|text| parse::limit_in_bytes(&text)), path);
    }
    lowest
}

/// The directories of the groups on the path, from the process's own up to the mount point.
fn leaf_to_root(mount_point: &str, names: &[&str]) -> impl Iterator<Item = String> {
    let mount_point = mount_point.trim_end_matches('/');
    (0..=names.len().min(PATH_LEVELS_MAX)).rev().map(move |levels| {
        let mut directory = mount_point.to_owned();
        for name in &names[..levels] {
            directory.push('/');
            directory.push_str(name);
        }
        directory
    })
}
