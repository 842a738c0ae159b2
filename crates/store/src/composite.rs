//! Objects that are put together from stored ones without touching a chunk: their manifest is a
//! list of slices of *plain* manifests, which are the ones that list chunks. Pure; the backends
//! call this inside their transactions.
//!
//! A slice is never of another composite: an object that is built on a composite takes over its
//! slices. So a look-up takes two steps, however often something was copied.

use std::ops::Range;

use crate::ids::{ContentHasher, composite_hasher};
use crate::{ContentHash, ManifestId, ManifestRow, Result, StoreError};

/// The most slices that one object is made of. They are written in one transaction.
pub const SLICES_MAX: usize = 100_000;

/// A run of bytes of a plain manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainSlice {
    /// The manifest.
    pub manifest: ManifestId,
    /// What all of it contains.
    pub content: ContentHash,
    /// How long all of it is, in bytes.
    pub size: u64,
    /// Where the slice begins in it, in bytes.
    pub from: u64,
    /// How long the slice is, in bytes.
    pub len: u64,
}

/// Slices, one behind the other.
#[derive(Debug, Default)]
pub struct Composite {
    slices: Vec<PlainSlice>,
    size: u64,
}

impl Composite {
    /// Adds bytes at the end. Empty slices go, and what continues the slice before joins it, so
    /// that equal ways to put the same together give the same slices.
    ///
    /// # Errors
    /// [`StoreError::TooManySlices`]; and when the sizes cannot be right.
    pub fn add(&mut self, slice: PlainSlice) -> Result<()> {
        let end = slice.from.checked_add(slice.len).filter(|end| *end <= slice.size);
        let size = self.size.checked_add(slice.len).filter(|size| i64::try_from(*size).is_ok());
        let (Some(_), Some(size)) = (end, size) else {
            let detail =
                format!("manifest {} is shorter than what is taken from it", slice.manifest);
            return Err(StoreError::Inconsistent(detail));
        };
        let is_full = self.slices.len() >= SLICES_MAX;
        match self.slices.last_mut() {
            _ if slice.len == 0 => {}
            Some(last) if last.manifest == slice.manifest && last.from + last.len == slice.from => {
                last.len += slice.len;
            }
            _ if is_full => return Err(StoreError::TooManySlices { max: SLICES_MAX }),
            _ => self.slices.push(slice),
        }
        self.size = size;
        Ok(())
    }

    /// Adds what `range` takes of a slice that is at `offset` of some object.
    pub(crate) fn add_range(
        &mut self,
        offset: u64,
        slice: PlainSlice,
        range: &Range<u64>,
    ) -> Result<()> {
        let first = range.start.max(offset);
        let end = range.end.min(offset.saturating_add(slice.len));
        if first >= end {
            return Ok(());
        }
        let from = slice.from.saturating_add(first - offset);
        self.add(PlainSlice { from, len: end - first, ..slice })
    }

    /// Bytes of all slices.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The plain manifest that this is, when it is all of one: then no other is needed.
    pub fn whole(&self) -> Option<ManifestId> {
        match self.slices[..] {
            [only] if only.len == only.size => Some(only.manifest),
            _ => None,
        }
    }

    /// What it contains. All of a plain manifest contains what that contains, and nothing what an
    /// empty object contains. Otherwise it is a hash of the slices, so that equal bytes put
    /// together in another way have another one.
    pub fn content(&self) -> ContentHash {
        match self.slices[..] {
            [] => ContentHasher::new().finish(),
            [only] if only.len == only.size => only.content,
            _ => {
                let mut hasher = composite_hasher();
                for slice in &self.slices {
                    hasher.update(&slice.content.0);
                    hasher.update(&slice.from.to_le_bytes()).update(&slice.len.to_le_bytes());
                }
                ContentHash(*hasher.finalize().as_bytes())
            }
        }
    }

    /// The slices with their offsets in the object.
    pub fn slices(&self) -> impl Iterator<Item = (u64, &PlainSlice)> {
        self.slices.iter().scan(0, |end, slice| {
            let offset = *end;
            *end += slice.len;
            Some((offset, slice))
        })
    }
}

