//! The tables of descriptors of one process, and how many are in them.
//!
//! All threads share one, unless a thread was made without `CLONE_FILES` or has called `unshare`:
//! such a thread has a table of its own, whose descriptors come on top. `kcmp` tells; where it is
//! refused, another number of descriptors does, in a number that stood still while both were read.
//! Two tables with as many descriptors are then taken for one.
//!
//! A leader that ended before its threads has lost its table; one of the living threads stands in
//! for it.

use std::ops::ControlFlow;

use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;

use super::files::{each_entry, open_folder};
use super::kcmp::share_descriptors;
use super::parse::number;
use super::process::STAT_BYTES;
use super::{ProcRoot, Process};
use crate::Error;

/// Threads that are looked at; of those beyond, a table of their own goes unnoticed.
const THREADS_MAX: usize = 4096;
/// Tables beside the first; those beyond are not counted.
const OTHERS_MAX: usize = 64;
/// A thread may part from the others at any time, without a trace: look again after so many counts.
const COUNTS_PER_SURVEY: u32 = 32;

/// Where the descriptors of a process are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// Whose table is the first, if not the leader's.
    stand_in: Option<u32>,
    /// Threads with tables of their own, one for each table.
    others: Vec<u32>,
    threads_at_survey: u32,
    counts_since_survey: u32,
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// In all tables.
    pub(crate) descriptors: u64,
    /// All threads have ended; it is kept for its parent only, without any descriptors.
    pub(crate) has_ended: bool,
}

impl Tables {
    /// How many tables.
    pub(crate) fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// The folders that hold table number `index`, in the folder of the process: of its
    /// descriptors, and of what else is known of them.
    pub(super) fn folders(&self, index: usize) -> Option<(String, String)> {
        let thread = match index.checked_sub(1) {
            None => self.stand_in,
            Some(other) => Some(*self.others.get(other)?),
        };
        Some(match thread {
            None => ("fd".to_owned(), "fdinfo".to_owned()),
            Some(thread) => (format!("task/{thread}/fd"), format!("task/{thread}/fdinfo")),
        })
    }

    /// Counts, without opening anything where the kernel knows the number.
    pub(crate) fn count(&mut self, root: &ProcRoot, process: &Process) -> Result<Counted, Error> {
        let first = match self.count_first(root, process)? {
            Some(descriptors) => descriptors,
            None => return Ok(Counted { descriptors: 0, has_ended: true }),
        };
        self.survey_if_due(root, process);
        let mut descriptors = first;
        let mut others = std::mem::take(&mut self.others);
        // A thread that has ended takes its table with it.
        others.retain(|thread| match count_of_thread(root, process, *thread) {
            Ok(more) => {
                descriptors = descriptors.saturating_add(more);
                true
            }
            Err(_) => false,
        });
        self.others = others;
        Ok(Counted { descriptors, has_ended: false })
    }

    /// `None` if all of it has ended.
    fn count_first(&mut self, root: &ProcRoot, process: &Process) -> Result<Option<u64>, Error> {
        if let Some(thread) = self.stand_in {
            if let Ok(descriptors @ 1..) = count_of_thread(root, process, thread) {
                return Ok(Some(descriptors));
            }
            self.stand_in = None;
        }
        let counted = count_folder(root, process, "fd");
        // Older kernels refuse to open the folder of a process that has ended.
        if matches!(counted, Ok(1..)) || !matches!(counted, Ok(_) | Err(Errno::ACCESS)) {
            return counted.map(Some).map_err(|errno| process.error(errno));
        }
        let mut buffer = [0; STAT_BYTES];
        let stat = process.stat(&mut buffer)?;
        if !stat.has_ended() {
            return counted.map(Some).map_err(|errno| process.error(errno));
        }
        let mut found = None;
        // Without a list of them there are none.
        let _ = each_thread(process, |thread| {
            match count_of_thread(root, process, thread) {
                // The thread is ending, like the leader.
                Ok(0) | Err(Errno::NOENT | Errno::SRCH) => ControlFlow::Continue(()),
                counted if thread != process.pid() => {
                    found = Some((thread, counted));
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        });
        match found {
            Some((thread, counted)) => {
                self.stand_in = Some(thread);
                counted.map(Some).map_err(|errno| process.error(errno))
            }
            // Threads without a single descriptor are not gone.
            None if stat.threads > 1 => Ok(Some(0)),
            None => Ok(None),
        }
    }

    fn survey_if_due(&mut self, root: &ProcRoot, process: &Process) {
        let threads = count_threads(process);
        self.counts_since_survey = self.counts_since_survey.saturating_add(1);
        let is_due =
            threads != self.threads_at_survey || self.counts_since_survey >= COUNTS_PER_SURVEY;
        if threads <= 1 {
            self.others = Vec::new();
        } else if is_due {
            self.counts_since_survey = 0;
            self.survey(root, process);
        }
        self.threads_at_survey = threads;
    }

    /// Finds the threads with tables of their own.
    fn survey(&mut self, root: &ProcRoot, process: &Process) {
        let first = self.stand_in.unwrap_or(process.pid());
        self.others.clear();
        let others = &mut self.others;
        // A folder that cannot be read leaves the first table, which is as good as it gets.
        let _ = each_thread(process, |thread| {
            let is_known = |known: u32| thread == known || is_shared(root, process, known, thread);
            if others.len() < OTHERS_MAX
                && !is_known(first)
                && !others.iter().any(|known| is_known(*known))
            {
                others.push(thread);
            }
            ControlFlow::Continue(())
        });
    }
}

/// Whether two threads have one table; `true` where that cannot be known.
fn is_shared(root: &ProcRoot, process: &Process, known: u32, thread: u32) -> bool {
    if root.is_ours
        && let Ok(is_shared) = share_descriptors(known, thread)
    {
        // A thread that has ended has no table. The kernel does not call that the same table.
        return is_shared || !matches!(count_of_thread(root, process, thread), Ok(1..));
    }
    let count = |thread| count_of_thread(root, process, thread).ok();
    let (before, other, after) = (count(known), count(thread), count(known));
    // One that is about to end has none.
    before != after || other == before || other.is_none_or(|other| other == 0)
}

fn each_thread(
    process: &Process,
    mut visit: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<(), Errno> {
    let mut left = THREADS_MAX;
    each_entry(open_folder(process, "task")?, |name, _| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        let thread = number(name.to_bytes()).and_then(|thread| u32::try_from(thread).ok());
        thread.map_or(ControlFlow::Continue(()), &mut visit)
    })
}

/// Each thread is a folder in there, and a folder has two links and one for each folder in it. 1
/// where it is not told.
fn count_threads(process: &Process) -> u32 {
    let links = statat(process, "task", AtFlags::empty()).map_or(0, |found| found.st_nlink);
    u32::try_from(links).unwrap_or(u32::MAX).saturating_sub(2).max(1)
}

fn count_of_thread(root: &ProcRoot, process: &Process, thread: u32) -> Result<u64, Errno> {
    count_folder(root, process, &format!("task/{thread}/fd"))
}

fn count_folder(root: &ProcRoot, process: &Process, folder: &str) -> Result<u64, Errno> {
    if root.has_sizes {
        let found = statat(process, folder, AtFlags::empty())?;
        return Ok(u64::try_from(found.st_size).unwrap_or_default());
    }
    let mut descriptors = 0;
    each_entry(open_folder(process, folder)?, |_, _| {
        descriptors += 1;
        ControlFlow::Continue(())
    })?;
    Ok(descriptors)
}
