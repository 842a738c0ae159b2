//! The small workload of the sweep: commands, the store that each begins with, and what it changes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::content::Content;
use super::model::{Model, State};
use super::shipped::{Desk, args};

/// Small, so that a file has several chunks.
const CHUNKING: &str = "cdc:1KiB,4KiB,16KiB";

/// A command, and what it changes when it succeeds.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) args: Vec<OsString>,
    /// The store before it, to be copied for each case; `None` before `init`.
    pub(super) template: Option<PathBuf>,
    pub(super) before: Model,
    pub(super) changes: Vec<(&'static str, State)>,
    /// What `get` restores, relative to where it runs.
    pub(super) restores: Option<&'static str>,
}

/// Runs the workload without faults below `folder`, keeping the store before each command.
pub(super) fn prepare(desk: &Desk<'_>, folder: &Path) -> Result<Vec<Step>> {
    let content = |seed, bytes| Some(Content { seed, bytes });
    let first =
        [("f/a", content(1, 5_000)), ("f/b", content(2, 40_000)), ("f/empty", content(3, 0))];
    let second = [("f/b", content(4, 30_000)), ("f/new", content(5, 9_000))];
    for (version, files) in [("first", &first[..]), ("second", &second[..])] {
        for (key, state) in files {
            state.context("a file")?.write(&folder.join(version).join(key))?;
        }
    }
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let put = |version: &str| {
        let mut args = words(&["--json", "put"]);
        args.push(folder.join(version).join("f").into_os_string());
        args
    };
    let commands = [
        ("init", words(&["init", "--chunk", CHUNKING]), vec![]),
        ("put", put("first"), first.to_vec()),
        ("overwrite", put("second"), second.to_vec()),
        ("rm", words(&["rm", "f/a"]), vec![("f/a", None)]),
        ("get", words(&["get", "f", "into"]), vec![]),
    ];
    let mut steps = Vec::new();
    let mut before = Model::default();
    for (name, args, changes) in commands {
        let template = desk.store.exists().then(|| folder.join("templates").join(name));
        if let Some(template) = &template {
            copy(&desk.store, template)?;
        }
        let words: Vec<_> = args.iter().map(OsString::as_os_str).collect();
        desk.ok(&words)?;
        let mut after = before.clone();
        changes.iter().for_each(|(key, state)| after.acknowledge(key, *state));
        let restores = (name == "get").then_some("into");
        steps.push(Step { name, args, template, before, changes, restores });
        before = after;
    }
    // If the workload itself were wrong, every case would be found wrong.
    desk.ok(args!["ls"])?;
    desk.check(&mut before)?;
    Ok(steps)
}

/// Copies a folder.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("copy to {}", target.display()))?;
        }
    }
    Ok(())
}
