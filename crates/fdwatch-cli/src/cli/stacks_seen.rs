//! Which call stacks opened the descriptors of each group, as far as it was seen while they were
//! open.

use std::collections::{BTreeMap, HashMap};

use fdwatch::{Kind, ProcessKey, Report, StackCount, coarse_pattern, pattern, snapshot};

use super::streams;
use crate::run::{StackId, StackLosses};

/// Stacks that are kept of a group.
const STACKS_MAX: usize = 5;
/// Groups that are kept, of all processes together.
const GROUPS_MAX: usize = 1024;
/// Processes that are looked at in one tick.
const PROCESSES_MAX: usize = 16;

type Group = (ProcessKey, Kind, Vec<u8>);

/// What was seen at the newest look at each process.
#[derive(Debug, Default)]
pub(super) struct StacksSeen {
    groups: BTreeMap<Group, Vec<(StackId, u32)>>,
    /// The count at the newest look: without a change there is nothing new.
    counts: BTreeMap<ProcessKey, u64>,
}

impl StacksSeen {
    /// Looks at processes whose count has changed. A process that is gone keeps what was seen last.
    pub(super) fn look(
        &mut self,
        report: &Report,
        mut stacks_of: impl FnMut(u32, &[i32]) -> BTreeMap<i32, StackId>,
    ) {
        let changed =
            report.processes.iter().filter_map(|process| Some((process.key, process.count?)));
        let changed =
            changed.filter(|(key, count)| *count > 0 && self.counts.get(key) != Some(count));
        let changed: Vec<_> = changed.take(PROCESSES_MAX).collect();
        for (key, count) in changed {
            let Ok(open) = snapshot(key.pid) else { continue };
            if open.key != key {
                continue;
            }
            let fds: Vec<i32> = open.descriptors.iter().map(|descriptor| descriptor.fd).collect();
            let creators = stacks_of(key.pid, &fds);
            let mut seen: HashMap<(Kind, Vec<u8>), HashMap<StackId, u32>> = HashMap::new();
            for descriptor in &open.descriptors {
                let Some(stack) = creators.get(&descriptor.fd) else { continue };
                let group =
                    pattern(descriptor.kind, &descriptor.target, descriptor.socket.as_ref());
                *seen.entry((descriptor.kind, group)).or_default().entry(*stack).or_default() += 1;
            }
            self.replace(key, seen);
            if self.counts.len() < GROUPS_MAX {
                self.counts.insert(key, count);
            }
        }
    }

    fn replace(&mut self, key: ProcessKey, seen: HashMap<(Kind, Vec<u8>), HashMap<StackId, u32>>) {
        self.groups.retain(|group, _| group.0 != key);
        for ((kind, pattern), stacks) in seen {
            if self.groups.len() == GROUPS_MAX {
                return;
            }
            self.groups.insert((key, kind, pattern), most(stacks));
        }
    }

    /// Puts the stacks into the groups of a report.
    pub(super) fn describe(
        &self,
        report: &mut Report,
        mut describe: impl FnMut(&[StackId]) -> Vec<Vec<String>>,
    ) {
        for process in &mut report.processes {
            for group in &mut process.groups {
                let seen = self.most_of(process.key, group.kind, &group.pattern);
                let ids: Vec<StackId> = seen.iter().map(|&(stack, _)| stack).collect();
                let counts = seen.iter().map(|&(_, count)| count).zip(describe(&ids));
                group.stacks = counts.map(|(count, frames)| StackCount { count, frames }).collect();
            }
        }
    }

    /// The stacks behind a group of a report, whose pattern may be the one target that all have, or
    /// a coarser pattern.
    fn most_of(&self, process: ProcessKey, kind: Kind, shown: &[u8]) -> Vec<(StackId, u32)> {
        let of_target = pattern(kind, shown, None);
        let is_shown = |pattern: &Vec<u8>| {
            *pattern == shown || *pattern == of_target || coarse_pattern(pattern) == shown
        };
        let groups = self
            .groups
            .iter()
            .filter(|((key, of, pattern), _)| *key == process && *of == kind && is_shown(pattern));
        let mut sums: BTreeMap<StackId, u32> = BTreeMap::new();
        for &(stack, count) in groups.flat_map(|(_, stacks)| stacks) {
            *sums.entry(stack).or_default() += count;
        }
        most(sums)
    }
}

/// What a reader of the stacks has to know: where they are not complete.
pub(super) fn tell_losses(losses: StackLosses) {
    let StackLosses { stacks, descriptors, files, foreign_programs, debug_files } = losses;
    for (count, what) in [
        (stacks, "calls have no stack: there were too many different ones"),
        (descriptors, "descriptors have no stack: there were too many"),
        (files, "files have no unwind tables here: stacks through their code may be wrong"),
        (foreign_programs, "programs of another architecture were not traced"),
        (debug_files, "files have no lines: their debug information is larger than 128 MiB"),
    ] {
        if count > 0 {
            streams::note(format_args!("{count} {what}"));
        }
    }
}

/// The most frequent, most first.
fn most(counts: impl IntoIterator<Item = (StackId, u32)>) -> Vec<(StackId, u32)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|&(stack, count)| (std::cmp::Reverse(count), stack));
    counts.truncate(STACKS_MAX);
    counts
}
