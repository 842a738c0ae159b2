//! Which processes are meant.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;

use super::parse::{Stat, number};
use super::{ProcRoot, Process};

/// What a user names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process that has this pid when the watch begins.
    Pid(u32),
    /// Every process with this name, now and later; never ourselves.
    Name(Vec<u8>),
}

impl Target {
    /// A number is a pid, all else is a name.
    pub fn new(text: &OsStr) -> Self {
        let pid = number(text.as_bytes()).and_then(|pid| u32::try_from(pid).ok());
        pid.map_or_else(|| Self::Name(text.as_bytes().to_vec()), Self::Pid)
    }

    /// For titles.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Pid(pid) => pid.to_string(),
            Self::Name(name) => String::from_utf8_lossy(name).into_owned(),
        }
    }
}

/// Processes whose answer is remembered.
const ANSWERS_MAX: usize = 32 << 10;

/// Finds out who has one of some names, and remembers it as long as a process keeps its comm: all but that takes
/// three more system calls each.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: Vec<Vec<u8>>,
    /// Of the last pass, sorted: a hash of the process and its comm, and whether it has one of the names.
    old_answers: Vec<(u64, bool)>,
    answers: Vec<(u64, bool)>,
}

impl Names {
    pub(crate) fn new(targets: &[Target]) -> Self {
        let names = targets.iter().filter_map(|target| match target {
            Target::Name(name) => Some(name.clone()),
            Target::Pid(_) => None,
        });
        Self { names: names.collect(), ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Before all processes are looked at once more.
    pub(super) fn begin_pass(&mut self) {
        self.answers.sort_unstable();
        std::mem::swap(&mut self.old_answers, &mut self.answers);
        self.answers.clear();
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
        let old = self.old_answers.binary_search_by_key(&id, |(id, _)| *id);
        let answer = match old {
            Ok(index) => self.old_answers[index].1,
            Err(_) => Process::open(root, stat.pid).is_ok_and(|process| {
                process.key().start_ticks == stat.start_ticks
                    && self.names.iter().any(|name| process.is_called(name))
            }),
        };
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push((id, answer));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
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
}
