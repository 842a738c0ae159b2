//! Whether a process belongs to a control group.
//!
//! The process itself is asked, through its folder: a list of pids in the group could be of
//! processes that have ended. So nothing but `/proc` is read, and both versions look alike.

use std::ops::ControlFlow;

use super::parse::{Cgroup, CgroupMount, cgroup, cgroup_mount};
use super::{ProcRoot, Process, each_line};

/// Of `/proc/PID/cgroup`: a dozen hierarchies, and paths that are as long as paths can be.
const BYTES_MAX: u64 = 64 << 10;
/// Of `mountinfo`.
const MOUNTS_BYTES_MAX: u64 = 4 << 20;

/// What a process must be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CgroupMember {
    /// In this group or below it.
    Below { hierarchy: Hierarchy, path: Vec<u8> },
    /// In or below a group that is called so.
    Named(Vec<u8>),
}

/// Which hierarchy a path is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    Any,
    Two,
    /// Of version 1, with one of these controllers.
    One(Vec<Vec<u8>>),
}

impl CgroupMember {
    /// `path` is a folder where a hierarchy is mounted, or a path in one.
    pub(crate) fn below(root: &ProcRoot, path: &[u8]) -> Self {
        let mut nearest: Option<CgroupMount> = None;
        // Without a table the path is one in a hierarchy.
        let _ = each_line(root, "self/mountinfo", MOUNTS_BYTES_MAX, |line| {
            let mount = cgroup_mount(line).filter(|mount| rest_below(path, &mount.path).is_some());
            if let Some(mount) = mount
                && nearest.as_ref().is_none_or(|nearest| nearest.path.len() <= mount.path.len())
            {
                nearest = Some(mount);
            }
            ControlFlow::Continue(())
        });
        match nearest {
            Some(mount) => Self::of_mount(&mount, path),
            None => Self::Below { hierarchy: Hierarchy::Any, path: trimmed(path) },
        }
    }

    pub(crate) fn of_unit(name: &[u8]) -> Self {
        Self::Named(name.to_vec())
    }

    fn of_mount(mount: &CgroupMount, path: &[u8]) -> Self {
        let rest = rest_below(path, &mount.path).unwrap_or_default();
        let hierarchy = match &mount.options {
            None => Hierarchy::Two,
            Some(options) => {
                Hierarchy::One(options.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect())
            }
        };
        Self::Below { hierarchy, path: trimmed(&[&*trimmed(&mount.root), rest].concat()) }
    }

    fn has(&self, cgroup: &Cgroup<'_>) -> bool {
        match self {
            Self::Below { hierarchy, path } => {
                hierarchy.is_of(cgroup) && rest_below(cgroup.path, path).is_some()
            }
            Self::Named(name) => {
                let is_systemds = cgroup.hierarchy == 0 || cgroup.controllers == b"name=systemd";
                // systemd puts an underscore before names that the kernel could take for its own
                // files.
                let is_it = |part: &[u8]| part == name || part.strip_prefix(b"_") == Some(name);
                is_systemds && cgroup.path.split(|byte| *byte == b'/').any(is_it)
            }
        }
    }
}

impl Hierarchy {
    fn is_of(&self, cgroup: &Cgroup<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Two => cgroup.hierarchy == 0,
            Self::One(options) => {
                let mut controllers = cgroup.controllers.split(|byte| *byte == b',');
                cgroup.hierarchy != 0
                    && controllers
                        .any(|controller| options.iter().any(|option| option == controller))
            }
        }
    }
}

/// Whether a process is in one of them; not if it does not tell.
pub(crate) fn is_member(process: &Process, members: &[CgroupMember]) -> bool {
    let mut is_member = false;
    let _ = each_line(process, "cgroup", BYTES_MAX, |line| {
        let cgroup = cgroup(line);
        is_member = cgroup.is_some_and(|cgroup| members.iter().any(|member| member.has(&cgroup)));
        if is_member { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    is_member
}

/// What comes after `above`: nothing, or something that begins with a slash.
fn rest_below<'a>(path: &'a [u8], above: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(trimmed(above).as_slice())?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// Without slashes at its end: nothing is left of the root.
fn trimmed(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path[..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{FakeProcess, Fixture};
    use super::super::{Names, Target, pass};

    const MOUNTS: &[u8] = b"24 1 0:22 / / rw - ext4 /dev/vda rw\n\
        30 24 0:26 /outer /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        32 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";

    fn fixture() -> Fixture {
        let fixture = Fixture::new();
        for (pid, cgroups) in [
            (100, "0::/outer/a/b\n"),
            (101, "5:memory:/a\n4:cpuacct,cpu:/c\n0::/outer\n"),
            (102, "5:memory:/ab\n0::/outer/ab\n"),
            (103, "9:name=systemd:/system.slice/x.service/sub\n5:memory:/x.service\n0::/\n"),
            (104, "0::/user.slice/user@1.service/app.slice/_cgroup.service\n"),
            (105, "5:memory:/x.service\n"),
            (106, ""),
        ] {
            fixture.put(&FakeProcess { pid, ..Default::default() });
            fixture.write(pid, "cgroup", cgroups.as_bytes());
        }
        // The mounts are ours.
        fixture.write(99, "mountinfo", MOUNTS);
        std::os::unix::fs::symlink("99", fixture.path().join("self")).unwrap();
        fixture
    }

    #[track_caller]
    fn check(target: &Target, expected: &[u32]) {
        let fixture = fixture();
        let mut names = Names::new(std::slice::from_ref(target), &fixture.root());
        let found = pass(&fixture.root(), &mut names).unwrap();
        let named = found.processes.iter().filter(|process| process.is_named);
        let pids: Vec<u32> = named.map(|process| process.key.pid).collect();
        assert_eq!(pids, expected, "{target:?}");
    }

    fn cgroup_of(path: &str) -> Target {
        Target::Cgroup(path.into())
    }

    #[test]
    fn a_path_in_a_hierarchy_has_those_below_it() {
        check(&cgroup_of("/outer/a"), &[100]);
        check(&cgroup_of("/a"), &[101]);
        check(&cgroup_of("/a/"), &[101]);
        check(&cgroup_of("/outer"), &[100, 101, 102]);
        check(&cgroup_of("/nothing"), &[]);
    }

    #[test]
    fn a_folder_is_of_the_hierarchy_that_is_mounted_there() {
        check(&cgroup_of("/sys/fs/cgroup/unified/a"), &[100]);
        check(&cgroup_of("/sys/fs/cgroup/unified"), &[100, 101, 102]);
        check(&cgroup_of("/sys/fs/cgroup/memory/a"), &[101]);
        check(&cgroup_of("/sys/fs/cgroup/cpu/c/"), &[101]);
        check(&cgroup_of("/sys/fs/cgroup/cpu/a"), &[]);
    }

    #[test]
    fn a_unit_is_found_by_its_name_in_systemds_own_hierarchy() {
        check(&Target::Unit(b"x.service".to_vec()), &[103]);
        check(&Target::Unit(b"cgroup.service".to_vec()), &[104]);
        check(&Target::Unit(b"app.slice".to_vec()), &[104]);
        check(&Target::Unit(b"service".to_vec()), &[]);
    }
}
