//! The files of a zip archive under way, in as few bytes as it takes: names come in order, so each
//! says only how it differs from the one before, and where a file begins follows from those before
//! it.
//!
//! What is more than a little of it lies in the spool: the list grows at the client's pace.

use bytes::Bytes;
use drystone_edge::fault::Fault;
use drystone_edge::spool::Slot;
use drystone_sync::{Mutex, PlainArc};

use crate::engine::Engine;

/// What is kept of the list in memory, by an archive of a few files or before it is moved to the
/// spool; one entry comes on top.
const FRESH_BYTES_MAX: usize = 2 << 10;
/// What is read of it at a time. The longest entry has less.
const WINDOW_BYTES: usize = 4 << 10;
/// What the numbers of an entry take: three of at most ten bytes, and the fixed ones.
const NUMBERS_BYTES_MAX: u64 = 40;
/// What is reserved at a time.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

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

/// There are more files than can be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "the folder has more files than a zip archive made here can list ({0} and more): ask for ?archive=tar"
)]
pub(super) struct Full(u64);

/// Writes the list down.
pub(super) struct Encoder {
    last: String,
    /// What was written and not taken away yet.
    pub(super) fresh: Vec<u8>,
    /// Bytes in all, at the most: with the longest numbers.
    pub(super) len: u64,
    len_max: u64,
    pub(super) count: u64,
}

impl Encoder {
    /// For a list of at most `len_max` bytes.
    pub(super) fn new(len_max: u64) -> Self {
        Self { last: String::new(), fresh: Vec::new(), len: 0, len_max, count: 0 }
    }

