//! What this process takes from the system, as the system counts it.

use std::fs;

use serde::Serialize;

/// A reading; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    pub(crate) descriptors: Option<u64>,
    pub(crate) resident_bytes: Option<u64>,
    /// The most that was resident since the start.
    pub(crate) resident_high_water_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
}

impl Process {
    /// Reads `/proc/self`. Blocks, for microseconds unless there are many descriptors and the
    /// kernel is older than 6.2.
    pub(crate) fn read() -> Self {
        let descriptors = fdwatch::own().ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { descriptors, ..Self::of_status(&status) }
    }

    fn of_status(status: &str) -> Self {
        let number = |name: &str| -> Option<u64> {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let bytes = |name| number(name).map(|kib| kib.saturating_mul(1024));
        Self {
            descriptors: None,
            resident_bytes: bytes("VmRSS"),
            resident_high_water_bytes: bytes("VmHWM"),
            threads: number("Threads"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_system_are_read() {
        let status =
            "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\nSigQ:\t0/1\n";
        let expected = Process {
            descriptors: None,
            resident_bytes: Some(1 << 20),
            resident_high_water_bytes: Some(2 << 20),
            threads: Some(7),
        };
        assert_eq!(Process::of_status(status), expected);
        assert_eq!(Process::of_status(""), Process::default());
    }

    #[test]
    fn this_process_has_some_of_everything() {
        let before = Process::read();
        assert!(before.resident_bytes.unwrap() > 100_000);
        assert!(before.resident_high_water_bytes >= before.resident_bytes);
        assert!(before.threads.unwrap() >= 1);
        // More than other tests of this process have open, so that theirs do not matter.
        let held: Vec<_> = (0..100).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = Process::read().descriptors.unwrap();
        assert!(after >= before.descriptors.unwrap() + 50, "{before:?} {after}");
        drop(held);
    }
}
