//! One crowd and good clients beside it: what each of them measured, and what the server used, as
//! seen from outside.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Pid;

use super::asking;
use super::cell::within;
use super::client::{Address, Healthy, Timings};
use super::crowd::{self, Tally};
use super::kinds::{Crowd, Judged};
use super::stock::Stock;
use super::{HEALTHY, KEPT_BYTES, mib};
use crate::faults::shipped::{Desk, args, violation};
use crate::stage::Mode;

const CALM: Duration = Duration::from_secs(1);
/// By then each good client has connected.
const CONNECTED: Duration = Duration::from_millis(300);
/// So long after a crowd, the server has given back what it took for that crowd.
const AFTER: Duration = Duration::from_secs(3);

/// The columns of [`Row::line`].
pub(super) const HEADINGS: &str = "crowd | clients | completed | refused | broken off | peak MiB \
                                   of plan MiB | good: requests, median, p99, worst (figure) | \
                                   asking: the same | good refused";

/// What came of one crowd.
pub(super) struct Row {
    name: &'static str,
    judged: Judged,
    tally: Tally,
    /// When the crowd was started.
    begun: Instant,
    /// The measurements of the clients that put, get and ask about small objects.
    good: Timings,
    /// The measurements of the client whose requests and answers are documents.
    asking: Timings,
    plan_bytes: u64,
    /// The most memory of the process, before the crowd and with it.
    calm_peak_bytes: u64,
    peak_bytes: u64,
    group_peak_bytes: Option<u64>,
    own_peak_bytes: u64,
    /// The memory of the process itself, before the crowd and after it.
    before_bytes: u64,
    after_bytes: u64,
    descriptors: u64,
}

/// Runs the crowd against a server of its own.
pub(super) fn measure(desk: &Desk<'_>, crowd: &Crowd, mode: Mode, stock: &Stock) -> Result<Row> {
    let scripts = crowd.scripts(mode, stock)?;
    within(desk, crowd.limits, args![], |cell| {
        good_beside(&cell.address, || {
            sleep(CALM);
            Ok(())
        })?;
        let calm_peak_bytes = peak_bytes(cell.pid)?;
        let before_bytes = cell.group.own_bytes().unwrap_or(0);
        reset_peak(cell.pid)?;
        let (stays, patience) = crowd.times(mode);
        let drive = || {
            // The good clients have connected before the crowd, and keep their connections.
            sleep(CONNECTED);
            crowd::drive(&cell.address, scripts, stays, patience)
        };
        let begun = Instant::now();
        let (tally, [good, asking]) = good_beside(&cell.address, drive)?;
        // The crowd has gone. Requests also free memory that is freed late.
        let peak_bytes = peak_bytes(cell.pid)?;
        sleep(AFTER);
        Ok(Row {
            name: crowd.name,
            judged: crowd.judged,
            tally,
            begun,
            good,
            asking,
            calm_peak_bytes,
            before_bytes,
            peak_bytes,
            after_bytes: cell.group.own_bytes().unwrap_or(0),
            plan_bytes: cell.plan_bytes,
            group_peak_bytes: cell.group.peak_bytes(),
            own_peak_bytes: cell.own_peak(),
            descriptors: cell.descriptors_peak(),
        })
    })
}

/// Runs good clients for as long as `work` takes: clients that put and get, and one that asks.
fn good_beside<T>(
    address: &Address,
    other: impl FnOnce() -> Result<T>,
) -> Result<(T, [Timings; 2])> {
    let is_over = &AtomicBool::new(false);
    scope(|scope| {
        let asking = scope.spawn(|| asking::work_until(address, is_over));
        let clients: Vec<_> = (0..HEALTHY)
            .map(|index| scope.spawn(move || Healthy::new(address, index).work_until(is_over)))
            .collect();
        let other = other();
        is_over.store(true, Ordering::Relaxed);
        let mut all = Timings::default();
        let joined = "a thread of ours does not panic";
        let asking = asking.join().expect(joined);
        for client in clients {
            all.add(client.join().expect(joined)?);
        }
        Ok((other?, [all, asking?]))
    })
}

