//! Where a process sees file systems that another machine or process answers for.

use std::ops::ControlFlow;

use super::Process;
use super::each_line;
use super::parse::{is_remote, mount};

/// Of `mountinfo`.
const BYTES_MAX: u64 = 4 << 20;
/// Mounts that are remembered.
const MOUNTS_MAX: usize = 256;

/// The remote mounts of a process, and the local ones below them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RemoteMounts {
    /// In the order in which they were mounted.
    mounts: Vec<(Vec<u8>, bool)>,
    /// Nothing can be said for sure: there is no table, or too large a one.
    is_unknown: bool,
}

impl RemoteMounts {
    pub(crate) fn of(process: &Process) -> Self {
        let mut found = Self::default();
        // A remote mount may come after what is mounted below it, so look twice.
        for is_first in [true, false] {
            if !is_first && (found.mounts.is_empty() || found.is_unknown) {
                break;
            }
            let remote: Vec<Vec<u8>> = found.mounts.drain(..).map(|(path, _)| path).collect();
            let read = each_line(process, "mountinfo", BYTES_MAX, |line| {
                let Some(mount) = mount(line) else { return ControlFlow::Continue(()) };
                let is_remote = is_remote(mount.file_system);
                if is_remote || remote.iter().any(|above| is_below(&mount.path, above)) {
                    if found.mounts.len() == MOUNTS_MAX {
                        found.is_unknown = true;
                        return ControlFlow::Break(());
                    }
                    found.mounts.push((mount.path, is_remote));
                }
                ControlFlow::Continue(())
            });
            found.is_unknown |= read.is_ok_and(|read| read.is_cut);
        }
        found
    }

    /// Whether asking about that path might have to wait for another machine or process.
    pub(crate) fn hold(&self, path: &[u8]) -> bool {
        let above = self.mounts.iter().filter(|(mount, _)| is_below(path, mount));
        // Of two at the same place the later one hides the earlier.
        let nearest = above.max_by_key(|(mount, _)| mount.len());
        self.is_unknown || nearest.is_some_and(|(_, is_remote)| *is_remote)
    }
}

fn is_below(path: &[u8], mount: &[u8]) -> bool {
    path.strip_prefix(mount)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || mount == b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(mounts: &[(&str, bool)]) -> RemoteMounts {
        let mounts =
            mounts.iter().map(|(path, is_remote)| (path.as_bytes().to_vec(), *is_remote)).collect();
        RemoteMounts { mounts, is_unknown: false }
    }

    #[test]
    fn the_nearest_mount_decides() {
        let found = mounts(&[
            ("/", true),
            ("/proc", false),
            ("/data", false),
            ("/data/a", true),
            ("/data/a", false),
        ]);
        for (path, expected) in [
            ("/x", true),
            ("/proc/1", false),
            ("/procx", true),
            ("/data", false),
            ("/data/a/b", false),
            ("/data/ab", false),
        ] {
            assert_eq!(found.hold(path.as_bytes()), expected, "{path}");
        }
        assert!(!mounts(&[]).hold(b"/x"));
        assert!(mounts(&[("/mnt/nfs", true)]).hold(b"/mnt/nfs/a (deleted)"));
    }

    #[test]
    fn without_a_table_all_may_be_remote() {
        assert!(RemoteMounts { mounts: Vec::new(), is_unknown: true }.hold(b"/x"));
    }
}
