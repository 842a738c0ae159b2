//! Reads the ceilings, below a root that tests can choose.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use crate::plan::constants::{KIB, MEMORY_ASK_DEFAULT_BYTES, MIB};
use crate::{Budget, Limit, cgroup, nofile, parse};

/// The source of a memory ceiling that no setting makes: the machine's own memory.
pub const PHYSICAL_MEMORY_SOURCE: &str = "physical memory (/proc/meminfo)";

/// A file is read up to here: `mountinfo` of a machine full of containers is the largest, at some
/// 100 KiB.
const FILE_BYTES_MAX: usize = MIB as usize;

/// Reads ceilings from `/proc` and `/sys` below a root.
#[derive(Debug, Clone)]
pub struct Probe {
    root: PathBuf,
}

impl Probe {
    /// Looks for `proc/…` and `sys/…` below `root`; `/` in production, a fixture tree in tests.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The running system.
    pub fn system() -> Self {
        Self::new(Path::new("/"))
    }

    /// All ceilings. CPUs and descriptors are always those of this process, with any root.
    pub fn budget(&self) -> Budget {
        Budget { cpus: cpus(), memory_bytes: self.memory(), descriptors: nofile().soft }
    }

    /// The memory ceiling: the lowest limit on the cgroup path, or physical memory when that is
    /// lower.
    ///
    /// When neither can be read, a small amount is assumed rather than none.
    pub fn memory(&self) -> Limit {
        let physical = self
            .read("/proc/meminfo")
            .and_then(|text| parse::mem_total_bytes(&text))
            .map(|bytes| Limit::new(bytes, PHYSICAL_MEMORY_SOURCE));
        let lowest =
            cgroup::memory_limit(self).into_iter().chain(physical).min_by_key(|limit| limit.value);
        lowest.unwrap_or_else(|| {
            Limit::new(MEMORY_ASK_DEFAULT_BYTES, "assumed: no cgroup limit and no /proc/meminfo")
        })
    }

    /// The text of a file, named by its absolute path below the root; `None` if it cannot be read.
    ///
    /// A file above the cap is cut after its last whole line, so that half a number is never taken
    /// for a number.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let file = File::open(self.root.join(path.trim_start_matches('/'))).ok()?;
        let mut bytes = Vec::with_capacity(4 * KIB as usize);
        file.take(FILE_BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
        if bytes.len() == FILE_BYTES_MAX {
            let whole_lines = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(whole_lines);
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn cpus() -> Limit {
    match available_parallelism() {
        Ok(count) => Limit::new(count.get() as u64, "CPU affinity and cgroup CPU quota"),
        Err(error) => Limit::new(1, format!("assumed: the number of CPUs is unknown ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_above_the_cap_is_cut_after_its_last_whole_line() {
        let root = std::env::temp_dir().join(format!("drystone-limits-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("long"), "12345678\n".repeat(FILE_BYTES_MAX / 9 + 100)).unwrap();
        std::fs::write(root.join("one-line"), "1".repeat(FILE_BYTES_MAX + 1)).unwrap();
        let probe = Probe::new(&root);
        let long = probe.read("/long").unwrap();
        assert!(long.len() <= FILE_BYTES_MAX && long.len() > FILE_BYTES_MAX - 9, "{}", long.len());
        assert!(long.ends_with("12345678\n"));
        assert_eq!(probe.read("/one-line").as_deref(), Some(""));
        assert_eq!(probe.read("/absent"), None);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
