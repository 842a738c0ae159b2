//! Opening a file that must be one: no pipe that would never answer, no device, no link to
//! somewhere else.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What only its owner may use.
pub(crate) const FILE_MODE: u32 = 0o600;
/// The same for a folder.
const FOLDER_MODE: u32 = 0o700;

/// Something else lies where a file of the store must be.
#[derive(Debug, thiserror::Error)]
#[error("it is {0} and no regular file; put the file back from a backup")]
struct NotAFile(&'static str);

/// Whether an error says that something else lies where a file must be.
pub(crate) fn is_not_a_file(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotAFile>())
}

/// Opens a regular file as `options` say. The opening itself waits for nothing, whatever lies
/// there. What other users might do with the file is taken from them, which only its owner can.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file =
        options.mode(FILE_MODE).custom_flags(flags).open(path).map_err(|error| odd(path, error))?;
    let found = file.metadata()?;
    check(&found)?;
    if let Some(closed) = closed_to_others(&found) {
        // Where nothing can be written it stays as it is.
        let _ = file.set_permissions(closed);
    }
    Ok(file)
}

/// The permissions that keep other users out, if they are others than now and it is for this
/// process's user to say.
fn closed_to_others(found: &Metadata) -> Option<Permissions> {
    let is_open = found.mode() & 0o077 != 0 && found.uid() == rustix::process::geteuid().as_raw();
    is_open.then(|| Permissions::from_mode(found.mode() & 0o7700))
}

/// Gives what root has made in a store to the owner of the store's folder: a service that has the
/// store could not use it otherwise. A file that has other names as well may belong to a user who
/// has nothing to do with the store, so its owner stays.
pub(crate) fn give_to_owner(made: &File, store: Option<&Path>) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Some(Ok(owner)) = store.map(fs::metadata) else { return };
    let Ok(found) = made.metadata() else { return };
    if found.uid() != 0 || owner.uid() == 0 || (found.is_file() && found.nlink() != 1) {
        return;
    }
    // Where even root may not, it stays as it is: root can still use it.
    let _ = std::os::unix::fs::fchown(made, Some(owner.uid()), Some(owner.gid()));
}

/// Makes a folder of the store in `store`, if it is not there yet.
pub(crate) fn make_folder(path: &Path, store: Option<&Path>) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    if rustix::process::geteuid().is_root() {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        give_to_owner(&OpenOptions::new().read(true).custom_flags(flags).open(path)?, store);
    }
    Ok(())
}

/// Keeps other users out of a folder or file of the store, if this process's user owns it. Returns
/// whether they had been let in.
pub(crate) fn close_to_others(path: &Path) -> bool {
    let Ok(found) = path.symlink_metadata() else { return false };
    if found.is_symlink() {
        return false;
    }
    closed_to_others(&found).is_some_and(|closed| fs::set_permissions(path, closed).is_ok())
}

/// Whether what lies there, if anything does, is a regular file.
pub(crate) fn check_path(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) => check(&found),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a regular file to read it.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true))
}

fn check(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(io::Error::new(ErrorKind::InvalidData, NotAFile(what)))
}

/// The system refuses to open a link, a folder, a socket, and a pipe that no process reads. It has
/// a different error for each.
fn odd(path: &Path, error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::NotFound {
        return error;
    }
    path.symlink_metadata().map_or(Ok(()), |found| check(&found)).err().unwrap_or(error)
}
