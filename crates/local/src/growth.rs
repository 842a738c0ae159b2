//! Blocks for the database file before a transaction that makes it longer is committed.
//!
//! What is committed is in the log at first; a checkpoint moves it to the database file. If the file had no blocks for it then, a full
//! disk would keep every checkpoint from ending, and so the log from beginning again: it could only grow, and nothing would work any
//! more, deletes included. So the blocks come first: the transaction that needs them is refused if there are none, and a checkpoint
//! never needs any. (Not on file systems that write changed blocks to new places.)

// The file control has no safe wrapper in the crates we use.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr;

use rusqlite::{Connection, ffi};

/// The file grows by so much, in bytes.
const CHUNK_BYTES: c_int = 64 << 10;

/// Tells SQLite to let the file grow by chunks. Without that it takes no hint.
pub(crate) fn by_chunks(db: &Connection) {
    let mut bytes = CHUNK_BYTES;
    // Without it the file grows as it does otherwise.
    let _ = control(db, ffi::SQLITE_FCNTL_CHUNK_SIZE, &mut bytes);
}

/// Sees to it that the file has blocks for every page of an open transaction; `known` pages have some already. Returns how many have.
pub(crate) fn ensure(db: &Connection, known: i64) -> rusqlite::Result<i64> {
    let pages: i64 = db.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?;
    if pages <= known {
        return Ok(known);
    }
    let page_bytes: i64 = db.prepare_cached("PRAGMA page_size")?.query_row([], |row| row.get(0))?;
    let mut bytes = pages.saturating_mul(page_bytes);
    control(db, ffi::SQLITE_FCNTL_SIZE_HINT, &mut bytes)?;
    Ok(pages)
}

fn control<T>(db: &Connection, what: c_int, value: &mut T) -> rusqlite::Result<()> {
    // SAFETY: the handle is open for as long as `db` is borrowed, the null name stands for the main database, and both controls that are
    // used here take a pointer to a value of the type that their caller gives: an `int` and a 64-bit integer. SQLite keeps none of it.
    let code =
        unsafe { ffi::sqlite3_file_control(db.handle(), ptr::null(), what, ptr::from_mut(value).cast()) };
    if code == ffi::SQLITE_OK {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}
