//! Descriptors that are opened and closed, as a process would: each takes the lowest number that is
//! free.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fdwatch::{Ledger, Series};

/// For how long a descriptor is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) opened_s: f64,
    /// Infinite if it is never closed.
    pub(crate) closed_s: f64,
    /// What it refers to, where that is the same for several.
    pub(crate) file: Option<u64>,
}

impl Life {
    pub(crate) fn kept(opened_s: f64) -> Self {
        Self { opened_s, closed_s: f64::INFINITY, file: None }
    }

    pub(crate) fn held(opened_s: f64, held_s: f64) -> Self {
        Self { opened_s, closed_s: opened_s + held_s, file: None }
    }
}

/// When a watch looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) seconds: f64,
    pub(crate) interval_s: f64,
    pub(crate) warm_up_s: f64,
    /// Ticks that a scan takes: a large table is looked at piece by piece.
    pub(crate) ticks_per_scan: usize,
}

/// What a watch said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// When it was called a leak for the first time, and how many had been leaked by then.
    pub(crate) called_s: Option<f64>,
    pub(crate) opened_when_called: usize,
    /// How often it was called, and how often not any more.
    pub(crate) calls: usize,
    pub(crate) withdrawn: usize,
    pub(crate) is_called_at_end: bool,
    pub(crate) would_be_at_end: bool,
}

pub(crate) struct Process {
    events: Vec<(f64, bool, usize)>,
    lives: Vec<Life>,
    next: usize,
    open: BTreeMap<i32, usize>,
    fd_of: BTreeMap<usize, i32>,
    free: BinaryHeap<Reverse<i32>>,
    top: i32,
    opened: usize,
}

impl Process {
    pub(crate) fn new(lives: Vec<Life>) -> Self {
        let mut events: Vec<(f64, bool, usize)> = Vec::new();
        for (index, life) in lives.iter().enumerate() {
            events.push((life.opened_s, true, index));
            if life.closed_s.is_finite() {
                events.push((life.closed_s, false, index));
            }
        }
        events.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        Self {
            events,
            lives,
            next: 0,
            open: BTreeMap::new(),
            fd_of: BTreeMap::new(),
            free: BinaryHeap::new(),
            top: 3,
            opened: 0,
        }
    }

    pub(crate) fn run_until(&mut self, now_s: f64) {
        while let Some(&(at_s, is_open, life)) = self.events.get(self.next)
            && at_s <= now_s
        {
            self.next += 1;
            if is_open {
                let fd = self.free.pop().map_or_else(
                    || {
                        self.top += 1;
                        self.top - 1
                    },
                    |Reverse(fd)| fd,
                );
                self.open.insert(fd, life);
                self.fd_of.insert(life, fd);
                self.opened += usize::from(at_s > 0.0 && self.lives[life].closed_s.is_infinite());
            } else if let Some(fd) = self.fd_of.remove(&life) {
                self.open.remove(&fd);
                self.free.push(Reverse(fd));
            }
        }
    }

    /// Numbers and what they refer to.
    fn table(&self) -> impl Iterator<Item = (i32, u64, bool)> {
        self.open.iter().map(|(fd, life)| {
            let file = self.lives[*life].file;
            (*fd, file.unwrap_or(1 << 40 | *life as u64), file.is_some())
        })
    }

    /// By what came and went.
    pub(crate) fn watched(mut self, watch: Watch) -> Said {
        let (mut said, mut ledger) = (Said::default(), Ledger::default());
        let (mut was_called, mut scanned, mut ticks_left) = (false, usize::MAX, 0_usize);
        let duration = Duration::from_secs_f64;
        let ticks = (watch.seconds / watch.interval_s) as usize;
        for tick in 0..=ticks {
            let now_s = tick as f64 * watch.interval_s;
            self.run_until(now_s);
            ticks_left = ticks_left.saturating_sub(1);
            if ticks_left == 0 && self.open.len() != scanned {
                scanned = self.open.len();
                ledger.observe(duration(now_s), duration(watch.warm_up_s), self.table());
                ticks_left = watch.ticks_per_scan;
            }
            let is_called = ledger.is_leaking(duration(now_s));
            said.note(is_called, was_called, now_s, self.opened);
            was_called = is_called;
        }
        said.is_called_at_end = was_called;
        said.would_be_at_end = ledger.is_leaking_at_end(duration(watch.seconds));
        said
    }

    /// By the number alone.
    pub(crate) fn counted(mut self, watch: Watch) -> Said {
        let (mut said, mut series, mut was_called) = (Said::default(), Series::default(), false);
        for tick in 0..=(watch.seconds / watch.interval_s) as usize {
            let now_s = tick as f64 * watch.interval_s;
            self.run_until(now_s);
            series.push(Duration::from_secs_f64(now_s), self.open.len() as u32);
            let is_called = series.is_leaking(Duration::from_secs_f64(watch.warm_up_s));
            said.note(is_called, was_called, now_s, self.opened);
            was_called = is_called;
        }
        said.is_called_at_end = was_called;
        said.would_be_at_end = was_called;
        said
    }
}

impl Said {
    /// Within 30 s at one a second or more, within 60 leaked below that.
    pub(crate) fn is_in_time(&self, per_second: f64, is_short: bool) -> bool {
        match self.called_s {
            _ if is_short => self.would_be_at_end,
            Some(called_s) if per_second >= 1.0 => called_s <= 30.0,
            Some(_) => self.opened_when_called <= 60,
            None => false,
        }
    }

    pub(crate) fn note(&mut self, is_called: bool, was_called: bool, now_s: f64, opened: usize) {
        if is_called && !was_called {
            self.calls += 1;
            if self.called_s.is_none() {
                (self.called_s, self.opened_when_called) = (Some(now_s), opened);
            }
        }
        self.withdrawn += usize::from(was_called && !is_called);
    }
}
