//! What becomes garbage, and when garbage goes.
//!
//! Two things can lose their last reference: a manifest (the object, part or composite that named
//! it is gone) and a chunk (the last manifest row that named it is gone). The transaction that
//! takes the reference away also stamps what it was of, with the epoch that it reads itself. A
//! sweep takes what was stamped in an epoch that no live session has seen, and looks again whether
//! anything names it.
//!
//! A manifest that nothing names is never named again: there is no way to it. A chunk may be: an
//! upload finds it by its content.

use super::{Tables, check_alive, remove_upload};
use crate::{
    ChunkMove, ChunkRef, Epoch, ManifestId, Result, ScanFrom, SessionId, SweepFrom, Swept,
};

/// Condemns a manifest that has just lost a reference, if that was the last one.
pub(super) fn loosen<T: Tables>(tables: &mut T, manifest: ManifestId) -> Result<(), T::Halt> {
    if tables.is_manifest_named(manifest)? {
        return Ok(());
    }
    let epoch = tables.epoch()?;
    tables.stamp_manifest(manifest, Some(epoch))
}

/// The same for chunks.
fn loosen_chunks<T: Tables>(tables: &mut T, chunks: &[ChunkRef]) -> Result<(), T::Halt> {
    let epoch = tables.epoch()?;
    for chunk in chunks {
        if !tables.is_chunk_named(*chunk)? {
            tables.stamp_chunk(*chunk, Some(epoch))?;
        }
    }
    Ok(())
}

/// Promises chunks to a live session.
///
/// They keep a stamp: if the session ends and nothing names them, they are garbage again. But the
/// stamp is of the current epoch, and no session is in a later one.
///
/// # Errors
/// As for [`ChunkRecords::revive_chunks`](crate::ChunkRecords::revive_chunks), and the database's.
pub fn revive_chunks<T: Tables>(
    tables: &mut T,
    session: SessionId,
    chunks: &[ChunkRef],
) -> Result<Vec<bool>, T::Halt> {
    check_alive(tables, session)?;
    let epoch = tables.epoch()?;
    chunks.iter().map(|chunk| tables.stamp_chunk(*chunk, Some(epoch))).collect()
}

/// Removes rows of what a session left pending.
///
/// # Errors
/// The database's.
pub fn take_back<T: Tables>(
    tables: &mut T,
    session: SessionId,
    wanted: Option<ManifestId>,
    limit: usize,
) -> Result<bool, T::Halt> {
    let mut left = limit;
    while let Some(manifest) = tables.pending(session, wanted)? {
        let chunks = tables.take_rows(manifest, left)?;
        loosen_chunks(tables, &chunks)?;
        left -= chunks.len();
        if left == 0 {
            return Ok(false);
        }
        tables.remove_manifest(manifest)?;
    }
    Ok(true)
}

/// Condemns what dead sessions and removed buckets have left. Returns whether nothing is left.
///
/// # Errors
/// The database's.
pub fn condemn_left<T: Tables>(tables: &mut T, limit: usize) -> Result<bool, T::Halt> {
    let pending = tables.left_pending(limit)?;
    let epoch = tables.epoch()?;
    for manifest in &pending {
        tables.stamp_manifest(*manifest, Some(epoch))?;
    }
    if pending.len() == limit {
        return Ok(false);
    }
    // One in a transaction: it may have thousands of parts.
    match tables.upload_without_bucket()? {
        Some(upload) => remove_upload(tables, upload).map(|()| false),
        None => Ok(true),
    }
}

/// Condemns what nothing names among the next rows.
///
/// # Errors
/// The database's.
pub fn condemn_unreferenced<T: Tables>(
    tables: &mut T,
    from: ScanFrom,
    limit: usize,
) -> Result<Option<ScanFrom>, T::Halt> {
    match from {
        ScanFrom::Manifest(after) => {
            let page = tables.manifests_after(after, limit)?;
            for manifest in &page {
                loosen(tables, *manifest)?;
            }
            let last = page.last().filter(|_| page.len() == limit);
            Ok(Some(last.map_or(ScanFrom::Chunk(ChunkRef(0)), |last| ScanFrom::Manifest(*last))))
        }
        ScanFrom::Chunk(after) => {
            let page = tables.chunks_after(after, limit)?;
            loosen_chunks(tables, &page)?;
            Ok(page.last().filter(|_| page.len() == limit).map(|last| ScanFrom::Chunk(*last)))
        }
    }
}

