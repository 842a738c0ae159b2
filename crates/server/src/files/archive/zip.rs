//! What a zip archive has around the bytes of its files, as PKWARE's APPNOTE.TXT has it: files
//! stored as they are, their checksum behind them (a data descriptor), the 64-bit forms only where
//! a number needs them.

use bytes::Bytes;
use drystone_edge::answer::BodyError;
use drystone_edge::fault::Fault;
use drystone_store::ObjectRow;

use super::directory::{Directory, File};
use crate::digest::{Algorithm, Digests};

/// Which of two forms has a number: from here on it is 64 bits wide.
const WIDE: u64 = u32::MAX as u64;
/// A data descriptor follows; the name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
/// What a reader must understand: folders, and the 64-bit forms.
const VERSION: u16 = 20;
const VERSION_WIDE: u16 = 45;
/// Unix: the permissions are in the upper half of the attributes.
const MADE_BY: u16 = 3 << 8 | VERSION_WIDE;
const REGULAR_FILE: u32 = 0o100_000;
/// The list is sent in pieces of this, and one file's more.
const PIECE_BYTES: usize = 16 << 10;

/// An archive under way.
pub(super) struct Zip {
    directory: Directory,
    current: Option<(String, File, Digests)>,
    /// Where the next file of the list begins in the archive, and behind all of them the list.
    offset: u64,
    /// What has been sent of the list.
    list_bytes: u64,
    is_done: bool,
}

impl Zip {
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory, current: None, offset: 0, list_bytes: 0, is_done: false }
    }

    /// What goes in front of a file.
    pub(super) fn begin(&mut self, name: &str, object: &ObjectRow) -> Bytes {
        let modified_s = object.meta.modified_ns / 1_000_000_000;
        let file = File {
            crc: 0,
            size: object.size,
            modified_s: u32::try_from(modified_s.max(0)).unwrap_or(u32::MAX),
            mode: (object.meta.mode.unwrap_or(0o644) & 0o777) as u16,
        };
        let head = local_head(name.as_bytes(), &file);
        self.current = Some((name.to_owned(), file, Digests::new([Algorithm::Crc32])));
        head.into()
    }

    /// Bytes of the file.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if let Some((_, _, digests)) = &mut self.current {
            digests.update(bytes);
        }
    }

    /// What comes behind it.
    ///
    /// # Errors
    /// When there are more files than can be listed, or the list cannot be kept.
    pub(super) async fn end(&mut self) -> Result<Bytes, BodyError> {
        let Some((name, mut file, digests)) = self.current.take() else { return Ok(Bytes::new()) };
        let digested = digests.finish();
        let crc = digested.get(Algorithm::Crc32).and_then(|crc| crc.try_into().ok());
        file.crc = u32::from_be_bytes(crc.expect("it was asked for, and has four bytes"));
        self.directory.push(&name, file)?;
        self.directory.settle().await?;
        Ok(descriptor(&file).into())
    }

    /// The next piece of the list of all files, and of where it is; empty behind it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn last(&mut self) -> Result<Bytes, Fault> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        while piece.len() < PIECE_BYTES && !self.is_done {
            let (offset, list_bytes) = (&mut self.offset, &mut self.list_bytes);
            let list = |name: &[u8], file: File| {
                let before = piece.len();
                central_head(&mut piece, name, &file, *offset);
                let around = local_head(name, &file).len() + descriptor(&file).len();
                *offset += around as u64 + file.size;
                *list_bytes += (piece.len() - before) as u64;
                piece.len() < PIECE_BYTES
            };
            if !self.directory.read(list).await? {
                let count = self.directory.count();
                end_of_list(&mut piece, count, self.list_bytes, self.offset);
                self.is_done = true;
            }
        }
        Ok(piece.into())
    }
}

fn half(into: &mut Vec<u8>, value: u16) {
    into.extend_from_slice(&value.to_le_bytes());
}

fn word(into: &mut Vec<u8>, value: u32) {
    into.extend_from_slice(&value.to_le_bytes());
}

fn double(into: &mut Vec<u8>, value: u64) {
    into.extend_from_slice(&value.to_le_bytes());
}

/// A number where there is room for 32 bits; the wide form is elsewhere.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn is_wide(size: u64) -> bool {
    size >= WIDE
}

/// A length that a name and the few fields behind it keep.
fn length(len: usize) -> u16 {
    u16::try_from(len).expect("a key has 1024 bytes at most, and thrice that with escapes")
}

/// Seconds since 1970, in UTC: the other time has no zone and two seconds for a tick.
fn timestamp(into: &mut Vec<u8>, file: &File) {
    half(into, 0x5455);
    half(into, 5);
    into.push(1);
    word(into, file.modified_s);
}

fn local_head(name: &[u8], file: &File) -> Vec<u8> {
    let mut extra = Vec::new();
    timestamp(&mut extra, file);
    let (version, sizes) = if is_wide(file.size) {
        half(&mut extra, 1);
        half(&mut extra, 16);
        extra.extend_from_slice(&[0; 16]);
        (VERSION_WIDE, u32::MAX)
    } else {
        (VERSION, 0)
    };
    let mut head = Vec::with_capacity(30 + name.len() + extra.len());
    word(&mut head, 0x0403_4b50);
    half(&mut head, version);
    half(&mut head, FLAGS);
    half(&mut head, 0);
    dos_time(&mut head, file.modified_s);
    word(&mut head, 0);
    word(&mut head, sizes);
    word(&mut head, sizes);
    half(&mut head, length(name.len()));
    half(&mut head, length(extra.len()));
    head.extend_from_slice(name);
    head.extend_from_slice(&extra);
    head
}

