//! One group, and the number behind a group or a kind.

use crate::growth::{Circumstances, Growth, milliseconds};
use crate::ledger::Permits;
use crate::{GroupReport, Kind, Series, Trend};

use super::{Moment, REST};

/// A number and how it moves. Without a series as long as it stands still, which most do for ever.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) count: u32,
    /// Of the scan that is under way.
    pub(super) scanned: u32,
    /// The least after warm-up; until then, the newest.
    pub(super) lowest: u32,
    /// When the series began; it holds from then on.
    pub(super) before: u32,
    pub(super) grew_at_ms: u64,
    pub(super) series: Option<Box<Series>>,
}

#[derive(Debug)]
pub(super) struct Group {
    /// The kind, then the pattern.
    pub(super) key: Box<[u8]>,
    /// As long as all have had the same.
    pub(super) target: Option<Box<[u8]>>,
    pub(super) kind: Kind,
    /// As long as it is there; [`REST_ID`] of the one for the rest.
    pub(super) id: u8,
    pub(super) tally: Tally,
    /// What came into it and what left it; from the first that did.
    pub(super) growth: Option<Box<Growth>>,
}

impl Tally {
    pub(super) fn finish_scan(&mut self, is_first: bool, moment: Moment, permits: &mut Permits) {
        let (before, now) = (self.count, std::mem::take(&mut self.scanned));
        self.count = now;
        self.lowest = if is_first { now } else { self.lowest.min(now) };
        if is_first || before == now {
            return;
        }
        if now > before {
            self.grew_at_ms = u64::try_from(moment.at.as_millis()).unwrap_or(u64::MAX);
        }
        if self.series.is_none() && permits.series > 0 {
            permits.series -= 1;
            self.before = before;
            self.series = Some(Box::default());
        }
    }
}

impl Group {
    pub(super) fn is_rest(&self) -> bool {
        &self.key[1..] == REST
    }

    /// How many series are no more: what they tell is not of the merged group.
    pub(super) fn merge(&mut self, other: Self) -> usize {
        let (tally, more) = (&mut self.tally, other.tally);
        tally.count = tally.count.saturating_add(more.count);
        tally.scanned = tally.scanned.saturating_add(more.scanned);
        tally.lowest = tally.lowest.saturating_add(more.lowest);
        tally.grew_at_ms = tally.grew_at_ms.max(more.grew_at_ms);
        self.target = None;
        usize::from(tally.series.take().is_some()) + usize::from(more.series.is_some())
    }

    pub(super) fn circumstances(&self, are_lone_files: bool, has_ended: bool) -> Circumstances {
        Circumstances { are_lone_files: are_lone_files && self.kind == Kind::File, has_ended }
    }

    pub(super) fn report(&self, moment: Moment) -> GroupReport {
        let (tally, at_ms) = (&self.tally, milliseconds(moment.at));
        let series = tally.series.as_ref().filter(|series| series.is_warm(moment.warm_up));
        let (growth, is_leak) =
            (self.growth.as_ref(), self.growth.as_ref().is_some_and(|growth| growth.is_leak()));
        let per_second = match series {
            Some(series) if !is_leak => series.trend(moment.warm_up).per_second,
            _ => growth.map_or(0.0, |growth| growth.per_second(at_ms)),
        };
        let trend = Trend { per_second, is_leak };
        GroupReport {
            kind: self.kind,
            pattern: self.target.as_deref().unwrap_or(&self.key[1..]).to_vec(),
            count: tally.count,
            growth: i64::from(tally.count) - i64::from(tally.lowest),
            grew_at_ms: tally.grew_at_ms,
            trend,
            evidence: self.growth.as_ref().map(|growth| growth.evidence(at_ms)),
            stacks: Vec::new(),
        }
    }
}

pub(super) fn key_of(kind: Kind, pattern: &[u8]) -> Vec<u8> {
    [&[kind as u8], pattern].concat()
}
