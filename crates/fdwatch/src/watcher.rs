//! Watches processes: counts at every tick, looks at targets when a count has changed, reports at
//! any time.
//!
//! There is no clock and no sleep in here: the caller makes the ticks and says when they are.
//!
//! # Bounds
//! - **Descriptors**: one for `/proc`; one for each process that is held open, of which there are
//!   at most `handles_max`, and none where RLIMIT_NOFILE is low; three more during a tick. Nothing
//!   else grows with the number of processes: those beyond are opened by pid at each tick, and
//!   closed again if their start time is another.
//! - **Memory**: `processes_max` processes, [`GONE_MAX`] that are gone; for all together
//!   [`Permits`].
//! - **Time**: `scan_fds_max` targets in a tick. With names or a tree, a pass through all
//!   processes.

mod config;
#[cfg(test)]
#[path = "watcher/leak_tests.rs"]
mod leak_tests;
mod report;
mod scanner;
#[cfg(test)]
#[path = "watcher/watcher_tests.rs"]
mod tests;
mod watched;

use std::collections::VecDeque;
use std::time::Duration;

pub use config::WatchConfig;

use crate::groups::Moment;
use crate::growth::milliseconds;
use crate::ledger::Permits;
use crate::lineages::Lineages;
use crate::proc::{Member, Names, ProcRoot, Process, pass};
use crate::{Error, ProcessKey, Report, Series, Target};
use scanner::Scanner;
use watched::{Role, State, Watched};

/// Processes that are gone and still reported; the oldest are forgotten first.
const GONE_MAX: usize = 32;
/// Descriptors that are left to the caller and to the tick, before processes are held open at all.
const DESCRIPTORS_SPARED: u64 = 12;
/// And then one in so many.
const DESCRIPTORS_PER_HANDLE: u64 = 4;

/// A watch.
#[derive(Debug)]
pub struct Watcher {
    config: WatchConfig,
    root: ProcRoot,
    names: Names,
    /// By key.
    watched: Vec<Watched>,
    /// Oldest first.
    gone: VecDeque<Watched>,
    left_out: u32,
    handles_left: usize,
    scanner: Scanner,
    permits: Permits,
    lineages: Lineages,
    has_ticked: bool,
    children: ChildrenSeen,
    now: Duration,
}

/// The number of processes below the targets.
#[derive(Debug, Default)]
struct ChildrenSeen {
    count: u32,
    zombies: u32,
    series: Series,
}

/// What a tick found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Processes that are watched and alive.
    pub alive: usize,
    /// Of these, those whose descriptors the kernel does not show.
    pub unknown: usize,
    /// Targets named by pid that are gone.
    pub targets_gone: usize,
}

impl Watcher {
    /// Finds the targets. None may have a name: then it is waited for.
    ///
    /// # Errors
    /// [`Error::Gone`] for a pid that no process has, [`Error::Read`] if there is no `/proc`.
    pub fn new(config: WatchConfig) -> Result<Self, Error> {
        let root = ProcRoot::open(&config.root)?;
        let mut watcher = Self {
            names: Names::new(&config.targets, &root),
            handles_left: handles_max(config.handles_max),
            config,
            root,
            watched: Vec::new(),
            gone: VecDeque::new(),
            left_out: 0,
            scanner: Scanner::default(),
            permits: Permits::default(),
            lineages: Lineages::default(),
            has_ticked: false,
            children: ChildrenSeen::default(),
            now: Duration::ZERO,
        };
        let targets = watcher.config.targets.clone();
        for target in &targets {
            if let Target::Pid(pid) = target {
                let key = Process::open(&watcher.root, *pid)?.key();
                watcher.add(key, Role::Pid);
            }
        }
        Ok(watcher)
    }

    /// Counts, `at` after the watch began. What cannot be read of one process does not keep it from
    /// the others.
    ///
    /// # Errors
    /// [`Error::Read`] if `/proc` itself cannot be listed, or if this process is out of
    /// descriptors.
    pub fn tick(&mut self, at: Duration) -> Result<Tick, Error> {
        self.now = at;
        let moment = self.moment();
        self.find_processes(moment)?;
        let mut out_of_descriptors = None;
        for watched in &mut self.watched {
            let had_handle = watched.handle.is_some();
            let counted = watched.count(&self.root, had_handle || self.handles_left > 0);
            match (had_handle, watched.handle.is_some()) {
                (false, true) => self.handles_left -= 1,
                (true, false) => self.handles_left += 1,
                _ => {}
            }
            if let Err(error) = counted
                && error.is_out_of_descriptors()
            {
                out_of_descriptors = Some(error);
            }
        }
        if let Some(error) = out_of_descriptors {
            self.release_handles();
            return Err(error);
        }
        self.bury(moment);
        let is_first = !std::mem::replace(&mut self.has_ticked, true);
        let fds_max =
            if is_first { self.config.first_scan_fds_max } else { self.config.scan_fds_max };
        let (permits, lineages) = (&mut self.permits, &mut self.lineages);
        self.scanner.run(&self.root, &mut self.watched, fds_max, moment, permits, lineages);
        self.watched.iter_mut().for_each(|watched| watched.push(moment));
        self.lineages.judge(milliseconds(at));
        Ok(self.summary())
    }

