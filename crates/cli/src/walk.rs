//! Walks a folder with few descriptors and constant memory, however wide or deep it is.
//!
//! Each level of the way down is one open folder, up to a ceiling. Past the ceiling the uppermost
//! open folder is closed. On the way back it is opened again at the position where it was left.
//! Nothing is sorted and no list of names is kept.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};

/// Folders deeper than this are refused: a path has at most 4096 bytes.
const DEPTH_MAX: usize = 2048;

/// What the walk has found.
pub(crate) enum Found {
    /// A regular file, as its folder lists it. It may be something else when it is opened.
    File(PathBuf),
    /// A folder that was read to its end, after everything in it.
    Folder(FoundFolder),
    /// A symbolic link, socket, device or the like.
    Other(PathBuf, &'static str),
    /// A folder that cannot be read.
    Unreadable(PathBuf, io::Error),
}

/// A folder as it was when the walk entered it.
pub(crate) struct FoundFolder {
    pub(crate) path: PathBuf,
    /// Nothing was in it.
    pub(crate) is_empty: bool,
    /// Permission bits and those beside them.
    pub(crate) mode: u32,
    /// Nanoseconds since 1970.
    pub(crate) modified_ns: i64,
}

pub(crate) struct Walk {
    root: PathBuf,
    /// From the root down.
    levels: Vec<Level>,
    open: usize,
    open_max: usize,
    /// The path of the lowest level, below the root.
    below: PathBuf,
    /// The folder that the walk passes over: device and inode.
    skip: Option<(u64, u64)>,
}

struct Level {
    /// `None` while closed to save a descriptor.
    dir: Option<Dir>,
    /// Where to go on when it is opened again.
    position: i64,
    is_empty: bool,
    /// As of the first time that it was opened.
    mode: u32,
    modified_ns: i64,
}

impl Level {
    fn new() -> Self {
        Self { dir: None, position: 0, is_empty: true, mode: 0, modified_ns: 0 }
    }
}

enum Step {
    Enter(PathBuf),
    Leave,
    Skip,
    Found(Found),
    Again,
}

impl Walk {
    /// Walks below `root` with at most `open_max` (at least 1) folders open at a time.
    pub(crate) fn new(root: &Path, open_max: usize) -> Self {
        let mut walk = Self {
            root: root.to_owned(),
            levels: Vec::new(),
            open: 0,
            open_max: open_max.max(1),
            below: PathBuf::new(),
            skip: None,
        };
        walk.levels.push(Level::new());
        walk
    }

    /// Passes over `folder` wherever the walk meets it. A store inside the tree that is put into it
    /// would grow while it is read.
    pub(crate) fn skipping(mut self, folder: &Path) -> Self {
        self.skip = rustix::fs::stat(folder).ok().map(|stat| (stat.st_dev, stat.st_ino));
        self
    }

    fn path(&self) -> PathBuf {
        self.root.join(&self.below)
    }

    /// Opens the lowest level, if it is closed. `false` when it is the folder to be passed over.
    fn open_lowest(&mut self) -> io::Result<bool> {
        if self.levels.last().is_none_or(|level| level.dir.is_some()) {
            return Ok(true);
        }
        if self.open == self.open_max
            && let Some(level) = self.levels.iter_mut().find(|level| level.dir.is_some())
        {
            level.dir = None;
            self.open -= 1;
        }
        // The root itself may be a link, because the user named it; nothing below it is followed.
        let follow = if self.levels.len() == 1 { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
        let folder = openat(CWD, self.path(), flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&folder)?;
        if self.skip == Some((stat.st_dev, stat.st_ino)) {
            return Ok(false);
        }
        let mut dir = Dir::new(folder)?;
        if let Some(level) = self.levels.last_mut() {
            if level.position == 0 {
                level.mode = stat.st_mode & 0o7777;
                level.modified_ns = stat
                    .st_mtime
                    .saturating_mul(1_000_000_000)
                    .saturating_add(stat.st_mtime_nsec.cast_signed());
            } else {
                dir.seek(level.position)?;
            }
            level.dir = Some(dir);
            self.open += 1;
        }
        Ok(true)
    }

    fn step(&mut self) -> io::Result<Step> {
        if !self.open_lowest()? {
            return Ok(Step::Skip);
        }
        let here = self.path();
        let Some(Level { dir: Some(dir), position, is_empty, .. }) = self.levels.last_mut() else {
            return Ok(Step::Leave);
        };
        let Some(entry) = dir.next() else { return Ok(Step::Leave) };
        let entry = entry?;
        *position = entry.offset();
        let name: &CStr = entry.file_name();
        if name == c"." || name == c".." {
            return Ok(Step::Again);
        }
        *is_empty = false;
        let path = here.join(OsStr::from_bytes(name.to_bytes()));
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(rustix::fs::lstat(&path)?.st_mode),
            known => known,
        };
        Ok(match kind {
            FileType::RegularFile => Step::Found(Found::File(path)),
            FileType::Directory => Step::Enter(self.below.join(OsStr::from_bytes(name.to_bytes()))),
            FileType::Symlink => Step::Found(Found::Other(path, "a symbolic link")),
            FileType::Fifo => Step::Found(Found::Other(path, "a FIFO")),
            FileType::Socket => Step::Found(Found::Other(path, "a socket")),
            _ => Step::Found(Found::Other(path, "a device")),
        })
    }

