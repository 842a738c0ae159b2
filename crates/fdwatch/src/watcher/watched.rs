//! What is known of one watched process. A thousand of these are to fit into little memory.

use std::time::Duration;

use crate::groups::{Groups, Moment};
use crate::growth::{Evidence, Growth, milliseconds};
use crate::ledger::{Ledger, Permits, Sighting};
use crate::lineages::{Lineages, Look};
use crate::proc::{Counted, ProcRoot, Process, Tables, nearest_ceiling};
use crate::{
    Ceiling, Error, GroupReport, Kind, Point, ProcessKey, ProcessReport, Series, Terms, Trend,
    Verdict, verdict_of,
};

/// Limits and names may change at any time, and seldom do.
const TICKS_PER_REFRESH: u32 = 64;
/// A leak of one a second is called by then, after the warm-up: without one it is steady.
const DECIDED_MS: u64 = 25_000;
/// Groups that are kept of a process that is gone.
const GROUPS_OF_GONE_MAX: usize = 5;

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
    ledger: Ledger,
    /// The count when the newest scan began.
    scanned_count: Option<u64>,
    is_scan_cut: bool,
    ticks_to_refresh: u32,
    gone: Option<Box<Gone>>,
}

/// What was to be said of a process when it went.
#[derive(Debug)]
struct Gone {
    verdict: Verdict,
    trend: Trend,
    evidence: Option<Evidence>,
    groups: Vec<GroupReport>,
    /// Where it had too little time to be called a leak, but there will be no more evidence.
    trend_at_end: Trend,
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
            ledger: Ledger::default(),
            scanned_count: None,
            is_scan_cut: false,
            ticks_to_refresh: 0,
            gone: None,
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
            self.ledger.judge(milliseconds(moment.at));
            self.groups.judge(moment, self.ledger.are_lone_files());
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

    /// `sightings`: all that is open, if the scan has seen all.
    pub(crate) fn finish_scan(
        &mut self,
        is_cut: bool,
        sightings: Option<&mut [Sighting]>,
        moment: Moment,
        permits: &mut Permits,
        lineages: &mut Lineages,
    ) {
        self.is_scan_cut = is_cut;
        self.groups.finish_scan(moment, permits);
        match sightings {
            Some(sightings) => self.take_in(sightings, moment, permits, lineages),
            None => self.ledger.give_up(permits),
        }
        // A process that opens this many may have raised its limit for it.
        self.ticks_to_refresh = 0;
    }

    fn take_in(
        &mut self,
        sightings: &mut [Sighting],
        moment: Moment,
        permits: &mut Permits,
        lineages: &mut Lineages,
    ) {
        let (at_ms, warm_up_ms) = (milliseconds(moment.at), milliseconds(moment.warm_up));
        let Some(changes) = self.ledger.look(at_ms, warm_up_ms, sightings, permits) else { return };
        let began_ms = self.ledger.began_ms().unwrap_or(at_ms);
        self.groups.add_flows(&changes, moment, began_ms, permits);
        let look = Look {
            name: &self.name,
            at_ms,
            warm_up_ms,
            began_ms,
            open: self.ledger.len(),
            changes: &changes,
        };
        lineages.add(&look, permits);
    }

    /// It has gone: keeps little, and what was to be said of it.
    pub(crate) fn end(
        &mut self,
        moment: Moment,
        terms: &Terms,
        permits: &mut Permits,
        lineages: &mut Lineages,
    ) {
        self.state = State::Gone;
        lineages.end(&self.name);
        let (trend, trend_at_end) = (self.trend(moment, false), self.trend(moment, true));
        let count = self.series.newest().map(u64::from);
        // It may be gone because of that.
        let verdict = match count {
            Some(_) => self.verdict_at(count, &trend, moment, terms),
            None => Verdict::Gone,
        };
        let verdict = match verdict {
            Verdict::Leaking { .. } | Verdict::NearLimit { .. } => verdict,
            _ => Verdict::Gone,
        };
        let evidence = self.evidence(moment);
        let groups = self.groups.group_reports(moment, trend_at_end.is_leak, GROUPS_OF_GONE_MAX);
        self.gone = Some(Box::new(Gone { verdict, trend, evidence, groups, trend_at_end }));
        self.groups.end(permits);
        self.groups.discard_scan();
        self.ledger.end(permits);
        self.ledger.forget(permits);
        self.handle = None;
        self.tables = Tables::default();
    }

