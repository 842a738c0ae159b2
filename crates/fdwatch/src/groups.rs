//! The descriptors of one process by pattern and by kind, over time, in bounded memory.
//!
//! A scan fills numbers beside those that are shown, and takes their place when it is complete: it
//! may take several ticks. When there are too many patterns they get coarser once and for all; what
//! then still does not fit goes to one group for the rest.

mod group;

use std::cmp::Reverse;
use std::time::Duration;

use self::group::{Group, Tally, key_of};
use crate::growth::{Came, Evidence, milliseconds};
use crate::ledger::{Changes, Permits, REST_ID};
use crate::pattern::{coarse_pattern, pattern, without_deleted};
use crate::{GroupReport, Kind, KindReport, Socket};

/// From so many on, patterns get coarser.
const FINE_MAX: usize = 32;
/// Without those for the rest.
const PATTERNS_MAX: usize = 47;
/// With those for the rest: one of each kind, since a reader who learns that files leak has
/// somewhere to begin.
#[cfg(any(test, fuzzing))]
pub(crate) const GROUPS_MAX: usize = PATTERNS_MAX + Kind::ALL.len();
const REST: &[u8] = b"(all others)";
/// A target that is longer is not kept beside its pattern.
const TARGET_BYTES_MAX: usize = 256;

/// Kinds and groups of one process.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// By key.
    groups: Vec<Group>,
    kinds: Vec<(Kind, Tally)>,
    are_coarse: bool,
    has_scan: bool,
    /// The warm-up is over.
    are_warm: bool,
    /// Permits of what is no more, to be given back.
    series_unused: usize,
    growths_unused: usize,
    /// Scans until all descriptors are known by their coarser patterns.
    scans_to_settle: u8,
}

/// When a scan was complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Duration,
    pub(crate) warm_up: Duration,
}

