//! Which processes are meant.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;

use super::cgroup::{self, CgroupMember};
use super::parse::{Stat, number};
use super::process::STAT_BYTES;
use super::{ProcRoot, Process};

/// What a user names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The process that has this pid when the watch begins.
    Pid(u32),
    /// Every process with this name, now and later; never ourselves.
    Name(Vec<u8>),
    /// Every process with this in its command line, now and later; its arguments are joined by
    /// spaces. Never ourselves, nor those that started us: our own command line is in theirs
    /// (`sudo`, `sh -c`).
    CommandLine(Vec<u8>),
    /// Every process of a control group and of those below it, now and later; never ourselves. A
    /// folder of a mounted hierarchy (`/sys/fs/cgroup/…`), or a path as in `/proc/PID/cgroup`, of
    /// whichever hierarchy.
    Cgroup(Vec<u8>),
    /// Every process of a systemd unit by its full name, now and later: one below a control group
    /// of that name.
    Unit(Vec<u8>),
}

impl Target {
    /// A number is a pid, all else is a name.
    pub fn new(text: &OsStr) -> Self {
        let pid = number(text.as_bytes()).and_then(|pid| u32::try_from(pid).ok());
        pid.map_or_else(|| Self::Name(text.as_bytes().to_vec()), Self::Pid)
    }

    /// For titles.
    pub(crate) fn text(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Pid(pid) => pid.to_string(),
            Self::Name(name) => text(name),
            Self::CommandLine(part) => format!("*{}*", text(part)),
            Self::Cgroup(path) => format!("cgroup {}", text(path)),
            Self::Unit(name) => format!("unit {}", text(name)),
        }
    }
}

/// Processes whose answer is remembered.
const ANSWERS_MAX: usize = 32 << 10;
/// Who was not meant is asked again after so many passes: a program may become another one, or
/// change its command line or its control group, and keep its comm.
const PASSES_PER_ASKING: u64 = 16;
/// Of a command line: as long as the kernel lets one argument be.
const COMMAND_LINE_BYTES_MAX: usize = 128 << 10;
/// Processes above us.
const ABOVE_MAX: usize = 64;

/// Finds out who is meant by something else than a pid, and remembers it as long as a process keeps
/// its comm: all but a comm takes some more system calls each.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: Vec<Vec<u8>>,
    command_lines: Vec<Vec<u8>>,
    cgroups: Vec<CgroupMember>,
    /// Those that started us, from our parent on; known from the first pass on.
    above: Option<Vec<u32>>,
    passes: u64,
    /// Of the last pass, sorted: a hash of the process and its comm, and whether it is meant.
    old_answers: Vec<(u64, bool)>,
    answers: Vec<(u64, bool)>,
}

impl Names {
    pub(crate) fn new(targets: &[Target], root: &ProcRoot) -> Self {
        let mut names = Self::default();
        for target in targets {
            match target {
                Target::Pid(_) => {}
                Target::Name(name) => names.names.push(name.clone()),
                Target::CommandLine(part) => names.command_lines.push(part.clone()),
                Target::Cgroup(path) => names.cgroups.push(CgroupMember::below(root, path)),
                Target::Unit(name) => names.cgroups.push(CgroupMember::of_unit(name)),
            }
        }
        names
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.command_lines.is_empty() && self.cgroups.is_empty()
    }

    /// Before all processes are looked at once more.
    pub(super) fn begin_pass(&mut self, root: &ProcRoot) {
        self.passes += 1;
        self.answers.sort_unstable();
        std::mem::swap(&mut self.old_answers, &mut self.answers);
        self.answers.clear();
        if self.above.is_none() && !self.command_lines.is_empty() {
            self.above = Some(above(root));
        }
    }

    pub(super) fn match_one(&mut self, root: &ProcRoot, stat: &Stat<'_>) -> bool {
        if self.is_empty() || stat.is_kernel_thread || root.own_pid() == Some(stat.pid) {
            return false;
        }
        if self.names.iter().any(|name| name == stat.comm) {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        (stat.pid, stat.start_ticks, stat.comm).hash(&mut hasher);
        let id = hasher.finish();
        // Not all of them in the same pass.
        let is_due = (id ^ self.passes).is_multiple_of(PASSES_PER_ASKING);
        let old = self.old_answers.binary_search_by_key(&id, |(id, _)| *id);
        let answer = match old.map(|index| self.old_answers[index].1) {
            Ok(answer) if answer || !is_due => answer,
            _ => Process::open(root, stat.pid).is_ok_and(|process| {
                process.key().start_ticks == stat.start_ticks && self.are_of(&process)
            }),
        };
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push((id, answer));
        }
        answer
    }