/// The most memory that the process has had since the mark was reset.
fn peak_bytes(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    // If the server is gone, how it ended tells more than this error.
    let status = std::fs::read_to_string(path).map_err(|_| violation("the server has ended"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.context("the peak of the server's memory")? << 10)
}

fn reset_peak(pid: Pid) -> Result<()> {
    let path = format!("/proc/{}/clear_refs", pid.as_raw_nonzero());
    std::fs::write(path, "5").context("reset the peak of the server's memory")
}

impl Row {
    pub(super) fn line(&self) -> String {
        format!(
            "{} | {} | {} | {} | {} | {:.0} of {:.0} | {} ({} s) | {} | {}",
            self.name,
            self.tally.clients,
            self.tally.completed,
            self.tally.refusals(),
            self.tally.broken,
            mib(self.peak_bytes),
            mib(self.plan_bytes),
            in_short(&self.good),
            self.judged.wait.as_secs_f64(),
            in_short(&self.asking),
            self.good.refused + self.asking.refused,
        )
    }

    /// What the table has no column for.
    pub(super) fn note(&self) -> String {
        format!(
            "{}: {}; memory of the server: {:.0} MiB in calm, {:.0} MiB with the crowd; of its \
             own {:.0} MiB before, at most {:.0}, {:.0} after; control group at most {} MiB with \
             page cache; {} descriptors; {} reconnected; good: {}; asking: {}",
            self.name,
            self.tally,
            mib(self.calm_peak_bytes),
            mib(self.peak_bytes),
            mib(self.before_bytes),
            mib(self.own_peak_bytes),
            mib(self.after_bytes),
            self.group_peak_bytes
                .map_or_else(|| "?".to_owned(), |bytes| format!("{:.0}", mib(bytes))),
            self.descriptors,
            self.good.reopened + self.asking.reopened,
            self.good.longest(self.begun),
            self.asking.longest(self.begun),
        )
    }

    /// The conditions that must hold and do not.
    pub(super) fn faults(&self, mode: Mode) -> Vec<String> {
        let (judged, tally) = (&self.judged, &self.tally);
        let mut faults = Vec::new();
        let mut must = |holds: bool, fault: String| {
            if !holds {
                faults.push(format!("{}: {fault}", self.name));
            }
        };
        for (who, timings, wait_max) in [
            ("a good client", &self.good, judged.wait_max(mode)),
            ("one that asks", &self.asking, judged.asking_wait_max(mode)),
        ] {
            let wait_max = wait_max.as_secs_f64();
            let [_, _, worst] = timings.median_late_worst();
            must(timings.count() > 0, format!("{who} made no request"));
            must(timings.refused == 0, format!("{who} was refused, {} times", timings.refused));
            must(
                timings.count() == 0 || worst <= wait_max,
                format!("{who} waited {worst:.2} s, at most {wait_max} s are right"),
            );
        }
        must(
            !judged.is_peak_judged || self.peak_bytes <= self.plan_bytes,
            format!(
                "{:.0} MiB were taken, {:.0} are planned",
                mib(self.peak_bytes),
                mib(self.plan_bytes)
            ),
        );
        must(
            self.after_bytes <= self.before_bytes + KEPT_BYTES,
            format!(
                "{:.0} MiB before, {:.0} MiB after",
                mib(self.before_bytes),
                mib(self.after_bytes)
            ),
        );
        must(tally.wrong == 0, format!("{} wrong answers", tally.wrong));
        must(
            tally.unanswered == 0,
            format!("{} of {} clients did not get what is owed", tally.unanswered, tally.owed),
        );
        must(
            tally.turned_away == 0,
            format!("clients to whom a place is owed were turned away {} times", tally.turned_away),
        );
        let share = 100.0 * tally.least_share.unwrap_or(1.0);
        must(
            tally.starved == 0,
            format!("{} clients starved; one got {share:.0}% of its pace", tally.starved),
        );
        faults
    }
}

fn in_short(timings: &Timings) -> String {
    let [median, late, worst] = timings.median_late_worst();
    let count = timings.count();
    format!("{count}, {:.1} ms, {:.0} ms, {worst:.2} s", 1e3 * median, 1e3 * late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::serving::kinds;

    /// A row in which everything is right.
    fn row() -> Row {
        let good = || Timings::of(vec![0.1, 0.2]);
        Row {
            name: "test",
            judged: kinds::all()[0].judged,
            tally: Tally { clients: 2, content: 2, owed: 2, ..Tally::default() },
            begun: Instant::now(),
            good: good(),
            asking: good(),
            plan_bytes: 256 << 20,
            calm_peak_bytes: 1 << 20,
            peak_bytes: 256 << 20,
            group_peak_bytes: None,
            own_peak_bytes: 0,
            before_bytes: 1 << 20,
            after_bytes: (1 << 20) + KEPT_BYTES,
            descriptors: 1,
        }
    }

    #[track_caller]
    fn check(spoil: fn(&mut Row), expected: &str) {
        let mut row = row();
        assert_eq!(row.faults(Mode::Quick), [""; 0]);
        spoil(&mut row);
        let faults = row.faults(Mode::Quick);
        assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?}");
    }

    #[test]
    fn each_promise_that_is_not_kept_is_a_fault() {
        check(|row| row.good = Timings::default(), "good client made no request");
        check(|row| row.asking = Timings::default(), "asks made no request");
        check(|row| row.good.refused = 1, "good client was refused, 1");
        check(|row| row.asking.refused = 1, "asks was refused, 1");
        check(|row| row.good = Timings::of(vec![0.1, 2.1]), "good client waited 2.10 s");
        check(|row| row.asking = Timings::of(vec![0.1, 10.1]), "asks waited 10.10 s");
        check(|row| row.peak_bytes += 1, "are planned");
        check(|row| row.after_bytes += 1, "after");
        check(|row| row.tally.wrong = 1, "wrong answers");
        check(|row| row.tally.unanswered = 1, "1 of 2 clients");
        check(|row| row.tally.turned_away = 1, "turned away 1 times");
        check(
            |row| (row.tally.starved, row.tally.least_share) = (1, Some(0.2)),
            "got 20% of its pace",
        );
    }

    #[test]
    fn the_peak_of_a_process_is_read_and_reset() {
        let own = rustix::process::getpid();
        let large = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(peak_bytes(own).expect("a peak") >= large.len() as u64);
        drop(large);
        reset_peak(own).expect("reset");
        assert!(peak_bytes(own).expect("a peak") < 64 << 20);
    }
}
