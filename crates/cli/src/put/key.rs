//! From a path to the key under which it is stored.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::exit::Usage;

/// The name under which a source is stored: its last component, also of `.` and `..`.
pub(super) fn own_name(source: &Path) -> anyhow::Result<String> {
    let canonical: PathBuf;
    let name = match source.file_name() {
        Some(name) => name,
        None => {
            canonical = source
                .canonicalize()
                .with_context(|| format!("cannot read {}", source.display()))?;
            canonical.file_name().ok_or_else(|| {
                Usage("the root folder has no name: name the folders below it".into())
            })?
        }
    };
    utf8(name)
}

fn utf8(name: &std::ffi::OsStr) -> anyhow::Result<String> {
    let name = name.to_str();
    Ok(name
        .ok_or_else(|| anyhow::anyhow!("its name is not UTF-8, which a key must be; rename it"))?
        .to_owned())
}

pub(super) fn key_below(
    prefix: &str,
    name: &str,
    root: &Path,
    path: &Path,
) -> anyhow::Result<String> {
    let below = path.strip_prefix(root).context("the walk left its root")?;
    if below.as_os_str().is_empty() {
        return Ok(format!("{prefix}{name}"));
    }
    Ok(format!("{prefix}{name}/{}", utf8(below.as_os_str())?))
}
