//! The files of one process.

use arbitrary::{Arbitrary, Unstructured};

use crate::Kind;
use crate::parse::{
    Cgroup, Link, Mount, OpenFiles, PerfMapEntry, Stat, cgroup, fd_flags, first_argument, link,
    mount, open_files, perf_map_entry, stat,
};

/// A file as the kernel writes it, of which it is known what it must be read as.
#[derive(Debug, Arbitrary)]
enum ProcInput {
    Stat {
        pid: u32,
        comm: Vec<u8>,
        state: u8,
        parent: u32,
        flags: u32,
        threads: u32,
        start_ticks: u64,
    },
    Limits {
        soft: Option<u64>,
        hard: Option<u64>,
        has_other_lines: bool,
    },
    FdInfo {
        position: i64,
        flags: u32,
        mount_id: i32,
    },
    Mount {
        path: Vec<u8>,
        file_system: Vec<u8>,
        optional_fields: u8,
    },
    Link(Target),
    CommandLine {
        first: Vec<u8>,
        rest: Vec<u8>,
    },
}

#[derive(Debug, Arbitrary)]
enum Target {
    Path(Vec<u8>),
    Socket(u64),
    Pipe(u64),
    Namespace(u8, u32),
    Anonymous(u8, Option<u32>),
}

/// Names of anonymous inodes; some kernels write a number after a colon.
const ANONYMOUS: [(&str, Kind); 8] = [
    ("eventfd", Kind::EventFd),
    ("eventpoll", Kind::Epoll),
    ("timerfd", Kind::TimerFd),
    ("signalfd", Kind::SignalFd),
    ("pidfd", Kind::PidFd),
    ("io_uring", Kind::IoUring),
    ("fanotify", Kind::Other),
    ("bpf-link", Kind::Other),
];

const NAMESPACES: [&str; 8] = ["net", "mnt", "uts", "ipc", "pid", "user", "cgroup", "time"];

/// The first byte chooses: any bytes are read as something that reads back from how the kernel
/// writes it; what the kernel writes is read as what it is.
///
/// # Panics
/// When that does not hold.
pub fn proc_files(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    if choice % 2 == 0 {
        check_any(data);
    } else if let Ok(input) = ProcInput::arbitrary(&mut Unstructured::new(data)) {
        input.check();
    }
}

fn check_any(data: &[u8]) {
    if let Some(found) = stat(data) {
        let text = stat_text(&found, if found.is_kernel_thread { 0x0020_0000 } else { 0 });
        assert_eq!(stat(&text), Some(found), "{}", text.escape_ascii());
    }
    if let Some(found) = open_files(data) {
        assert_eq!(open_files(limits_text(found, false).as_bytes()), Some(found));
    }
    if let Some(flags) = fd_flags(data) {
        assert_eq!(fd_flags(format!("flags:\t0{flags:o}\n").as_bytes()), Some(flags));
    }
    if let Some(found) = mount(data) {
        assert!(found.path.len() <= data.len(), "an escape makes nothing longer");
        let text = mount_text(&found.path, found.file_system, 1);
        assert_eq!(mount(&text), Some(found), "{}", text.escape_ascii());
    }
    if let Some(Cgroup { hierarchy, controllers, path }) = cgroup(data) {
        let text = [format!("{hierarchy}:").as_bytes(), controllers, b":", path].concat();
        assert_eq!(cgroup(&text), Some(Cgroup { hierarchy, controllers, path }));
    }
    if let Some(PerfMapEntry { range, name }) = perf_map_entry(data) {
        assert!(!range.is_empty() && !name.is_empty());
        let text =
            [format!("{:x} {:x} ", range.start, range.end - range.start).as_bytes(), name].concat();
        assert_eq!(perf_map_entry(&text), Some(PerfMapEntry { range, name }));
    }
    match link(data) {
        Link::Path => assert!(data.starts_with(b"/") || data.starts_with(b"(unreachable)")),
        Link::Socket(inode) => {
            assert!(data.starts_with(b"socket:["));
            assert_eq!(link(format!("socket:[{inode}]").as_bytes()), Link::Socket(inode));
        }
        Link::Known(kind) => {
            let has_path =
                [Kind::File, Kind::DeletedFile, Kind::Directory, Kind::Fifo, Kind::Device];
            assert!(
                !has_path.contains(&kind) && kind != Kind::Socket && kind != Kind::Unknown,
                "{kind:?}"
            );
        }
    }
    let first = first_argument(data);
    assert!(data.starts_with(first) && !first.contains(&0));
}

