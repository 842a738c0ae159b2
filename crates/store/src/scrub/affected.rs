//! What a bad chunk is in: objects, and parts of unfinished uploads. Each is named once for every
//! manifest or slice by which it reaches the chunk, with the first of its bytes that is bad.

use drystone_sync::bound;

use super::{Affected, Owner, PlacedChunk, SliceOf};
use crate::{ManifestId, Records, Result, Store};

/// Rows that are read at a time.
const PAGE_ROWS: usize = bound(256, 2);

impl Store {
    /// Calls `each` with everything that a chunk is in, whether it is bad or not. Reads pages, each
    /// as it is then.
    ///
    /// # Errors
    /// The records'.
    pub fn affected(&self, chunk: &PlacedChunk, each: &mut dyn FnMut(&Affected)) -> Result<()> {
        let records = &*self.inner.records;
        let mut after = None;
        loop {
            let page = records.manifests_of(chunk.chunk, after, PAGE_ROWS)?;
            for manifest in &page {
                if let Some(offset) = records.place_in(chunk.chunk, *manifest, 0..u64::MAX)? {
                    owners(records, *manifest, offset, each)?;
                }
                slices(records, chunk, *manifest, each)?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE_ROWS => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }
}

/// What the composites belong to that have a slice of `manifest` in which the chunk is. A slice is
/// of a plain manifest, so this goes no deeper.
fn slices(
    records: &dyn Records,
    chunk: &PlacedChunk,
    manifest: ManifestId,
    each: &mut dyn FnMut(&Affected),
) -> Result<()> {
    let len = u64::from(chunk.at().len);
    let mut after = None;
    loop {
        let page = records.slices_of(manifest, after, PAGE_ROWS)?;
        for SliceOf { composite, offset, start, len: slice_len } in page.iter().copied() {
            // The chunk may begin before the slice, and still reach into it.
            let from = (start + 1).saturating_sub(len);
            let until = start.saturating_add(slice_len);
            if let Some(place) = records.place_in(chunk.chunk, manifest, from..until)? {
                owners(records, composite, offset + place.saturating_sub(start), each)?;
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE_ROWS => after = Some((last.composite, last.offset)),
            _ => return Ok(()),
        }
    }
}

/// What a manifest belongs to.
fn owners(
    records: &dyn Records,
    manifest: ManifestId,
    offset: u64,
    each: &mut dyn FnMut(&Affected),
) -> Result<()> {
    let mut last: Option<Owner> = None;
    loop {
        let after = last.as_ref().map(|owner| (&owner.bucket, &owner.key));
        let page = records.objects_of(manifest, after, PAGE_ROWS)?;
        let is_full = page.len() == PAGE_ROWS;
        for owner in page {
            last = Some(tell(owner, offset, each));
        }
        if !is_full {
            break;
        }
    }
    let mut after = None;
    loop {
        let page = records.parts_of(manifest, after, PAGE_ROWS)?;
        let is_full = page.len() == PAGE_ROWS;
        for owner in page {
            after = tell(owner, offset, each).part;
        }
        if !is_full {
            return Ok(());
        }
    }
}

fn tell(owner: Owner, offset: u64, each: &mut dyn FnMut(&Affected)) -> Owner {
    let affected = Affected { owner, offset };
    each(&affected);
    affected.owner
}