    /// What has been found so far.
    pub fn report(&self) -> Report {
        report::of(self)
    }

    /// Says of a report what is to be said of it if there will be no more evidence, as the command
    /// that was watched has ended: what was too short to be called a leak while it lived may be
    /// one now.
    pub fn conclude(&self, report: &mut Report) {
        report::conclude(self, report);
    }

    /// The time between two ticks is another from now on: for the report only, as the caller makes
    /// the ticks.
    pub fn pace(&mut self, interval: Duration) {
        self.config.interval = interval;
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now, warm_up: self.config.warm_up }
    }

    /// The descriptors this watch holds from tick to tick.
    pub fn own_descriptors(&self) -> usize {
        1 + self.watched.iter().filter(|watched| watched.handle.is_some()).count()
    }

    fn summary(&self) -> Tick {
        Tick {
            alive: self.watched.len(),
            unknown: self.watched.iter().filter(|watched| watched.state == State::Unknown).count(),
            targets_gone: self.gone.iter().filter(|watched| watched.role == Role::Pid).count(),
        }
    }

    /// Begins to watch processes that have come to have one of the names, or to be below a target.
    fn find_processes(&mut self, moment: Moment) -> Result<(), Error> {
        if self.names.is_empty() && !self.config.tree {
            return Ok(());
        }
        let pass = pass(&self.root, &mut self.names)?;
        let is_watched = |key: &ProcessKey| {
            self.watched.binary_search_by_key(key, |watched| watched.key).is_ok()
        };
        let family =
            pass.family(|process| process.is_named || is_watched(&process.key), &self.root);
        let (mut children, mut zombies, mut left_out) = (0, 0, pass.left_out);
        for Member { process, is_child } in family {
            let known = self.watched.binary_search_by_key(&process.key, |watched| watched.key);
            let role = match known {
                Ok(index) => self.watched[index].role,
                Err(_) if process.is_named => Role::Name,
                Err(_) => Role::Descendant,
            };
            // Also without its parent it is left over.
            if is_child || role == Role::Descendant {
                children += 1;
                zombies += u32::from(process.has_ended);
            }
            let is_wanted = self.config.tree || role != Role::Descendant;
            // One that has already ended has nothing to show.
            if known.is_ok() || !is_wanted || process.has_ended {
                continue;
            }
            if self.watched.len() < self.config.processes_max {
                self.add(process.key, role);
            } else {
                left_out += 1;
            }
        }
        self.left_out = left_out;
        self.children.count = children;
        self.children.zombies = zombies;
        self.children.series.push(moment.at, children);
        Ok(())
    }

    fn add(&mut self, key: ProcessKey, role: Role) {
        if let Err(place) = self.watched.binary_search_by_key(&key, |watched| watched.key) {
            self.watched.insert(place, Watched::new(key, role));
        }
    }

    /// Takes those that are gone out, and keeps a bounded number of them.
    fn bury(&mut self, moment: Moment) {
        let terms = &self.config.terms;
        let is_gone = |watched: &mut Watched| watched.state == State::Gone;
        for mut watched in self.watched.extract_if(.., is_gone) {
            watched.end(moment, terms, &mut self.permits, &mut self.lineages);
            self.gone.push_back(watched);
        }
        while self.gone.len() > GONE_MAX {
            // That a target is gone must not be forgotten.
            let oldest =
                self.gone.iter().position(|watched| watched.role != Role::Pid).unwrap_or(0);
            self.gone.remove(oldest);
        }
    }

    fn release_handles(&mut self) {
        self.watched.iter_mut().for_each(|watched| watched.handle = None);
        self.handles_left = 0;
    }
}

/// Leaves most of RLIMIT_NOFILE to others.
fn handles_max(asked: usize) -> usize {
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let spared =
        soft.unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS_SPARED) / DESCRIPTORS_PER_HANDLE;
    asked.min(usize::try_from(spared).unwrap_or(usize::MAX))
}