impl ManifestRow {
    /// This row of a plain manifest as one of a composite that has the plain one's bytes
    /// `from..from + len` at `offset`. `None` when nothing of the row is in there.
    pub fn in_slice(&self, offset: u64, from: u64, len: u64) -> Option<Self> {
        let first = self.offset.max(from);
        let end = self.end().min(from.saturating_add(len));
        if first >= end {
            return None;
        }
        // Neither is more than the row's own length.
        let (skipped, len) = ((first - self.offset) as u32, (end - first) as u32);
        let offset = offset.saturating_add(first - from);
        Some(Self {
            offset,
            skip: self.skip.saturating_add(skipped),
            len,
            of_composite: true,
            ..*self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(manifest: u64, size: u64, from: u64, len: u64) -> PlainSlice {
        PlainSlice {
            manifest: ManifestId(manifest),
            content: ContentHash([manifest as u8; 32]),
            size,
            from,
            len,
        }
    }

    fn composite(slices: &[PlainSlice]) -> Composite {
        let mut composite = Composite::default();
        slices.iter().for_each(|slice| composite.add(*slice).expect("few slices"));
        composite
    }

    #[test]
    fn pieces_of_one_manifest_become_the_whole_again() {
        let all = composite(&[slice(1, 9, 0, 4), slice(2, 7, 3, 0), slice(1, 9, 4, 5)]);
        assert_eq!(
            (all.size(), all.whole(), all.content()),
            (9, Some(ManifestId(1)), ContentHash([1; 32]))
        );
        let some = composite(&[slice(1, 9, 0, 4), slice(1, 9, 4, 4)]);
        assert_eq!((some.size(), some.whole(), some.slices().count()), (8, None, 1));
        assert_ne!(some.content(), ContentHash([1; 32]));
        let twice = composite(&[slice(1, 9, 0, 9), slice(1, 9, 0, 9)]);
        let offsets: Vec<u64> = twice.slices().map(|(offset, _)| offset).collect();
        assert_eq!((twice.whole(), offsets), (None, vec![0, 9]));
    }

    #[test]
    fn contents_differ_by_order_and_by_bounds() {
        let contents = [
            composite(&[]),
            composite(&[slice(1, 9, 0, 9), slice(2, 9, 0, 9)]),
            composite(&[slice(2, 9, 0, 9), slice(1, 9, 0, 9)]),
            composite(&[slice(1, 9, 0, 8), slice(2, 9, 0, 9)]),
            composite(&[slice(1, 9, 1, 8), slice(2, 9, 0, 9)]),
        ]
        .map(|composite| composite.content());
        for (at, content) in contents.iter().enumerate() {
            assert!(!contents[..at].contains(content), "{at}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        let mut composite = Composite::default();
        for number in 0..SLICES_MAX as u64 {
            composite.add(slice(number, 2, 0, 1)).expect("there is room");
        }
        assert!(composite.add(slice(SLICES_MAX as u64 - 1, 2, 1, 1)).is_ok(), "it joins the last");
        let refused = composite.add(slice(7, 2, 0, 1));
        assert!(
            matches!(refused, Err(StoreError::TooManySlices { max: SLICES_MAX })),
            "{refused:?}"
        );
        for wrong in [slice(1, 9, 9, 1), slice(1, 9, u64::MAX, 2), slice(1, u64::MAX, 0, u64::MAX)]
        {
            let refused = Composite::default().add(wrong);
            assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_row_is_clipped_to_its_slice() {
        let at = crate::Location { segment: crate::SegmentId(1), offset: 64, len: 10 };
        let row = ManifestRow::whole(20, drystone_chunker::ChunkId::of(b"stone"), at);
        let clipped =
            |from, len| row.in_slice(100, from, len).map(|row| (row.offset, row.skip, row.len));
        assert_eq!(clipped(0, 99), Some((120, 0, 10)));
        assert_eq!(clipped(20, 10), Some((100, 0, 10)));
        assert_eq!(clipped(23, 4), Some((100, 3, 4)));
        assert_eq!(clipped(25, 99), Some((100, 5, 5)));
        assert_eq!(clipped(29, 1), Some((100, 9, 1)));
        assert_eq!(clipped(30, 9), None);
        assert_eq!(clipped(0, 20), None);
        assert_eq!(clipped(0, 21), Some((120, 0, 1)));
    }
}
