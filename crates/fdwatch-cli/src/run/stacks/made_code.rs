//! Code that was compiled at run time, by the names that its compiler writes into
//! `/tmp/perf-PID.map` for `perf`.
//!
//! The file is the tracee's: it is looked for in its own view of the file system, opened only if it
//! is a regular file of its user or of root, read as far as there is room, and believed only for
//! code that belongs to no file. It grows while the process runs, so it is read on when an address
//! is not found, once for a walk at most.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use fdwatch::parse::perf_map_entry;

/// So much of a file is read, over its whole life.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Longer lines are left out.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// A name is cut here.
const NAME_BYTES_MAX: usize = 256;
/// Pieces of code that are known, over all processes: about 32 MiB.
const PIECES_MAX: usize = 512 << 10;
/// Bytes of names that are kept, each name once.
const NAMES_BYTES_MAX: usize = 16 << 20;

/// A name that is known to the [`MadeCode`] it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MadeName(u32);

/// What is known of all processes.
#[derive(Debug, Default)]
pub(super) struct MadeCode {
    maps: HashMap<u32, Map>,
    names: Vec<Rc<[u8]>>,
    numbers: HashMap<Rc<[u8]>, MadeName>,
    pieces: usize,
    names_bytes: usize,
    /// In this walk the file was looked at already.
    has_looked: bool,
}

/// What is known of one.
#[derive(Debug, Default)]
struct Map {
    /// By start: where it ends, and its name. No two overlap.
    pieces: BTreeMap<u64, (u64, MadeName)>,
    /// Its number in the innermost namespace, which is its own.
    own_pid: Option<u32>,
    /// Of the file.
    inode: u64,
    read: u64,
}

impl MadeCode {
    pub(super) fn begin_walk(&mut self) {
        self.has_looked = false;
    }

    /// What the code at an address is called, which belongs to no file.
    pub(super) fn at(&mut self, process: u32, address: u64) -> Option<MadeName> {
        let map = self.maps.entry(process).or_default();
        if let Some(name) = map.at(address) {
            return Some(name);
        }
        if std::mem::replace(&mut self.has_looked, true) || !self.read_on(process) {
            return None;
        }
        self.maps.get(&process)?.at(address)
    }

    pub(super) fn name(&self, name: MadeName) -> &[u8] {
        self.names.get(name.0 as usize).map_or(b"?", |name| name)
    }

    /// A process has ended, or has become another program.
    pub(super) fn forget(&mut self, process: u32) {
        if let Some(map) = self.maps.remove(&process) {
            self.pieces -= map.pieces.len();
        }
    }

    /// Whether there was more to read.
    fn read_on(&mut self, process: u32) -> bool {
        let Some(map) = self.maps.get_mut(&process) else { return false };
        map.own_pid = map.own_pid.or_else(|| own_pid_of(&status_of(process)?));
        let file = map.own_pid.and_then(|own_pid| open_map(process, own_pid));
        file.is_some_and(|file| self.read_file(process, file))
    }

    fn read_file(&mut self, process: u32, mut file: File) -> bool {
        let Ok(metadata) = file.metadata() else { return false };
        let Some(map) = self.maps.get_mut(&process) else { return false };
        if metadata.ino() != map.inode || metadata.len() < map.read {
            // Another file, or one that was begun anew.
            self.pieces -= map.pieces.len();
            (map.pieces, map.inode, map.read) = (BTreeMap::new(), metadata.ino(), 0);
        }
        let from = map.read;
        if metadata.len() <= from
            || from >= FILE_BYTES_MAX
            || file.seek(SeekFrom::Start(from)).is_err()
        {
            return false;
        }
        let mut reader = BufReader::with_capacity(64 << 10, file.take(FILE_BYTES_MAX - from));
        let (mut line, mut read, mut is_tail) = (Vec::new(), from, false);
        loop {
            line.clear();
            let Ok(bytes) = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)
            else {
                break;
            };
            let is_whole = line.last() == Some(&b'\n');
            // The last line may be half written: it is read again.
            if bytes == 0 || (!is_whole && (bytes as u64) < LINE_BYTES_MAX) {
                break;
            }
            read += bytes as u64;
            if is_whole && !is_tail {
                self.add(process, line.trim_ascii_end());
            }
            is_tail = !is_whole;
        }
        if let Some(map) = self.maps.get_mut(&process) {
            map.read = read;
        }
        read > from
    }

    fn add(&mut self, process: u32, line: &[u8]) {
        let Some(entry) = perf_map_entry(line) else { return };
        let name = &entry.name[..entry.name.len().min(NAME_BYTES_MAX)];
        let Some(name) = self.number(name) else { return };
        let Some(map) = self.maps.get_mut(&process) else { return };
        let before = map.pieces.len();
        if self.pieces < PIECES_MAX {
            map.insert(entry.range.start, entry.range.end, name);
        }
        self.pieces = self.pieces + map.pieces.len() - before;
    }

    /// `None` when there is no room for another one.
    fn number(&mut self, name: &[u8]) -> Option<MadeName> {
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        if self.names_bytes + name.len() > NAMES_BYTES_MAX {
            return None;
        }
        let number = MadeName(u32::try_from(self.names.len()).ok()?);
        self.names_bytes += name.len();
        let name: Rc<[u8]> = name.into();
        self.names.push(Rc::clone(&name));
        self.numbers.insert(name, number);
        Some(number)
    }
}

