//! Files and folders below a descriptor, with bounded memory.

use std::ffi::CStr;
use std::ops::ControlFlow;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, read};
use rustix::path::Arg;

/// For lines and for the entries of folders.
const BUFFER_BYTES: usize = 32 << 10;

pub(crate) fn open_folder(from: impl AsFd, path: impl Arg) -> Result<OwnedFd, Errno> {
    openat(from, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

pub(crate) fn open_root(path: &std::path::Path) -> Result<OwnedFd, Errno> {
    open_folder(CWD, path)
}

/// The beginning of a file, as much as fits.
pub(crate) fn read_file(
    from: impl AsFd,
    path: impl Arg,
    buffer: &mut [u8],
) -> Result<&[u8], Errno> {
    let file = openat(from, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut len = 0;
    while len < buffer.len() {
        match read(&file, &mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(&buffer[..len])
}

/// How a walk through a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) bytes: u64,
    /// It was longer than it might be.
    pub(crate) is_cut: bool,
}

/// Calls `visit` with each line, without its end. A line that is longer than the buffer is left
/// out.
pub(crate) fn each_line(
    from: impl AsFd,
    path: impl Arg,
    bytes_max: u64,
    mut visit: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<Read, Errno> {
    let file = openat(from, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut len, mut bytes, mut is_in_long_line) = (0, 0, false);
    loop {
        if bytes >= bytes_max {
            return Ok(Read { bytes, is_cut: true });
        }
        let more = match read(&file, &mut buffer[len..]) {
            Ok(more) => more,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        if more == 0 {
            if len > 0 && !is_in_long_line {
                let _ = visit(&buffer[..len]);
            }
            return Ok(Read { bytes, is_cut: false });
        }
        bytes += more as u64;
        len += more;
        let mut start = 0;
        while let Some(end) = buffer[start..len].iter().position(|b| *b == b'\n') {
            let line = &buffer[start..start + end];
            if !std::mem::take(&mut is_in_long_line) && visit(line).is_break() {
                return Ok(Read { bytes, is_cut: false });
            }
            start += end + 1;
        }
        if start == 0 && len == buffer.len() {
            (len, is_in_long_line) = (0, true);
        } else {
            buffer.copy_within(start..len, 0);
            len -= start;
        }
    }
}

/// Calls `visit` with each name in an open folder, but not with `.` and `..`, and where to go on
/// after it.
pub(crate) fn each_entry(
    folder: impl AsFd,
    mut visit: impl FnMut(&CStr, u64) -> ControlFlow<()>,
) -> Result<(), Errno> {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER_BYTES);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        if visit(name, entry.next_entry_cookie()).is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &[u8], bytes_max: u64) -> (Vec<Vec<u8>>, Read) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, text).unwrap();
        let mut lines = Vec::new();
        let read = each_line(CWD, &path, bytes_max, |line| {
            lines.push(line.to_vec());
            ControlFlow::Continue(())
        });
        (lines, read.unwrap())
    }

    #[test]
    fn lines_come_whole_wherever_the_buffer_cuts() {
        for len in [1, 99, 100, 101, BUFFER_BYTES - 1] {
            let lines: Vec<Vec<u8>> = (0..400).map(|i| vec![b'a' + (i % 26) as u8; len]).collect();
            assert_eq!(lines_of(&lines.join(&b'\n'), u64::MAX).0, lines, "{len}");
        }
        assert_eq!(lines_of(b"", u64::MAX).0, [b""; 0]);
        assert_eq!(lines_of(b"\n\n", u64::MAX).0, [b"", b""]);
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_left_out() {
        for len in [BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES] {
            let text = [b"a\n", &vec![b'x'; len][..], b"\nb\n"].concat();
            assert_eq!(lines_of(&text, u64::MAX).0, [b"a", b"b"], "{len}");
            assert_eq!(lines_of(&vec![b'x'; len], u64::MAX).0.len(), 0);
        }
    }

    #[test]
    fn a_file_longer_than_allowed_is_cut() {
        let text = b"abc\n".repeat(BUFFER_BYTES);
        let (lines, read) = lines_of(&text, 1);
        assert!(read.is_cut && !lines.is_empty() && lines.len() <= BUFFER_BYTES / 4, "{read:?}");
        let (lines, read) = lines_of(&text, text.len() as u64 + 1);
        assert_eq!(
            (lines.len(), read),
            (BUFFER_BYTES, Read { bytes: text.len() as u64, is_cut: false })
        );
    }

    #[test]
    fn the_beginning_of_a_file_is_as_much_as_fits() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), b"0123456789").unwrap();
        let root = open_root(folder.path()).unwrap();
        for (room, expected) in
            [(0, &b""[..]), (9, b"012345678"), (10, b"0123456789"), (11, b"0123456789")]
        {
            assert_eq!(read_file(&root, "f", &mut vec![0; room]).unwrap(), expected);
        }
        assert_eq!(read_file(&root, "g", &mut [0; 9]), Err(Errno::NOENT));
    }
}
