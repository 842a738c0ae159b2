//! What is known of one watched process. A thousand of these are to fit into little memory.

use std::time::Duration;

use crate::groups::{Groups, Moment, SeriesPermits};
use crate::proc::{Counted, ProcRoot, Process, Tables, nearest_ceiling};
use crate::{
    Ceiling, Error, Kind, Point, ProcessKey, ProcessReport, Series, Terms, Trend, Verdict, verdict_of,
};

/// Limits and names may change at any time, and seldom do.
const TICKS_PER_REFRESH: u32 = 64;

/// Why a process is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Named by its pid: when it is gone, a target is.
    Pid,
    /// It has one of the names.
    Name,
    /// It is below one of those, or was when it was found.
    Descendant,
}

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) key: ProcessKey,
    pub(crate) role: Role,
    name: Box<[u8]>,
    /// Held from tick to tick, if there is a permit.
    pub(crate) handle: Option<Process>,
    tables: Tables,
    pub(crate) state: State,
    limit: Option<u64>,
    ceiling: Option<Ceiling>,
    /// Descriptors of inotify and epoll, of the newest scan.
    watching: Box<[(Kind, i32)]>,
    high_water: u64,
    series: Series,
    pub(crate) groups: Groups,
    /// The count when the newest scan began.
    scanned_count: Option<u64>,
    is_scan_cut: bool,
    ticks_to_refresh: u32,
    /// Of a process that is gone: what was to be said of it when it went.
    last_verdict: Option<Verdict>,
}

/// What the newest count was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open(u64),
    /// The kernel does not tell.
    Unknown,
    /// The process has ended.
    Gone,
}

impl Watched {
    pub(crate) fn new(key: ProcessKey, role: Role) -> Self {
        Self {
            key,
            role,
            name: Box::default(),
            handle: None,
            tables: Tables::default(),
            state: State::Unknown,
            limit: None,
            ceiling: None,
            watching: Box::default(),
            high_water: 0,
            series: Series::default(),
            groups: Groups::default(),
            scanned_count: None,
            is_scan_cut: false,
            ticks_to_refresh: 0,
            last_verdict: None,
        }
    }

    /// Counts. `has_permit`: to hold the process open until the next time.
    pub(crate) fn count(&mut self, root: &ProcRoot, has_permit: bool) -> Result<(), Error> {
        let process = match self.handle.take() {
            Some(process) => process,
            None => match Process::open_known(root, self.key) {
                Ok(process) => process,
                Err(error) => return self.lose(error),
            },
        };
        let counted = self.tables.count(root, &process);
        self.ticks_to_refresh = match self.ticks_to_refresh.checked_sub(1) {
            Some(left) => left,
            None => {
                self.refresh(root, &process);
                TICKS_PER_REFRESH
            }
        };
        if has_permit {
            self.handle = Some(process);
        }
        match counted {
            Ok(Counted { has_ended: true, .. }) => {
                (self.state, self.handle) = (State::Gone, None);
                Ok(())
            }
            Ok(Counted { descriptors, .. }) => {
                self.state = State::Open(descriptors);
                self.high_water = self.high_water.max(descriptors);
                Ok(())
            }
            Err(error) => self.lose(error),
        }
    }

    /// Only what says nothing of the process is handed on.
    fn lose(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Gone { .. } => (self.state, self.handle) = (State::Gone, None),
            Error::NotPermitted { .. } => self.state = State::Unknown,
            error => {
                self.state = State::Unknown;
                return Err(error);
            }
        }
        Ok(())
    }

    /// What was found to be watching, and how near the bounds of that are.
    pub(crate) fn set_watching(&mut self, watching: Vec<(Kind, i32)>, ceiling: Option<Ceiling>) {
        self.watching = watching.into();
        self.ceiling = ceiling;
    }

    /// The count that the newest scan was begun for.
    pub(crate) fn scanned(&self) -> u64 {
        self.scanned_count.unwrap_or(0)
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn look_at_ceilings(&mut self, root: &ProcRoot, process: &Process) {
        self.ceiling = nearest_ceiling(root, process, &self.watching, self.scanned(), self.limit);
    }

    fn refresh(&mut self, root: &ProcRoot, process: &Process) {
        self.limit = process.open_files().and_then(|limits| limits.soft);
        self.look_at_ceilings(root, process);
        let mut buffer = [0; crate::proc::STAT_BYTES];
        if let Ok(stat) = process.stat(&mut buffer)
            && *stat.comm != *self.name
        {
            self.name = stat.comm.into();
        }
    }

    /// Remembers what a tick has found.
    pub(crate) fn push(&mut self, moment: Moment) {
        if let State::Open(count) = self.state {
            self.series.push(moment.at, u32::try_from(count).unwrap_or(u32::MAX));
            self.groups.push(moment);
        }
    }

    /// The count, if it is another one than at the newest scan.
    pub(crate) fn unscanned(&self) -> Option<u64> {
        let State::Open(count) = self.state else { return None };
        (self.scanned_count != Some(count)).then_some(count)
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn begin_scan(&mut self, count: u64) {
        self.scanned_count = Some(count);
    }

    pub(crate) fn finish_scan(&mut self, is_cut: bool, moment: Moment, permits: &mut SeriesPermits) {
        self.is_scan_cut = is_cut;
        self.groups.finish_scan(moment, permits);
        // Whoever opens this many may have raised his limit for it.
        self.ticks_to_refresh = 0;
    }

    /// It has gone: keeps little, and what was to be said of it.
    pub(crate) fn end(&mut self, warm_up: Duration, terms: &Terms, permits: &mut SeriesPermits) {
        self.state = State::Gone;
        let count = self.series.newest().map(u64::from);
        // It may be gone because of that.
        let verdict = match count {
            Some(_) => self.verdict_at(count, &self.series.trend(warm_up), warm_up, terms),
            None => Verdict::Gone,
        };
        self.last_verdict = Some(match verdict {
            Verdict::Leaking { .. } | Verdict::NearLimit { .. } => verdict,
            _ => Verdict::Gone,
        });
        self.groups.end(permits);
        self.groups.discard_scan();
        self.handle = None;
        self.tables = Tables::default();
    }

    fn verdict_at(&self, count: Option<u64>, trend: &Trend, warm_up: Duration, terms: &Terms) -> Verdict {
        let high_water = self.series.high_water().into();
        verdict_of(count, high_water, self.limit, trend, self.series.is_warm(warm_up), terms)
    }

    /// Without series, kinds and groups.
    pub(crate) fn report(&self, warm_up: Duration, terms: &Terms) -> ProcessReport {
        let trend = self.series.trend(warm_up);
        let count = match self.state {
            State::Open(count) => Some(count),
            State::Unknown => None,
            State::Gone => Some(0),
        };
        ProcessReport {
            key: self.key,
            name: self.name.to_vec(),
            count,
            high_water: self.high_water,
            limit: self.limit,
            ceiling: self.ceiling.filter(|_| matches!(self.state, State::Open(_))),
            series: Vec::new(),
            kinds: Vec::new(),
            groups: Vec::new(),
            trend,
            verdict: self.last_verdict.unwrap_or_else(|| self.verdict_at(count, &trend, warm_up, terms)),
            is_scan_cut: self.is_scan_cut,
        }
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        self.series.points()
    }
}
