//! The files of one process.

use super::numbers::{number, octal, words};

/// A part of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Field 1.
    pub pid: u32,
    /// Field 2, without its parentheses: any bytes, at most 15 of a user's process.
    pub comm: &'a [u8],
    /// Field 3: `R`, `S`, `Z`, …
    pub state: u8,
    /// Field 4; 0 for what has no parent that can be seen from here.
    pub parent: u32,
    /// Field 20. The leader counts for as long as there is a thread, even when it has ended.
    pub threads: u32,
    /// Field 22, in clock ticks since boot.
    pub start_ticks: u64,
    /// From field 9: it lives in the kernel, and has no descriptors of its own.
    pub is_kernel_thread: bool,
}

/// `PF_KTHREAD` of the kernel's `sched.h`.
const KERNEL_THREAD_FLAG: u64 = 0x0020_0000;

impl Stat<'_> {
    /// Whether it has ended and waits for its parent to ask how. So it is for a leader whose
    /// threads go on.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Reads `/proc/PID/stat`.
///
/// The name may hold anything, also `) S 1`, so it ends at the *last* parenthesis: only numbers
/// follow.
pub fn stat(file: &[u8]) -> Option<Stat<'_>> {
    let open = file.iter().position(|b| *b == b'(')?;
    let close = file.iter().rposition(|b| *b == b')')?;
    let comm = file.get(open + 1..close)?;
    let pid = number(file[..open].trim_ascii())?;
    let rest = file[close + 1..].trim_ascii();
    let mut fields = [&[][..]; 20];
    let mut len = 0;
    for (field, word) in fields.iter_mut().zip(words(rest)) {
        *field = word;
        len += 1;
    }
    // Field 3 is the first after the name.
    let field = |index: usize| (index - 3 < len).then(|| fields[index - 3]);
    let &[state] = field(3)? else { return None };
    Some(Stat {
        pid: u32::try_from(pid).ok()?,
        comm,
        state,
        parent: u32::try_from(number(field(4)?)?).ok()?,
        threads: u32::try_from(number(field(20)?)?).ok()?,
        start_ticks: number(field(22)?)?,
        is_kernel_thread: number(field(9)?)? & KERNEL_THREAD_FLAG != 0,
    })
}

/// RLIMIT_NOFILE; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// What stops `open`.
    pub soft: Option<u64>,
    /// Up to where the process may raise it.
    pub hard: Option<u64>,
}

/// Reads `Max open files` of `/proc/PID/limits`.
pub fn open_files(file: &[u8]) -> Option<OpenFiles> {
    let mut lines = file.split(|b| *b == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"Max open files"))?;
    let limit = |word: &[u8]| {
        if word == b"unlimited" { Some(None) } else { number(word).map(Some) }
    };
    let mut words = words(line);
    Some(OpenFiles { soft: limit(words.next()?)?, hard: limit(words.next()?)? })
}

/// Reads the flags it was opened with from `/proc/PID/fdinfo/N`.
pub fn fd_flags(file: &[u8]) -> Option<u32> {
    let mut lines = file.split(|b| *b == b'\n');
    octal(lines.find_map(|line| line.strip_prefix(b"flags:"))?.trim_ascii())
}

/// The first argument in `/proc/PID/cmdline`; empty for kernel threads and zombies.
pub fn first_argument(file: &[u8]) -> &[u8] {
    file.split(|b| *b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &[u8] = b" S 1 2 3 4 5 4194304 7 8 9 10 11 12 13 14 15 16 3 0 987654 1 2 3\n";

    fn with_comm(comm: &[u8]) -> Vec<u8> {
        [b"42 (", comm, b")", TAIL].concat()
    }

    #[test]
    fn a_name_may_hold_anything() {
        let odd: [&[u8]; 7] =
            [b"sh", b"", b") (", b"a) Z 9 (b", b"two\nlines", b"\xff\xfe", b"((((((((((((((("];
        for comm in odd {
            let file = with_comm(comm);
            let found = stat(&file).unwrap();
            let expected = Stat {
                pid: 42,
                comm,
                state: b'S',
                parent: 1,
                threads: 3,
                start_ticks: 987_654,
                is_kernel_thread: false,
            };
            assert_eq!(found, expected, "{comm:?}");
        }
    }

    #[test]
    fn a_kernel_thread_is_known_by_its_flag() {
        let file = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0\n";
        assert!(stat(file).unwrap().is_kernel_thread);
    }

    #[test]
    fn half_a_stat_is_none() {
        let whole = with_comm(b"sh");
        let ends_of_fields = b"42 (sh) S 1 2 3 4 5 4194304 7 8 9 10 11 12 13 14 15 16 3 0 ".len();
        for len in 0..=ends_of_fields {
            assert_eq!(stat(&whole[..len]), None, "{len}");
        }
        assert!(stat(&whole[..=ends_of_fields]).is_some());
        assert_eq!(stat(b")("), None);
    }

    #[test]
    fn limits_are_numbers_or_unlimited() {
        let check = |words: &str, expected| {
            let file = format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax open files   {words}   files\nMax x  1 \
                 1\n"
            );
            assert_eq!(open_files(file.as_bytes()), expected, "{words}");
        };
        check("1024    4096", Some(OpenFiles { soft: Some(1024), hard: Some(4096) }));
        check("1024    unlimited", Some(OpenFiles { soft: Some(1024), hard: None }));
        check("unlimited unlimited", Some(OpenFiles { soft: None, hard: None }));
        check("-1 5", None);
        assert_eq!(open_files(b"Max processes 1 1 processes\n"), None);
        assert_eq!(open_files(b"Max open files 1"), None);
    }

    #[test]
    fn flags_are_octal() {
        assert_eq!(fd_flags(b"pos:\t0\nflags:\t02100002\nmnt_id:\t9\n"), Some(0o2_100_002));
        for bad in [&b"pos:\t0\n"[..], b"flags:\t8\n", b"flags:\t+1\n", b"flags:\n", b""] {
            assert_eq!(fd_flags(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_first_argument_ends_at_a_nul() {
        assert_eq!(first_argument(b"/usr/bin/a b\0c\0"), b"/usr/bin/a b");
        assert_eq!(first_argument(b"nginx: master"), b"nginx: master");
        assert_eq!(first_argument(b""), b"");
    }
}
