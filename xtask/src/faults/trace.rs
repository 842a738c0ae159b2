//! What strace wrote: which calls there were, and which of them a fault was injected into.

use std::collections::BTreeMap;

/// How often each call was made by the thread that made it most often, because strace counts
/// `when=` for each thread.
pub(super) fn calls_max(trace: &str) -> BTreeMap<String, u32> {
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (thread, call) in trace.lines().filter_map(call) {
        *counts.entry((thread, call)).or_default() += 1;
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in counts {
        let entry = most.entry(call.to_owned()).or_default();
        *entry = count.max(*entry);
    }
    most
}

/// The thread and the name of the call that a line begins. The end of an interrupted call begins
/// none.
fn call(line: &str) -> Option<(&str, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    let (name, _) = rest.trim_start().split_once('(')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((thread, name))
}

/// The calls in the order in which they ended, each from its beginning. A line of another thread
/// may come in between.
pub(super) fn ended(trace: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for line in trace.lines().map(str::trim_end) {
        let thread = line.split(' ').next().unwrap_or_default();
        if line.ends_with("<unfinished ...>") {
            begun.insert(thread, line);
        } else {
            let is_rest = line.contains("<... ") && line.contains(" resumed>");
            let start = begun.get(thread).filter(|_| is_rest).copied().unwrap_or_default();
            found.push(format!("{start}{line}"));
        }
    }
    found
}

/// Whether a call failed because of the injection.
pub(super) fn is_injected(call: &str) -> bool {
    call.ends_with("(INJECTED)")
}

/// Whether the process was killed. strace does not mark the call at which it sent a signal.
pub(super) fn is_killed(trace: &str) -> bool {
    trace.lines().any(|line| line.contains("+++ killed by SIGKILL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
100 openat(AT_FDCWD</s>, \"a(b\", O_RDONLY) = 3</s/a>
100 pwrite64(7</s/records.db-wal>, \"x\", 1, 4095) = 1
101 pwrite64(7</s/records.db-wal>, \"x\", 1, 4095 <unfinished ...>
101 <... pwrite64 resumed>) = -1 EIO (Input/output error) (INJECTED)
101 pwrite64(7</s/records.db-wal>, \"x\", 1, 4095) = 1
101 fdatasync(8</s/segments/01/1>) = -1 ENOSPC (No space left on device) (INJECTED)
101 +++ exited with 0 +++
";

    #[test]
    fn calls_are_counted_by_thread() {
        let expected = [("fdatasync", 1), ("openat", 1), ("pwrite64", 2)];
        let found = calls_max(TRACE);
        assert_eq!(
            found.iter().map(|(call, count)| (call.as_str(), *count)).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn injections_and_kills_are_recognised() {
        let injected: Vec<_> = ended(TRACE).into_iter().filter(|call| is_injected(call)).collect();
        assert_eq!(injected.len(), 2);
        assert!(injected[0].contains("pwrite64(7</s/records.db-wal>"));
        assert!(injected[1].contains("segments/"));
        assert!(!is_injected("1 write(1, \"(INJECTED)\", 10) = 10"));
        assert!(!is_killed(TRACE));
        assert!(is_killed("100 fsync(3) = ?\n100 +++ killed by SIGKILL +++\n"));
    }
}
