//! The descriptors of one process by pattern and by kind, over time, in bounded memory.
//!
//! A scan fills numbers beside those that are shown, and takes their place when it is complete: it may take several
//! ticks. When there are too many patterns they get coarser once and for all; what then still does not fit goes
//! to one group for the rest.

use std::time::Duration;

use crate::group::{coarse, pattern, without_deleted};
use crate::{GroupReport, Kind, KindReport, Series, Socket, Trend};

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

/// A bound on the series of kinds and groups, of all processes together.
#[derive(Debug)]
pub(crate) struct SeriesPermits {
    pub(crate) left: usize,
}

/// A number and how it moves. Without a series as long as it stands still, which most do for ever.
#[derive(Debug, Default)]
struct Tally {
    count: u32,
    /// Of the scan that is under way.
    scanned: u32,
    /// The least after warm-up; until then, the newest.
    lowest: u32,
    /// When the series began; it holds from then on.
    before: u32,
    grew_at_ms: u64,
    series: Option<Box<Series>>,
}

#[derive(Debug)]
struct Group {
    /// The kind, then the pattern.
    key: Box<[u8]>,
    /// As long as all have had the same.
    target: Option<Box<[u8]>>,
    kind: Kind,
    tally: Tally,
}

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
    /// Permits of series that are no more, to be given back.
    series_unused: usize,
}

/// When a scan was complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Duration,
    pub(crate) warm_up: Duration,
}

impl Groups {
    /// Adds what a scan has seen; for sockets once it is known what they are.
    pub(crate) fn add(&mut self, kind: Kind, target: &[u8], socket: Option<&Socket>) {
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
        let target = Some(target).filter(|target| !target.is_empty() && target.len() <= TARGET_BYTES_MAX);
        if self.are_coarse {
            pattern = coarse(&pattern);
        }
        let index = self.find_or_insert(kind, pattern, target);
        let group = &mut self.groups[index];
        group.tally.scanned = group.tally.scanned.saturating_add(1);
        if group.target.is_some() && group.target.as_deref() != target {
            group.target = None;
        }
    }

