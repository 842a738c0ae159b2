//! A scratch copy of the workspace's sources. It is kept at one path, so that dependencies stay
//! built.
//!
//! Only files whose bytes differ are written, so each written file has a fresh modification time
//! and cargo rebuilds exactly the crates that changed since the copy was last built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The sources that a build of the models reads.
const SOURCES: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", ".cargo", "bench", "crates", "models", "xtask"];

/// File contents by path relative to the workspace root.
pub(crate) type Sources = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn read_sources(root: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    for name in SOURCES {
        read_into(root, Path::new(name), &mut sources)?;
    }
    Ok(sources)
}

fn read_into(root: &Path, relative: &Path, sources: &mut Sources) -> Result<()> {
    for file in files_below(&root.join(relative))? {
        let bytes = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let name = file.strip_prefix(root).context("a file outside the workspace")?;
        sources.insert(name.to_owned(), bytes);
    }
    Ok(())
}

/// Every file at or below `path`, without build directories; sorted. Empty when there is no such
/// path.
pub(crate) fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if meta.is_file() {
            files.push(path);
        } else if meta.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            let entries =
                std::fs::read_dir(&path).with_context(|| format!("list {}", path.display()))?;
            for entry in entries {
                waiting.push(entry?.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Makes the directory hold exactly `sources`. Returns whether anything had to change.
pub(crate) fn write_sources(directory: &Path, sources: &Sources) -> Result<bool> {
    let mut is_changed = false;
    for file in files_below(directory)? {
        let name = file.strip_prefix(directory).context("a file outside the copy")?;
        if !sources.contains_key(name) {
            std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
            is_changed = true;
        }
    }
    for (name, bytes) in sources {
        let path = directory.join(name);
        if std::fs::read(&path).is_ok_and(|old| old == *bytes) {
            continue;
        }
        let parent = path.parent().context("a file without a directory")?;
        std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        is_changed = true;
    }
    Ok(is_changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Sources {
        files.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_copy_holds_exactly_the_sources_and_leaves_equal_files_alone() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let root = directory.path();
        write_sources(root, &sources(&[("crates/a.rs", "a"), ("crates/old.rs", "old")]))
            .expect("written");
        let before = std::fs::metadata(root.join("crates/a.rs")).and_then(|meta| meta.modified());
        let next = sources(&[("crates/a.rs", "a"), ("models/b.rs", "b")]);
        assert!(write_sources(root, &next).expect("written"));
        assert!(!write_sources(root, &next).expect("written"));
        let after = std::fs::metadata(root.join("crates/a.rs")).and_then(|meta| meta.modified());
        assert_eq!(before.expect("a time"), after.expect("a time"));
        assert_eq!(read_sources(root).expect("read"), next);
    }
}
