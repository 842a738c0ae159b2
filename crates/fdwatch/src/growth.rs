//! Whether what is opened stays: judged by what came and what went, not by a number alone.
//!
//! A process that uses descriptors closes what it opens, or stops opening. A leak goes on opening,
//! and what it opened stays. So for a row of ages ([`AGES_MS`]) it is counted how many descriptors
//! *came to* that age, and how many older ones were closed. In a process that does not leak the two
//! are equal in the long run, under any load and however long each is held; a busy pool whose
//! descriptors live for a second does not reach the age of three at all, and so cannot hide the
//! ones that stay.
//!
//! A leak is called at an age when, since the warm-up (or since its onset, where it began later):
//! - **it grows**: at least so many more came than went, more than chance explains if the two are
//!   as likely as each other ([`SIGMAS_MIN`]), and also if each stretch of time is taken for one
//!   event, as bursts are;
//! - **it does not come back**: the growth is twice the deepest fall that was ever seen at this
//!   age;
//! - **it goes on**: no long gap, the newest gain is new, and the second half brings as much as the
//!   first but for chance. A pool that fills and a cache that warms up fail here.
//!
//! **Once called, it stays called** until most of it is closed again, or until nothing has stayed
//! for a third of the time that it grew (and for fifteen times its mean gap). Then all evidence
//! must be gathered anew. So there is no flip-flop.
//!
//! **What cannot be told apart**: a leak, and what rises evenly for as long as it was watched and
//! would have come back later: a collected runtime before its first collection, a cache that fills
//! at an even rate. Files with names of their own that are opened once each, as caches, databases
//! and class loaders do, must go on for longer.
//!
//! Pure: the time comes in with each call, in milliseconds since the watch began. Constant size.

use std::time::Duration;

use serde::Serialize;

use crate::rings::{Ring, WINDOWS};

/// The ages at which descriptors are counted.
pub(crate) const AGES_MS: [u64; AGES] = [0, 1_000, 3_000, 9_000, 27_000, 81_000, 243_000, 729_000];
pub(crate) const AGES: usize = 8;

/// Growth by so many standard deviations of what came and went, where something went.
const SIGMAS_MIN: f64 = 4.0;
/// The same where each window of time counts as one.
const WINDOW_SIGMAS_MIN: f64 = 2.2;
const WINDOW_SIGMAS_NOISY_MIN: f64 = 3.0;
/// So many windows have grown.
const GROWN_WINDOWS_MIN: usize = 5;
const FALL_FACTOR: i64 = 2;
/// The longest time without growth, and the time since the last, as shares of the whole.
const GAP_SHARE_MAX: f64 = 0.45;
const LAST_GAP_SHARE_MAX: f64 = 0.2;
/// By so many standard deviations the second half may bring less than the first.
const SLOWDOWN_SIGMAS_MAX: f64 = 1.5;
/// The same of files that are opened once each, which caches that warm up slowly also do.
const LONE_SLOWDOWN_SIGMAS_MAX: f64 = 0.7;
/// A leak whose rest is less than this share of what it was has been closed.
const REST_SHARE_MIN: f64 = 0.2;
/// Without a gain for so many mean gaps, or this share of the time it grew, it has stopped.
const STOPPED_GAPS: u64 = 15;
const STOPPED_SHARE: u64 = 3;
const STOPPED_MS_MIN: u64 = 30_000;
/// After so long, a leak whose newer half brought nothing has stopped, even if other descriptors
/// came and went.
const LONG_MS: u64 = 600_000;

/// What came and went between two looks, by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Came to the age.
    pub(crate) gained: [u32; AGES],
    /// Were older, and were closed.
    pub(crate) lost: [u32; AGES],
}

/// One came to an age: when, which is seen only at the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// Of [`AGES_MS`].
    pub(crate) age: usize,
    pub(crate) at_ms: u64,
}

/// What is known of the descriptors that are judged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances {
    /// Most are files with names of their own, opened once each.
    pub(crate) are_lone_files: bool,
    /// The process has ended: there will be no more evidence.
    pub(crate) has_ended: bool,
}

/// The evidence in numbers: what was opened and closed since the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Descriptors that were seen to be opened.
    pub opened: u64,
    /// Descriptors that were seen to be closed, also of those that were open before.
    pub closed: u64,
    /// For how long it was looked at.
    pub over: Duration,
}

/// What came and what went at each age, over time.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    ages: [OfAge; AGES],
    opened: u64,
    closed: u64,
    warm_ms: u64,
    called: Option<Called>,
}

#[derive(Clone, Debug)]
struct OfAge {
    /// All after the warm-up.
    whole: Ring,
    /// Since the newest onset: the newest low, or the newest gain after a long pause.
    recent: Ring,
    /// Less what went, since the first look.
    net: i64,
    peak: i64,
    deepest_fall: i64,
    last_gain_ms: u64,
}

/// A leak, since it was called.
#[derive(Clone, Copy, Debug)]
struct Called {
    age: usize,
    is_recent: bool,
    since_ms: u64,
    most: i64,
}

