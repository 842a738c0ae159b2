//! `/proc/PID/cgroup`, and where hierarchies of control groups are mounted.

use super::mounts::unescaped;
use super::numbers::{number, words};

/// A line of `/proc/PID/cgroup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup<'a> {
    /// 0 for version 2.
    pub hierarchy: u64,
    /// `cpu,cpuacct`, `name=systemd`; empty for version 2.
    pub controllers: &'a [u8],
    /// From the root of the hierarchy on, as the reader's namespace has it.
    pub path: &'a [u8],
}

/// Reads a line: `4:memory:/system.slice/x.service`.
pub fn cgroup(line: &[u8]) -> Option<Cgroup<'_>> {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let (hierarchy, controllers, path) = (number(fields.next()?)?, fields.next()?, fields.next()?);
    path.starts_with(b"/").then_some(Cgroup { hierarchy, controllers, path })
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CgroupMount {
    /// Where.
    pub(crate) path: Vec<u8>,
    /// The control group that is seen there.
    pub(crate) root: Vec<u8>,
    /// The options of a version 1, among them its controllers; `None` for version 2.
    pub(crate) options: Option<Vec<u8>>,
}

/// Reads a line of `mountinfo`; `None` for other file systems.
pub(crate) fn cgroup_mount(line: &[u8]) -> Option<CgroupMount> {
    let mut words = words(line);
    let (root, path) = (unescaped(words.nth(3)?), unescaped(words.next()?));
    words.find(|word| *word == b"-")?;
    let (file_system, options) = (words.next()?, words.nth(1)?);
    match file_system {
        b"cgroup2" => Some(CgroupMount { path, root, options: None }),
        b"cgroup" => Some(CgroupMount { path, root, options: Some(options.to_vec()) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let two = Cgroup { hierarchy: 0, controllers: b"", path: b"/a:b" };
        assert_eq!(cgroup(b"0::/a:b"), Some(two));
        let one = Cgroup { hierarchy: 9, controllers: b"name=systemd", path: b"/" };
        assert_eq!(cgroup(b"9:name=systemd:/"), Some(one));
        for line in [&b""[..], b"0:", b"0:/", b"0::", b"0::a", b"x::/", b":a:/"] {
            assert_eq!(cgroup(line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn mounts_of_hierarchies_are_told_from_others() {
        let one = b"35 24 0:30 /docker/x /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup \
             cgroup rw,cpu,cpuacct";
        let found = cgroup_mount(one).unwrap();
        assert_eq!(
            (&*found.root, &*found.path),
            (&b"/docker/x"[..], &b"/sys/fs/cgroup/cpu,cpuacct"[..])
        );
        assert_eq!(found.options.as_deref(), Some(&b"rw,cpu,cpuacct"[..]));
        let two = b"30 23 0:26 / /sys/fs/a\\040b rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let found = cgroup_mount(two).unwrap();
        assert_eq!(
            (&*found.root, &*found.path, found.options),
            (&b"/"[..], &b"/sys/fs/a b"[..], None)
        );
        assert_eq!(cgroup_mount(b"30 23 0:26 / /sys rw - sysfs sysfs rw"), None);
        assert_eq!(cgroup_mount(b"30 23 0:26 / /sys rw - cgroup2"), None);
    }
}
