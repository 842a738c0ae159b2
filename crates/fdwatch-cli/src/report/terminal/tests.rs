use fdwatch::{GroupReport, ProcessKey};
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::super::fixture;
use super::row::width;
use super::*;

const ESCAPES: [&str; 9] = [
    "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m",
    "\x1b[33m",
];

fn screen(columns: u16, rows: u16) -> Screen {
    Screen { columns, rows, has_colour: false, is_ascii: false }
}

/// The lines as they appear; fails on what a frame must not contain.
fn lines(report: &Report, screen: Screen) -> Vec<String> {
    let drawn = frame(report, screen);
    let body = drawn.strip_prefix("\x1b[H").unwrap();
    let shown = ESCAPES[1..].iter().fold(body.to_owned(), |text, escape| text.replace(escape, ""));
    // What is cleared below the last line is no line.
    let shown =
        if body.ends_with("\r\n\x1b[J") { shown.strip_suffix("\r\n").unwrap() } else { &shown };
    let lines: Vec<String> = shown.split("\r\n").map(str::to_owned).collect();
    assert!(lines.len() <= usize::from(screen.rows.max(1)), "{} lines in {screen:?}", lines.len());
    for line in &lines {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.width() <= usize::from(screen.columns.max(1)), "{line:?} in {screen:?}");
        assert!(width(line) <= usize::from(screen.columns.max(1)), "{line:?} in {screen:?}");
        assert!(!screen.is_ascii || line.is_ascii(), "{line:?}");
    }
    lines
}

fn shown(report: &Report, columns: u16, rows: u16) -> String {
    lines(report, screen(columns, rows)).join("\n")
}

#[test]
fn a_frame_fits_its_screen() {
    insta::assert_snapshot!("80x24", shown(&fixture::leaking(), 80, 24));
    insta::assert_snapshot!("300x24", shown(&fixture::leaking(), 300, 24));
    insta::assert_snapshot!("20x24", shown(&fixture::leaking(), 20, 24));
    insta::assert_snapshot!("130x16", shown(&fixture::leaking(), 130, 16));
    insta::assert_snapshot!("45x12", shown(&fixture::leaking(), 45, 12));
    insta::assert_snapshot!("80x5", shown(&fixture::leaking(), 80, 5));
    insta::assert_snapshot!("empty", shown(&fixture::empty(), 80, 24));
    insta::assert_snapshot!("crowd", shown(&fixture::crowd(), 80, 12));
}

#[test]
fn ascii_is_enough() {
    let ascii = Screen { is_ascii: true, ..screen(80, 24) };
    insta::assert_snapshot!("ascii", lines(&fixture::leaking(), ascii).join("\n"));
}

#[test]
fn colours_come_only_when_asked_for() {
    let colourful = Screen { has_colour: true, ..screen(80, 24) };
    assert!(frame(&fixture::leaking(), colourful).contains("\x1b[31mLEAKING\x1b[0m"));
    let plain = frame(&fixture::leaking(), screen(80, 24));
    assert!(ESCAPES[3..].iter().all(|escape| !plain.contains(escape)));
}

#[test]
fn a_full_line_is_not_cleared_and_the_others_are() {
    let drawn = frame(&fixture::leaking(), screen(80, 24));
    for line in drawn.strip_prefix("\x1b[H").unwrap().split("\r\n").filter(|line| *line != "\x1b[J")
    {
        let text = line.trim_end_matches("\x1b[K");
        assert_eq!(width(text) < 80, line.ends_with("\x1b[K"), "{line:?}");
    }
}

#[test]
fn a_screen_of_one_cell_is_no_accident() {
    for (columns, rows) in [(0, 0), (1, 1), (1, 50), (2, 2), (300, 1)] {
        lines(&fixture::leaking(), screen(columns, rows));
        lines(&fixture::empty(), screen(columns, rows));
    }
}

proptest! {
    #[test]
    fn no_name_leaves_its_place(
        names in prop::collection::vec(nasty_bytes(), 0..6),
        patterns in prop::collection::vec(nasty_bytes(), 0..6),
        target in ".*",
        columns in 0_u16..330,
        rows in 0_u16..40,
        has_colour: bool,
        is_ascii: bool,
    ) {
        let mut report = fixture::leaking();
        let process = report.processes[0].clone();
        report.targets = vec![target];
        let named = |name| ProcessReport { name, ..process.clone() };
        report.processes = names.into_iter().map(named).collect();
        if let Some(first) = report.processes.first_mut() {
            first.key = ProcessKey { pid: u32::MAX, start_ticks: 0 };
            let group = first.groups[0].clone();
            let of_pattern = |pattern| GroupReport { pattern, ..group.clone() };
            first.groups = patterns.into_iter().map(of_pattern).collect();
        }
        lines(&report, Screen { columns, rows, has_colour, is_ascii });
    }
}

/// Bytes, text of all planes, and what terminals obey.
fn nasty_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        ".{0,20}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "\x1b[2J",
            "\r\n",
            "\u{9b}31m",
            "\u{202e}",
            "日本語",
            "👩\u{200d}🚀",
            "☎\u{fe0f}",
            "e\u{301}\u{301}",
            "🇩🇪",
            "ลำ",
            "クﾞ",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}