impl Map {
    fn at(&self, address: u64) -> Option<MadeName> {
        let (_, &(end, name)) = self.pieces.range(..=address).next_back()?;
        (address < end).then_some(name)
    }

    /// What was there before is no more: its room was given to something else.
    fn insert(&mut self, start: u64, end: u64, name: MadeName) {
        if let Some((_, before)) = self.pieces.range_mut(..start).next_back() {
            before.0 = before.0.min(start);
        }
        while let Some((&next, _)) = self.pieces.range(start..end).next() {
            self.pieces.remove(&next);
        }
        self.pieces.insert(start, (end, name));
    }
}

/// The file of a process, if it can be believed. Links lead nowhere but within the process's own
/// root.
fn open_map(process: u32, own_pid: u32) -> Option<File> {
    let root =
        openat(CWD, format!("/proc/{process}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .ok()?;
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("tmp/perf-{own_pid}.map");
    let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    believable(File::from(file), user_of(&status_of(process)?)?)
}

fn believable(file: File, user: u32) -> Option<File> {
    let metadata = file.metadata().ok()?;
    (metadata.is_file() && (metadata.uid() == user || metadata.uid() == 0)).then_some(file)
}

fn status_of(process: u32) -> Option<String> {
    // A name in it may be any bytes.
    let status = fs::read(format!("/proc/{process}/status")).ok()?;
    Some(String::from_utf8_lossy(&status).into_owned())
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

fn own_pid_of(status: &str) -> Option<u32> {
    let pids = field(status, "NSpid:").or_else(|| field(status, "Pid:"))?;
    pids.split_whitespace().next_back()?.parse().ok()
}

/// The effective one.
fn user_of(status: &str) -> Option<u32> {
    field(status, "Uid:")?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Written {
        made: MadeCode,
        file: tempfile::NamedTempFile,
    }

    impl Written {
        fn new() -> Self {
            let mut made = MadeCode::default();
            made.maps.insert(1, Map::default());
            Self { made, file: tempfile::NamedTempFile::new().unwrap() }
        }

        fn write(&mut self, text: &str) -> bool {
            self.file.write_all(text.as_bytes()).unwrap();
            self.made.read_file(1, File::open(self.file.path()).unwrap())
        }

        #[track_caller]
        fn check(&self, address: u64, expected: Option<&str>) {
            let found = self.made.maps[&1].at(address).map(|name| self.made.name(name));
            assert_eq!(found, expected.map(str::as_bytes), "{address:x}");
        }
    }

    #[test]
    fn a_file_that_grows_is_read_on_and_half_a_line_is_waited_for() {
        let mut written = Written::new();
        assert!(written.write("1000 10 first\nno line\n2000 10 sec"));
        written.check(0xfff, None);
        written.check(0x1000, Some("first"));
        written.check(0x100f, Some("first"));
        written.check(0x1010, None);
        written.check(0x2000, None);
        assert!(written.write("ond\n"));
        written.check(0x2000, Some("second"));
        assert!(!written.write(""));
    }

    #[test]
    fn newer_code_takes_the_place_of_older_code() {
        let mut written = Written::new();
        written.write("1000 100 old\n1100 100 old\n1080 100 new\n");
        written.check(0x107f, Some("old"));
        written.check(0x1080, Some("new"));
        written.check(0x117f, Some("new"));
        written.check(0x1180, None);
        assert_eq!((written.made.pieces, written.made.names.len()), (2, 2));
        written.made.forget(1);
        assert_eq!(written.made.pieces, 0);
    }

    #[test]
    fn a_file_that_was_begun_anew_forgets_what_it_had() {
        let mut written = Written::new();
        written.write("1000 100 old\n");
        written.file.as_file().set_len(0).unwrap();
        written.file.as_file_mut().seek(SeekFrom::Start(0)).unwrap();
        written.write("3 4 n\n");
        written.check(0x1000, None);
        written.check(3, Some("n"));
    }

    #[test]
    fn a_line_without_end_and_a_name_without_end_are_bounded() {
        let mut written = Written::new();
        let long = "x".repeat(usize::try_from(LINE_BYTES_MAX).unwrap() * 3);
        written.write(&format!("1000 10 {long}\n2000 10 {}\n", &long[..1000]));
        written.check(0x1000, None);
        written.check(0x2000, Some(&long[..NAME_BYTES_MAX]));
    }

    #[test]
    fn only_a_regular_file_of_the_process_or_of_root_is_believed() {
        let own = || File::open("/proc/self/status").unwrap();
        let owner = own().metadata().unwrap().uid();
        assert!(believable(own(), owner).is_some());
        assert!(believable(File::open("/dev/null").unwrap(), 0).is_none());
        let foreign = tempfile::NamedTempFile::new().unwrap();
        let owner = foreign.as_file().metadata().unwrap().uid();
        assert_eq!(believable(foreign.reopen().unwrap(), owner + 1).is_some(), owner == 0);
    }

    #[test]
    fn the_innermost_pid_and_the_effective_user_count() {
        let status = "Name:\ta\nPid:\t70\nUid:\t1\t2\t3\t4\nNSpid:\t70\t7\n";
        assert_eq!((own_pid_of(status), user_of(status)), (Some(7), Some(2)));
        assert_eq!(
            (own_pid_of("Pid:\t70\nUid:\t1\n"), user_of("Pid:\t70\nUid:\t1\n")),
            (Some(70), None)
        );
    }
}
