//! The file of one seeded bug, and its edit.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::models::Checker;
use crate::scratch::{Sources, files_below};

/// How long a run of one scenario may take after the build, if the bug does not set another limit.
const RUN_SECONDS_MAX: u64 = 120;

/// One seeded bug.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutant {
    pub(super) name: String,
    /// What goes wrong, for which caller, and where it was seen.
    pub(super) story: String,
    /// Relative to the workspace root.
    pub(super) file: PathBuf,
    /// Must occur exactly once in `file`.
    pub(super) old: String,
    pub(super) new: String,
    /// The full name of a test of the models, `SUBJECT::PROPERTY`.
    pub(super) scenario: String,
    pub(super) checker: Checker,
    /// A part of the message that the scenario must fail with, or `timeout`.
    pub(super) expect: String,
    /// Left out of `--quick`.
    #[serde(default)]
    pub(super) full_only: bool,
    #[serde(default = "run_seconds_max")]
    pub(super) timeout_seconds: u64,
}

fn run_seconds_max() -> u64 {
    RUN_SECONDS_MAX
}

pub(super) fn load(directory: &Path) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    let mut names = BTreeSet::new();
    for path in files_below(directory)? {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mutant = parse(&text).with_context(|| format!("seeded bug {}", path.display()))?;
        ensure!(names.insert(mutant.name.clone()), "two seeded bugs are called {}", mutant.name);
        mutants.push(mutant);
    }
    Ok(mutants)
}

pub(super) fn parse(text: &str) -> Result<Mutant> {
    let mutant: Mutant = toml::from_str(text)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    ensure!(
        !mutant.name.is_empty() && mutant.name.chars().all(is_plain),
        "`name` is a plain word, it names a log"
    );
    for (field, text) in [
        ("story", &mutant.story),
        ("old", &mutant.old),
        ("scenario", &mutant.scenario),
        ("expect", &mutant.expect),
    ] {
        ensure!(!text.trim().is_empty(), "`{field}` is empty");
    }
    ensure!(mutant.old != mutant.new, "`old` and `new` are the same: this seeds nothing");
    Ok(mutant)
}

/// The sources with the bug in them.
pub(super) fn apply(mutant: &Mutant, sources: &Sources) -> Result<Sources> {
    let file = mutant.file.display();
    let bytes =
        sources.get(&mutant.file).with_context(|| format!("stale mutant: there is no {file}"))?;
    let text = std::str::from_utf8(bytes).with_context(|| format!("{file} is not UTF-8"))?;
    match text.matches(&mutant.old).count() {
        1 => {}
        count => bail!("stale mutant: `old` occurs {count} times in {file}, not once"),
    }
    let mut edited = sources.clone();
    edited.insert(mutant.file.clone(), text.replacen(&mutant.old, &mutant.new, 1).into_bytes());
    Ok(edited)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const LOST_WAKE_UP: &str = r#"
name = "lost-wake-up"
story = "a waiter sleeps for ever"
file = "crates/pool/src/lib.rs"
old = '''
notify_one();
'''
new = ""
scenario = "pool::no_deadlock"
checker = "loom"
expect = "deadlock"
"#;

    pub(in crate::seeded) fn mutant() -> Mutant {
        parse(LOST_WAKE_UP).expect("a valid seeded bug")
    }

    fn sources(text: &str) -> Sources {
        Sources::from([(PathBuf::from("crates/pool/src/lib.rs"), text.as_bytes().to_vec())])
    }

    #[test]
    fn a_seeded_bug_is_read() {
        let mutant = mutant();
        assert_eq!(
            (mutant.checker, mutant.full_only, mutant.timeout_seconds),
            (Checker::Loom, false, 120)
        );
        assert_eq!(mutant.old, "notify_one();\n");
    }

    #[test]
    fn a_seeded_bug_that_says_too_little_or_too_much_is_refused() {
        for (from, to) in [
            ("expect = \"deadlock\"", "expect = \"\""),
            ("new = \"\"", "new = \"notify_one();\\n\""),
            ("name = \"lost-wake-up\"", "name = \"lost/wake-up\""),
            ("checker = \"loom\"", "checker = \"luck\""),
            ("new = \"\"", "new = \"\"\nnwe = \"\""),
        ] {
            assert!(LOST_WAKE_UP.contains(from), "{from}");
            assert!(parse(&LOST_WAKE_UP.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn an_edit_applies_exactly_once() {
        let edited = apply(&mutant(), &sources("a;\nnotify_one();\nb;\n")).expect("it fits");
        assert_eq!(edited, sources("a;\nb;\n"));
        for stale in ["a;\n", "notify_one();\nnotify_one();\n"] {
            let error = apply(&mutant(), &sources(stale)).expect_err("it is stale").to_string();
            assert!(error.starts_with("stale mutant: `old` occurs"), "{error}");
        }
        let error = apply(&mutant(), &Sources::new()).expect_err("no such file").to_string();
        assert!(error.starts_with("stale mutant: there is no"), "{error}");
    }
}
