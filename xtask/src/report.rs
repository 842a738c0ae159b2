//! The closing table of `cargo xtask verify`, and the same as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::process::cut;
use crate::stage::{Mode, Outcome, Verdict};

/// The table cuts longer reasons. The log and the JSON have them in full.
const REASON_CHARS_MAX: usize = 60;

#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) stage: &'static str,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
    pub(crate) command: String,
}

impl Row {
    pub(crate) fn new(
        stage: &'static str,
        mode: Mode,
        outcome: Outcome,
        elapsed: Duration,
    ) -> Self {
        let mut command = format!("cargo xtask verify --stage {stage}");
        if mode == Mode::Full {
            command.push_str(" --full");
        }
        let seconds = (elapsed.as_secs_f64() * 10.0).round() / 10.0;
        Self { stage, outcome, seconds, command }
    }

    pub(crate) fn verdict(&self) -> String {
        match &self.outcome.verdict {
            Verdict::Ok => "ok".to_owned(),
            Verdict::Failed(reason) => format!("FAILED: {}", one_line(reason)),
            Verdict::Skipped(reason) => format!("skipped: {}", one_line(reason)),
        }
    }
}

fn one_line(reason: &str) -> String {
    cut(reason.lines().next().unwrap_or_default(), REASON_CHARS_MAX)
}

#[derive(Serialize)]
pub(crate) struct Report {
    mode: Mode,
    strict: bool,
    green: bool,
    passed: u64,
    failed: u64,
    skipped: u64,
    stages: Vec<Row>,
}

impl Report {
    pub(crate) fn new(mode: Mode, strict: bool) -> Self {
        Self { mode, strict, green: false, passed: 0, failed: 0, skipped: 0, stages: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.passed += row.outcome.passed;
        self.failed += row.outcome.failed;
        self.skipped += row.outcome.skipped;
        self.stages.push(row);
        self.green = self.is_green();
    }

    /// Whether nothing failed and, when strict, nothing was left out. A run without any stage is
    /// not green.
    pub(crate) fn is_green(&self) -> bool {
        !self.stages.is_empty() && self.failed == 0 && !(self.strict && self.skipped > 0)
    }

    /// The table and, as the very last line, the sums.
    pub(crate) fn table(&self) -> String {
        let mut cells = vec![["stage", "counted", "time", "verdict", "alone"].map(str::to_owned)];
        cells.extend(self.stages.iter().map(|row| {
            let time = format!("{:.1} s", row.seconds);
            [
                row.stage.to_owned(),
                row.outcome.counted.clone(),
                time,
                row.verdict(),
                row.command.clone(),
            ]
        }));
        let width =
            |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [stage, counted, time, verdict] = [width(0), width(1), width(2), width(3)];
        let mut text = String::from("\n");
        for row in &cells {
            let [a, b, c, d, e] = row;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{a:stage$}  {b:counted$}  {c:>time$}  {d:verdict$}  {e}");
        }
        for row in &self.stages {
            for failure in &row.outcome.failures {
                let _ = writeln!(text, "{} FAILED: {failure}", row.stage);
            }
        }
        if self.strict && self.skipped > 0 {
            text.push_str("strict: what was skipped counts as a failure\n");
        }
        let _ = write!(
            text,
            "\n{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<Outcome>, strict: bool) -> Report {
        let mut report = Report::new(Mode::Quick, strict);
        for outcome in outcomes {
            report.push(Row::new("test", Mode::Quick, outcome, Duration::from_millis(1_234)));
        }
        report
    }

    #[test]
    fn the_last_line_sums_tests_and_stages() {
        let some = Outcome { passed: 7, skipped: 1, ..Outcome::ok("8 tests") };
        let report =
            report(vec![some, Outcome::failed("boom"), Outcome::skipped("no tool")], false);
        let table = report.table();
        assert_eq!(table.lines().last(), Some("7 passed, 1 failed, 2 skipped"));
        assert!(table.contains("FAILED: boom") && table.contains("skipped: no tool"), "{table}");
        assert!(
            table.contains("1.2 s") && table.contains("cargo xtask verify --stage test"),
            "{table}"
        );
    }

    #[test]
    fn what_failed_tests_said_comes_after_the_table() {
        let failures = vec!["a_stone_fits\n    too large".to_owned()];
        let table =
            report(vec![Outcome { failures, ..Outcome::failed("exit code 101") }], false).table();
        assert!(table.contains("test FAILED: a_stone_fits\n    too large\n"), "{table}");
        assert_eq!(table.lines().last(), Some("0 passed, 1 failed, 0 skipped"));
    }

    #[test]
    fn green_means_nothing_failed_and_when_strict_nothing_skipped() {
        assert!(report(vec![Outcome::ok("-"), Outcome::skipped("-")], false).is_green());
        assert!(!report(vec![Outcome::ok("-"), Outcome::skipped("-")], true).is_green());
        assert!(!report(vec![Outcome::ok("-"), Outcome::failed("-")], false).is_green());
        assert!(!report(vec![Outcome::ok("-").fail("late")], false).is_green());
        assert!(!report(vec![], false).is_green());
    }

    #[test]
    fn the_json_names_the_verdict() {
        let json =
            serde_json::to_value(report(vec![Outcome::failed("boom")], false)).expect("plain data");
        assert_eq!(json["stages"][0]["verdict"], "failed");
        assert_eq!(json["stages"][0]["reason"], "boom");
        assert_eq!(json["green"], false);
    }
}