impl Groups {
    /// Adds what a scan has seen; for sockets once it is known what they are. Says which group it
    /// is in.
    pub(crate) fn add(&mut self, kind: Kind, target: &[u8], socket: Option<&Socket>) -> u8 {
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, tally)) => tally.scanned = tally.scanned.saturating_add(1),
            None => self.kinds.push((kind, Tally { scanned: 1, ..Tally::default() })),
        }
        let mut pattern = pattern(kind, target, socket);
        let target = match kind {
            Kind::DeletedFile | Kind::TmpFile => without_deleted(target),
            Kind::File | Kind::Directory | Kind::Fifo | Kind::Device => target,
            // All of these differ, by a number that says nothing.
            _ => b"",
        };
        let target =
            Some(target).filter(|target| !target.is_empty() && target.len() <= TARGET_BYTES_MAX);
        if self.are_coarse {
            pattern = coarse_pattern(&pattern);
        }
        let index = self.find_or_insert(kind, pattern, target);
        let group = &mut self.groups[index];
        group.tally.scanned = group.tally.scanned.saturating_add(1);
        if group.target.is_some() && group.target.as_deref() != target {
            group.target = None;
        }
        group.id
    }

    fn find_or_insert(&mut self, kind: Kind, pattern: Vec<u8>, target: Option<&[u8]>) -> usize {
        let key = key_of(kind, &pattern);
        let place = match self.place_of(&key) {
            Ok(index) => return index,
            Err(place) => place,
        };
        if self.groups.len() >= FINE_MAX && !self.are_coarse {
            self.make_coarse();
            return self.find_or_insert(kind, coarse_pattern(&pattern), target);
        }
        let patterns = self.groups.iter().filter(|group| !group.is_rest()).count();
        if patterns >= PATTERNS_MAX {
            if self.forget_empty() {
                return self.find_or_insert(kind, pattern, target);
            }
            let rest = key_of(kind, REST);
            return match self.place_of(&rest) {
                Ok(index) => index,
                Err(place) => self.insert(place, rest, kind, None),
            };
        }
        self.insert(place, key, kind, target)
    }

    fn insert(&mut self, place: usize, key: Vec<u8>, kind: Kind, target: Option<&[u8]>) -> usize {
        let is_taken = |id: &u8| self.groups.iter().any(|group| group.id == *id);
        let is_rest = key.get(1..) == Some(REST);
        let free = || (0..REST_ID).find(|id| !is_taken(id)).expect("there are at most GROUPS_MAX");
        let id = if is_rest { REST_ID } else { free() };
        let (key, target, tally) = (key.into(), target.map(Into::into), Tally::default());
        let group = Group { key, target, kind, id, tally, growth: None };
        self.groups.reserve_exact(1);
        self.groups.insert(place, group);
        place
    }

    fn place_of(&self, key: &[u8]) -> Result<usize, usize> {
        self.groups.binary_search_by(|group| group.key.as_ref().cmp(key))
    }

    /// Whether there was one.
    fn forget_empty(&mut self) -> bool {
        let before = self.groups.len();
        let (series_unused, growths_unused) = (&mut self.series_unused, &mut self.growths_unused);
        self.groups.retain_mut(|group| {
            let is_empty = group.tally.count == 0 && group.tally.scanned == 0;
            *series_unused += usize::from(is_empty && group.tally.series.take().is_some());
            *growths_unused += usize::from(is_empty && group.growth.take().is_some());
            !is_empty
        });
        self.groups.len() < before
    }

    /// Merges groups whose coarse patterns are the same; what they were before is added up.
    fn make_coarse(&mut self) {
        self.are_coarse = true;
        // The scan that is under way has seen some by their fine patterns.
        self.scans_to_settle = 2;
        for mut group in std::mem::take(&mut self.groups) {
            self.growths_unused += usize::from(group.growth.take().is_some());
            let key = key_of(group.kind, &coarse_pattern(&group.key[1..]));
            match self.place_of(&key) {
                Ok(index) => self.series_unused += self.groups[index].merge(group),
                Err(place) => self.groups.insert(place, Group { key: key.into(), ..group }),
            }
        }
    }

    /// A scan was complete: its numbers are those that count now.
    pub(crate) fn finish_scan(&mut self, moment: Moment, permits: &mut Permits) {
        permits.series += std::mem::take(&mut self.series_unused);
        permits.growths += std::mem::take(&mut self.growths_unused);
        let is_first = !std::mem::replace(&mut self.has_scan, true);
        for tally in self.tallies() {
            tally.finish_scan(is_first, moment, permits);
        }
        self.groups.shrink_to_fit();
        self.kinds.shrink_to_fit();
    }

    /// What came into the groups and left them, by the newest scan of a process that was first
    /// looked at `began_ms` after the watch began.
    pub(crate) fn add_flows(
        &mut self,
        changes: &Changes,
        moment: Moment,
        began_ms: u64,
        permits: &mut Permits,
    ) {
        if self.scans_to_settle > 0 {
            self.scans_to_settle -= 1;
            return;
        }
        let warm_ms = began_ms.saturating_add(milliseconds(moment.warm_up));
        let growing = |groups: &mut [Group], id: u8, came: Came| {
            let group = groups.iter_mut().find(|group| group.id == id);
            if let Some(growth) = group.and_then(|group| group.growth.as_mut()) {
                growth.came(came);
            }
        };
        changes.came_of_groups.iter().for_each(|(id, came)| growing(&mut self.groups, *id, *came));
        for (id, flow) in changes.of_groups.iter().filter(|(id, _)| *id != REST_ID) {
            let Some(group) = self.groups.iter_mut().find(|group| group.id == *id) else {
                continue;
            };
            if group.growth.is_none() {
                group.growth = permits.growth(began_ms, warm_ms);
            }
            if let Some(growth) = &mut group.growth {
                growth.add(milliseconds(moment.at), flow);
            }
        }
    }

    /// At every tick.
    pub(crate) fn judge(&mut self, moment: Moment, are_lone_files: bool) {
        for group in &mut self.groups {
            let circumstances = group.circumstances(are_lone_files, false);
            if let Some(growth) = &mut group.growth {
                growth.judge(milliseconds(moment.at), circumstances);
            }
        }
    }

    /// The fastest of its groups that leak: by how many a second. `is_at_end`: if the process had
    /// ended now.
    pub(crate) fn leak(&self, at: Duration, are_lone_files: bool, is_at_end: bool) -> Option<f64> {
        let at_ms = milliseconds(at);
        let leaks = self.groups.iter().filter_map(|group| {
            let growth = group.growth.as_ref()?;
            let is_leak = growth.is_leak()
                || is_at_end && growth.at_end(at_ms, group.circumstances(are_lone_files, true));
            is_leak.then(|| growth.per_second(at_ms))
        });
        leaks.reduce(f64::max)
    }

    /// A scan was given up.
    pub(crate) fn discard_scan(&mut self) {
        self.tallies().for_each(|tally| tally.scanned = 0);
    }

    /// After the scans of a tick: the numbers of the newest one still hold.
    pub(crate) fn push(&mut self, moment: Moment) {
        let were_warm = std::mem::replace(&mut self.are_warm, moment.at >= moment.warm_up);
        for tally in self.tallies() {
            if !were_warm {
                tally.lowest = tally.count;
            }
            if let Some(series) = &mut tally.series {
                series.push(moment.at, tally.count);
            }
        }
    }

    /// Gives all series back: of a process that has ended, numbers remain.
    pub(crate) fn end(&mut self, permits: &mut Permits) {
        permits.series += std::mem::take(&mut self.series_unused);
        permits.series += self.tallies().filter_map(|tally| tally.series.take()).count();
        permits.growths += std::mem::take(&mut self.growths_unused);
        permits.growths += self.groups.iter_mut().filter_map(|group| group.growth.take()).count();
    }

    fn tallies(&mut self) -> impl Iterator<Item = &mut Tally> {
        let groups = self.groups.iter_mut().map(|group| &mut group.tally);
        groups.chain(self.kinds.iter_mut().map(|(_, tally)| tally))
    }

    /// Most first.
    pub(crate) fn kind_reports(&self, has_series: bool) -> Vec<KindReport> {
        let shown =
            self.kinds.iter().filter(|(_, tally)| tally.count > 0 || tally.series.is_some());
        let report = |(kind, tally): &(Kind, Tally)| KindReport {
            kind: *kind,
            count: tally.count,
            before: if tally.series.is_some() { tally.before } else { tally.count },
            series: tally
                .series
                .as_ref()
                .filter(|_| has_series)
                .map_or_else(Vec::new, |series| series.points()),
        };
        let mut reports: Vec<KindReport> = shown.map(report).collect();
        reports.sort_by_key(|kind| (Reverse(kind.count), kind.kind));
        reports
    }

    /// Those that leak first, then newest growth, then most. `leaks`: what their process is found
    /// to be.
    pub(crate) fn group_reports(
        &self,
        at: Moment,
        leaks: bool,
        groups_max: usize,
    ) -> Vec<GroupReport> {
        let shown = self.groups.iter().filter(|group| group.tally.count > 0);
        let mut reports: Vec<GroupReport> = shown.map(|group| group.report(at)).collect();
        if leaks && !reports.iter().any(|group| group.trend.is_leak) {
            // It leaks, but no group alone grows enough to be called: those that grew most are what
            // leaks.
            let most = reports.iter().map(|group| kept(group.evidence)).max().unwrap_or(0);
            for group in
                reports.iter_mut().filter(|group| most > 0 && 2 * kept(group.evidence) >= most)
            {
                group.trend.is_leak = true;
            }
        }
        let rank = |group: &GroupReport| {
            let (grew, count) = (Reverse(group.grew_at_ms), Reverse(group.count));
            (Reverse(group.trend.is_leak), grew, count)
        };
        reports.sort_by_key(rank);
        reports.truncate(groups_max);
        reports
    }
}

