//! Writes files below one folder and nowhere else: every path is resolved beneath the folder's
//! descriptor, links inside it are not followed, and a file appears by rename when it is whole.
//!
//! A new folder is open to its owner only, until [`Destination::finish`] gives it its mode and its
//! time. A folder that was there before keeps its own.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use drystone_store::{ObjectMeta, ObjectReader, StoreError};
use drystone_sync::Mutex;
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps, fchmod, futimens,
    mkdirat, open, openat, openat2, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::interrupt::Interrupt;
use crate::made_folders::{Made, MadeFolders, nameless};

/// Permission bits that a file or folder gets back. The set-user-id bit and the like are left out:
/// restoring a file must not give privileges.
const MODE_MASK: u32 = 0o777;
const MODE_DEFAULT: u32 = 0o666;
/// The mode of a folder until it is full. A folder keeps it where no mode is known, because what
/// was put into it may have been private.
const MODE_FOLDER: u32 = 0o700;
/// Names tried for a temporary file. A killed `get` leaves one file for each of its threads, and a
/// later process may have the same id.
const TEMPORARY_NAMES_MAX: u32 = 1000;
/// Bytes written by one call, so that a large chunk on a slow disk does not keep an interrupt
/// waiting.
const WRITE_BYTES_MAX: usize = 8 << 20;

