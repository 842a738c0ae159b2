//! What a watch has found so far: the one structure that every picture is made from. The command
//! `fdwatch` draws it (terminal, HTML, SVG, JSON, CSV, Prometheus).

use std::time::Duration;

use serde::Serialize;

use crate::{Ceiling, Evidence, Kind, ProcessKey, Trend, Verdict};

/// A watch at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// When the watch began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// How long it has been running.
    pub elapsed: Duration,
    /// Between two counts.
    pub interval: Duration,
    /// What was asked for, for titles: `nginx`, `4711`.
    pub targets: Vec<String>,
    /// The watched processes, those with the worst verdict first; bounded.
    pub processes: Vec<ProcessReport>,
    /// How many more there were than are watched.
    pub processes_left_out: u32,
    /// Names whose processes leak together, though each may be too short-lived to be called a leak
    /// alone.
    pub lineages: Vec<LineageReport>,
    /// Children of the targets that are alive: how their number moves.
    pub children: Children,
    /// The worst of all.
    pub verdict: Verdict,
}

/// The number of processes below the targets.
#[derive(Clone, Debug, Default)]
pub struct Children {
    /// Whether they are known at all: with targets that are pids and without a tree, they are not
    /// looked for.
    pub are_counted: bool,
    /// Now.
    pub count: u32,
    /// Zombies among them.
    pub zombies: u32,
    /// How the number moves: leftover children are a leak of processes.
    pub trend: Trend,
}

/// The processes of one name together.
#[derive(Clone, Debug)]
pub struct LineageReport {
    /// Their comm, as it is: any bytes.
    pub name: Vec<u8>,
    /// How many live.
    pub alive: usize,
    /// How many have ended.
    pub ended: u64,
    /// Descriptors a second, in all of them.
    pub per_second: f64,
    /// What was opened and closed in all of them; what ended with its process is not closed.
    pub evidence: Evidence,
}

/// One watched process.
#[derive(Clone, Debug)]
pub struct ProcessReport {
    /// Which.
    pub key: ProcessKey,
    /// Its comm, as it is: any bytes.
    pub name: Vec<u8>,
    /// It is not there any more; what is said of it is of the time before.
    pub has_ended: bool,
    /// Open descriptors now; `None`: the kernel does not tell us. Never 0 for that.
    pub count: Option<u64>,
    /// The most there ever were.
    pub high_water: u64,
    /// The soft RLIMIT_NOFILE, if it is known and not unlimited.
    pub limit: Option<u64>,
    /// A bound of the kernel that is nearer than the limit; `None` where the limit is the nearest,
    /// or nothing is near.
    pub ceiling: Option<Ceiling>,
    /// The counts over time, oldest first; at most [`crate::SERIES_POINTS_MAX`].
    pub series: Vec<Point>,
    /// By kind, most first, of the newest full scan; empty where none was possible.
    pub kinds: Vec<KindReport>,
    /// By target pattern, newest growth first; bounded.
    pub groups: Vec<GroupReport>,
    /// Of the count.
    pub trend: Trend,
    /// What is to be said of it.
    pub verdict: Verdict,
    /// What was opened and closed; `None` where only the counts are known.
    pub evidence: Option<Evidence>,
    /// Where it is too early to say anything: for how long it will be. `None` also where that
    /// cannot be told.
    pub decided_in: Option<Duration>,
    /// Whether the newest full scan stopped at its bound.
    pub is_scan_cut: bool,
}

impl ProcessReport {
    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        !self.has_ended
    }
}

/// A stretch of time and the counts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The middle of the stretch, in milliseconds since the watch began.
    pub at_ms: u64,
    /// The lowest count in it.
    pub low: u32,
    /// The highest.
    pub high: u32,
}

/// How many there are of one kind.
#[derive(Clone, Debug)]
pub struct KindReport {
    /// Which kind.
    pub kind: Kind,
    /// Now.
    pub count: u32,
    /// Until the series begins, which it does when the number moves for the first time.
    pub before: u32,
    /// Over time, like [`ProcessReport::series`]; empty where nothing has moved.
    pub series: Vec<Point>,
}

/// How many there are of one pattern.
#[derive(Clone, Debug)]
pub struct GroupReport {
    /// What they are.
    pub kind: Kind,
    /// What their targets have in common: `/data/*.pdf`, `tcp close-wait 10.0.0.7:5432`; any
    /// bytes.
    pub pattern: Vec<u8>,
    /// Now.
    pub count: u32,
    /// Now, less the least there were after warm-up.
    pub growth: i64,
    /// When it last grew, in milliseconds since the watch began.
    pub grew_at_ms: u64,
    /// How it moves.
    pub trend: Trend,
    /// What came into the group and what left it; `None` where nothing did.
    pub evidence: Option<Evidence>,
    /// With `--stacks`: the call stacks that opened most of them, and how many each; empty
    /// otherwise.
    pub stacks: Vec<StackCount>,
}

/// A call stack and how many live descriptors it opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackCount {
    /// How many.
    pub count: u32,
    /// `FUNCTION+0x… (OBJECT)`, innermost first.
    pub frames: Vec<String>,
}