    fn are_of(&self, process: &Process) -> bool {
        self.names.iter().any(|name| process.is_called(name))
            || (!self.command_lines.is_empty() && self.are_in_command_line(process))
            || (!self.cgroups.is_empty() && cgroup::is_member(process, &self.cgroups))
    }

    fn are_in_command_line(&self, process: &Process) -> bool {
        if self.above.as_ref().is_some_and(|above| above.contains(&process.pid())) {
            return false;
        }
        let line = process.command_line(COMMAND_LINE_BYTES_MAX);
        let is_in_it =
            |part: &Vec<u8>| line.windows(part.len().max(1)).any(|found| found == part.as_slice());
        self.command_lines.iter().any(is_in_it)
    }
}

/// Our parent, its parent and so on.
fn above(root: &ProcRoot) -> Vec<u32> {
    let parent_of = |pid: u32| {
        let process = Process::open(root, pid).ok()?;
        let parent = process.stat(&mut [0; STAT_BYTES]).ok()?.parent;
        (parent != 0).then_some(parent)
    };
    std::iter::successors(root.own_pid().and_then(parent_of), |pid| parent_of(*pid))
        .take(ABOVE_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{FakeProcess, Fixture};
    use super::super::pass;
    use super::*;

    #[test]
    fn a_number_is_a_pid() {
        for (text, expected) in [
            ("4711", Target::Pid(4711)),
            ("0", Target::Pid(0)),
            ("4294967296", Target::Name(b"4294967296".to_vec())),
            ("+1", Target::Name(b"+1".to_vec())),
            ("nginx", Target::Name(b"nginx".to_vec())),
            ("", Target::Name(Vec::new())),
        ] {
            assert_eq!(Target::new(OsStr::new(text)), expected);
        }
    }

    fn pids(fixture: &Fixture, names: &mut Names) -> Vec<u32> {
        let pass = pass(&fixture.root(), names).unwrap();
        pass.processes
            .iter()
            .filter(|process| process.is_named)
            .map(|process| process.key.pid)
            .collect()
    }

    #[test]
    fn a_command_line_is_matched_across_its_arguments() {
        let fixture = Fixture::new();
        for (pid, line) in [
            (100, &b"java\0-cp\0a.jar\0com.example.Main\0--port\x0080\0"[..]),
            (101, b"java\0com.example.Other\0"),
            (102, b""),
        ] {
            fixture.put(&FakeProcess { pid, comm: b"java", ..Default::default() });
            fixture.write(pid, "cmdline", line);
        }
        let check = |text: &str, expected: &[u32]| {
            let targets = [Target::CommandLine(text.into())];
            let mut names = Names::new(&targets, &fixture.root());
            assert_eq!(pids(&fixture, &mut names), expected, "{text}");
            // Remembered answers are the same.
            assert_eq!(pids(&fixture, &mut names), expected, "{text}");
        };
        check("com.example.", &[100, 101]);
        check("Main --port 80", &[100]);
        check("80", &[100]);
        check("80 ", &[]);
        check("j.va", &[]);
    }

    #[test]
    fn the_end_of_a_very_long_command_line_is_seen() {
        let fixture = Fixture::new();
        fixture.put(&FakeProcess::default());
        fixture.write(
            100,
            "cmdline",
            &[&b"java\0-cp\0"[..], &[b'x'; 90_000], b"\0Main\0"].concat(),
        );
        let mut names = Names::new(&[Target::CommandLine(b"x Main".to_vec())], &fixture.root());
        assert_eq!(pids(&fixture, &mut names), [100]);
    }

    #[test]
    fn who_becomes_another_program_under_the_same_comm_is_found() {
        let fixture = Fixture::new();
        fixture.put(&FakeProcess::default());
        fixture.write(100, "cmdline", b"sh\0first.sh\0");
        let mut names = Names::new(&[Target::CommandLine(b"second.sh".to_vec())], &fixture.root());
        assert!(pids(&fixture, &mut names).is_empty());
        fixture.write(100, "cmdline", b"sh\0second.sh\0");
        let found = (0..=PASSES_PER_ASKING).any(|_| pids(&fixture, &mut names) == [100]);
        assert!(found);
    }

    #[test]
    fn who_started_us_is_not_matched_by_our_own_command_line() {
        let fixture = Fixture::new();
        for (pid, parent) in [(100, 1), (101, 100), (102, 101), (103, 1)] {
            fixture.put(&FakeProcess { pid, parent, ..Default::default() });
            fixture.write(pid, "cmdline", b"sudo\0fdwatch\0--match\0server\0");
        }
        std::os::unix::fs::symlink("102", fixture.path().join("self")).unwrap();
        let mut names = Names::new(&[Target::CommandLine(b"server".to_vec())], &fixture.root());
        assert_eq!(pids(&fixture, &mut names), [103]);
    }
}
