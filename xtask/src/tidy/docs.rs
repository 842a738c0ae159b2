//! The pages that must exist, and the links between them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Finding, Tidied, read};
use crate::scratch::files_below;

const REQUIRED: [&str; 4] = ["README.md", "CHANGELOG.md", "docs/ARCHITECTURE.md", "docs/format.md"];

pub(super) fn check(root: &Path, tidied: &mut Tidied) -> Result<()> {
    for name in REQUIRED {
        if !root.join(name).is_file() {
            tidied.findings.push(Finding::new(Path::new(name), 0, "this page must exist"));
        }
    }
    let mut pages: Vec<PathBuf> = files_below(&root.join("docs"))?;
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.extend(
        ["README.md", "CHANGELOG.md"]
            .map(|name| root.join(name))
            .into_iter()
            .filter(|page| page.is_file()),
    );
    for page in pages {
        tidied.files += 1;
        let name = page.strip_prefix(root).context("a page outside the workspace")?;
        let home = page.parent().unwrap_or(root);
        for (line, link) in links(&read(&page)?) {
            if !home.join(&link).exists() {
                tidied.findings.push(Finding::new(name, line, format!("broken link: {link}")));
            }
        }
    }
    Ok(())
}

/// The relative link targets of a page with their lines, without anchors. Code is skipped.
fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (at, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            links.extend(links_of_line(&without_code(line)).into_iter().map(|link| (at + 1, link)));
        }
    }
    links
}

/// The line without its `code`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

fn links_of_line(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let definition = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    let targets = inline.chain(definition.map(|(_, target)| target.trim()));
    targets.filter_map(relative).collect()
}

fn relative(target: &str) -> Option<String> {
    let target = target.trim_matches(['<', '>']);
    let path = target.split('#').next().unwrap_or_default();
    let is_elsewhere = path.contains("://") || path.starts_with("mailto:");
    (!path.is_empty() && !is_elsewhere).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_found() {
        let page = "see [a](docs/a.md#top) and ![b](b.png \"title\")\n[c](https://example.org/c) \
             [d](#d)\n\
            ```\n[e](e.md)\n```\n`[f](f.md)` [g](<g.md>)\n[h]: ../h.md\n";
        let expected = [(1, "docs/a.md"), (1, "b.png"), (6, "g.md"), (7, "../h.md")];
        let found = links(page);
        assert_eq!(
            found.iter().map(|(line, link)| (*line, link.as_str())).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn a_missing_page_and_a_broken_link_are_findings() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let root = directory.path();
        std::fs::create_dir(root.join("docs")).expect("created");
        std::fs::write(root.join("README.md"), "[fine](docs/format.md)\n[broken](docs/none.md)\n")
            .expect("written");
        std::fs::write(root.join("docs/format.md"), "[up](../README.md)\n").expect("written");
        let mut tidied = Tidied::default();
        check(root, &mut tidied).expect("checked");
        let findings: Vec<String> = tidied.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "CHANGELOG.md: this page must exist",
                "docs/ARCHITECTURE.md: this page must exist",
                "README.md:2: broken link: docs/none.md",
            ]
        );
        assert_eq!(tidied.files, 2);
    }
}
