//! What was measured, and the table and the JSON of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::contestant::{Contestant, Kind};
use super::usage::Usage;
use crate::median;

/// How much memory the server may use during all of this.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;

/// What is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Measure {
    PlainPut,
    PlainGet,
    SignedPut,
    ClientsPut,
    ClientsGet,
    SmallPut,
    SmallGet,
}

/// The result that drystone should reach.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    OfNginx(f64),
    Rate(f64),
}

impl Measure {
    const ALL: [Self; 7] = [
        Self::PlainPut,
        Self::PlainGet,
        Self::SignedPut,
        Self::ClientsPut,
        Self::ClientsGet,
        Self::SmallPut,
        Self::SmallGet,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::PlainPut => "upload, plain PUT",
            Self::PlainGet => "download",
            Self::SignedPut => "upload, S3 PUT signed with its SHA-256 (nginx: plain PUT)",
            Self::ClientsPut => "upload, 16 clients at once, each a sixteenth",
            Self::ClientsGet => "download, 16 clients at once, each a sixteenth",
            Self::SmallPut => "puts of 4 KiB, 16 clients (durable with --sync commit only)",
            Self::SmallGet => "gets of 4 KiB, 16 clients",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        if matches!(self, Self::SmallPut | Self::SmallGet) { "a second" } else { "MB/s" }
    }

    fn goal(self, kind: Kind) -> Option<Goal> {
        let Kind::Drystone { sync } = kind else { return None };
        match self {
            Self::PlainPut | Self::ClientsPut => Some(Goal::OfNginx(1.5)),
            Self::PlainGet | Self::ClientsGet => Some(Goal::OfNginx(0.8)),
            Self::SignedPut => Some(Goal::OfNginx(1.0)),
            Self::SmallPut if sync == "commit" => Some(Goal::Rate(3_000.0)),
            Self::SmallPut => None,
            Self::SmallGet => Some(Goal::Rate(20_000.0)),
        }
    }
}

/// One measure of one contestant in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Megabytes or requests a second.
    pub(super) rate: f64,
    pub(super) usage: Usage,
}

/// The samples, by measure, contestant and round.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<(Measure, usize), BTreeMap<usize, Sample>>);

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Row {
    measure: Measure,
    contestant: String,
    unit: &'static str,
    rounds: usize,
    median: f64,
    min: f64,
    max: f64,
    /// The median of the ratios within a round.
    of_nginx: Option<f64>,
    goal_of_nginx: Option<f64>,
    goal_rate: Option<f64>,
    is_reached: Option<bool>,
    server_cpu_seconds: f64,
    /// The highest value of all rounds.
    server_resident_bytes: u64,
}

impl Figures {
    pub(super) fn add(
        &mut self,
        measure: Measure,
        contestant: usize,
        round: usize,
        sample: Sample,
    ) {
        self.0.entry((measure, contestant)).or_default().insert(round, sample);
    }

    pub(super) fn rows(&self, contestants: &[Contestant]) -> Vec<Row> {
        let nginx = contestants.iter().position(|contestant| contestant.kind == Kind::Nginx);
        let rows = self.0.iter().filter_map(|((measure, index), samples)| {
            let theirs = nginx.and_then(|nginx| self.0.get(&(*measure, nginx)));
            Some(row(*measure, contestants.get(*index)?.kind, samples, theirs))
        });
        rows.collect()
    }
}

fn row(
    measure: Measure,
    kind: Kind,
    samples: &BTreeMap<usize, Sample>,
    theirs: Option<&BTreeMap<usize, Sample>>,
) -> Row {
    let rates = || samples.values().map(|sample| sample.rate);
    let ratios: Vec<f64> = samples
        .iter()
        .filter_map(|(round, ours)| Some(ours.rate / theirs?.get(round)?.rate))
        .filter(|ratio| ratio.is_finite())
        .collect();
    let of_nginx = (!ratios.is_empty()).then(|| median(ratios));
    let rate = median(rates().collect());
    let goal = measure.goal(kind);
    Row {
        measure,
        contestant: kind.name(),
        unit: measure.unit(),
        rounds: samples.len(),
        median: rate,
        min: rates().fold(f64::INFINITY, f64::min),
        max: rates().fold(f64::NEG_INFINITY, f64::max),
        of_nginx,
        goal_of_nginx: goal
            .and_then(|goal| if let Goal::OfNginx(goal) = goal { Some(goal) } else { None }),
        goal_rate: goal
            .and_then(|goal| if let Goal::Rate(goal) = goal { Some(goal) } else { None }),
        is_reached: goal.and_then(|goal| match goal {
            Goal::OfNginx(goal) => of_nginx.map(|ratio| ratio >= goal),
            Goal::Rate(goal) => Some(rate >= goal),
        }),
        server_cpu_seconds: median(
            samples.values().map(|sample| sample.usage.cpu_seconds).collect(),
        ),
        server_resident_bytes: samples
            .values()
            .map(|sample| sample.usage.resident_bytes)
            .max()
            .unwrap_or(0),
    }
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for measure in Measure::ALL {
        let mut rows = rows.iter().filter(|row| row.measure == measure).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = writeln!(
            text,
            "{}\n  {:<22} {:>9} {:>9} {:>9} {:>9}  {:<18} {:>8} {:>9}",
            measure.title(),
            "",
            measure.unit(),
            "lowest",
            "highest",
            "of nginx",
            "goal",
            "CPU s",
            "MiB most"
        );
        for row in rows {
            let of_nginx =
                row.of_nginx.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            let _ = writeln!(
                text,
                "  {:<22} {:>9.0} {:>9.0} {:>9.0} {of_nginx:>9}  {:<18} {:>8.2} {:>9.0}",
                row.contestant,
                row.median,
                row.min,
                row.max,
                row.goal(),
                row.server_cpu_seconds,
                row.server_resident_bytes as f64 / f64::from(1 << 20),
            );
        }
        text.push('\n');
    }
    let ours = rows.iter().filter(|row| row.contestant.starts_with("drystone"));
    if let Some(most) = ours.map(|row| row.server_resident_bytes).max() {
        let verdict = if most <= RESIDENT_BYTES_MAX { "reached" } else { "MISSED" };
        let mib = |bytes: u64| bytes >> 20;
        let _ = writeln!(
            text,
            "drystone was resident with {} MiB at most, goal {} MiB: {verdict}",
            mib(most),
            mib(RESIDENT_BYTES_MAX)
        );
    }
    text
}