    fn leave(&mut self) -> Option<Level> {
        let left = self.levels.pop();
        if left.as_ref().is_some_and(|level| level.dir.is_some()) {
            self.open -= 1;
        }
        self.below.pop();
        left
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        while !self.levels.is_empty() {
            match self.step() {
                Ok(Step::Again) => {}
                Ok(Step::Found(found)) => return Some(found),
                Ok(Step::Enter(below)) if self.levels.len() == DEPTH_MAX => {
                    return Some(Found::Unreadable(
                        self.root.join(below),
                        io::ErrorKind::InvalidFilename.into(),
                    ));
                }
                Ok(Step::Enter(below)) => {
                    self.below = below;
                    self.levels.push(Level::new());
                }
                Ok(Step::Skip) => {
                    let path = self.path();
                    self.leave();
                    return Some(Found::Other(path, "the store itself"));
                }
                Ok(Step::Leave) => {
                    let path = self.path();
                    if let Some(level) = self.leave() {
                        let Level { is_empty, mode, modified_ns, .. } = level;
                        return Some(Found::Folder(FoundFolder {
                            path,
                            is_empty,
                            mode,
                            modified_ns,
                        }));
                    }
                }
                Err(error) => {
                    let path = self.path();
                    self.leave();
                    return Some(Found::Unreadable(path, error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    fn names(root: &Path, open_max: usize) -> Vec<String> {
        let mut names: Vec<String> = Walk::new(root, open_max)
            .map(|found| match found {
                Found::File(path) => path.strip_prefix(root).unwrap().display().to_string(),
                Found::Folder(FoundFolder { path, is_empty, mode, .. }) => {
                    let meta = fs::metadata(&path).unwrap();
                    assert_eq!(mode, meta.mode() & 0o7777, "{}", path.display());
                    let empty = if is_empty { "empty" } else { "" };
                    format!("{}/{empty}", path.strip_prefix(root).unwrap().display())
                }
                Found::Other(path, kind) => {
                    format!("{kind} {}", path.strip_prefix(root).unwrap().display())
                }
                Found::Unreadable(path, error) => format!("{error} {}", path.display()),
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_folder_to_skip_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/store/segments")).unwrap();
        fs::write(root.path().join("a/store/records.db"), b"x").unwrap();
        fs::write(root.path().join("a/f"), b"x").unwrap();
        let found: Vec<String> = Walk::new(root.path(), 2)
            .skipping(&root.path().join("a/store"))
            .map(|found| match found {
                Found::File(path) => path.file_name().unwrap().to_string_lossy().into_owned(),
                Found::Other(_, kind) => kind.to_owned(),
                Found::Folder(folder) => {
                    format!("{}/", folder.path.file_name().unwrap().to_string_lossy())
                }
                Found::Unreadable(..) => "?".to_owned(),
            })
            .collect();
        // The folder `a` and the root; nothing of the one to skip.
        assert_eq!(found.len(), 4);
        assert!(
            found.contains(&"f".to_owned()) && found.contains(&"the store itself".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn a_deep_and_wide_tree_is_walked_whole_with_one_descriptor() {
        let root = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        let mut folder = root.path().to_owned();
        let mut below = String::new();
        for depth in 0..12 {
            for file in 0..30 {
                fs::write(folder.join(format!("f{file}")), b"x").unwrap();
                expected.push(format!("{below}f{file}"));
            }
            folder = folder.join(format!("d{depth}"));
            below = format!("{below}d{depth}/");
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700 + depth)).unwrap();
            expected.push(below.clone());
        }
        *expected.last_mut().unwrap() += "empty";
        expected.push("/".into());
        std::os::unix::fs::symlink("f0", root.path().join("link")).unwrap();
        expected.push("a symbolic link link".into());
        expected.sort();
        for open_max in [1, 2, 100] {
            assert_eq!(names(root.path(), open_max), expected, "{open_max} open");
        }
    }
}
