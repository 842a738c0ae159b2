//! What each picture looks like, from the report in `fixture.rs`. The terminal's are in
//! `terminal/tests.rs`.

use std::io;

use fdwatch::Report;

use super::{csv, fixture, html, json, prometheus, svg, text};

type Write = fn(&mut dyn io::Write, &Report) -> io::Result<()>;

const PICTURES: [(&str, Write); 7] = [
    ("json", |out, report| json::write(out, report, false)),
    ("json_final", |out, report| json::write(out, report, true)),
    ("csv", |out, report| {
        csv::write_header(out)?;
        csv::write_rows(out, report)
    }),
    ("svg", svg::write),
    ("html", html::write),
    ("prometheus", prometheus::write),
    ("text", text::write),
];

fn drawn(write: Write, report: &Report) -> String {
    let mut out = Vec::new();
    write(&mut out, report).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn they_look_as_they_should() {
    for (name, write) in PICTURES {
        insta::assert_snapshot!(name, drawn(write, &fixture::leaking()));
        insta::assert_snapshot!(format!("{name}_empty"), drawn(write, &fixture::empty()));
    }
}

/// A picture for a person is bounded by itself; one for a program grows with the processes, which
/// are bounded.
#[test]
fn a_thousand_processes_are_not_too_many() {
    for (name, bytes_max) in [
        ("json", 2_000_000),
        ("csv", 200_000),
        ("svg", 200_000),
        ("html", 900_000),
        ("prometheus", 2_000_000),
        ("text", 20_000),
    ] {
        let (_, write) = PICTURES.into_iter().find(|(picture, _)| *picture == name).unwrap();
        let bytes = drawn(write, &fixture::crowd()).len();
        assert!(bytes <= bytes_max, "{name}: {bytes} bytes");
    }
}

#[test]
fn no_name_is_taken_for_something_else() {
    for (name, write) in PICTURES {
        let text = drawn(write, &fixture::leaking());
        for nasty in ['\u{1b}', '\0', '\u{202e}'] {
            // JSON carries text as it is, but controls as escapes.
            let is_exact_json = name.starts_with("json") && nasty == '\u{202e}';
            assert_eq!(text.contains(nasty), is_exact_json, "{name}: {nasty:?}");
        }
        let is_markup = ["svg", "html"].contains(&name);
        assert!(!is_markup || !text.contains("<script"), "{name}");
        assert!(
            name != "csv" || text.lines().count() == 1 + fixture::leaking().processes.len(),
            "{name}"
        );
    }
}

#[test]
fn what_is_unknown_is_null_and_bad_bytes_are_exact() {
    let line = drawn(PICTURES[0].1, &fixture::leaking());
    let watch: serde_json::Value = serde_json::from_str(&line).unwrap();
    let foreign = &watch["processes"][2];
    assert_eq!(
        (&foreign["count"], &foreign["limit"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    let expected: Vec<u8> = fixture::leaking().processes[2].name.clone();
    let bytes = foreign["name_bytes"].as_array().unwrap().iter();
    assert_eq!(bytes.map(|byte| byte.as_u64().unwrap() as u8).collect::<Vec<_>>(), expected);
    let nasty = &watch["processes"][1];
    assert_eq!(nasty["name"].as_str().unwrap().as_bytes(), fixture::leaking().processes[1].name);
    assert!(nasty.get("name_bytes").is_none());
    assert!(watch["processes"][0]["groups"][1]["pattern_bytes"].is_array());
    let prometheus = drawn(prometheus::write, &fixture::leaking());
    assert!(!prometheus.contains("pid=\"1\""), "{prometheus}");
    let text = drawn(text::write, &fixture::leaking());
    assert!(text.contains("(pid 1): count unknown;"), "{text}");
}

/// A reader that has gone ends the picture; it does not end the program.
#[test]
fn an_output_that_fails_is_an_error() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for (name, write) in PICTURES {
        let error = write(&mut Full, &fixture::leaking()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{name}");
    }
}