    /// # Errors
    /// When the list would become longer than that.
    pub(super) fn push(&mut self, name: &str, file: File) -> Result<(), Full> {
        let same =
            self.last.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
        // Not in the middle of a character.
        let shared = (0..=same).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        let own = &name.as_bytes()[shared..];
        let len = self.len + own.len() as u64 + NUMBERS_BYTES_MAX;
        if len > self.len_max {
            return Err(Full(self.count));
        }
        number(&mut self.fresh, shared as u64);
        number(&mut self.fresh, own.len() as u64);
        self.fresh.extend_from_slice(own);
        number(&mut self.fresh, file.size);
        self.fresh.extend_from_slice(&file.crc.to_le_bytes());
        self.fresh.extend_from_slice(&file.modified_s.to_le_bytes());
        self.fresh.extend_from_slice(&file.mode.to_le_bytes());
        self.last.truncate(shared);
        self.last.push_str(&name[shared..]);
        (self.len, self.count) = (len, self.count + 1);
        Ok(())
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

/// Reads it again.
#[derive(Default)]
struct Decoder {
    name: Vec<u8>,
}

impl Decoder {
    /// The first entry of these bytes: its name, and what is known of it; `None` where they do not
    /// have all of it. What is behind it is left in `bytes`.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<(&[u8], File)> {
        let mut rest = *bytes;
        let (shared, len) = (read_number(&mut rest)?, read_number(&mut rest)?);
        let (own, behind) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        rest = behind;
        let size = read_number(&mut rest)?;
        let crc = u32::from_le_bytes(read_fixed(&mut rest)?);
        let modified_s = u32::from_le_bytes(read_fixed(&mut rest)?);
        let mode = u16::from_le_bytes(read_fixed(&mut rest)?);
        self.name.truncate(usize::try_from(shared).ok()?);
        self.name.extend_from_slice(own);
        *bytes = rest;
        Some((&self.name, File { crc, size, modified_s, mode }))
    }
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn read_fixed<const LEN: usize>(bytes: &mut &[u8]) -> Option<[u8; LEN]> {
    let (fixed, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*fixed)
}

/// The list of an archive: written file by file, then read.
pub(super) struct Directory {
    engine: PlainArc<Engine>,
    encoder: Encoder,
    /// Shared with the job that writes or reads. A leaf.
    slot: Option<PlainArc<Mutex<Slot>>>,
    /// What lies in it.
    spooled: u64,
    decoder: Decoder,
    /// What has been read.
    read: u64,
}

impl Directory {
    pub(super) fn new(engine: &PlainArc<Engine>) -> Self {
        Self {
            engine: PlainArc::clone(engine),
            encoder: Encoder::new(engine.edge.spool.slot_bytes()),
            slot: None,
            spooled: 0,
            decoder: Decoder::default(),
            read: 0,
        }
    }

    /// Takes the disk's room for so many bytes, so that a full disk is known before anything is
    /// sent.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn reserve(&mut self, bytes: u64) -> Result<(), Fault> {
        if bytes <= FRESH_BYTES_MAX as u64 {
            return Ok(());
        }
        let slot = self.slot();
        let reserve = move || {
            let mut slot = slot.lock();
            (0..bytes).step_by(ZEROES.len()).try_for_each(|at| {
                let len = (bytes - at).min(ZEROES.len() as u64);
                slot.write(at, &ZEROES[..len as usize])
            })
        };
        self.engine.edge.run(reserve).await?.map_err(Fault::spool)
    }

    /// Files so far.
    pub(super) fn count(&self) -> u64 {
        self.encoder.count
    }

    /// # Errors
    /// When the list becomes too long, or the disk fails.
    pub(super) fn push(&mut self, name: &str, file: File) -> Result<(), Full> {
        self.encoder.push(name, file)
    }

    /// Moves to the spool what is more than a little.
    ///
    /// # Errors
    /// The disk's.
    pub(super) async fn settle(&mut self) -> Result<(), Fault> {
        if self.encoder.fresh.len() <= FRESH_BYTES_MAX {
            return Ok(());
        }
        let (slot, at) = (self.slot(), self.spooled);
        let bytes = Bytes::from(std::mem::take(&mut self.encoder.fresh));
        self.spooled += bytes.len() as u64;
        let write = || {
            let (slot, bytes) = (PlainArc::clone(&slot), bytes.clone());
            self.engine.edge.run(move || slot.lock().write(at, &bytes))
        };
        patiently!(write())?.map_err(Fault::spool)
    }

    /// Passes entries to `take` for as long as it wants more; `false` when there are no more of
    /// them. Behind the last file only.
    ///
    /// # Errors
    /// The disk's.
    pub(super) async fn read(
        &mut self,
        mut take: impl FnMut(&[u8], File) -> bool,
    ) -> Result<bool, Fault> {
        let window = self.window().await?;
        let mut rest = &window[..];
        let mut wants_more = true;
        while wants_more && let Some((name, file)) = self.decoder.next(&mut rest) {
            wants_more = take(name, file);
        }
        let read = (window.len() - rest.len()) as u64;
        self.read += read;
        if read == 0 && !window.is_empty() {
            return Err(Fault::Internal);
        }
        Ok(read > 0)
    }

    /// What comes next, and has at least one whole entry.
    async fn window(&self) -> Result<Bytes, Fault> {
        if self.read >= self.spooled {
            let at = (self.read - self.spooled) as usize;
            return Ok(Bytes::copy_from_slice(&self.encoder.fresh[at..]));
        }
        let Some(slot) = &self.slot else { return Err(Fault::Internal) };
        let at = self.read;
        let len = (self.spooled - at).min(WINDOW_BYTES as u64) as usize;
        let read = || {
            let slot = PlainArc::clone(slot);
            self.engine.edge.run(move || {
                let mut bytes = vec![0; len];
                slot.lock().read(at, &mut bytes).map(|()| bytes.into())
            })
        };
        patiently!(read())?.map_err(Fault::spool)
    }

    fn slot(&mut self) -> PlainArc<Mutex<Slot>> {
        let made = || PlainArc::new(Mutex::new(self.engine.edge.spool.slot()));
        PlainArc::clone(self.slot.get_or_insert_with(made))
    }
}

#[cfg(test)]
mod tests {
    use drystone_limits::constants;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let names = ["a", "a/ä", "a/ö", "a/ö/b", "b", "", "ü", "û"];
        let sizes = [0, 1, 127, 128, u64::from(u32::MAX), 1 << 40, u64::MAX, 3];
        let mut encoder = Encoder::new(1 << 10);
        let file = |at: usize| File {
            crc: 7 << at,
            size: sizes[at],
            modified_s: u32::MAX - 1,
            mode: 0o644,
        };
        for (at, name) in names.iter().enumerate() {
            encoder.push(name, file(at)).unwrap();
        }
        assert_eq!(encoder.count, 8);
        let (mut decoder, mut bytes) = (Decoder::default(), &encoder.fresh[..]);
        for (at, name) in names.iter().enumerate() {
            // A part of an entry changes nothing.
            let mut part = &bytes[..9];
            assert_eq!((decoder.next(&mut part), part.len()), (None, 9));
            assert_eq!(decoder.next(&mut bytes), Some((name.as_bytes(), file(at))));
        }
        assert_eq!(decoder.next(&mut bytes), None);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut encoder = Encoder::new(constants::DOCUMENT_BYTES);
        let name = |at: u64| format!("photos/2031/IMG_{at:08}.jpg");
        let full = (0..).find_map(|at| {
            encoder.push(&name(at), File { size: 5 << 20, ..File::default() }).err()
        });
        let Full(count) = full.unwrap();
        assert!(count > 300_000, "{count}");
        let written = encoder.fresh.len() as u64;
        assert!(written <= encoder.len && encoder.len <= constants::DOCUMENT_BYTES, "{written}");
    }

    /// A window of the spool has at least one whole entry.
    #[test]
    fn the_longest_entry_is_shorter_than_a_window() {
        // Three characters for each byte that is escaped.
        let longest = 3 * drystone_store::Key::BYTES_MAX as u64 + NUMBERS_BYTES_MAX;
        assert!(longest <= WINDOW_BYTES as u64);
    }
}
