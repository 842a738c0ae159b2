//! `--stacks` for processes that run already.

use std::collections::BTreeSet;

use fdwatch::{ProcessKey, Report, Verdict};

use super::failure::Failure;
use super::stacks_seen::{StacksSeen, tell_losses};
use super::streams;
use crate::run::{Attached, Events, StacksError};

/// Processes that are attached to.
const PROCESSES_MAX: usize = 64;

/// Attached to what is watched.
pub(super) struct AttachedWatch {
    attached: Attached,
    /// Processes that were tried, with or without success.
    tried: BTreeSet<ProcessKey>,
    processes: usize,
    left_out: u32,
    /// Of those that came later.
    refused: Option<StacksError>,
    seen: StacksSeen,
}

impl AttachedWatch {
    /// Attaches to all that is there now.
    ///
    /// # Errors
    /// If one of them cannot be attached to: better now than after an hour without stacks.
    pub(super) fn start(events: &Events, report: &Report) -> Result<Self, Failure> {
        let attached = Attached::start(events).map_err(Failure::Stacks)?;
        let mut watch = Self {
            attached,
            tried: BTreeSet::new(),
            processes: 0,
            left_out: 0,
            refused: None,
            seen: StacksSeen::default(),
        };
        watch.attach(report);
        match watch.refused.take() {
            Some(refused) => Err(Failure::Stacks(refused)),
            None => {
                let processes = if watch.processes == 1 { "process" } else { "processes" };
                streams::note(format_args!(
                    "attached to {} {processes}: each system call takes longer until the watch \
                     ends",
                    watch.processes
                ));
                Ok(watch)
            }
        }
    }

    /// After a tick.
    pub(super) fn look(&mut self, report: &Report) {
        self.attach(report);
        let attached = &self.attached;
        self.seen.look(report, |pid, fds| attached.stacks_of(pid, fds));
    }

    /// Lets all go and puts the stacks into the report.
    pub(super) fn finish(self, report: &mut Report) {
        self.attached.detach();
        self.seen.describe(report, |stacks| self.attached.describe(stacks));
        tell_losses(self.attached.losses());
        if self.left_out > 0 {
            streams::note(format_args!(
                "no call stacks of {} more processes: {PROCESSES_MAX} are attached to",
                self.left_out
            ));
        }
        if let Some(refused) = &self.refused {
            streams::note(format_args!(
                "no call stacks of some processes that came later: {}",
                Failure::with_causes(refused)
            ));
        }
    }

    fn attach(&mut self, report: &Report) {
        let alive = report.processes.iter().filter(|process| process.verdict != Verdict::Gone);
        for process in alive {
            // What was tried once and is not watched any more is forgotten with the watch.
            if self.tried.len() >= TRIED_MAX || !self.tried.insert(process.key) {
                continue;
            }
            if self.processes == PROCESSES_MAX {
                self.left_out += 1;
                continue;
            }
            match self.attached.attach(process.key) {
                Ok(()) => self.processes += 1,
                // It ends while we look.
                Err(StacksError::Gone { .. }) => {}
                Err(error) => self.refused = Some(error),
            }
        }
    }
}

/// Workers that come and go must not fill the memory.
const TRIED_MAX: usize = 4096;
