//! The direction of dependencies between the crates of this workspace.
//!
//! Dev-dependencies are free: a test may look at more than the code it tests.

use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::{Finding, Tidied, read};

/// What a crate may depend on, `*` for everything but `except`.
struct Rule {
    krate: &'static str,
    allowed: &'static [&'static str],
    except: &'static [&'static str],
}

const fn only(krate: &'static str, allowed: &'static [&'static str]) -> Rule {
    Rule { krate, allowed, except: &[] }
}

const fn all_but(krate: &'static str, except: &'static [&'static str]) -> Rule {
    Rule { krate, allowed: &["*"], except }
}

const RULES: &[Rule] = &[
    only("sync", &[]),
    only("limits", &[]),
    only("chunker", &[]),
    only("procs", &["limits"]),
    only("fdwatch", &[]),
    only("fdwatch-cli", &["fdwatch"]),
    only("fdwatch-python", &["fdwatch"]),
    only("pool", &["sync"]),
    only("edge", &["sync", "pool", "store"]),
    only("store", &["sync", "pool", "chunker"]),
    only("appender", &["sync", "store"]),
    only("local", &["sync", "store", "appender", "chunker", "pool"]),
    only("cloud", &["sync", "store", "chunker", "pool"]),
    all_but("server", &["cli", "testkit", "fdwatch-cli"]),
    all_but("cli", &["testkit"]),
    all_but("testkit", &["cli"]),
];

/// Only the facade may depend on the checkers themselves.
const CHECKERS: [&str; 2] = ["loom", "shuttle"];

pub(super) fn check(root: &Path, tidied: &mut Tidied) -> Result<()> {
    let crates = root.join("crates");
    for entry in std::fs::read_dir(&crates).with_context(|| format!("list {}", crates.display()))? {
        let manifest = entry?.path().join("Cargo.toml");
        if manifest.is_file() {
            tidied.files += 1;
            let file = manifest.strip_prefix(root).context("a manifest outside the workspace")?;
            let messages = check_manifest(file, &read(&manifest)?)?;
            tidied
                .findings
                .extend(messages.into_iter().map(|message| Finding::new(file, 0, message)));
        }
    }
    Ok(())
}

fn check_manifest(file: &Path, text: &str) -> Result<Vec<String>> {
    let manifest: Table =
        toml::from_str(text).with_context(|| format!("parse {}", file.display()))?;
    let krate = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let Some(rule) = RULES.iter().find(|rule| rule.krate == krate) else {
        return Ok(vec![format!(
            "crate {krate} has no rule: say in xtask/src/tidy/dependencies.rs what it may use"
        )]);
    };
    let names = dependencies(&manifest);
    Ok(names.iter().filter_map(|name| rule.objection(name)).collect())
}

impl Rule {
    fn objection(&self, dependency: &str) -> Option<String> {
        if CHECKERS.contains(&dependency) {
            return (self.krate != "sync")
                .then(|| format!("only crates/sync depends on {dependency}"));
        }
        let inner = match dependency {
            // The name of the package in crates/cli.
            "drystone" => "cli",
            _ => dependency
                .strip_prefix("drystone-")
                .or(dependency.starts_with("fdwatch").then_some(dependency))?,
        };
        let is_allowed = self.allowed.contains(&inner) || self.allowed.contains(&"*");
        if is_allowed && !self.except.contains(&inner) {
            return None;
        }
        let allowed = if self.allowed.is_empty() {
            "no crate of ours".to_owned()
        } else {
            self.allowed.join(", ")
        };
        Some(format!("{} may use {allowed}, not {inner}", self.krate))
    }
}

/// The package names of all dependencies that ship or build, including those for some targets only.
fn dependencies(manifest: &Table) -> Vec<String> {
    let targets =
        manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    let mut names = Vec::new();
    for table in tables {
        for section in ["dependencies", "build-dependencies"] {
            let entries = table.get(section).and_then(Value::as_table).into_iter().flatten();
            names.extend(entries.map(|(key, value)| {
                let renamed = value.get("package").and_then(Value::as_str);
                renamed.unwrap_or(key).to_owned()
            }));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(krate: &str, text: &str) -> Vec<String> {
        check_manifest(&Path::new("crates").join(krate).join("Cargo.toml"), text)
            .expect("a manifest")
    }

    #[test]
    fn the_direction_holds() {
        for (krate, text) in [
            ("pool", "[dependencies]\ndrystone-store.workspace = true"),
            ("sync", "[dependencies]\ndrystone-pool = { path = \"../pool\" }"),
            ("store", "[build-dependencies]\ndrystone-local.workspace = true"),
            ("local", "[target.'cfg(unix)'.dependencies]\ndrystone-limits.workspace = true"),
            (
                "limits",
                "[dependencies]\nother = { package = \"drystone-sync\", path = \"../sync\" }",
            ),
            ("cli", "[dependencies]\ndrystone-testkit.workspace = true"),
            ("testkit", "[dependencies]\ndrystone.workspace = true"),
            ("server", "[dependencies]\nfdwatch-cli.workspace = true"),
            ("fdwatch", "[dependencies]\nfdwatch-cli.workspace = true"),
            ("pool", "[target.'cfg(model_loom)'.dependencies]\nloom.workspace = true"),
            ("novel", "[dependencies]"),
        ] {
            assert_eq!(findings(krate, text).len(), 1, "{krate}: {text}");
        }
        for (krate, text) in [
            ("store", "[dependencies]\ndrystone-sync.workspace = true\nblake3.workspace = true"),
            ("cli", "[dev-dependencies]\ndrystone-testkit.workspace = true"),
            ("sync", "[target.'cfg(model_loom)'.dependencies]\nloom.workspace = true"),
            ("testkit", "[dependencies]\ndrystone-local.workspace = true"),
            ("server", "[dependencies]\nfdwatch.workspace = true"),
            ("fdwatch-cli", "[dependencies]\nfdwatch.workspace = true"),
        ] {
            assert_eq!(findings(krate, text), [""; 0], "{krate}: {text}");
        }
    }

    #[test]
    fn the_message_says_what_is_allowed() {
        let text = "[dependencies]\ndrystone-local.workspace = true";
        assert_eq!(findings("store", text), ["store may use sync, pool, chunker, not local"]);
        assert_eq!(findings("sync", text), ["sync may use no crate of ours, not local"]);
    }
}
