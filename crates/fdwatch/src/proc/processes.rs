//! One pass through all processes.

use std::ops::ControlFlow;

use rustix::fs::{SeekFrom, seek};

use super::files::{each_entry, read_file};
use super::parse::{number, stat};
use super::process::STAT_BYTES;
use super::{Names, ProcRoot};
use crate::{Error, ProcessKey};

/// More are not looked at.
const PROCESSES_MAX: usize = 64 << 10;

/// A process that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) key: ProcessKey,
    pub(crate) parent: u32,
    pub(crate) has_ended: bool,
    /// It has one of the names.
    pub(crate) is_named: bool,
}

/// A member of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) process: Passed,
    /// Its parent is one, too.
    pub(crate) is_child: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass {
    /// By pid, without kernel threads.
    pub(crate) processes: Vec<Passed>,
    /// So many more were not looked at.
    pub(crate) left_out: u32,
}

/// Looks at all processes once, which takes three system calls each.
pub(crate) fn pass(root: &ProcRoot, names: &mut Names) -> Result<Pass, Error> {
    let mut pass = Pass::default();
    names.begin_pass(root);
    let error = |errno: rustix::io::Errno| Error::Read {
        what: "the list of processes".to_owned(),
        source: errno.into(),
    };
    seek(root, SeekFrom::Start(0)).map_err(error)?;
    let mut path = String::new();
    each_entry(root, |name, _| {
        let bytes = name.to_bytes();
        if number(bytes).is_none() {
            return ControlFlow::Continue(());
        }
        if pass.processes.len() == PROCESSES_MAX {
            pass.left_out = pass.left_out.saturating_add(1);
            return ControlFlow::Continue(());
        }
        path.clear();
        path.extend(bytes.iter().map(|digit| char::from(*digit)));
        path.push_str("/stat");
        let mut buffer = [0; STAT_BYTES];
        // A process that ends in between, or is hidden from this user, is left out.
        let file = read_file(root, path.as_str(), &mut buffer).ok();
        if let Some(stat) = file.and_then(stat).filter(|stat| !stat.is_kernel_thread) {
            pass.processes.push(Passed {
                key: ProcessKey { pid: stat.pid, start_ticks: stat.start_ticks },
                parent: stat.parent,
                has_ended: stat.has_ended() && stat.threads <= 1,
                is_named: names.match_one(root, &stat),
            });
        }
        ControlFlow::Continue(())
    })
    .map_err(error)?;
    pass.processes.sort_unstable_by_key(|process| process.key);
    Ok(pass)
}

impl Pass {
    /// Those that `is_root` and everything below them; children of several are there once.
    ///
    /// By pid, like [`Self::processes`].
    pub(crate) fn family(&self, is_root: impl Fn(&Passed) -> bool, root: &ProcRoot) -> Vec<Member> {
        let mut by_parent: Vec<(u32, usize)> = self
            .processes
            .iter()
            .enumerate()
            .map(|(index, process)| (process.parent, index))
            .collect();
        by_parent.sort_unstable();
        let mut is_member: Vec<bool> = self.processes.iter().map(is_root).collect();
        let mut waiting: Vec<usize> =
            (0..is_member.len()).filter(|index| is_member[*index]).collect();
        while let Some(parent) = waiting.pop() {
            let pid = self.processes[parent].key.pid;
            let first = by_parent.partition_point(|(parent, _)| *parent < pid);
            for &(_, child) in by_parent[first..].iter().take_while(|(parent, _)| *parent == pid) {
                // We may be below a target ourselves, and are not meant.
                let is_us = root.own_pid() == Some(self.processes[child].key.pid);
                if !is_us && !std::mem::replace(&mut is_member[child], true) {
                    waiting.push(child);
                }
            }
        }
        let is_pid_member = |pid: u32| {
            let found = self.processes.binary_search_by_key(&pid, |process| process.key.pid);
            found.is_ok_and(|index| is_member[index])
        };
        let members = self.processes.iter().zip(&is_member).filter(|(_, is_member)| **is_member);
        members
            .map(|(process, _)| Member {
                process: *process,
                is_child: is_pid_member(process.parent),
            })
            .collect()
    }
}