    fn find_or_insert(&mut self, kind: Kind, pattern: Vec<u8>, target: Option<&[u8]>) -> usize {
        let key = key_of(kind, &pattern);
        let place = match self.place_of(&key) {
            Ok(index) => return index,
            Err(place) => place,
        };
        if self.groups.len() >= FINE_MAX && !self.are_coarse {
            self.make_coarse();
            return self.find_or_insert(kind, coarse(&pattern), target);
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
        let group = Group { key: key.into(), target: target.map(Into::into), kind, tally: Tally::default() };
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
        let series_unused = &mut self.series_unused;
        self.groups.retain_mut(|group| {
            let is_empty = group.tally.count == 0 && group.tally.scanned == 0;
            *series_unused += usize::from(is_empty && group.tally.series.take().is_some());
            !is_empty
        });
        self.groups.len() < before
    }

    /// Merges groups whose coarse patterns are the same; what they were before is added up.
    fn make_coarse(&mut self) {
        self.are_coarse = true;
        for group in std::mem::take(&mut self.groups) {
            let key = key_of(group.kind, &coarse(&group.key[1..]));
            match self.place_of(&key) {
                Ok(index) => self.series_unused += self.groups[index].merge(group),
                Err(place) => self.groups.insert(place, Group { key: key.into(), ..group }),
            }
        }
    }

    /// A scan was complete: its numbers are those that count now.
    pub(crate) fn finish_scan(&mut self, moment: Moment, permits: &mut SeriesPermits) {
        permits.left += std::mem::take(&mut self.series_unused);
        let is_first = !std::mem::replace(&mut self.has_scan, true);
        for tally in self.tallies() {
            tally.finish_scan(is_first, moment, permits);
        }
        self.groups.shrink_to_fit();
        self.kinds.shrink_to_fit();
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
    pub(crate) fn end(&mut self, permits: &mut SeriesPermits) {
        permits.left += std::mem::take(&mut self.series_unused);
        permits.left += self.tallies().filter_map(|tally| tally.series.take()).count();
    }

    fn tallies(&mut self) -> impl Iterator<Item = &mut Tally> {
        let groups = self.groups.iter_mut().map(|group| &mut group.tally);
        groups.chain(self.kinds.iter_mut().map(|(_, tally)| tally))
    }

    /// Most first.
    pub(crate) fn kind_reports(&self, has_series: bool) -> Vec<KindReport> {
        let shown = self.kinds.iter().filter(|(_, tally)| tally.count > 0 || tally.series.is_some());
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
        reports.sort_by_key(|kind| (std::cmp::Reverse(kind.count), kind.kind));
        reports
    }

    /// Newest growth first, then most.
    pub(crate) fn group_reports(&self, warm_up: Duration, groups_max: usize) -> Vec<GroupReport> {
        let mut shown: Vec<&Group> = self.groups.iter().filter(|group| group.tally.count > 0).collect();
        let rank =
            |group: &Group| (std::cmp::Reverse(group.tally.grew_at_ms), std::cmp::Reverse(group.tally.count));
        shown.sort_by_key(|group| rank(group));
        shown.iter().take(groups_max).map(|group| group.report(warm_up)).collect()
    }
}

impl Tally {
    fn finish_scan(&mut self, is_first: bool, moment: Moment, permits: &mut SeriesPermits) {
        let (before, now) = (self.count, std::mem::take(&mut self.scanned));
        self.count = now;
        self.lowest = if is_first { now } else { self.lowest.min(now) };
        if is_first || before == now {
            return;
        }
        if now > before {
            self.grew_at_ms = u64::try_from(moment.at.as_millis()).unwrap_or(u64::MAX);
        }
        if self.series.is_none() && permits.left > 0 {
            permits.left -= 1;
            self.before = before;
            self.series = Some(Box::default());
        }
    }
}

impl Group {
    fn is_rest(&self) -> bool {
        &self.key[1..] == REST
    }

    /// How many series are no more: what they tell is not of the merged group.
    fn merge(&mut self, other: Self) -> usize {
        let (tally, more) = (&mut self.tally, other.tally);
        tally.count = tally.count.saturating_add(more.count);
        tally.scanned = tally.scanned.saturating_add(more.scanned);
        tally.lowest = tally.lowest.saturating_add(more.lowest);
        tally.grew_at_ms = tally.grew_at_ms.max(more.grew_at_ms);
        self.target = None;
        usize::from(tally.series.take().is_some()) + usize::from(more.series.is_some())
    }

    fn report(&self, warm_up: Duration) -> GroupReport {
        let tally = &self.tally;
        GroupReport {
            kind: self.kind,
            pattern: self.target.as_deref().unwrap_or(&self.key[1..]).to_vec(),
            count: tally.count,
            growth: i64::from(tally.count) - i64::from(tally.lowest),
            grew_at_ms: tally.grew_at_ms,
            trend: tally.series.as_ref().map_or_else(Trend::default, |series| series.trend(warm_up)),
            stacks: Vec::new(),
        }
    }
}

fn key_of(kind: Kind, pattern: &[u8]) -> Vec<u8> {
    [&[kind as u8], pattern].concat()
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
        groups.finish_scan(moment, &mut SeriesPermits { left: 0 });
        let reports = groups.group_reports(Duration::ZERO, usize::MAX);
        let rest: Vec<_> = reports.iter().filter(|group| group.pattern == REST).collect();
        let mut kinds: Vec<Kind> = rest.iter().map(|group| group.kind).collect();
        kinds.sort();
        assert_eq!(kinds, [Kind::File, Kind::DeletedFile]);
        assert_eq!(reports.len(), PATTERNS_MAX + 2);
        let of =
            |kind| reports.iter().filter(|group| group.kind == kind).map(|group| group.count).sum::<u32>();
        assert_eq!((of(Kind::File), of(Kind::DeletedFile)), (100, 100));
    }
}
