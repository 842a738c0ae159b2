//! Blocks for the database file before a transaction that makes it longer is committed.
//!
//! What is committed is in the log at first; a checkpoint moves it to the database file. If the
//! file had no blocks for it then, a full disk would keep every checkpoint from ending, and so the
//! log from beginning again: it could only grow, and nothing would work any more, deletes included.
//! So the blocks come first: the transaction that needs them is refused if there are none, and a
//! checkpoint never needs any. (Not on file systems that write changed blocks to new places, nor on
//! those without `fallocate`.)
//!
//! A transaction holds SQLite's write lock, not its checkpoint lock: another process may write
//! pages to the file at the same time, or cut it. So nothing is written here and the file's length
//! stays as it is. SQLite's own size hint does both where it was built without `posix_fallocate`,
//! and the C library's `posix_fallocate` writes where the file system has none: a page that a
//! checkpoint had just written lost its last byte. `FALLOC_FL_KEEP_SIZE` only adds blocks behind
//! the end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use drystone_sync::PlainArc;
use rusqlite::{Connection, ffi};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Blocks are asked for in steps of so many bytes.
const STEP_BYTES: u64 = 64 << 10;

/// The database files that have a descriptor here.
///
/// For the whole process, because the system's record locks are: to close any descriptor of a file
/// gives up every lock that the process has on it, those of SQLite included. So all that have a
/// database open share one descriptor, which is closed under this lock, after their connections.
static OPEN: Mutex<Vec<PlainArc<File>>> = Mutex::new(Vec::new());

fn all_open() -> MutexGuard<'static, Vec<PlainArc<File>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor of the database file. To be made before its first connection is opened, and dropped
/// after the last one is closed.
pub(crate) struct Growth {
    /// `None` where the file cannot be written to.
    file: Option<PlainArc<File>>,
}

/// What an open transaction has blocks for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Blocks {
    /// Length of all pages, in bytes.
    needed: u64,
    /// Up to where blocks were asked for.
    end: u64,
    /// How many the file had then. A process that cuts the file leaves it fewer.
    count: u64,
}

impl Growth {
    pub(crate) fn of(path: &Path) -> Self {
        // SQLite says what is wrong with a file that cannot be opened.
        Self { file: open_once(path).ok() }
    }

    /// Sees to it that the file has blocks for every page of an open transaction; `known` is what
    /// the last one got.
    pub(crate) fn ensure(&self, db: &Connection, known: Blocks) -> rusqlite::Result<Blocks> {
        let Some(file) = &self.file else { return Ok(known) };
        let number = |sql: &str| db.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
        let needed = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
        let needed = u64::try_from(needed).unwrap_or(0);
        give(file, Blocks { needed, ..known }).map_err(refused)
    }

    /// The same once more, after the commit: until then a checkpoint of another process may have
    /// cut the file to what was committed. From now on none does.
    pub(crate) fn ensure_again(&self, known: Blocks) -> Blocks {
        let given = self.file.as_ref().and_then(|file| give(file, known).ok());
        // What is missing is asked for again by the next transaction.
        given.unwrap_or_default()
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        let mut open = all_open();
        self.file = None;
        open.retain(|file| PlainArc::strong_count(file) > 1);
    }
}

fn open_once(path: &Path) -> io::Result<PlainArc<File>> {
    let mut open = all_open();
    // A descriptor that is only a path: to close it gives up no lock.
    let only_path = libc::O_PATH | libc::O_NOFOLLOW;
    let at = OpenOptions::new().read(true).custom_flags(only_path).open(path)?;
    let wanted = at.metadata()?;
    if !wanted.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let is_wanted = |file: &File| {
        file.metadata()
            .is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
    };
    if let Some(file) = open.iter().find(|file| is_wanted(file)) {
        return Ok(PlainArc::clone(file));
    }
    // The same file, whatever has its name by now.
    let same = format!("/proc/self/fd/{}", at.as_raw_fd());
    let file = PlainArc::new(OpenOptions::new().write(true).open(same)?);
    open.push(PlainArc::clone(&file));
    Ok(file)
}

fn give(file: &File, known: Blocks) -> Result<Blocks, Errno> {
    let found = file.metadata().map_err(|_| Errno::IO)?;
    let has_all = known.needed <= known.end && found.blocks() >= known.count;
    if known.needed <= found.len() || has_all {
        return Ok(known);
    }
    let end = known.needed.next_multiple_of(STEP_BYTES);
    let from = found.len() / STEP_BYTES * STEP_BYTES;
    loop {
        match fallocate(file, FallocateFlags::KEEP_SIZE, from, end - from) {
            Err(Errno::INTR) => {}
            Ok(()) => break,
            // There the file grows as it does otherwise.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(known),
            Err(error) => return Err(error),
        }
    }
    let count = file.metadata().map_err(|_| Errno::IO)?.blocks();
    Ok(Blocks { end, count, ..known })
}

fn refused(error: Errno) -> rusqlite::Error {
    let code = match error {
        Errno::NOSPC | Errno::DQUOT => ffi::SQLITE_FULL,
        _ => ffi::SQLITE_IOERR_WRITE,
    };
    let detail = format!("cannot get blocks for the database: {}", io::Error::from(error));
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(detail))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn locks_of(file: &Path) -> usize {
        let inode = format!(":{} ", fs::metadata(file).unwrap().ino());
        let process = format!(" {} ", std::process::id());
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().filter(|line| line.contains(&inode) && line.contains(&process)).count()
    }

    /// Pages were changed that a checkpoint of another process had just written.
    #[test]
    fn a_file_gets_blocks_and_neither_a_byte_nor_another_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.db");
        fs::write(&path, "").unwrap();
        let growth = Growth::of(&path);
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
        db.execute_batch("CREATE TABLE t (x); PRAGMA wal_checkpoint(TRUNCATE); BEGIN").unwrap();
        db.execute_batch("INSERT INTO t VALUES (randomblob(1000000))").unwrap();
        let before = fs::read(&path).unwrap();
        let given = growth.ensure(&db, Blocks::default()).unwrap();
        assert!(fs::read(&path).unwrap() == before, "{} bytes", fs::metadata(&path).unwrap().len());
        let blocks = || fs::metadata(&path).unwrap().blocks();
        assert!(given.needed > 1_000_000 && blocks() * 512 >= given.needed, "{} blocks", blocks());
        // Another process's checkpoint cuts it to what is committed.
        let cut = OpenOptions::new().write(true).open(&path).unwrap();
        cut.set_len(before.len() as u64).unwrap();
        std::mem::forget(cut);
        assert!(blocks() * 512 < given.needed);
        db.execute_batch("COMMIT").unwrap();
        growth.ensure_again(given);
        assert!(blocks() * 512 >= given.needed, "{} blocks", blocks());
        assert!(fs::read(&path).unwrap() == before);
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }

    #[test]
    fn one_that_is_closed_takes_no_lock_from_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.db");
        fs::write(&path, "").unwrap();
        let (one, other) = (Growth::of(&path), Growth::of(&path));
        let db = Connection::open(&path).unwrap();
        db.execute_batch("BEGIN IMMEDIATE; CREATE TABLE t (x)").unwrap();
        let locks = locks_of(&path);
        assert!(locks > 0, "SQLite locks the file");
        drop(one);
        assert_eq!(locks_of(&path), locks);
        drop(db);
        drop(other);
    }
}
