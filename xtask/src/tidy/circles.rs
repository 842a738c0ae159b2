//! Modules of a crate that use one another in a ring. None of them can be read, or moved, alone.
//!
//! A module is a file or a folder beside `lib.rs`, with everything below it. It uses another module
//! where its code that ships names `crate::OTHER`. Two modules may use each other; a ring of more
//! may not be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Finding;
use super::rules::RustFile;

const MODULES_MAX: usize = 2;

/// Crates whose circles are only noted. A crate leaves this list when its last circle is gone.
const TOLD: [&str; 2] = ["crates/cli", "crates/store"];

/// The modules that each module uses, by its name.
type Uses<'a> = BTreeMap<String, BTreeSet<&'a str>>;

/// Checks those of `files` that ship.
pub(super) fn check<'a>(
    files: impl Iterator<Item = &'a RustFile<'a>>,
    findings: &mut Vec<Finding>,
    reports: &mut Vec<Finding>,
) {
    let mut crates: BTreeMap<PathBuf, Uses<'a>> = BTreeMap::new();
    for file in files {
        if let Some((source, module)) = place_of(file.path) {
            crates.entry(source).or_default().entry(module).or_default().extend(file.uses());
        }
    }
    for (source, uses) in crates {
        let is_told = TOLD.iter().any(|krate| source.starts_with(krate));
        for circle in circles(&uses).into_iter().filter(|circle| circle.len() > MODULES_MAX) {
            let names = circle.into_iter().collect::<Vec<_>>();
            let message = format!("{} modules use one another: {}", names.len(), names.join(", "));
            let list = if is_told { &mut *reports } else { &mut *findings };
            list.push(Finding::new(&source, 0, message));
        }
    }
}

/// The `src` that a file is below, and its module there. `None` for roots, and for files that are
/// not below a `src`.
fn place_of(path: &Path) -> Option<(PathBuf, String)> {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let at = parts.iter().position(|part| *part == "src")?;
    let module = parts.get(at + 1)?.trim_end_matches(".rs");
    let is_root = ["lib", "main"].contains(&module);
    (!is_root).then(|| (parts[..=at].iter().collect(), module.to_owned()))
}

/// The rings, each once, by the names of its modules.
fn circles<'a>(uses: &'a Uses<'a>) -> BTreeSet<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|module| (module.as_str(), reached_from(module, uses))).collect();
    let ring = |module: &'a str| -> BTreeSet<&'a str> {
        let others = reached[module].iter().copied();
        others.filter(|other| reached.get(other).is_some_and(|r| r.contains(module))).collect()
    };
    uses.keys().map(|module| ring(module)).filter(|ring| ring.len() > 1).collect()
}

fn reached_from<'a>(module: &'a str, uses: &'a Uses<'a>) -> BTreeSet<&'a str> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![module]);
    while let Some(module) = waiting.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if reached.insert(*used) {
                waiting.push(*used);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let files: Vec<RustFile<'_>> =
            files.iter().map(|(path, text)| RustFile::new(Path::new(path), text)).collect();
        let (mut findings, mut reports) = (Vec::new(), Vec::new());
        check(files.iter(), &mut findings, &mut reports);
        let text = |list: &[Finding]| list.iter().map(ToString::to_string).collect();
        (text(&findings), text(&reports))
    }

    #[test]
    fn three_modules_in_a_ring_are_a_finding() {
        let ring = [
            ("xtask/src/a.rs", "use crate::{b::B, process};"),
            ("xtask/src/b/inner.rs", "fn f() { crate::c::g() }"),
            ("xtask/src/c.rs", "use crate::a::A;"),
            ("xtask/src/lib.rs", "use crate::a::A; mod a; mod b; mod c;"),
            ("xtask/src/process.rs", ""),
        ];
        let expected = "xtask/src: 3 modules use one another: a, b, c";
        assert_eq!(said(&ring), (vec![expected.to_owned()], vec![]));
        let told = ring.map(|(path, text)| (path.replace("xtask", "crates/cli"), text));
        let told: Vec<(&str, &str)> = told.iter().map(|(path, text)| (&**path, *text)).collect();
        let expected = "crates/cli/src: 3 modules use one another: a, b, c";
        assert_eq!(said(&told), (vec![], vec![expected.to_owned()]));
    }

    #[test]
    fn what_is_no_ring_is_none() {
        for files in [
            // Two modules may use each other.
            vec![("a/src/a.rs", "use crate::b::B;"), ("a/src/b.rs", "use crate::a::A;")],
            // Modules of different crates.
            vec![
                ("a/src/a.rs", "use crate::b::B;"),
                ("a/src/b.rs", "use crate::c::C;"),
                ("b/src/c.rs", "use crate::a::A;"),
            ],
            // Tests may use any module.
            vec![
                ("a/src/a.rs", "use crate::b::B;"),
                ("a/src/b.rs", "use crate::c::C;"),
                ("a/src/c.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
            ],
            // A module and its own parts.
            vec![
                ("a/src/a.rs", "use crate::a::x::X;"),
                ("a/src/a/x.rs", "use crate::a::y::Y;"),
                ("a/src/a/y.rs", "use crate::a::A;"),
            ],
        ] {
            assert_eq!(said(&files), (vec![], vec![]), "{files:?}");
        }
    }
}