impl Row {
    fn goal(&self) -> String {
        let goal = match (self.goal_of_nginx, self.goal_rate) {
            (Some(ratio), _) => format!("{ratio:.1}"),
            (None, Some(rate)) => format!("{rate:.0}"),
            (None, None) => return String::new(),
        };
        let verdict = match self.is_reached {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "no nginx",
        };
        format!("{goal}: {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: Kind = Kind::Drystone { sync: "commit" };
    const NEVER: Kind = Kind::Drystone { sync: "never" };

    fn sample(rate: f64) -> Sample {
        Sample {
            rate,
            usage: Usage { cpu_seconds: rate / 100.0, resident_bytes: (rate as u64) << 20 },
        }
    }

    /// The rows of a measure for nginx and one other, a pair of rates for each round.
    fn rows(measure: Measure, kind: Kind, rounds: &[(f64, f64)]) -> Vec<Row> {
        let contestants = [Kind::Nginx, kind].map(|kind| Contestant::named(kind, "1.0"));
        let mut figures = Figures::default();
        for (round, (nginx, other)) in rounds.iter().enumerate() {
            figures.add(measure, 0, round + 1, sample(*nginx));
            figures.add(measure, 1, round + 1, sample(*other));
        }
        figures.rows(&contestants)
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // The medians are 200 and 200, because the machine was slow in turns. The ratios within the
        // rounds are 0.5, 0.5 and 4.
        let rows =
            rows(Measure::PlainGet, NEVER, &[(400.0, 200.0), (200.0, 100.0), (100.0, 400.0)]);
        let [nginx, ours] = rows.as_slice() else { panic!("two rows") };
        assert_eq!((nginx.median, ours.median), (200.0, 200.0));
        assert_eq!((nginx.of_nginx, ours.of_nginx), (Some(1.0), Some(0.5)));
        assert_eq!((ours.min, ours.max, ours.rounds), (100.0, 400.0, 3));
        assert_eq!((ours.is_reached, nginx.is_reached), (Some(false), None));
        assert_eq!((ours.server_cpu_seconds, ours.server_resident_bytes), (2.0, 400 << 20));
    }

    #[test]
    fn a_goal_is_reached_at_its_value() {
        let check = |measure, kind, ours, expected| {
            let rows = rows(measure, kind, &[(1000.0, ours)]);
            assert_eq!(rows[1].is_reached, expected, "{measure:?} {kind:?} {ours}");
        };
        check(Measure::PlainPut, NEVER, 1499.0, Some(false));
        check(Measure::PlainPut, COMMIT, 1500.0, Some(true));
        check(Measure::PlainGet, NEVER, 799.0, Some(false));
        check(Measure::PlainGet, NEVER, 800.0, Some(true));
        check(Measure::SignedPut, NEVER, 999.0, Some(false));
        check(Measure::SignedPut, NEVER, 1000.0, Some(true));
        check(Measure::ClientsPut, NEVER, 1499.0, Some(false));
        check(Measure::ClientsGet, NEVER, 800.0, Some(true));
        check(Measure::SmallPut, COMMIT, 2999.0, Some(false));
        check(Measure::SmallPut, COMMIT, 3000.0, Some(true));
        check(Measure::SmallPut, NEVER, 9000.0, None);
        check(Measure::SmallGet, NEVER, 19_999.0, Some(false));
        check(Measure::SmallGet, NEVER, 20_000.0, Some(true));
        check(Measure::PlainPut, Kind::Dufs, 9000.0, None);
    }

    #[test]
    fn without_nginx_there_is_no_verdict_on_a_ratio() {
        let mut figures = Figures::default();
        figures.add(Measure::PlainPut, 0, 1, sample(100.0));
        let rows = figures.rows(&[Contestant::named(NEVER, "1.0")]);
        assert_eq!((rows[0].of_nginx, rows[0].is_reached), (None, None));
        assert!(table(&rows).contains("1.5: no nginx"));
    }

    #[test]
    fn the_table_has_each_figure_and_verdict() {
        let text = table(&rows(
            Measure::PlainPut,
            NEVER,
            &[(100.0, 257.0), (100.0, 140.0), (100.0, 139.0)],
        ));
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["upload,", "plain", "PUT"]);
        assert_eq!(lines[2], ["nginx", "100", "100", "100", "1.00", "1.00", "100"]);
        let ours = [
            "drystone", "--sync", "never", "140", "139", "257", "1.40", "1.5:", "MISSED", "1.40",
            "257",
        ];
        assert_eq!(lines[3], ours);
        assert!(
            text.ends_with("drystone was resident with 257 MiB at most, goal 256 MiB: MISSED\n")
        );
    }
}