fn kept(evidence: Option<Evidence>) -> u64 {
    evidence.map_or(0, |evidence| evidence.opened.saturating_sub(evidence.closed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_keeps_its_kind() {
        let mut groups = Groups::default();
        let moment = Moment { at: Duration::ZERO, warm_up: Duration::ZERO };
        for ending in 0..200 {
            let letter = |digit: u32| char::from_digit(10 + digit, 36).unwrap();
            let name = format!("/x.{}{}", letter(ending / 26), letter(ending % 26));
            let kind = if ending % 2 == 0 { Kind::File } else { Kind::DeletedFile };
            groups.add(kind, name.as_bytes(), None);
        }
        groups.finish_scan(moment, &mut Permits { series: 0, entries: 0, growths: 0 });
        let reports = groups.group_reports(moment, false, usize::MAX);
        let rest: Vec<_> = reports.iter().filter(|group| group.pattern == REST).collect();
        let mut kinds: Vec<Kind> = rest.iter().map(|group| group.kind).collect();
        kinds.sort();
        assert_eq!(kinds, [Kind::File, Kind::DeletedFile]);
        assert_eq!(reports.len(), PATTERNS_MAX + 2);
        let of = |kind| {
            reports.iter().filter(|group| group.kind == kind).map(|group| group.count).sum::<u32>()
        };
        assert_eq!((of(Kind::File), of(Kind::DeletedFile)), (100, 100));
    }
}