fn descriptor(file: &File) -> Vec<u8> {
    let mut descriptor = Vec::with_capacity(24);
    word(&mut descriptor, 0x0807_4b50);
    word(&mut descriptor, file.crc);
    for _ in ["stored", "unpacked"] {
        if is_wide(file.size) {
            double(&mut descriptor, file.size);
        } else {
            word(&mut descriptor, narrow(file.size));
        }
    }
    descriptor
}

fn central_head(into: &mut Vec<u8>, name: &[u8], file: &File, offset: u64) {
    let mut extra = Vec::new();
    timestamp(&mut extra, file);
    let mut wide = Vec::new();
    if is_wide(file.size) {
        double(&mut wide, file.size);
        double(&mut wide, file.size);
    }
    if offset >= WIDE {
        double(&mut wide, offset);
    }
    let version = if wide.is_empty() { VERSION } else { VERSION_WIDE };
    if !wide.is_empty() {
        half(&mut extra, 1);
        half(&mut extra, length(wide.len()));
        extra.extend_from_slice(&wide);
    }
    word(into, 0x0201_4b50);
    half(into, MADE_BY);
    half(into, version);
    half(into, FLAGS);
    half(into, 0);
    dos_time(into, file.modified_s);
    word(into, file.crc);
    word(into, narrow(file.size));
    word(into, narrow(file.size));
    half(into, length(name.len()));
    half(into, length(extra.len()));
    // No comment, the only disk, nothing known of its content.
    [0; 3].into_iter().for_each(|none| half(into, none));
    word(into, (REGULAR_FILE | u32::from(file.mode)) << 16);
    word(into, narrow(offset));
    into.extend_from_slice(name);
    into.extend_from_slice(&extra);
}

fn end_of_list(into: &mut Vec<u8>, count: u64, list_bytes: u64, offset: u64) {
    if count >= u64::from(u16::MAX) || list_bytes >= WIDE || offset >= WIDE {
        word(into, 0x0606_4b50);
        double(into, 44);
        half(into, MADE_BY);
        half(into, VERSION_WIDE);
        word(into, 0);
        word(into, 0);
        double(into, count);
        double(into, count);
        double(into, list_bytes);
        double(into, offset);
        // Where that is.
        word(into, 0x0706_4b50);
        word(into, 0);
        double(into, offset + list_bytes);
        word(into, 1);
    }
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    word(into, 0x0605_4b50);
    half(into, 0);
    half(into, 0);
    half(into, count);
    half(into, count);
    word(into, narrow(list_bytes));
    word(into, narrow(offset));
    half(into, 0);
}

/// The time and the date as DOS had them: from 1980 to 2107, in UTC here.
fn dos_time(into: &mut Vec<u8>, seconds: u32) {
    let (day_s, days) = (seconds % 86_400, i64::from(seconds / 86_400));
    // The civil date from a count of days, in years that begin with March.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year < 1980 {
        half(into, 0);
        return half(into, 1 << 5 | 1);
    }
    half(into, (((day_s / 3600) << 11) | ((day_s / 60 % 60) << 5) | (day_s % 60 / 2)) as u16);
    half(into, ((year - 1980) << 9 | month << 5 | day) as u16);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_time(seconds: u32, date: [u16; 3], time: [u16; 3]) {
        let mut found = Vec::new();
        dos_time(&mut found, seconds);
        let time = (time[0] << 11) | (time[1] << 5) | (time[2] / 2);
        let date = (date[0] - 1980) << 9 | date[1] << 5 | date[2];
        assert_eq!(found, [time.to_le_bytes(), date.to_le_bytes()].concat(), "{seconds}");
    }

    #[test]
    fn times_are_as_dos_had_them() {
        check_time(0, [1980, 1, 1], [0, 0, 0]);
        check_time(315_532_799, [1980, 1, 1], [0, 0, 0]);
        check_time(315_532_802, [1980, 1, 1], [0, 0, 2]);
        check_time(951_782_399, [2000, 2, 28], [23, 59, 58]);
        check_time(951_827_696, [2000, 2, 29], [12, 34, 56]);
        check_time(1_709_251_200, [2024, 3, 1], [0, 0, 0]);
        check_time(u32::MAX, [2106, 2, 7], [6, 28, 14]);
    }

    #[test]
    fn wide_numbers_are_there_where_they_are_needed_and_nowhere_else() {
        for (size, local, behind) in [(WIDE - 1, 9, 16), (WIDE, 29, 24)] {
            let file = File { size, ..File::default() };
            assert_eq!(
                (local_head(b"n", &file).len(), descriptor(&file).len()),
                (31 + local, behind)
            );
            for (offset, more) in [(WIDE - 1, 0), (WIDE, 8)] {
                let mut head = Vec::new();
                central_head(&mut head, b"n", &file, offset);
                let sizes = if is_wide(size) { 16 } else { 0 };
                let field = if sizes + more > 0 { 4 } else { 0 };
                assert_eq!(head.len(), 47 + 9 + field + sizes + more, "{size} {offset}");
            }
        }
        for (count, list_bytes, offset, len) in [
            (65_534, 1, 1, 22),
            (65_535, 1, 1, 98),
            (1, WIDE, 1, 98),
            (1, 1, WIDE, 98),
            (1, 1, WIDE - 1, 22),
        ] {
            let mut end = Vec::new();
            end_of_list(&mut end, count, list_bytes, offset);
            assert_eq!(end.len(), len);
        }
    }
}
