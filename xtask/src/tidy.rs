//! The rules of this repository that neither rustc nor clippy knows.
//!
//! [`source`] turns Rust text into tokens and comments. So a rule does not take a string or a doc
//! example for code. [`rules`] judges one Rust file, [`width`] its lines, [`circles`] the modules
//! of a crate, [`dependencies`] the manifests, [`docs`] the pages and their links.

mod circles;
mod dependencies;
mod docs;
mod items;
mod rules;
mod source;
mod width;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::scratch::files_below;
use crate::stage::{Context, Outcome};

/// The folders in which Rust files are looked for.
const RUST_ROOTS: [&str; 5] = ["bench", "crates", "models", "xtask", "fuzz"];

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    /// From 1; 0 means the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.message),
        }
    }
}

#[derive(Default)]
struct Tidied {
    files: usize,
    findings: Vec<Finding>,
    /// Findings that are worth a look, but are not failures.
    reports: Vec<Finding>,
}

fn tidy(root: &Path) -> Result<Tidied> {
    let mut tidied = Tidied::default();
    let mut texts = Vec::new();
    for top in RUST_ROOTS {
        for path in files_below(&root.join(top))? {
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name =
                    path.strip_prefix(root).context("a file outside the workspace")?.to_owned();
                texts.push((name, read(&path)?));
            }
        }
    }
    tidied.files += texts.len();
    let files: Vec<rules::RustFile> =
        texts.iter().map(|(name, text)| rules::RustFile::new(name, text)).collect();
    let test_files: Vec<PathBuf> = files.iter().flat_map(rules::RustFile::test_modules).collect();
    let is_test = |file: &rules::RustFile<'_>| {
        let below = |test: &PathBuf| file.path.starts_with(test.with_extension(""));
        test_files.iter().any(|test| below(test) || file.path == *test)
    };
    for file in &files {
        file.check(is_test(file), &mut tidied.findings);
        file.check_length(&mut tidied.findings, &mut tidied.reports);
    }
    let (findings, reports) = (&mut tidied.findings, &mut tidied.reports);
    width::check(&files, findings, reports);
    circles::check(files.iter().filter(|file| !is_test(file)), findings, reports);
    dependencies::check(root, &mut tidied)?;
    docs::check(root, &mut tidied)?;
    Ok(tidied)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

pub(crate) fn stage(context: &Context) -> Result<Outcome> {
    let tidied = tidy(&context.root)?;
    let mut outcome = Outcome::ok(format!("{} files", tidied.files));
    outcome.notes.extend(tidied.reports.iter().map(|report| format!("note: {report}")));
    outcome.notes.extend(tidied.findings.iter().map(ToString::to_string));
    if tidied.files == 0 {
        return Ok(outcome.fail("no file was found to check"));
    }
    Ok(match tidied.findings.len() {
        0 => outcome,
        count => outcome.fail(format!("{count} findings")),
    })
}

/// `cargo xtask tidy`.
pub(crate) fn run(context: &Context) -> Result<ExitCode> {
    let tidied = tidy(&context.root)?;
    for report in &tidied.reports {
        context.talk.line(format!("note: {report}"));
    }
    for finding in &tidied.findings {
        context.talk.line(finding);
    }
    context.talk.line(format!("{} files, {} findings", tidied.files, tidied.findings.len()));
    Ok(if tidied.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
