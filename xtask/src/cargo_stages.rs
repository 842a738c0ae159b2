//! The stages that are one cargo command each: fmt, clippy, doc.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::process::{Finished, cut};
use crate::scratch::files_below;
use crate::stage::{Context, Outcome, minutes};

pub(crate) fn fmt(context: &Context) -> Result<Outcome> {
    let command = context.cargo(["fmt", "--all", "--check"]);
    let done = context.runner.run(command, &context.log("fmt")?, minutes(5))?;
    let outcome = Outcome::ok(format!(
        "{} files",
        count_files(context, |file| file.extension() == Some("rs".as_ref()))?
    ));
    let files: BTreeSet<&str> = done.output.lines().filter_map(unformatted_file).collect();
    if !files.is_empty() {
        return Ok(outcome.fail(format!("{} files to format: cargo fmt --all", files.len())));
    }
    Ok(judged(&done, outcome))
}

/// The file of a line `Diff in PATH:LINE:` of rustfmt.
fn unformatted_file(line: &str) -> Option<&str> {
    line.strip_prefix("Diff in ")?.trim_end_matches(':').rsplit_once(':').map(|(file, _)| file)
}

pub(crate) fn clippy(context: &Context) -> Result<Outcome> {
    let command = context.cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]);
    let done = context.runner.run(command, &context.log("clippy")?, minutes(20))?;
    Ok(judged(&done, Outcome::ok(packages(context)?)))
}

pub(crate) fn doc(context: &Context) -> Result<Outcome> {
    let mut command = context.cargo(["doc", "--workspace", "--no-deps", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    let done = context.runner.run(command, &context.log("doc")?, minutes(20))?;
    Ok(judged(&done, Outcome::ok(packages(context)?)))
}

fn packages(context: &Context) -> Result<String> {
    let count = count_files(context, |file| file.file_name() == Some("Cargo.toml".as_ref()))?;
    Ok(format!("{count} packages"))
}

fn count_files(context: &Context, counts: fn(&Path) -> bool) -> Result<usize> {
    let mut count = 0;
    for member in ["bench", "crates", "models", "xtask"] {
        count +=
            files_below(&context.root.join(member))?.iter().filter(|file| counts(file)).count();
    }
    Ok(count)
}

/// `outcome`, if the child has succeeded. Otherwise a failure, whose reason is the child's first
/// error line or how it ended.
pub(crate) fn judged(done: &Finished, outcome: Outcome) -> Outcome {
    let Some(how) = done.reason() else { return outcome };
    let error =
        done.output.lines().find(|line| line.starts_with("error") || line.contains("[ERROR]"));
    outcome.fail(error.map_or(how.clone(), |line| format!("{how}, {}", cut(line, 100))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unformatted_files_are_recognised() {
        assert_eq!(unformatted_file("Diff in crates/a/src/lib.rs:3:"), Some("crates/a/src/lib.rs"));
        assert_eq!(unformatted_file("fn main() {}"), None);
    }
}
