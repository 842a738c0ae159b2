//! The folders that a restore has made, each with the mode and time that it gets at the end. It
//! cannot get them earlier: a folder that may not be written to could not be filled, and filling a
//! folder changes its time.
//!
//! Their number has no bound. So only the newest notes are in memory, and the older ones are in a
//! file without a name. The notes come back newest first: a folder comes before its parent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

/// Bytes of notes in memory. There are two blocks of this size while one is read back.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Behind each note: the length of its path, its time, its mode.
const TAIL_BYTES: usize = 4 + 8 + 4;
/// Stands for a mode that is not known.
const NO_MODE: u32 = u32::MAX;

/// What a folder gets at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Below the destination.
    pub(crate) path: String,
    /// Nanoseconds since 1970.
    pub(crate) modified_ns: i64,
    /// `None`: the folder keeps the mode that it was made with.
    pub(crate) mode: Option<u32>,
}

/// Notes of folders, the newest on top.
pub(crate) struct MadeFolders {
    /// The newest ones, each with a tail of fixed length.
    block: Vec<u8>,
    block_bytes_max: usize,
    /// The blocks before it, each followed by its length as four bytes.
    spilled: Option<File>,
    spilled_bytes: u64,
}

impl MadeFolders {
    pub(crate) fn new() -> Self {
        Self::of_blocks(BLOCK_BYTES_MAX)
    }

    fn of_blocks(block_bytes_max: usize) -> Self {
        Self { block: Vec::new(), block_bytes_max, spilled: None, spilled_bytes: 0 }
    }

    /// Notes a folder. `open` makes the file for notes that do not fit into memory. It is called
    /// once.
    pub(crate) fn push(
        &mut self,
        made: &Made,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<()> {
        let len = made.path.len() + TAIL_BYTES;
        if !self.block.is_empty() && self.block.len() + len > self.block_bytes_max {
            self.spill(open)?;
        }
        let path_len =
            u32::try_from(made.path.len()).expect("a path is part of a key, which is short");
        self.block.extend_from_slice(made.path.as_bytes());
        self.block.extend_from_slice(&path_len.to_le_bytes());
        self.block.extend_from_slice(&made.modified_ns.to_le_bytes());
        self.block.extend_from_slice(&made.mode.unwrap_or(NO_MODE).to_le_bytes());
        Ok(())
    }

    fn spill(&mut self, open: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        let file = match self.spilled.take() {
            Some(file) => file,
            None => open()?,
        };
        let len = u32::try_from(self.block.len()).expect("a block is small");
        self.block.extend_from_slice(&len.to_le_bytes());
        let written = file.write_all_at(&self.block, self.spilled_bytes);
        self.spilled = Some(file);
        if let Err(error) = written {
            self.block.truncate(len as usize);
            return Err(error);
        }
        self.spilled_bytes += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Takes the newest note.
    pub(crate) fn pop(&mut self) -> io::Result<Option<Made>> {
        if self.block.is_empty() && !self.bring_back()? {
            return Ok(None);
        }
        let tail_at = self.block.len() - TAIL_BYTES;
        let tail = &self.block[tail_at..];
        let path_len = u32::from_le_bytes(fixed(&tail[..4])) as usize;
        let modified_ns = i64::from_le_bytes(fixed(&tail[4..12]));
        let mode = Some(u32::from_le_bytes(fixed(&tail[12..]))).filter(|mode| *mode != NO_MODE);
        let path_at = tail_at - path_len;
        let path = String::from_utf8_lossy(&self.block[path_at..tail_at]).into_owned();
        self.block.truncate(path_at);
        Ok(Some(Made { path, modified_ns, mode }))
    }

    fn bring_back(&mut self) -> io::Result<bool> {
        let Some(file) = &self.spilled else { return Ok(false) };
        let Some(len_at) = self.spilled_bytes.checked_sub(4) else { return Ok(false) };
        let mut len = [0; 4];
        file.read_exact_at(&mut len, len_at)?;
        let len = u32::from_le_bytes(len);
        let at = len_at - u64::from(len);
        let mut block = vec![0; len as usize];
        file.read_exact_at(&mut block, at)?;
        self.block = block;
        self.spilled_bytes = at;
        Ok(true)
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice was cut to this length")
}

/// A file without a name, on the disk of `folder`. Some file systems cannot make one. There the
/// file is called `name` for a moment.
pub(crate) fn nameless(folder: impl std::os::fd::AsFd, name: &str) -> io::Result<File> {
    let mode = Mode::from_raw_mode(0o600);
    match openat(&folder, ".", OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC, mode) {
        Ok(file) => return Ok(file.into()),
        // This file system cannot make a file without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&folder, name, flags, mode)?;
    unlinkat(&folder, name, AtFlags::empty())?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_comes_back_first_also_from_the_file() {
        for (block_bytes_max, count) in
            [(1, 0), (1, 1), (1, 50), (100, 200), (BLOCK_BYTES_MAX, 5000)]
        {
            let mut folders = MadeFolders::of_blocks(block_bytes_max);
            let made = |number: usize| Made {
                path: format!("{}{number}", "f/".repeat(number % 40)),
                modified_ns: number as i64 - 100,
                mode: (!number.is_multiple_of(3)).then_some(number as u32 % 0o1000),
            };
            let mut files = 0;
            for number in 0..count {
                let open = || {
                    files += 1;
                    tempfile::tempfile()
                };
                folders.push(&made(number), open).unwrap();
                // Some notes are taken back in between.
                if number % 7 == 6 {
                    assert_eq!(folders.pop().unwrap(), Some(made(number)));
                    folders.push(&made(number), tempfile::tempfile).unwrap();
                }
                assert!(folders.block.len() <= block_bytes_max.max(40 * 2 + 4 + TAIL_BYTES));
            }
            assert!(files <= 1, "{files} files");
            for number in (0..count).rev() {
                assert_eq!(folders.pop().unwrap(), Some(made(number)), "{block_bytes_max}");
            }
            assert_eq!(folders.pop().unwrap(), None);
        }
    }

    #[test]
    fn a_file_without_a_name_is_in_no_listing() {
        let folder = tempfile::tempdir().unwrap();
        let opened = File::open(folder.path()).unwrap();
        let file = nameless(&opened, "name").unwrap();
        file.write_all_at(b"bytes", 0).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
