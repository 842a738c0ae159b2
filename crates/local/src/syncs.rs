//! Syncs of segments and of their names. A failed sync is final: every later caller is told of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use drystone_store::SegmentId;
use drystone_sync::{Mutex, PlainArc};

/// What could not be synced in this process.
///
/// Locked for as long as something is synced: the kernel reports a write-back error once for each
/// open file, so of two syncs side by side, or of one after the other, one would believe that all
/// is well. The group commit is not the only one that asks.
#[derive(Default)]
pub(crate) struct Syncs {
    failed: Mutex<Failed>,
}

#[derive(Default)]
struct Failed {
    segments: BTreeSet<SegmentId>,
    /// Folders of segments: any name in one of these may be lost. There are 257 of them.
    folders: BTreeSet<PathBuf>,
}

fn before() -> io::Error {
    io::Error::other("an earlier sync of it failed")
}

impl Failed {
    fn sync_name(&mut self, path: &Path, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        for folder in path.ancestors().skip(1).take(2) {
            if self.folders.contains(folder) {
                return Err(before());
            }
            // A folder that cannot be opened does not count as one whose sync failed.
            sync(&File::open(folder)?).inspect_err(|_| {
                self.folders.insert(folder.to_owned());
            })?;
        }
        Ok(())
    }
}

impl Syncs {
    /// Syncs a segment's name, and that of the folder it is in, which another process may have made
    /// a moment ago and not synced yet.
    pub(crate) fn name(&self, path: &Path) -> io::Result<()> {
        self.failed.lock().sync_name(path, File::sync_all)
    }

    /// Syncs a segment's bytes, and its name first where that is asked for.
    pub(crate) fn segment(
        &self,
        id: SegmentId,
        name: Option<&Path>,
        open: impl FnOnce() -> io::Result<PlainArc<File>>,
    ) -> io::Result<()> {
        let mut failed = self.failed.lock();
        if failed.segments.contains(&id) {
            return Err(before());
        }
        name.map_or(Ok(()), |path| failed.sync_name(path, File::sync_all))?;
        open()?.sync_data().inspect_err(|_| {
            failed.segments.insert(id);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_of_a_segment_is_final() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let syncs = Syncs::default();
        let sync = |id: u64, path: &Path| {
            syncs.segment(SegmentId(id), None, || File::open(path).map(PlainArc::new))
        };
        assert!(sync(1, &file.path().join("missing")).is_err() && sync(1, file.path()).is_ok());
        // It can be opened, and not synced.
        assert!(sync(1, Path::new("/dev/null")).is_err());
        assert!(
            sync(1, file.path()).is_err_and(|error| error.to_string().contains("an earlier sync"))
        );
        assert!(sync(2, file.path()).is_ok());
    }

    #[test]
    fn a_failed_sync_of_a_name_is_final() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("01/one"), folder.path().join("02/other"));
        for path in [&one, &other] {
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a segment").unwrap();
        }
        let syncs = Syncs::default();
        let fail = |_: &File| Err(io::Error::other("the disk is gone"));
        assert!(syncs.failed.lock().sync_name(&one, fail).is_err());
        let open = || File::open(&one).map(PlainArc::new);
        assert!(
            syncs.name(&one).is_err(),
            "the kernel says once that a name is lost, and then no more"
        );
        assert!(syncs.segment(SegmentId(1), Some(&one), open).is_err());
        assert!(syncs.segment(SegmentId(1), None, open).is_ok(), "its bytes were not asked about");
        assert!(syncs.name(&other).is_ok());
        // The folder above both.
        assert!(syncs.failed.lock().sync_name(&folder.path().join("new"), fail).is_err());
        assert!(syncs.name(&other).is_err());
        assert!(
            syncs
                .name(&folder.path().join("missing/one"))
                .is_err_and(|error| { error.kind() == io::ErrorKind::NotFound })
        );
    }
}