/// Opens nothing outside the destination, also not through a link in it.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Why one file or folder was not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error("it exists already; use --force to replace it")]
    Exists,
    #[error("its key cannot be a path below a folder")]
    Path,
    #[error(
        "its key ends with `/`, as only an empty folder's can, but it holds bytes; `drystone cat` \
         writes them"
    )]
    FolderWithBytes,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot {what}")]
    Io {
        what: &'static str,
        #[source]
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl FnOnce(Errno) -> RestoreError {
    move |errno| RestoreError::Io { what, source: errno.into() }
}

/// A folder to restore into. Shared between threads, each with a [`Restorer`] of its own.
pub(crate) struct Destination {
    root: OwnedFd,
    force: bool,
    interrupt: Interrupt,
    umask: u32,
    /// Relaxed: the counter only has to give different numbers.
    temporary: AtomicU64,
    /// A leaf, except that the store's locks may be taken under it. Held while folders are made and
    /// looked up, so that the notes are in the order of the folders.
    made: Mutex<MadeFolders>,
}

/// Looks up the folder at a path below the destination.
pub(crate) type Known<'a> = &'a dyn Fn(&str) -> Result<Option<ObjectMeta>, StoreError>;

impl Destination {
    /// Opens `folder`, which must exist.
    pub(crate) fn open(folder: &Path, force: bool, interrupt: Interrupt) -> io::Result<Self> {
        let root =
            open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // A process can read its mask only by setting it. No other thread makes files at this time.
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Ok(Self {
            root,
            force,
            interrupt,
            umask: umask.bits(),
            temporary: AtomicU64::new(u64::from(std::process::id()) << 32),
            made: Mutex::new(MadeFolders::new()),
        })
    }

    /// A restorer for one thread. It calls `known` for each folder that has to be made.
    pub(crate) fn restorer<'a>(&'a self, known: Known<'a>) -> Restorer<'a> {
        Restorer { destination: self, known, last: None }
    }

    /// Gives the folders that were made their modes and times. Calls `failed` for each folder that
    /// cannot have them.
    pub(crate) fn finish(&self, mut failed: impl FnMut(&str, RestoreError)) {
        let mut made = self.made.lock();
        loop {
            match made.pop() {
                Ok(Some(folder)) => {
                    if let Err(error) = self.finish_folder(&folder) {
                        failed(&folder.path, error);
                    }
                }
                Ok(None) => return,
                Err(source) => {
                    let what =
                        "read back which folders were made; they stay open to their owner only";
                    return failed("", RestoreError::Io { what, source });
                }
            }
        }
    }

    fn finish_folder(&self, made: &Made) -> Result<(), RestoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat2(&self.root, &made.path, flags, Mode::empty(), BENEATH)
            .map_err(failed("open the folder"))?;
        futimens(&folder, &times(made.modified_ns)).map_err(failed("set the folder's time"))?;
        if let Some(mode) = made.mode {
            fchmod(&folder, Mode::from_raw_mode(mode & MODE_MASK))
                .map_err(failed("set the folder's mode"))?;
        }
        Ok(())
    }

    fn file(
        &self,
        folder: &OwnedFd,
        name: &str,
        mut reader: ObjectReader,
    ) -> Result<u64, RestoreError> {
        if !self.force && statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(RestoreError::Exists);
        }
        let meta = reader.object().meta.clone();
        let mode = meta.mode.map_or(MODE_DEFAULT & !self.umask, |mode| mode & MODE_MASK);
        let (temporary, file) = self.temporary(folder, mode)?;
        let written = self.fill(&file, mode, &meta, &mut reader).and_then(|len| {
            let flags = if self.force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
            match renameat_with(folder, &temporary, folder, name, flags) {
                Ok(()) => Ok(len),
                Err(Errno::EXIST) => Err(RestoreError::Exists),
                Err(errno) => Err(failed("rename the finished file")(errno)),
            }
        });
        if written.is_err() {
            let _ = unlinkat(folder, &temporary, AtFlags::empty());
        }
        written
    }

    /// A new file under a name that is free. A file that a killed `get` left stays, because it may
    /// belong to a `get` of another machine.
    fn temporary(&self, folder: &OwnedFd, mode: u32) -> Result<(String, File), RestoreError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut tries = 0;
        loop {
            let name = self.temporary_name();
            match openat(folder, &name, flags, Mode::from_raw_mode(mode)) {
                Ok(file) => return Ok((name, File::from(file))),
                Err(Errno::EXIST) if tries < TEMPORARY_NAMES_MAX => tries += 1,
                Err(errno) => return Err(failed("create the file")(errno)),
            }
        }
    }

    fn temporary_name(&self) -> String {
        format!(".drystone-{:x}.part", self.temporary.fetch_add(1, Ordering::Relaxed))
    }

    fn fill(
        &self,
        file: &File,
        mode: u32,
        meta: &ObjectMeta,
        reader: &mut ObjectReader,
    ) -> Result<u64, RestoreError> {
        let len = reader
            .copy_to(&mut Interruptible { file, interrupt: &self.interrupt })?
            .map_err(|source| RestoreError::Io { what: "write the file", source })?;
        if mode & self.umask != 0 {
            fchmod(file, Mode::from_raw_mode(mode)).map_err(failed("set the file's mode"))?;
        }
        futimens(file, &times(meta.modified_ns)).map_err(failed("set the file's time"))?;
        Ok(len)
    }

    /// Opens the folder `path` below the root, making what is missing of it.
    fn folder(&self, path: &str, known: Known<'_>) -> Result<OwnedFd, RestoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let whole = if path.is_empty() { "." } else { path };
        let opened = match openat2(&self.root, whole, flags, Mode::empty(), BENEATH) {
            Err(Errno::NOENT) => {
                self.make(path, known)?;
                openat2(&self.root, whole, flags, Mode::empty(), BENEATH)
            }
            opened => opened,
        };
        opened.map_err(failed("open the folder"))
    }

    fn make(&self, path: &str, known: Known<'_>) -> Result<(), RestoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Held to the end, so that no other thread notes a folder before its parent.
        let mut made = self.made.lock();
        let mut parent =
            openat(&self.root, ".", flags, Mode::empty()).map_err(failed("open the folder"))?;
        let mut end = 0;
        for segment in path.split('/') {
            if segment.is_empty() {
                return Err(RestoreError::Path);
            }
            end += segment.len();
            match mkdirat(&parent, segment, Mode::from_raw_mode(MODE_FOLDER)) {
                Ok(()) => self.note(&mut made, &path[..end], known)?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("make the folder")(errno)),
            }
            parent = openat2(&parent, segment, flags, Mode::empty(), BENEATH)
                .map_err(failed("open the folder"))?;
            // Past the slash.
            end += 1;
        }
        Ok(())
    }

    /// Notes the mode and time that a new folder gets when it is full.
    fn note(
        &self,
        made: &mut MadeFolders,
        path: &str,
        known: Known<'_>,
    ) -> Result<(), RestoreError> {
        let Some(meta) = known(path)? else { return Ok(()) };
        let folder = Made { path: path.to_owned(), modified_ns: meta.modified_ns, mode: meta.mode };
        let noted = made.push(&folder, || nameless(&self.root, &self.temporary_name()));
        noted.map_err(|source| RestoreError::Io { what: "note that the folder was made", source })
    }
}

