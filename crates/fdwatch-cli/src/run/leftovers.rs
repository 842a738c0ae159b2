//! What a command leaves running when it ends.

use std::collections::HashMap;
use std::io;

use fdwatch::ProcessKey;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::proc_stat::{Stat, processes};

/// So many are named; the others are counted.
pub const LEFTOVERS_MAX: usize = 256;

/// One process that is still running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Which.
    pub key: ProcessKey,
    /// Its comm, as it is: any bytes.
    pub name: Vec<u8>,
}

/// The processes below us that are alive, oldest first. Zombies are not among them: those are
/// reaped, they leak nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// At most [`LEFTOVERS_MAX`].
    pub processes: Vec<Leftover>,
    /// How many more there are.
    pub left_out: u32,
}

impl Leftovers {
    /// Looks for them. As orphans become our children, everything that the command started is below
    /// us, also when its parent has ended.
    pub(super) fn find() -> io::Result<Self> {
        Ok(Self::below(std::process::id(), processes()?))
    }

    fn below(root: u32, processes: impl Iterator<Item = Stat>) -> Self {
        let all: HashMap<u32, Stat> = processes.map(|stat| (stat.pid, stat)).collect();
        let mut below: Vec<&Stat> =
            all.values().filter(|stat| !stat.is_dead() && is_below(root, stat, &all)).collect();
        below.sort_unstable_by_key(|stat| (stat.start_ticks, stat.pid));
        let left_out = below.len().saturating_sub(LEFTOVERS_MAX);
        below.truncate(LEFTOVERS_MAX);
        let named = |stat: &Stat| Leftover {
            key: ProcessKey { pid: stat.pid, start_ticks: stat.start_ticks },
            name: stat.name.clone(),
        };
        Self {
            processes: below.into_iter().map(named).collect(),
            left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Sends SIGKILL to those that are named, and says how many it was sent to. A pid that was
    /// reused is left alone.
    ///
    /// What they started meanwhile is not among them: look again afterwards.
    pub fn kill(&self) -> usize {
        self.processes.iter().filter(|process| kill(process.key).is_some()).count()
    }
}

fn kill(key: ProcessKey) -> Option<()> {
    let pid = Pid::from_raw(i32::try_from(key.pid).ok()?)?;
    let held = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Held first, compared then: the process that has the number now keeps it until the signal is
    // sent.
    (Stat::read(key.pid)?.start_ticks == key.start_ticks).then_some(())?;
    pidfd_send_signal(held, Signal::KILL).ok()
}

fn is_below(root: u32, stat: &Stat, all: &HashMap<u32, Stat>) -> bool {
    let mut parent = stat.parent;
    // Read one by one while processes come and go, the parents may even form a ring.
    for _ in 0..all.len() {
        if parent == root {
            return true;
        }
        match all.get(&parent) {
            Some(above) => parent = above.parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u32, parent: u32, state: u8) -> Stat {
        Stat { pid, name: vec![], state, parent, start_ticks: u64::from(pid) * 10 }
    }

    fn check(stats: &[(u32, u32, u8)], expected: &[u32]) {
        let stats = stats.iter().map(|&(pid, parent, state)| stat(pid, parent, state));
        let found = Leftovers::below(1000, stats);
        let pids: Vec<u32> = found.processes.iter().map(|process| process.key.pid).collect();
        assert_eq!((pids.as_slice(), found.left_out), (expected, 0));
    }

    #[test]
    fn what_is_alive_below_us_is_left_over() {
        check(&[(1, 0, b'S'), (1000, 1, b'R'), (7, 1, b'S')], &[]);
        check(&[(1000, 1, b'R'), (1003, 1002, b'S'), (1002, 1000, b'S')], &[1002, 1003]);
        // A dead one between does not hide those below it.
        check(&[(1000, 1, b'R'), (1002, 1000, b'Z'), (1003, 1002, b'S')], &[1003]);
        check(&[(5, 6, b'S'), (6, 5, b'S'), (1000, 1, b'R')], &[]);
    }

    #[test]
    fn only_so_many_are_named() {
        let few = u32::try_from(LEFTOVERS_MAX).unwrap();
        for more in [0, 1] {
            let found =
                Leftovers::below(1000, (1001..1001 + few + more).map(|pid| stat(pid, 1000, b'S')));
            assert_eq!((found.processes.len(), found.left_out), (LEFTOVERS_MAX, more));
        }
    }

    #[test]
    fn a_reused_pid_is_not_killed() {
        let me = ProcessKey { pid: std::process::id(), start_ticks: 1 };
        assert_eq!(
            Leftovers { processes: vec![Leftover { key: me, name: vec![] }], left_out: 0 }.kill(),
            0
        );
    }
}