    /// How it moves, by what came and went where that is seen, else by the counts. `is_at_end`: if
    /// it had ended now.
    fn trend(&self, moment: Moment, is_at_end: bool) -> Trend {
        let by_counts = self.series.trend(moment.warm_up);
        if !self.ledger.is_seeing() {
            return by_counts;
        }
        let at_ms = milliseconds(moment.at);
        let is_leak = |growth: &&Growth| {
            growth.is_leak() || is_at_end && growth.at_end(at_ms, self.ledger.circumstances(true))
        };
        let of_all = self.ledger.growth().filter(is_leak).map(|growth| growth.per_second(at_ms));
        let of_groups = || self.groups.leak(moment.at, self.ledger.are_lone_files(), is_at_end);
        match of_all.or_else(of_groups) {
            Some(per_second) => Trend { per_second, is_leak: true },
            // The counts tell a slope only once there are enough of them.
            None if !self.series.is_warm(moment.warm_up) => {
                let per_second =
                    self.ledger.growth().map_or(0.0, |growth| growth.per_second(at_ms));
                Trend { per_second, is_leak: false }
            }
            None => Trend { is_leak: false, ..by_counts },
        }
    }

    fn evidence(&self, moment: Moment) -> Option<Evidence> {
        let seen = || Evidence {
            over: moment
                .at
                .saturating_sub(moment.warm_up)
                .saturating_sub(Duration::from_millis(self.ledger.began_ms().unwrap_or_default())),
            ..Evidence::default()
        };
        let of_growth = |growth: &Growth| growth.evidence(milliseconds(moment.at));
        self.ledger.is_seeing().then(|| self.ledger.growth().map_or_else(seen, of_growth))
    }

    /// For how long there will be no verdict yet; `None` where there is one, or where it cannot be
    /// told.
    fn decided_in(&self, moment: Moment) -> Option<Duration> {
        let began = Duration::from_millis(self.ledger.began_ms()?);
        let decided = began + moment.warm_up + Duration::from_millis(DECIDED_MS);
        decided.checked_sub(moment.at).filter(|left| self.ledger.is_seeing() && !left.is_zero())
    }

    fn verdict_at(
        &self,
        count: Option<u64>,
        trend: &Trend,
        moment: Moment,
        terms: &Terms,
    ) -> Verdict {
        let high_water = self.series.high_water().into();
        let is_warm = match self.ledger.is_seeing() {
            true => self.decided_in(moment).is_none(),
            false => self.series.is_warm(moment.warm_up),
        };
        verdict_of(count, high_water, self.limit, trend, is_warm, terms)
    }

    /// Without series, kinds and groups.
    pub(crate) fn report(&self, moment: Moment, terms: &Terms) -> ProcessReport {
        let count = match self.state {
            State::Open(count) => Some(count),
            State::Unknown => None,
            State::Gone => Some(0),
        };
        let (trend, evidence, verdict) = match &self.gone {
            Some(gone) => (gone.trend, gone.evidence, gone.verdict),
            None => {
                let trend = self.trend(moment, false);
                (trend, self.evidence(moment), self.verdict_at(count, &trend, moment, terms))
            }
        };
        let is_undecided = verdict == Verdict::Warming;
        ProcessReport {
            key: self.key,
            name: self.name.to_vec(),
            has_ended: self.state == State::Gone,
            count,
            high_water: self.high_water,
            limit: self.limit,
            ceiling: self.ceiling.filter(|_| matches!(self.state, State::Open(_))),
            series: Vec::new(),
            kinds: Vec::new(),
            groups: Vec::new(),
            trend,
            verdict,
            evidence,
            decided_in: self.decided_in(moment).filter(|_| is_undecided),
            is_scan_cut: self.is_scan_cut,
        }
    }

    /// What it has open, by pattern.
    pub(crate) fn group_reports(
        &self,
        moment: Moment,
        leaks: bool,
        groups_max: usize,
    ) -> Vec<GroupReport> {
        match &self.gone {
            Some(gone) => gone.groups.clone(),
            None => self.groups.group_reports(moment, leaks, groups_max),
        }
    }

    /// Whether it would be called a leak if it had ended now, or did when it ended.
    pub(crate) fn trend_at_end(&self, moment: Moment) -> Trend {
        self.gone.as_ref().map_or_else(|| self.trend(moment, true), |gone| gone.trend_at_end)
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        self.series.points()
    }
}
