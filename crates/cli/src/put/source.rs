//! From a source to its files: walks a folder and opens what it finds.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use drystone_store::ObjectMeta;
use rustix::fs::OFlags;

use super::Put;
use super::key::{key_below, own_name};
use super::usage::is_stdin;
use crate::args::PutArgs;
use crate::exit::Usage;
use crate::walk::{Found, FoundFolder, Walk};

impl Put<'_> {
    pub(super) fn source(
        &mut self,
        source: &Path,
        args: &PutArgs,
        walk: &dyn Fn(&Path) -> Walk,
    ) -> anyhow::Result<()> {
        let prefix = args.prefix.as_str();
        if is_stdin(source) {
            let key = format!("{prefix}{}", args.name.as_deref().unwrap_or_default());
            return self.standard_input(&key, args.allow_empty);
        }
        let meta = match source.metadata() {
            Ok(meta) => meta,
            Err(error) => {
                return self.failed(source, anyhow::Error::new(error).context("cannot read it"));
            }
        };
        let name = match &args.name {
            Some(name) => name.clone(),
            None => match own_name(source) {
                Ok(name) => name,
                // Wrong usage ends the command: the root folder has no name to store it under.
                // A source that cannot be read is counted, and the others go on.
                Err(error) if error.is::<Usage>() => return Err(error),
                Err(error) => return self.failed(source, error),
            },
        };
        if !meta.is_dir() {
            return self.file(source, &format!("{prefix}{name}"), OFlags::empty());
        }
        for found in walk(source) {
            self.interrupt.check()?;
            match found {
                Found::File(path) => match key_below(prefix, &name, source, &path) {
                    // If a link has taken the file's place since the walk saw it, the link is not
                    // followed.
                    Ok(key) => self.file(&path, &key, OFlags::NOFOLLOW)?,
                    Err(error) => self.failed(&path, error)?,
                },
                Found::Folder(folder) => match key_below(prefix, &name, source, &folder.path) {
                    Ok(key) => self.folder(&folder, &format!("{key}/"))?,
                    Err(error) => self.failed(&folder.path, error)?,
                },
                Found::Other(path, kind) => {
                    self.summary.skipped += 1;
                    let line = format!("drystone: {}: skipped, it is {kind}", shown(&path));
                    self.progress.suspend(|| self.output.note(line));
                }
                Found::Unreadable(path, error) => {
                    self.failed(
                        &path,
                        anyhow::Error::new(error).context("cannot read the folder"),
                    )?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, key: &str, follow: OFlags) -> anyhow::Result<()> {
        // Opened without blocking: the file that the walk saw may have become a FIFO.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | follow).bits();
        let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
        let (file, before) = match opened.and_then(|file| file.metadata().map(|meta| (file, meta)))
        {
            Ok((_, meta)) if !meta.is_file() => {
                return self.failed(path, anyhow::anyhow!("not a regular file"));
            }
            Ok(opened) => opened,
            Err(error) => {
                return self.failed(path, anyhow::Error::new(error).context("cannot open it"));
            }
        };
        let meta = ObjectMeta {
            modified_ns: before
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(before.mtime_nsec()),
            mode: Some(before.mode() & 0o7777),
            ..ObjectMeta::default()
        };
        let failed = self.summary.failed;
        // Reads no more than the length at the beginning: a file that grows as fast as it is read
        // would never end. A length of 0 says nothing, because files that the kernel makes up say
        // that they are empty.
        let len_max = if before.len() == 0 { u64::MAX } else { before.len() };
        self.object(key, meta, Some(before.len()), &mut (&file).take(len_max))?;
        if self.summary.failed == failed && has_changed(&file, &before) {
            self.summary.changed += 1;
            let line = format!(
                "drystone: {}: changed while it was read; stored as it was read",
                shown(path)
            );
            self.progress.suspend(|| self.output.note(line));
        }
        Ok(())
    }

    /// An empty object whose key ends with `/`. It keeps the folder's mode and time. Every folder
    /// has one, with any mode, so that a later put replaces it when the mode has changed.
    fn folder(&mut self, folder: &FoundFolder, key: &str) -> anyhow::Result<()> {
        let meta = ObjectMeta {
            modified_ns: folder.modified_ns,
            mode: Some(folder.mode),
            ..ObjectMeta::default()
        };
        self.object(key, meta, Some(0), &mut io::empty())
    }
}

/// Bytes to be read, for the progress bar. `None` when standard input is one of the sources.
pub(super) fn bytes_total(args: &PutArgs, walk_depth_max: usize) -> Option<u64> {
    let len = |path: &Path| path.symlink_metadata().map_or(0, |meta| meta.len());
    let mut total = 0;
    for source in &args.sources {
        if is_stdin(source) {
            return None;
        }
        if !source.is_dir() {
            total += source.metadata().map_or(0, |meta| meta.len());
            continue;
        }
        for found in Walk::new(source, walk_depth_max) {
            if let Found::File(path) = found {
                total += len(&path);
            }
        }
    }
    Some(total)
}

fn has_changed(file: &File, before: &std::fs::Metadata) -> bool {
    file.metadata().is_ok_and(|after| {
        (after.len(), after.mtime(), after.mtime_nsec())
            != (before.len(), before.mtime(), before.mtime_nsec())
    })
}

pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
