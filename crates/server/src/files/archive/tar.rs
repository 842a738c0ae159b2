//! What a tar archive has around the bytes of its files.

use std::io;

use bytes::Bytes;
use drystone_store::ObjectRow;

const BLOCK: u64 = 512;
/// The longest name in a header of its own; a longer one has an entry in front.
const NAME_MAX: usize = 100;

/// The head of an entry, with one for a long name in front of it.
pub(super) fn entry(name: &str, object: &ObjectRow) -> io::Result<Bytes> {
    let mut head = Vec::with_capacity(BLOCK as usize);
    if name.len() > NAME_MAX {
        let mut long = tar::Header::new_gnu();
        long.set_entry_type(tar::EntryType::GNULongName);
        long.set_path("././@LongLink")?;
        long.set_size(name.len() as u64 + 1);
        long.set_mode(0o644);
        long.set_cksum();
        head.extend_from_slice(long.as_bytes());
        head.extend_from_slice(name.as_bytes());
        let padded = (name.len() as u64 + 1).next_multiple_of(BLOCK) - name.len() as u64;
        head.resize(head.len() + padded as usize, 0);
    }
    let mut header = tar::Header::new_gnu();
    let short = name.len().min(NAME_MAX);
    // Straight into the field: `set_path` refuses names that a key may have.
    header.as_old_mut().name[..short].copy_from_slice(&name.as_bytes()[..short]);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(object.size);
    header.set_mode(object.meta.mode.unwrap_or(0o644) & 0o777);
    header.set_mtime(u64::try_from(object.meta.modified_ns / 1_000_000_000).unwrap_or(0));
    header.set_cksum();
    head.extend_from_slice(header.as_bytes());
    Ok(head.into())
}

/// What follows a file of that size.
pub(super) fn padding(size: u64) -> Bytes {
    let len = size.next_multiple_of(BLOCK) - size;
    Bytes::from_static(&[0; BLOCK as usize]).slice(..len as usize)
}

/// What says that the archive is not whole: a part of a block. Without it and without an end,
/// common readers take it for whole.
pub(super) fn cut_off() -> Bytes {
    Bytes::from_static(b"cut off")
}

/// What says that the archive is whole.
pub(super) fn end() -> Bytes {
    Bytes::from_static(&[0; 2 * BLOCK as usize])
}