impl ProcInput {
    fn check(self) {
        match self {
            Self::Stat { pid, comm, state, parent, flags, threads, start_ticks } => {
                let state = b"RSDZTtWXxKP"[usize::from(state) % 11];
                let is_kernel_thread = flags & 0x0020_0000 != 0;
                let expected = Stat {
                    pid,
                    comm: &comm,
                    state,
                    parent,
                    threads,
                    start_ticks,
                    is_kernel_thread,
                };
                let text = stat_text(&expected, flags);
                assert_eq!(stat(&text), Some(expected), "{}", text.escape_ascii());
                // Cut anywhere before the end of the last field that is read, it is nothing.
                let end_of_name =
                    text.iter().rposition(|byte| *byte == b')').expect("it has a name");
                let words = text[end_of_name..].split(|byte| *byte == b' ').take(20);
                let needed: usize = words.map(|word| word.len() + 1).sum();
                for len in (1..needed.min(64)).chain([needed]) {
                    assert_eq!(stat(&text[..end_of_name + len]), None, "cut after {len}");
                }
            }
            Self::Limits { soft, hard, has_other_lines } => {
                let expected = OpenFiles { soft, hard };
                let text = limits_text(expected, has_other_lines);
                assert_eq!(open_files(text.as_bytes()), Some(expected), "{text}");
            }
            Self::FdInfo { position, flags, mount_id } => {
                let text =
                    format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount_id}\nino:\t7\n");
                assert_eq!(fd_flags(text.as_bytes()), Some(flags), "{text}");
            }
            Self::Mount { path, file_system, optional_fields } => {
                let path = [b"/", &*path].concat();
                // The name of a type is the kernel's own.
                let letters = file_system.iter().take(16).map(|byte| b'a' + byte % 26);
                let file_system: Vec<u8> = b"x".iter().copied().chain(letters).collect();
                let text = mount_text(&path, &file_system, optional_fields % 4);
                assert_eq!(mount(&text), Some(Mount { path, file_system: &file_system }));
            }
            Self::Link(target) => target.check(),
            Self::CommandLine { mut first, rest } => {
                first.retain(|byte| *byte != 0);
                assert_eq!(first_argument(&[&*first, b"\0", &rest].concat()), first);
            }
        }
    }
}

impl Target {
    fn check(self) {
        let (text, expected) = match self {
            Self::Path(path) => ([b"/", &*path].concat(), Link::Path),
            Self::Socket(inode) => (format!("socket:[{inode}]").into_bytes(), Link::Socket(inode)),
            Self::Pipe(inode) => (format!("pipe:[{inode}]").into_bytes(), Link::Known(Kind::Pipe)),
            Self::Namespace(which, inode) => {
                let name = NAMESPACES[usize::from(which) % NAMESPACES.len()];
                (format!("{name}:[{inode}]").into_bytes(), Link::Known(Kind::Namespace))
            }
            Self::Anonymous(which, id) => {
                let (name, kind) = ANONYMOUS[usize::from(which) % ANONYMOUS.len()];
                let id = id.map_or_else(String::new, |id| format!(":{id}"));
                (format!("anon_inode:[{name}{id}]").into_bytes(), Link::Known(kind))
            }
        };
        assert_eq!(link(&text), expected, "{}", text.escape_ascii());
    }
}

/// As `fs/proc/array.c` writes it; what is not read is a number that changes nothing.
fn stat_text(stat: &Stat<'_>, flags: u32) -> Vec<u8> {
    let Stat { pid, comm, state, parent, threads, start_ticks, .. } = stat;
    let state = char::from(*state);
    let start = format!("{pid} (");
    let end = format!(
        ") {state} {parent} 1 1 0 -1 {flags} 2 0 0 0 3 4 0 0 20 0 {threads} 0 {start_ticks} 8192 \
         -1 0\n"
    );
    // A state is one byte of any value where the file was not the kernel's.
    let mut text = [start.as_bytes(), comm, end.as_bytes()].concat();
    if !stat.state.is_ascii() {
        let at = start.len() + comm.len() + 2;
        text.splice(at..at + state.len_utf8(), [stat.state]);
    }
    text
}

fn limits_text(limits: OpenFiles, has_other_lines: bool) -> String {
    let word = |limit: Option<u64>| {
        limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
    };
    let line = format!(
        "{:<25} {:<20} {:<20} {:<10}\n",
        "Max open files",
        word(limits.soft),
        word(limits.hard),
        "files"
    );
    if has_other_lines {
        return format!(
            "Limit  Soft Limit  Hard Limit  Units\nMax processes  1  2  processes\n{line}Max x  3  \
             4\n"
        );
    }
    line
}

/// With the escapes of the kernel's `mangle`.
fn mount_text(path: &[u8], file_system: &[u8], optional_fields: u8) -> Vec<u8> {
    let mut text = b"36 35 98:0 / ".to_vec();
    for &byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            byte => text.push(byte),
        }
    }
    text.extend_from_slice(b" rw,noatime ");
    for field in 0..optional_fields {
        text.extend_from_slice(format!("shared:{field} ").as_bytes());
    }
    text.extend_from_slice(b"- ");
    text.extend_from_slice(file_system);
    text.extend_from_slice(b" /dev/vda rw");
    text
}
