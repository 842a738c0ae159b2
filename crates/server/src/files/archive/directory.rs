//! The files of a zip archive under way, in as few bytes as it takes: names come in order, so each
//! says only how it differs from the one before, and where a file begins follows from those before
//! it.

use drystone_limits::constants;

/// What is kept of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) crc: u32,
    pub(super) size: u64,
    /// Since 1970.
    pub(super) modified_s: u32,
    /// Permissions.
    pub(super) mode: u16,
}

/// The files so far.
pub(super) struct Directory {
    bytes: Vec<u8>,
    last: String,
    pub(super) count: u64,
}

/// There are more files than can be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "the folder has more files than a zip archive made here can list ({0} and more): ask for ?archive=tar"
)]
pub(super) struct Full(u64);

impl Directory {
    pub(super) fn new() -> Self {
        // At once: growing would have two of them for a moment. What is not written to is not
        // resident.
        let bytes = Vec::with_capacity(constants::ZIP_LIST_BYTES as usize);
        Self { bytes, last: String::new(), count: 0 }
    }

    /// # Errors
    /// When the list would become longer than the plan has room for.
    pub(super) fn push(&mut self, name: &str, file: File) -> Result<(), Full> {
        let same =
            self.last.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
        // Not in the middle of a character.
        let shared = (0..=same).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        let own = &name.as_bytes()[shared..];
        // At most what the numbers take: three of at most ten bytes, and the fixed ones.
        if (self.bytes.len() + own.len() + 40) as u64 > constants::ZIP_LIST_BYTES {
            return Err(Full(self.count));
        }
        number(&mut self.bytes, shared as u64);
        number(&mut self.bytes, own.len() as u64);
        self.bytes.extend_from_slice(own);
        number(&mut self.bytes, file.size);
        self.bytes.extend_from_slice(&file.crc.to_le_bytes());
        self.bytes.extend_from_slice(&file.modified_s.to_le_bytes());
        self.bytes.extend_from_slice(&file.mode.to_le_bytes());
        self.last.truncate(shared);
        self.last.push_str(&name[shared..]);
        self.count += 1;
        Ok(())
    }

    /// All of them, in order.
    pub(super) fn files(self) -> Listed {
        Listed { bytes: self.bytes, at: 0, name: Vec::new() }
    }
}

/// Seven bits a byte, the lowest first.
fn number(into: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// The files of a directory on their way out.
pub(super) struct Listed {
    bytes: Vec<u8>,
    at: usize,
    name: Vec<u8>,
}

impl Listed {
    /// The next file's name and what is known of it.
    pub(super) fn next(&mut self) -> Option<(&[u8], File)> {
        if self.at == self.bytes.len() {
            return None;
        }
        let (shared, len) = (self.number() as usize, self.number() as usize);
        self.name.truncate(shared);
        self.name.extend_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        let size = self.number();
        let crc = u32::from_le_bytes(self.fixed());
        let modified_s = u32::from_le_bytes(self.fixed());
        let mode = u16::from_le_bytes(self.fixed());
        Some((&self.name, File { crc, size, modified_s, mode }))
    }

    fn number(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.bytes[self.at];
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn fixed<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut fixed = [0; LEN];
        fixed.copy_from_slice(&self.bytes[self.at..self.at + LEN]);
        self.at += LEN;
        fixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let names = ["a", "a/ä", "a/ö", "a/ö/b", "b", "", "ü", "û"];
        let sizes = [0, 1, 127, 128, u64::from(u32::MAX), 1 << 40, u64::MAX, 3];
        let mut directory = Directory::new();
        let file = |at: usize| File {
            crc: 7 << at,
            size: sizes[at],
            modified_s: u32::MAX - 1,
            mode: 0o644,
        };
        for (at, name) in names.iter().enumerate() {
            directory.push(name, file(at)).unwrap();
        }
        assert_eq!(directory.count, 8);
        let mut listed = directory.files();
        for (at, name) in names.iter().enumerate() {
            assert_eq!(listed.next(), Some((name.as_bytes(), file(at))));
        }
        assert_eq!(listed.next(), None);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut directory = Directory::new();
        let name = |at: u64| format!("photos/2031/IMG_{at:08}.jpg");
        let full = (0..).find_map(|at| {
            directory.push(&name(at), File { size: 5 << 20, ..File::default() }).err()
        });
        let Full(count) = full.unwrap();
        assert!(count > 5_000, "{count}");
        assert_eq!(
            directory.bytes.capacity() as u64,
            constants::ZIP_LIST_BYTES,
            "it has not grown"
        );
    }
}
