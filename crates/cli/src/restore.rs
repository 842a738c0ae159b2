//! Writes files below one folder and nowhere else: every path is resolved beneath the folder's descriptor, links inside it
//! are not followed, and a file appears by rename when it is whole.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use drystone_store::{ObjectMeta, ObjectReader, StoreError};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps, fchmod, futimens, mkdirat, open,
    openat, openat2, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::interrupt::Interrupt;

/// Permission bits that a file gets back. Not set-user-id and the like: a store is no place to get privileges from.
const MODE_MASK: u32 = 0o777;
const MODE_DEFAULT: u32 = 0o666;

/// Why one file was not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error("it exists already; use --force to replace it")]
    Exists,
    #[error("its key cannot be a path below a folder")]
    Path,
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

/// A folder to restore into. Shared between threads.
pub(crate) struct Destination {
    root: OwnedFd,
    force: bool,
    interrupt: Interrupt,
    umask: u32,
    /// The folder used last: the next file is mostly in the same one.
    last: Mutex<Option<(PathBuf, Arc<OwnedFd>)>>,
    /// Relaxed: it only has to give different numbers.
    temporary: AtomicU64,
}

impl Destination {
    /// Opens `folder`, making it if it is missing.
    pub(crate) fn open(folder: &Path, force: bool, interrupt: Interrupt) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let root = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // The only way to read the mask is to set it; no other thread runs that makes files.
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Ok(Self {
            root,
            force,
            interrupt,
            umask: umask.bits(),
            last: Mutex::new(None),
            temporary: AtomicU64::new(u64::from(std::process::id()) << 32),
        })
    }

    /// Restores one object at `path`, below the folder. Returns its length in bytes.
    pub(crate) fn file(&self, path: &str, mut reader: ObjectReader) -> Result<u64, RestoreError> {
        let (folder, name) = split(path)?;
        let folder = self.folder(folder)?;
        if !self.force && statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(RestoreError::Exists);
        }
        let meta = reader.object().meta.clone();
        let temporary = format!(".drystone-{:x}.part", self.temporary.fetch_add(1, Ordering::Relaxed));
        let mode = meta.mode.map_or(MODE_DEFAULT & !self.umask, |mode| mode & MODE_MASK);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&*folder, &temporary, flags, Mode::from_raw_mode(mode))
            .map_err(failed("create the file"))?;
        let written = self.fill(&File::from(file), mode, &meta, &mut reader).and_then(|len| {
            let flags = if self.force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
            match renameat_with(&*folder, &temporary, &*folder, name, flags) {
                Ok(()) => Ok(len),
                Err(Errno::EXIST) => Err(RestoreError::Exists),
                Err(errno) => Err(failed("rename the finished file")(errno)),
            }
        });
        if written.is_err() {
            let _ = unlinkat(&*folder, &temporary, AtFlags::empty());
        }
        written
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
        futimens(file, &times(meta)).map_err(failed("set the file's time"))?;
        Ok(len)
    }

    /// Makes a folder that was stored empty.
    pub(crate) fn empty_folder(&self, path: &str) -> Result<(), RestoreError> {
        self.folder(path.trim_end_matches('/')).map(drop)
    }

    /// Opens the folder `path` below the root, making what is missing of it.
    fn folder(&self, path: &str) -> Result<Arc<OwnedFd>, RestoreError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, folder)) = last.as_ref().filter(|(open, _)| open == Path::new(path)) {
            return Ok(Arc::clone(folder));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let whole = if path.is_empty() { "." } else { path };
        let opened = match openat2(&self.root, whole, flags, Mode::empty(), beneath) {
            Err(Errno::NOENT) => {
                self.make(path, beneath)?;
                openat2(&self.root, whole, flags, Mode::empty(), beneath)
            }
            opened => opened,
        };
        let folder = Arc::new(opened.map_err(failed("open the folder"))?);
        *last = Some((PathBuf::from(path), Arc::clone(&folder)));
        Ok(folder)
    }

    fn make(&self, path: &str, beneath: ResolveFlags) -> Result<(), RestoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut parent = openat(&self.root, ".", flags, Mode::empty()).map_err(failed("open the folder"))?;
        for segment in path.split('/') {
            if segment.is_empty() {
                return Err(RestoreError::Path);
            }
            match mkdirat(&parent, segment, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("make the folder")(errno)),
            }
            parent = openat2(&parent, segment, flags, Mode::empty(), beneath)
                .map_err(failed("open the folder"))?;
        }
        Ok(())
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
    if rustix::fs::access(folder, rustix::fs::Access::EXISTS).is_err() {
        return Err(RestoreError::Io {
            what: "find the destination's folder",
            source: io::ErrorKind::NotFound.into(),
        });
    }
    let destination = Destination::open(folder, force, interrupt)
        .map_err(|source| RestoreError::Io { what: "open the folder", source })?;
    destination.file(name, reader)
}

/// A file that notices interrupts while it is written, so that its temporary name goes away.
struct Interruptible<'a> {
    file: &'a File,
    interrupt: &'a Interrupt,
}

impl Write for Interruptible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupt.check().map_err(io::Error::other)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Folder and name of a path; every segment must be one.
fn split(path: &str) -> Result<(&str, &str), RestoreError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let valid = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    if valid(name) && (folder.is_empty() || folder.split('/').all(valid)) && !path.starts_with('/') {
        Ok((folder, name))
    } else {
        Err(RestoreError::Path)
    }
}

fn times(meta: &ObjectMeta) -> Timestamps {
    let time = Timespec {
        tv_sec: meta.modified_ns.div_euclid(1_000_000_000),
        tv_nsec: meta.modified_ns.rem_euclid(1_000_000_000),
    };
    Timestamps { last_access: time, last_modification: time }
}
