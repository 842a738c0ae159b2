//! The few fields of `/proc` that a run needs.

use std::fs;
use std::io;

/// One process, as `/proc/PID/stat` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    pub(super) name: Vec<u8>,
    pub(super) state: u8,
    pub(super) parent: u32,
    pub(super) start_ticks: u64,
}

impl Stat {
    pub(super) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Of one thread of it.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn of_thread(pid: u32, tid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?)
    }

    /// `None` if it is not of that form.
    fn parse(text: &[u8]) -> Option<Self> {
        let fdwatch::parse::Stat { pid, comm, state, parent, start_ticks, .. } =
            fdwatch::parse::stat(text)?;
        Some(Self { pid, name: comm.to_vec(), state, parent, start_ticks })
    }

    /// Dead, and only not reaped yet.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Every process that can be seen.
pub(super) fn processes() -> io::Result<impl Iterator<Item = Stat>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|entry| Stat::read(entry.file_name().to_str()?.parse().ok()?)))
}

/// The signals that this process ignores, bit 0 for signal 1.
pub(super) fn ignored_signals() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    field.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "no field SigIgn in /proc/self/status")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_newlines_does_not_move_the_fields() {
        let text = b"4711 (a) R\n1 (b) S 17 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2\n";
        let expected = Stat {
            pid: 4711,
            name: b"a) R\n1 (b".to_vec(),
            state: b'S',
            parent: 17,
            start_ticks: 987_654,
        };
        assert_eq!(Stat::parse(text), Some(expected));
    }

    #[test]
    fn what_is_not_a_stat_is_none() {
        for text in ["", "1", "1 (", ")(", "1 (a)", "1 (a) R", "1 (a) R 1 1 1", "x (a) R 1"] {
            assert_eq!(Stat::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let me = std::process::id();
        assert!(
            processes()
                .unwrap()
                .any(|stat| stat.pid == me && !stat.is_dead() && stat.start_ticks > 0)
        );
    }
}
