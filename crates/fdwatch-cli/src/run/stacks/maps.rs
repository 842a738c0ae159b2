//! What code a process has mapped: `/proc/PID/maps`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::Range;

/// So many mappings of code are looked at; a program with hundreds of libraries has as many.
const MAPPINGS_MAX: usize = 4096;
/// So much of the file is read: the kernel's own default bound of mappings stays below.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A file that is mapped so that it can be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) range: Range<u64>,
    /// Where in the file it begins.
    pub(super) offset: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Any bytes.
    pub(super) path: Vec<u8>,
}

/// Those of a process, by address; nothing if it is gone.
pub(super) fn code_of(process: u32) -> Vec<Mapping> {
    let Ok(file) = File::open(format!("/proc/{process}/maps")) else { return Vec::new() };
    let mut reader = BufReader::with_capacity(64 << 10, file.take(FILE_BYTES_MAX));
    let (mut found, mut line) = (Vec::new(), Vec::new());
    while found.len() < MAPPINGS_MAX
        && reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0)
    {
        found.extend(parse(&line));
        line.clear();
    }
    found
}

/// `None` for a mapping without code or without a file.
fn parse(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut field = || fields.next();
    let (addresses, rights, offset, device, inode) =
        (field()?, field()?, field()?, field()?, field()?);
    if rights.get(2) != Some(&b'x') {
        return None;
    }
    let (start, end) = pair(addresses, b'-')?;
    let (major, minor) = pair(device, b':')?;
    let inode = str::from_utf8(inode).ok()?.parse().ok()?;
    let path = field()?.trim_ascii_start();
    let path = path.strip_suffix(b"\n").unwrap_or(path);
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    (inode != 0 && path.first() == Some(&b'/')).then(|| Mapping {
        range: start..end,
        offset: hexadecimal(offset).unwrap_or(0),
        device: major << 32 | minor,
        inode,
        path: path.to_owned(),
    })
}

fn pair(text: &[u8], between: u8) -> Option<(u64, u64)> {
    let at = text.iter().position(|&byte| byte == between)?;
    Some((hexadecimal(&text[..at])?, hexadecimal(&text[at + 1..])?))
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_files_is_found() {
        let line =
            b"7f27a4028000-7f27a417d000 r-xp 00026000 fd:01 2061  /usr/lib/a b (deleted).so\n";
        let expected = Mapping {
            range: 0x7f27_a402_8000..0x7f27_a417_d000,
            offset: 0x26000,
            device: 0xfd << 32 | 1,
            inode: 2061,
            path: b"/usr/lib/a b (deleted).so".to_vec(),
        };
        assert_eq!(parse(line), Some(expected));
        let deleted = parse(b"1000-2000 r-xp 00000000 00:01 7    /memfd:\xff (deleted)\n").unwrap();
        assert_eq!(deleted.path, b"/memfd:\xff");
    }

    #[test]
    fn everything_else_is_not() {
        for line in [
            "",
            "x",
            "1000-2000 r-xp",
            "1000-2000 rw-p 00000000 fd:01 7 /a\n",
            "1000-2000 r-xp 00000000 00:00 0 \n",
            "1000-2000 r-xp 00000000 00:00 0                  [vdso]\n",
            "1000 r-xp 00000000 fd:01 7 /a\n",
            "1000-2000 r-xp 00000000 fd01 7 /a\n",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn this_program_has_its_own_code() {
        let code = code_of(std::process::id());
        let here = this_program_has_its_own_code as *const () as u64;
        assert!(code.iter().any(|mapping| mapping.range.contains(&here)));
    }
}
