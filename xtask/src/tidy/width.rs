//! Lines are at most 100 columns wide: comments and strings, too, which rustfmt leaves alone.
//!
//! Some lines have no place to break: a word in a string (an address, a style sheet), a raw string,
//! and a string whose line ends are part of it. They are excepted.

use std::path::Path;

use super::Finding;
use super::rules::RustFile;
use super::source::Token;

const COLUMNS_MAX: usize = 100;

/// Where wide lines are only counted, in a note. A folder leaves this list when its last wide line
/// is gone.
const COUNTED: [&str; 5] =
    ["crates/local", "crates/server", "crates/store", "crates/testkit", "models"];

pub(super) fn check(
    files: &[RustFile<'_>],
    findings: &mut Vec<Finding>,
    reports: &mut Vec<Finding>,
) {
    let mut counted = [0_usize; COUNTED.len()];
    for file in files {
        let place = COUNTED.iter().position(|place| file.path.starts_with(place));
        for line in wide_lines(file) {
            match place {
                Some(place) => counted[place] += 1,
                None => findings.push(Finding::new(
                    file.path,
                    line,
                    format!("wider than {COLUMNS_MAX} columns: break it"),
                )),
            }
        }
    }
    for (place, count) in COUNTED.iter().zip(counted).filter(|(_, count)| *count > 0) {
        let message = format!("{count} lines are wider than {COLUMNS_MAX} columns");
        reports.push(Finding::new(Path::new(place), 0, message));
    }
}

fn wide_lines(file: &RustFile<'_>) -> Vec<usize> {
    let mut wide = Vec::new();
    let mut before = "";
    for (at, line) in file.text.lines().enumerate() {
        if line.chars().count() > COLUMNS_MAX {
            let mut strings =
                file.source.strings.iter().filter(|string| lines_of(string).contains(&(at + 1)));
            if !strings.any(|string| has_no_break(string, at + 1, line, before)) {
                wide.push(at + 1);
            }
        }
        before = line;
    }
    wide
}

fn lines_of(string: &Token<'_>) -> std::ops::RangeInclusive<usize> {
    string.line..=string.line + string.text.matches('\n').count()
}

/// Whether a line that `string` has a part in cannot be broken there; `before` is the line above.
fn has_no_break(string: &Token<'_>, number: usize, line: &str, before: &str) -> bool {
    let lines = lines_of(string);
    let is_raw = string.text.starts_with('#');
    // What ends with `\` has no line end in it.
    let ends_inside = number < *lines.end() && !line.ends_with('\\');
    let begins_inside = number > *lines.start() && !before.ends_with('\\');
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let words = string.text.split_whitespace().filter(|word| line.contains(*word));
    let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
    is_raw || ends_inside || begins_inside || indent + longest > COLUMNS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wide lines of `text` in a place where they are refused.
    fn wide(text: &str) -> Vec<usize> {
        let files = [RustFile::new(Path::new("crates/pool/src/lib.rs"), text)];
        let (mut findings, mut reports) = (Vec::new(), Vec::new());
        check(&files, &mut findings, &mut reports);
        assert_eq!(reports, []);
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_line_has_a_hundred_columns() {
        let words = |count: usize| "é ".repeat(count / 2) + &"x".repeat(count % 2);
        for before in ["// ", "let a = \"", "let a = b\"a \\\n  c "] {
            let first = before.rsplit('\n').next().unwrap_or_default().len();
            let line = before.lines().count();
            assert_eq!(wide(&format!("{before}{}", words(100 - first))), [0; 0], "{before}");
            assert_eq!(wide(&format!("{before}{}", words(101 - first))), [line], "{before}");
        }
        assert_eq!(wide(&format!("f({})", "a, ".repeat(40))), [1]);
    }

    #[test]
    fn what_has_no_break_is_excepted() {
        let (words, word) = ("word ".repeat(30), "w".repeat(120));
        for text in [
            format!("const A: &str = \"{word}\";"),
            format!("f(\n    \"{word}\",\n)"),
            format!("const A: &str = r#\"{words}\"#;"),
            format!("const A: &str = \"\\\nshort\n{words}\n\";"),
            format!("const A: &str = \"short\n{words}\";"),
        ] {
            assert_eq!(wide(&text), [0; 0], "{text}");
        }
        assert_eq!(wide(&format!("const A: &str = \"\\\n{words}\\\nshort\";")), [2]);
        assert_eq!(wide(&format!("// {word}")), [1]);
        assert_eq!(wide(&format!("let {word} = \"a\";")), [1]);
    }

    #[test]
    fn elsewhere_they_are_counted() {
        let text = format!("// {}\n", "a ".repeat(60)).repeat(3);
        let files = [RustFile::new(Path::new("crates/server/src/lib.rs"), &text)];
        let (mut findings, mut reports) = (Vec::new(), Vec::new());
        check(&files, &mut findings, &mut reports);
        assert_eq!(findings, []);
        let said: Vec<String> = reports.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["crates/server: 3 lines are wider than 100 columns"]);
    }
}