/// Removes rows of condemned manifests.
///
/// # Errors
/// The database's.
pub fn sweep_manifests<T: Tables>(
    tables: &mut T,
    upto: Epoch,
    after: SweepFrom,
    limit: usize,
) -> Result<Swept, T::Halt> {
    let mut swept = Swept::default();
    let (mut left, mut done) = (limit, after);
    let page = tables.condemned_manifests(upto, after, limit)?;
    let is_full = page.len() == limit;
    for at in page {
        if left == 0 {
            swept.next = Some(done);
            return Ok(swept);
        }
        match sweep_manifest(tables, ManifestId(at.id), &mut left) {
            Ok(Fate::Gone) => swept.gone += 1,
            Ok(Fate::Named) => swept.pardoned += 1,
            Ok(Fate::Pinned) => swept.pinned += 1,
            Ok(Fate::Begun) => {
                swept.next = Some(done);
                return Ok(swept);
            }
            Err(halt) if T::is_unreadable(&halt) => swept.unreadable += 1,
            Err(halt) => return Err(halt),
        }
        left = left.saturating_sub(1);
        done = at;
    }
    swept.next = is_full.then_some(done);
    Ok(swept)
}

/// What has become of something condemned.
enum Fate {
    Gone,
    /// Something names it.
    Named,
    /// Readers hold it. It keeps its stamp.
    Pinned,
    /// Some of it is left.
    Begun,
}

fn sweep_manifest<T: Tables>(
    tables: &mut T,
    manifest: ManifestId,
    left: &mut usize,
) -> Result<Fate, T::Halt> {
    if tables.is_manifest_named(manifest)? {
        tables.stamp_manifest(manifest, None)?;
        return Ok(Fate::Named);
    }
    if tables.is_manifest_pinned(manifest)? {
        return Ok(Fate::Pinned);
    }
    let chunks = tables.take_rows(manifest, *left)?;
    loosen_chunks(tables, &chunks)?;
    *left -= chunks.len();
    if *left == 0 {
        return Ok(Fate::Begun);
    }
    let slices = tables.take_slices(manifest, *left)?;
    for plain in &slices {
        loosen(tables, *plain)?;
    }
    *left -= slices.len();
    if *left == 0 {
        return Ok(Fate::Begun);
    }
    tables.remove_manifest(manifest)?;
    Ok(Fate::Gone)
}

/// Removes the rows of condemned chunks.
///
/// # Errors
/// The database's.
pub fn sweep_chunks<T: Tables>(
    tables: &mut T,
    upto: Epoch,
    after: SweepFrom,
    limit: usize,
) -> Result<Swept, T::Halt> {
    let mut swept = Swept::default();
    let page = tables.condemned_chunks(upto, after, limit)?;
    for at in &page {
        match sweep_chunk(tables, ChunkRef(at.id)) {
            Ok(Some(len)) => {
                swept.gone += 1;
                swept.bytes += u64::from(len);
            }
            Ok(None) => swept.pardoned += 1,
            Err(halt) if T::is_unreadable(&halt) => swept.unreadable += 1,
            Err(halt) => return Err(halt),
        }
    }
    swept.next = page.last().filter(|_| page.len() == limit).copied();
    Ok(swept)
}

fn sweep_chunk<T: Tables>(tables: &mut T, chunk: ChunkRef) -> Result<Option<u32>, T::Halt> {
    if tables.is_chunk_named(chunk)? {
        tables.stamp_chunk(chunk, None)?;
        return Ok(None);
    }
    tables.remove_chunk(chunk).map(Some)
}

/// Says that chunks are in other places. Returns how many were still in their old ones.
///
/// # Errors
/// As for [`CollectRecords::move_chunks`](crate::CollectRecords::move_chunks), and the database's.
pub fn move_chunks<T: Tables>(
    tables: &mut T,
    session: SessionId,
    moves: &[ChunkMove],
) -> Result<u64, T::Halt> {
    check_alive(tables, session)?;
    let mut count = 0;
    for moved in moves {
        count += u64::from(tables.move_chunk(moved)?);
    }
    Ok(count)
}
