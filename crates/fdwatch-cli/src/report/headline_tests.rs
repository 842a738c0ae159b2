//! What the reader is told in one sentence.

use std::time::Duration;

use fdwatch::{Evidence, LineageReport, Report, Verdict};

use super::{fixture, phrase, text};

fn steady(processes: usize) -> Report {
    let mut report = fixture::leaking();
    let steady = report.processes[1].clone();
    report.processes = vec![steady; processes];
    report.verdict = Verdict::Steady;
    report
}

fn text_of(report: &Report) -> String {
    let mut out = Vec::new();
    text::write(&mut out, report).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_leak_is_told_with_its_evidence_and_its_end() {
    let report = fixture::leaking();
    let expected = "nginx (pid 4711) leaks 1.02 descriptors a second: 280 opened, 36 closed in \
         3 min 55 s; at this rate its limit of 904 is hit in 1 min 30 s";
    assert_eq!(phrase::headline(&report), expected);
    let expected = "limit in 1 min 30 s, 280 opened, 36 closed in 3 min 55 s: nginx (pid 4711)";
    assert_eq!(phrase::short_headline(&report), expected);
}

#[test]
fn what_is_undecided_is_in_the_headline() {
    let mut report = steady(3);
    assert_eq!(phrase::headline(&report), "No leak was seen");
    report.processes[1].verdict = Verdict::Warming;
    report.processes[1].decided_in = Some(Duration::from_millis(11_200));
    report.processes[2].verdict = Verdict::NotPermitted;
    let expected = "No leak was seen; 1 process is too new to tell, a verdict in 12 s; 1 process \
         is not shown to us";
    assert_eq!(phrase::headline(&report), expected);
}

#[test]
fn the_first_verdict_is_counted_down_to() {
    let mut report = steady(1);
    report.verdict = Verdict::Warming;
    report.processes[0].verdict = Verdict::Warming;
    report.processes[0].decided_in = Some(Duration::from_secs(12));
    report.processes[0].evidence =
        Some(Evidence { opened: 9, closed: 0, over: Duration::from_millis(3_400) });
    assert_eq!(phrase::short_headline(&report), "a verdict in 12 s, 9 opened, 0 closed in 3 s");
    assert_eq!(phrase::short_verdict(&report.processes[0]), "verdict in 12 s");
}

#[test]
fn what_has_leaked_and_is_gone_is_told_in_the_past() {
    let mut report = fixture::leaking();
    report.processes[0].has_ended = true;
    let said = phrase::headline(&report);
    assert!(
        said.contains("leaked until it ended: 1.02 descriptors a second: 280 opened"),
        "{said}"
    );
    assert!(!said.contains("limit"), "{said}");
    assert_eq!(phrase::short_verdict(&report.processes[0]), "leaked, gone");
    assert!(
        text_of(&report).contains("nginx (pid 4711): not there any more"),
        "{}",
        text_of(&report)
    );
}

#[test]
fn processes_of_one_name_are_told_of_together() {
    let mut report = steady(2);
    report.verdict = Verdict::Leaking { per_second: 1.0, limit_in: None };
    let evidence = Evidence { opened: 40, closed: 1, over: Duration::from_secs(45) };
    report.lineages = vec![LineageReport {
        name: b"wor\nker".to_vec(),
        alive: 1,
        ended: 2,
        per_second: 1.0,
        evidence,
    }];
    let expected = "The processes called wor\\x0aker leak, 1 that lives and 2 that ended: \
         40 opened, 1 closed in 45 s";
    assert_eq!(phrase::headline(&report), expected);
}

#[test]
fn what_is_open_most_is_told_also_where_nothing_grew() {
    let mut report = steady(1);
    let mut few = report.processes[0].groups[0].clone();
    (few.pattern, few.count, few.growth) = (b"/few/*".to_vec(), 2, 0);
    report.processes[0].groups.insert(0, few);
    let said = text_of(&report);
    let (most, least) = (said.find("(40 open)").unwrap(), said.find("/few/* (2 open)").unwrap());
    assert!(most < least, "{said}");
}
