//! One segment file that this process appends to.
//!
//! Layout: a header of 64 bytes (magic, the segment's id as 8 bytes little-endian, zeros), then
//! chunks' bytes with nothing between them. The records say where each chunk is.

// `sync_file_range` has no safe wrapper in the crates we use.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use drystone_appender::OwnedFile;
use drystone_store::{Result, SegmentId, StoreError, SyncPolicy};
use drystone_sync::PlainArc;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::pwritev;

use crate::segments::OpenWriters;

pub(crate) const HEADER_BYTES: u64 = 64;
const MAGIC: &[u8; 8] = b"drystone";
/// Space is reserved ahead of the writes in steps of the segment's length between these bounds, in
/// bytes: a new page of an allocated file costs about a third less to write than one whose block
/// must be found first.
const RESERVE_BYTES_MIN: u64 = 1 << 20;
const RESERVE_BYTES_MAX: u64 = 128 << 20;
/// What is reserved is at most one part in so many of the space that is free.
const RESERVE_SHARE: u64 = 8;
/// Written bytes after which the disk is told to begin, so that the sync at the commit finds little
/// left to do.
const WRITE_BACK_BYTES: u64 = 8 << 20;
/// The most parts that one `pwritev` takes (Linux: `IOV_MAX`).
const PARTS_MAX: usize = 1024;

/// The header of a segment.
pub(crate) fn header(id: SegmentId) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&id.0.to_le_bytes());
    header
}

pub(crate) struct SegmentFile {
    id: SegmentId,
    path: PathBuf,
    file: PlainArc<File>,
    len: u64,
    len_max: u64,
    /// Bytes for which the file system has found blocks; at least `len` when reserving works.
    reserved: u64,
    written_back: u64,
    sync: SyncPolicy,
    open: PlainArc<OpenWriters>,
}

impl SegmentFile {
    pub(crate) fn new(
        id: SegmentId,
        path: &Path,
        file: PlainArc<File>,
        len_max: u64,
        sync: SyncPolicy,
        open: PlainArc<OpenWriters>,
    ) -> Self {
        let path = path.to_owned();
        Self {
            id,
            path,
            file,
            len: HEADER_BYTES,
            len_max,
            reserved: HEADER_BYTES,
            written_back: HEADER_BYTES,
            sync,
            open,
        }
    }

    /// To be done before anything is acknowledged that lies in it, also of one that was adopted:
    /// its maker may have been killed.
    pub(crate) fn sync_name(&self) -> io::Result<()> {
        if self.sync == SyncPolicy::Never { Ok(()) } else { self.open.syncs.name(&self.path) }
    }

    fn failed(&self, what: &str, source: io::Error) -> StoreError {
        StoreError::storage(format!("cannot {what} segment {}", self.path.display()), source)
    }

    fn reserve(&mut self, end: u64) {
        if end <= self.reserved {
            return;
        }
        let step = self.len.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
        let target = end.max((end + step).min(self.len_max));
        // Only a speed-up: where it is not supported, the write itself decides.
        let bytes = target - self.reserved;
        let is_reserved = self.has_plenty(bytes)
            && fallocate(&*self.file, FallocateFlags::KEEP_SIZE, self.reserved, bytes).is_ok();
        self.reserved = if is_reserved { target } else { end };
    }

    /// Whether the records, and other segments, find room beside such a reservation.
    fn has_plenty(&self, bytes: u64) -> bool {
        fstatvfs(&*self.file)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) / RESERVE_SHARE >= bytes)
    }

    fn begin_write_back(&mut self) {
        if self.sync == SyncPolicy::Never || self.len - self.written_back < WRITE_BACK_BYTES {
            return;
        }
        let (offset, bytes) = (self.written_back, self.len - self.written_back);
        self.written_back = self.len;
        // SAFETY: a system call on integers; the descriptor is open for as long as `self.file`
        // lives. Its result does not matter: errors of the write-back are reported by the
        // sync at the commit.
        let _ = unsafe {
            libc::sync_file_range(
                self.file.as_raw_fd(),
                i64::try_from(offset).unwrap_or(0),
                i64::try_from(bytes).unwrap_or(0),
                libc::SYNC_FILE_RANGE_WRITE,
            )
        };
    }
}

impl OwnedFile for SegmentFile {
    fn id(&self) -> SegmentId {
        self.id
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn is_empty(&self) -> bool {
        self.len <= HEADER_BYTES
    }

    fn rewind(&mut self, bytes: u64) -> Result<()> {
        let found = self.file.metadata().map_err(|error| self.failed("read", error))?.len();
        if found < bytes {
            let detail = format!("it has {found} bytes and {bytes} are committed");
            return Err(self.failed("use", io::Error::new(io::ErrorKind::UnexpectedEof, detail)));
        }
        let len = bytes.max(HEADER_BYTES);
        self.file.set_len(len).map_err(|error| self.failed("truncate", error))?;
        (self.len, self.reserved, self.written_back) = (len, len, len);
        if bytes < HEADER_BYTES {
            // Its first owner died before it committed anything; its header may be missing as well.
            write_all_at(&self.file, &[&header(self.id)], 0)
                .map_err(|error| self.failed("write", error))?;
        }
        Ok(())
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<u64> {
        let open = PlainArc::clone(&self.open);
        // Not while a transaction uses the room that is kept for it.
        let _leave = open.room.enter(|| ());
        let offset = self.len;
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        self.reserve(offset + bytes);
        write_all_at(&self.file, parts, offset).map_err(|error| self.failed("write", error))?;
        self.len = offset + bytes;
        self.begin_write_back();
        Ok(offset)
    }

    fn is_full(&self, bytes: u64) -> bool {
        !self.is_empty() && self.len + bytes > self.len_max
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if self.reserved > self.len {
            // Gives back what was reserved and not used. Bytes beyond `len` are of no append that
            // succeeded.
            let _ = self.file.set_len(self.len);
        }
        self.open.remove(self.id);
    }
}

/// Writes the parts one after the other at `offset`, in as few calls as the kernel allows.
pub(crate) fn write_all_at(file: &File, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let count = rest.len().min(PARTS_MAX);
        match pwritev(file, &rest[..count], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