impl Flow {
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.gained.iter_mut().zip(other.gained) {
            *sum += more;
        }
        for (sum, more) in self.lost.iter_mut().zip(other.lost) {
            *sum += more;
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Growth {
    /// For descriptors first looked at `began_ms` after the watch began; what comes before
    /// `warm_ms` is no growth.
    pub(crate) fn new(began_ms: u64, warm_ms: u64) -> Self {
        let of_age = |age_ms: u64| {
            let began_ms = warm_ms.max(began_ms).saturating_add(age_ms);
            let (whole, recent) = (Ring::new(began_ms), Ring::new(began_ms));
            OfAge { whole, recent, net: 0, peak: 0, deepest_fall: 0, last_gain_ms: 0 }
        };
        let warm_ms = warm_ms.max(began_ms);
        Self { ages: AGES_MS.map(of_age), opened: 0, closed: 0, warm_ms, called: None }
    }

    /// To be told before what went.
    pub(crate) fn came(&mut self, came: Came) {
        self.ages[came.age].add(came.at_ms, 1, 0);
    }

    pub(crate) fn add(&mut self, at_ms: u64, flow: &Flow) {
        if at_ms > self.warm_ms {
            self.opened = self.opened.saturating_add(flow.gained[0].into());
            self.closed = self.closed.saturating_add(flow.lost[0].into());
        }
        for (age, (&gained, &lost)) in self.ages.iter_mut().zip(flow.gained.iter().zip(&flow.lost))
        {
            if gained > 0 || lost > 0 {
                age.add(at_ms, gained, lost);
            }
        }
    }

    /// Whether it is a leak by now. To be asked at every tick.
    pub(crate) fn judge(&mut self, at_ms: u64, circumstances: Circumstances) {
        match &mut self.called {
            Some(called) => {
                let age = &mut self.ages[called.age];
                called.most = called.most.max(age.ring(called.is_recent).net());
                if age.is_over(*called, at_ms) {
                    self.called = None;
                    self.ages.iter_mut().for_each(|age| age.start_anew(at_ms));
                }
            }
            None => self.called = self.find(at_ms, circumstances),
        }
    }

    /// What would be called if this were the end.
    pub(crate) fn at_end(&self, at_ms: u64, circumstances: Circumstances) -> bool {
        self.called.is_some() || self.find(at_ms, circumstances).is_some()
    }

    pub(crate) fn is_leak(&self) -> bool {
        self.called.is_some()
    }

    /// By how many a second it grows: of a leak; else, of all since the warm-up.
    pub(crate) fn per_second(&self, at_ms: u64) -> f64 {
        let (age, is_recent) =
            self.called.map_or((0, false), |called| (called.age, called.is_recent));
        let ring = self.ages[age].ring(is_recent);
        let over_ms = at_ms.saturating_sub(ring.began_ms());
        if over_ms == 0 { 0.0 } else { ring.net() as f64 * 1_000.0 / over_ms as f64 }
    }

    pub(crate) fn evidence(&self, at_ms: u64) -> Evidence {
        let over = Duration::from_millis(at_ms.saturating_sub(self.warm_ms));
        Evidence { opened: self.opened, closed: self.closed, over }
    }

    fn find(&self, at_ms: u64, circumstances: Circumstances) -> Option<Called> {
        for (index, age) in self.ages.iter().enumerate() {
            for is_recent in [false, true] {
                let ring = age.ring(is_recent);
                if age.is_growing(ring, at_ms, (AGES_MS[index], is_recent), circumstances) {
                    return Some(Called {
                        age: index,
                        is_recent,
                        since_ms: at_ms,
                        most: ring.net(),
                    });
                }
            }
        }
        None
    }
}

impl OfAge {
    fn ring(&self, is_recent: bool) -> &Ring {
        if is_recent { &self.recent } else { &self.whole }
    }

    fn add(&mut self, at_ms: u64, gained: u32, lost: u32) {
        if gained > 0 {
            let (last, began) =
                (self.last_gain_ms.max(self.recent.began_ms()), self.recent.began_ms());
            let pause_ms = at_ms.saturating_sub(last);
            if pause_ms > STOPPED_MS_MIN.max((last - began) / 2) {
                self.recent = Ring::new(at_ms);
            }
            self.last_gain_ms = self.last_gain_ms.max(at_ms);
        }
        self.net += i64::from(gained) - i64::from(lost);
        self.peak = self.peak.max(self.net);
        self.deepest_fall = self.deepest_fall.max(self.peak - self.net);
        self.whole.add(at_ms, gained, lost);
        self.recent.add(at_ms, gained, lost);
        if self.recent.net() < 0 {
            self.recent = Ring::new(at_ms);
        }
    }

    fn start_anew(&mut self, at_ms: u64) {
        let began_ms = at_ms.max(self.whole.began_ms());
        (self.whole, self.recent) = (Ring::new(began_ms), Ring::new(began_ms));
    }

    /// `looked_at`: the age, and whether since the newest onset only.
    fn is_growing(
        &self,
        ring: &Ring,
        at_ms: u64,
        looked_at: (u64, bool),
        of: Circumstances,
    ) -> bool {
        let over_ms = at_ms.saturating_sub(ring.began_ms());
        let net = ring.net();
        let Some(least) = least_growth(over_ms, looked_at, of) else { return false };
        if (net as f64) < least || net < FALL_FACTOR * self.deepest_fall {
            return false;
        }
        let (nets, came, went) = ring.windows(at_ms);
        let is_clean = went * 20 <= came;
        let net = net as f64;
        if !is_clean && net < SIGMAS_MIN * ((came + went) as f64).sqrt() {
            return false;
        }
        let nets = &nets[..ring.used(at_ms)];
        let squares: f64 = nets.iter().map(|net| net * net).sum();
        let sigmas = if is_clean { WINDOW_SIGMAS_MIN } else { WINDOW_SIGMAS_NOISY_MIN };
        let slowdown_max = match of.are_lone_files {
            true => LONE_SLOWDOWN_SIGMAS_MAX,
            false => slowdown_sigmas_max(over_ms + looked_at.0, of.has_ended),
        };
        net >= sigmas * squares.sqrt() && goes_on(nets, net, slowdown_max)
    }

    fn is_over(&self, called: Called, at_ms: u64) -> bool {
        let ring = self.ring(called.is_recent);
        let rest = ring.net() as f64;
        if rest < REST_SHARE_MIN * called.most as f64 {
            return true;
        }
        let grew_ms = self.last_gain_ms.saturating_sub(ring.began_ms());
        let mean_gap_ms = grew_ms / ring.gained().max(1);
        let patience_ms =
            STOPPED_MS_MIN.max(grew_ms / STOPPED_SHARE).max(STOPPED_GAPS * mean_gap_ms);
        if at_ms.saturating_sub(self.last_gain_ms) > patience_ms {
            return true;
        }
        at_ms.saturating_sub(called.since_ms) > LONG_MS && {
            let (nets, _, _) = ring.windows(at_ms);
            let used = ring.used(at_ms);
            nets[used / 2..used].iter().sum::<f64>() <= 0.0
        }
    }
}

/// How much growth is asked for after so long; `None`: it is too early.
fn least_growth(over_ms: u64, (age_ms, is_recent): (u64, bool), of: Circumstances) -> Option<f64> {
    let seconds = over_ms as f64 / 1_000.0;
    let line = |from: (f64, f64), to: (f64, f64)| {
        from.1 + (to.1 - from.1) * ((seconds - from.0) / (to.0 - from.0)).clamp(0.0, 1.0)
    };
    let (least_s, least) = match of {
        Circumstances { are_lone_files: true, .. } => (85.0, 55.0),
        Circumstances { has_ended: true, .. } => (2.5, line((10.0, 14.0), (60.0, 36.0))),
        _ if is_recent => (25.0, 40.0),
        // To come to an age takes as long, so that more than this was seen of them.
        _ if seconds < 25.0 => {
            ((15.0 - age_ms as f64 / 1_000.0).max(10.0), line((10.0, 9.5), (25.0, 14.0)))
        }
        _ => (15.0, line((25.0, 14.0), (60.0, 36.0))),
    };
    (seconds >= least_s).then_some(least)
}

/// A young watch is strict: a cache that warms up has not slowed down by much yet.
fn slowdown_sigmas_max(over_ms: u64, has_ended: bool) -> f64 {
    const STRICT_MS: (f64, f64) = (15_000.0, 24_000.0);
    if has_ended {
        return SLOWDOWN_SIGMAS_MAX;
    }
    let age = ((over_ms as f64 - STRICT_MS.0) / (STRICT_MS.1 - STRICT_MS.0)).clamp(0.0, 1.0);
    LONE_SLOWDOWN_SIGMAS_MAX + age * (SLOWDOWN_SIGMAS_MAX - LONE_SLOWDOWN_SIGMAS_MAX)
}

/// Whether growth went on all the time, until now, and does not slow down.
fn goes_on(nets: &[f64], net: f64, sigmas_max: f64) -> bool {
    let n = nets.len() as f64;
    let grown = nets.iter().filter(|net| **net > 0.0).count();
    let gaps = nets.split(|net| *net > 0.0);
    let longest = gaps.map(<[f64]>::len).max().unwrap_or(0) as f64;
    let last = nets.iter().rev().take_while(|net| **net <= 0.0).count() as f64;
    if grown < GROWN_WINDOWS_MIN
        || longest > GAP_SHARE_MAX * n
        || last > (LAST_GAP_SHARE_MAX * n).max(1.0)
    {
        return false;
    }
    let middle = nets.len() / 2;
    let halves = [&nets[..middle], &nets[nets.len() - middle..]];
    let [first, second] = halves.map(|half| half.iter().sum::<f64>());
    // Batches make the halves differ by more than single descriptors do.
    let spread_of = |half: &[f64], sum: f64| {
        half.iter().map(|net| (net - sum / middle as f64).powi(2)).sum::<f64>()
    };
    let spread = spread_of(halves[0], first) + spread_of(halves[1], second);
    first - second <= sigmas_max * spread.max(net).sqrt()
}

const _: () =
    assert!(GROWN_WINDOWS_MIN < WINDOWS / 2, "a full ring has enough windows after a merge");
