//! A folder that a command makes for its results, and removes again when there are none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::walk::{Found, FoundFolder, Walk};

/// Folders that the clean-up holds open.
const OPEN_MAX: usize = 2;

/// A folder that exists, and how much of its path is new.
pub(crate) struct NewFolder {
    folder: PathBuf,
    /// The uppermost folder that had to be made; `None` when there was nothing to make.
    top: Option<PathBuf>,
}

impl NewFolder {
    /// Makes `folder` and what is missing above it.
    pub(crate) fn make(folder: &Path) -> io::Result<Self> {
        let missing =
            folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
        let top = missing.last().map(Path::to_owned);
        let new = Self { folder: folder.to_owned(), top };
        match fs::create_dir_all(folder) {
            Ok(()) => Ok(new),
            Err(error) => {
                new.remove_empty();
                Err(error)
            }
        }
    }

    /// Removes the folders that were made, as far as they hold only empty folders. A folder that
    /// was there before stays as it is.
    pub(crate) fn remove_empty(&self) {
        let Some(top) = &self.top else { return };
        // A folder is empty only after the folders in it are removed, so each pass removes one
        // level.
        let mut removed = true;
        while std::mem::take(&mut removed) {
            for found in Walk::new(&self.folder, OPEN_MAX) {
                if let Found::Folder(FoundFolder { path, is_empty: true, .. }) = found
                    && path != self.folder
                {
                    removed |= fs::remove_dir(path).is_ok();
                }
            }
        }
        for made in self.folder.ancestors() {
            // A folder that could not even be made does not keep its parent.
            let gone = fs::remove_dir(made).is_ok() || !made.exists();
            if !gone || made == top {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_and_empty_is_taken_away() {
        let root = tempfile::tempdir().unwrap();
        let old = root.path().join("old");
        fs::create_dir(&old).unwrap();

        let new = NewFolder::make(&old.join("a/b/")).unwrap();
        fs::create_dir_all(old.join("a/b/c/d/e")).unwrap();
        new.remove_empty();
        assert_eq!(fs::read_dir(&old).unwrap().count(), 0);

        let new = NewFolder::make(&old.join("a/b")).unwrap();
        fs::create_dir_all(old.join("a/b/c/d")).unwrap();
        fs::write(old.join("a/b/file"), "x").unwrap();
        new.remove_empty();
        assert!(old.join("a/b/file").exists() && !old.join("a/b/c").exists());

        let there = NewFolder::make(&old.join("a")).unwrap();
        fs::create_dir(old.join("a/empty")).unwrap();
        there.remove_empty();
        assert!(old.join("a/empty").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_leaves_none_above_it() {
        let root = tempfile::tempdir().unwrap();
        let long = root.path().join("a").join("l".repeat(300));
        assert!(NewFolder::make(&long).is_err());
        assert!(!root.path().join("a").exists());
    }
}
