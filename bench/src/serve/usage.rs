//! What the processes of a group have used: CPU time, and the most memory.

use std::fs;

use anyhow::{Context as _, Result, ensure};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    /// The sum over the processes. Memory that they share counts in each of them.
    pub(super) resident_bytes: u64,
}

impl Usage {
    pub(super) fn of(group: u32) -> Result<Self> {
        let mut usage = Self::default();
        let members = members(group)?;
        ensure!(!members.is_empty(), "the server has ended");
        for (pid, ticks) in members {
            usage.cpu_seconds += ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
            // The process has ended since it was listed, or is a zombie: it has no memory.
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            usage.resident_bytes += high_water_bytes(&status).unwrap_or(0);
        }
        Ok(usage)
    }
}

/// Starts the high-water mark anew. A kernel without the file refuses that; then the mark is that
/// of the server's whole life.
pub(super) fn forget_high_water(group: u32) -> Result<()> {
    for (pid, _) in members(group)? {
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
    Ok(())
}

/// The process id and the ticks of CPU time of each process.
fn members(group: u32) -> Result<Vec<(u32, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some((of, ticks)) = group_and_ticks(&stat)
            && of == group
        {
            found.push((pid, ticks));
        }
    }
    Ok(found)
}

/// The group and the ticks of a line of `/proc/PID/stat`. The command's name in it may have spaces
/// and brackets.
fn group_and_ticks(stat: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((fields.get(2)?.parse().ok()?, ticks(11)? + ticks(12)?))
}

fn high_water_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use xtask::process::Group;

    use super::*;

    #[test]
    fn a_line_of_stat_is_read_behind_the_name() {
        let stat =
            "812 (a) b (c)) S 1 811 811 0 -1 4194560 1 2 3 4 150 25 7 8 20 0 2 0 99 1000 10 1844";
        assert_eq!(group_and_ticks(stat), Some((811, 175)));
        assert_eq!(group_and_ticks("812 (a) S 1 811"), None);
        assert_eq!(group_and_ticks(""), None);
    }

    #[test]
    fn the_high_water_is_in_kib() {
        assert_eq!(high_water_bytes("VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(high_water_bytes("Name:\tzombie\n"), None);
    }

    #[test]
    fn a_group_is_counted_with_its_children() {
        let script = "sleep 600 & exec sleep 600";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let group = Group::start(command).expect("sh starts");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while members(group.id()).expect("/proc can be read").len() != 2 {
            assert!(std::time::Instant::now() < deadline, "never two processes");
            std::thread::yield_now();
        }
        assert!(Usage::of(group.id()).expect("two processes").resident_bytes > 0);
        let id = group.id();
        drop(group);
        while !members(id).expect("/proc can be read").is_empty() {
            assert!(std::time::Instant::now() < deadline, "still there");
            std::thread::yield_now();
        }
    }
}
