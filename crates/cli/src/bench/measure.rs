//! What a run costs: time, peak memory, allocations.
#![allow(unsafe_code)]

use std::fs;
use std::time::{Duration, Instant};

use crate::counting_alloc;

/// One run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    /// Most memory that was resident at once, in bytes.
    pub(crate) peak_rss: u64,
    pub(crate) allocations: u64,
    pub(crate) allocated_bytes: u64,
}

/// Makes freed memory go back at once, so that one strategy's memory is not counted for the next.
pub(crate) fn prepare() {
    // SAFETY: glibc's own tuning calls, on integers; made before any bench thread is started.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Counts from now on.
pub(crate) struct Meter {
    begun: Instant,
    counts: (u64, u64),
}

impl Meter {
    pub(crate) fn begin() -> Self {
        // SAFETY: takes an integer, touches only free memory of the allocator.
        unsafe {
            libc::malloc_trim(0);
        }
        // Sets the high-water mark of resident memory back to what is resident now (proc(5), since
        // Linux 4.0).
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { begun: Instant::now(), counts: counting_alloc::counts() }
    }

    pub(crate) fn end(&self) -> Cost {
        let time = self.begun.elapsed();
        let (allocations, bytes) = counting_alloc::counts();
        Cost {
            time,
            peak_rss: peak_rss().unwrap_or(0),
            allocations: allocations - self.counts.0,
            allocated_bytes: bytes - self.counts.1,
        }
    }
}

fn peak_rss() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
