//! A memory control group of our own, version 1 or 2, removed with its guard.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::missing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

pub(super) struct Group {
    path: PathBuf,
    version: Version,
}

impl Group {
    /// A group with this limit. It is below the group of this process, because a container may look
    /// at its own part only.
    pub(super) fn make(name: &str, limit_bytes: u64) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
        let own = fs::read_to_string("/proc/self/cgroup").context("read the control groups")?;
        let mut refusals = Vec::new();
        for (version, parent) in parents(&mounts, &own) {
            let path = parent.join(name);
            match Self::make_at(version, path, limit_bytes) {
                Ok(group) => return Ok(group),
                Err(error) => refusals.push(format!("{error:#}")),
            }
        }
        let why = refusals.pop().unwrap_or_else(|| "no memory controller is mounted".to_owned());
        Err(missing(format!("root and a memory control group are needed: {why}")))
    }

    fn make_at(version: Version, path: PathBuf, limit_bytes: u64) -> Result<Self> {
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        let group = Self { path, version };
        let limit = group.file("memory.limit_in_bytes", "memory.max");
        // A group whose parent does not hand the controller down has no such file, and the file
        // cannot be made.
        fs::write(&limit, limit_bytes.to_string())
            .with_context(|| format!("write {}", limit.display()))?;
        let _ = fs::write(group.path.join("memory.swap.max"), "0");
        Ok(group)
    }

    fn file(&self, v1: &str, v2: &str) -> PathBuf {
        self.path.join(if self.version == Version::V1 { v1 } else { v2 })
    }

    /// A process that writes its id here is in the group.
    pub(super) fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    pub(super) fn version(&self) -> &'static str {
        if self.version == Version::V1 { "v1" } else { "v2" }
    }

    pub(super) fn limit_bytes(&self) -> Option<u64> {
        number(&self.file("memory.limit_in_bytes", "memory.max"))
    }

    /// The most that was ever charged, page cache included. Linux has it for version 2 since 5.19.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        number(&self.file("memory.max_usage_in_bytes", "memory.peak"))
    }

    /// What is charged now and, unlike page cache, cannot be dropped: the memory of the processes.
    pub(super) fn own_bytes(&self) -> Option<u64> {
        let name = if self.version == Version::V1 { "total_rss" } else { "anon" };
        field(&fs::read_to_string(self.path.join("memory.stat")).ok()?, name)
    }

    pub(super) fn oom_kills(&self) -> Option<u64> {
        field(
            &fs::read_to_string(self.file("memory.oom_control", "memory.events")).ok()?,
            "oom_kill",
        )
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group is busy until the kernel has removed its last process.
        for _ in 0..200 {
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                    sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number of a line `NAME N`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Folders in which a group could be made, the most promising first: below this process's own
/// group, then at the top of each hierarchy with a memory controller.
fn parents(mountinfo: &str, own: &str) -> Vec<(Version, PathBuf)> {
    let mut parents = Vec::new();
    for line in mountinfo.lines() {
        let Some((place, kind)) = line.split_once(" - ") else { continue };
        let (place, kind): (Vec<_>, Vec<_>) =
            (place.split(' ').collect(), kind.split(' ').collect());
        let (Some(root), Some(at), Some(options)) = (place.get(3), place.get(4), kind.get(2))
        else {
            continue;
        };
        let version = match kind[0] {
            "cgroup" if options.split(',').any(|option| option == "memory") => Version::V1,
            "cgroup2" => Version::V2,
            _ => continue,
        };
        let path = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let is_it = match version {
                Version::V1 => controllers.split(',').any(|controller| controller == "memory"),
                Version::V2 => controllers.is_empty(),
            };
            is_it.then_some(path)
        });
        if let Some(below) = path.and_then(|path| Path::new(path).strip_prefix(root).ok()) {
            parents.push((version, Path::new(at).join(below)));
        }
        parents.push((version, PathBuf::from(at)));
    }
    // Where both versions are mounted and version 1 has the memory controller, version 2 does not
    // have it.
    parents.sort_by_key(|(version, _)| *version == Version::V2);
    parents.dedup();
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mountinfo: &str, own: &str, expected: &[(Version, &str)]) {
        let found = parents(mountinfo, own);
        let expected: Vec<_> =
            expected.iter().map(|(version, path)| (*version, PathBuf::from(path))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_hybrid_has_its_memory_controller_in_version_1() {
        check(
            "41 32 0:36 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
             36 32 0:31 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
             37 32 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n",
            "5:memory:/a/b\n3:cpu:/a\n0::/\n",
            &[
                (Version::V1, "/sys/fs/cgroup/memory/a/b"),
                (Version::V1, "/sys/fs/cgroup/memory"),
                (Version::V2, "/sys/fs/cgroup/unified"),
            ],
        );
    }

    #[test]
    fn version_2_below_and_at_the_top() {
        let top = (Version::V2, "/sys/fs/cgroup");
        let mount = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        check(mount, "0::/user.slice\n", &[(Version::V2, "/sys/fs/cgroup/user.slice"), top]);
        let mount = "30 23 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        check(mount, "0::/elsewhere\n", &[top]);
        check("gibberish", "gibberish", &[]);
    }

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let text = "oom 3\noom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
        assert_eq!(field(text, "oom_kill"), Some(2));
        assert_eq!(field(text, "oom_group_kill"), None);
    }
}