/// Restores one object after the other. It keeps the folder of the last one open, because the next
/// object is mostly in the same folder. It holds three descriptors at a time: that folder (or,
/// while a folder is made, it and its parent) and the file. All threads together hold one more,
/// once very many folders have been made.
pub(crate) struct Restorer<'a> {
    destination: &'a Destination,
    known: Known<'a>,
    last: Option<(String, OwnedFd)>,
}

impl Restorer<'_> {
    /// Restores one object at `path`, below the destination. Returns its length in bytes.
    pub(crate) fn object(&mut self, path: &str, reader: ObjectReader) -> Result<u64, RestoreError> {
        if path.ends_with('/') {
            if reader.object().size > 0 {
                return Err(RestoreError::FolderWithBytes);
            }
            return self.folder(path.trim_end_matches('/')).map(|_| 0);
        }
        let (folder, name) = split(path)?;
        let destination = self.destination;
        destination.file(self.folder(folder)?, name, reader)
    }

    fn folder(&mut self, path: &str) -> Result<&OwnedFd, RestoreError> {
        // The old folder is closed before another one is opened.
        let kept = self.last.take().filter(|(open, _)| open == path);
        let last = match kept {
            Some(kept) => kept,
            None => (path.to_owned(), self.destination.folder(path, self.known)?),
        };
        Ok(&self.last.insert(last).1)
    }
}

/// Restores one object as exactly this file; its folder must exist.
pub(crate) fn single(
    path: &Path,
    force: bool,
    interrupt: Interrupt,
    reader: ObjectReader,
) -> Result<u64, RestoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(RestoreError::Path)?;
    let destination = Destination::open(folder, force, interrupt)
        .map_err(|source| RestoreError::Io { what: "open the destination's folder", source })?;
    // The folder exists, so no folder is made and `known` has nothing to answer.
    destination.restorer(&|_| Ok(None)).object(name, reader)
}

/// A file that notices interrupts while it is written, so that its temporary name goes away.
struct Interruptible<'a> {
    file: &'a File,
    interrupt: &'a Interrupt,
}

impl Write for Interruptible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupt.check().map_err(io::Error::other)?;
        self.file.write(&bytes[..bytes.len().min(WRITE_BYTES_MAX)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Folder and name of a path; every segment must be one.
fn split(path: &str) -> Result<(&str, &str), RestoreError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let valid = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    if valid(name) && (folder.is_empty() || folder.split('/').all(valid)) && !path.starts_with('/')
    {
        Ok((folder, name))
    } else {
        Err(RestoreError::Path)
    }
}

fn times(modified_ns: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: modified_ns.div_euclid(1_000_000_000),
        tv_nsec: modified_ns.rem_euclid(1_000_000_000),
    };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_of_a_killed_process_with_the_same_id_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Destination::open(folder.path(), false, Interrupt::never()).unwrap();
        let (first, _) = open().temporary(&open().root, 0o600).unwrap();
        let (second, _) = open().temporary(&open().root, 0o600).unwrap();
        assert!(first != second);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
