//! Manifests: read in pages, and put together from others; and which parts of an upload they were
//! put together from.

use std::ops::Range;

use drystone_chunker::ChunkId;
use drystone_store::{
    Composite, ContentHash, Location, ManifestId, ManifestRow, NamedPart, ObjectPart, ObjectParts,
    PlainSlice, Result, SegmentId, UploadId,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::connection::Halt;
use crate::database::{int, limit_of, uint};
use crate::records_read::{hash, named};

/// A place in a manifest as SQLite has them; there are none beyond.
fn place(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

pub(crate) fn page(
    db: &Connection,
    manifest: ManifestId,
    from: u64,
    limit: usize,
) -> rusqlite::Result<Vec<ManifestRow>> {
    let rows = plain_page(db, int(manifest.0), from, u64::MAX, limit)?;
    if rows.is_empty() { composite_page(db, int(manifest.0), from, limit) } else { Ok(rows) }
}

/// Chunks of a plain manifest from the one that holds byte `from`, or the last one, to the last
/// that begins before `until`.
fn plain_page(
    db: &Connection,
    manifest: i64,
    from: u64,
    until: u64,
    limit: usize,
) -> rusqlite::Result<Vec<ManifestRow>> {
    let mut statement = db.prepare_cached(
        "SELECT m.offset, c.hash, c.segment, c.offset, c.length
         FROM manifest_chunks m JOIN chunks c ON c.id = m.chunk
         WHERE m.manifest = ?1 AND m.offset < ?3 AND m.offset >=
             (SELECT max(offset) FROM manifest_chunks WHERE manifest = ?1 AND offset <= ?2)
         ORDER BY m.offset LIMIT ?4",
    )?;
    let rows = statement.query_map(
        params![manifest, place(from), place(until), limit_of(limit)],
        |row| {
            let at = Location {
                segment: SegmentId(uint(row.get(2)?)?),
                offset: uint(row.get(3)?)?,
                len: row.get(4)?,
            };
            Ok(ManifestRow::whole(uint(row.get(0)?)?, ChunkId(hash(row, 1)?), at))
        },
    )?;
    rows.collect()
}

fn composite_page(
    db: &Connection,
    manifest: i64,
    from: u64,
    limit: usize,
) -> rusqlite::Result<Vec<ManifestRow>> {
    let mut page = Vec::new();
    let mut statement = db.prepare_cached(
        "SELECT offset, part, start, length FROM manifest_parts
         WHERE manifest = ?1 AND offset >=
             (SELECT max(offset) FROM manifest_parts WHERE manifest = ?1 AND offset <= ?2)
         ORDER BY offset",
    )?;
    let mut slices = statement.query(params![manifest, place(from)])?;
    while page.len() < limit
        && let Some(row) = slices.next()?
    {
        let (offset, part): (u64, i64) = (uint(row.get(0)?)?, row.get(1)?);
        let (start, len) = (uint(row.get(2)?)?, uint(row.get(3)?)?);
        // Only the first slice begins before the byte that is asked for.
        let skipped = from.saturating_sub(offset).min(len.saturating_sub(1));
        let rows = plain_page(db, part, start + skipped, start + len, limit - page.len())?;
        page.extend(rows.iter().filter_map(|row| row.in_slice(offset, start, len)));
    }
    Ok(page)
}

/// See [`Tables::slices`](drystone_store::rules::Tables::slices).
pub(crate) fn slices(
    db: &Connection,
    manifest: ManifestId,
    range: &Range<u64>,
    each: &mut dyn FnMut(u64, PlainSlice) -> Result<()>,
) -> Result<bool, Halt> {
    let mut statement = db.prepare_cached(
        "SELECT p.offset, p.part, p.start, p.length, m.size, m.content
         FROM manifest_parts p JOIN manifests m ON m.id = p.part
         WHERE p.manifest = ?1 AND p.offset < ?3 AND p.offset >=
             (SELECT max(offset) FROM manifest_parts WHERE manifest = ?1 AND offset <= ?2)
         ORDER BY p.offset",
    )?;
    let mut rows =
        statement.query(params![int(manifest.0), place(range.start), place(range.end)])?;
    let mut is_composite = false;
    while let Some(row) = rows.next()? {
        is_composite = true;
        let slice = PlainSlice {
            manifest: ManifestId(uint(row.get(1)?)?),
            content: ContentHash(hash(row, 5)?),
            size: uint(row.get(4)?)?,
            from: uint(row.get(2)?)?,
            len: uint(row.get(3)?)?,
        };
        each(uint(row.get(0)?)?, slice)?;
    }
    if is_composite {
        return Ok(true);
    }
    let mut statement = db.prepare_cached("SELECT size, content FROM manifests WHERE id = ?1")?;
    let plain =
        statement.query_row([int(manifest.0)], |row| Ok((uint(row.get(0)?)?, hash(row, 1)?)));
    let Some((size, content)) = plain.optional()? else { return Ok(false) };
    let content = ContentHash(content);
    each(0, PlainSlice { manifest, content, size, from: 0, len: size })?;
    Ok(true)
}

/// One statement for all parts: others wait for this transaction.
pub(crate) fn remember_parts(
    db: &Connection,
    manifest: ManifestId,
    upload: UploadId,
    parts: &[NamedPart],
) -> rusqlite::Result<()> {
    let numbers: Vec<u32> = parts.iter().map(|part| part.number).collect();
    let numbers = serde_json::to_string(&numbers)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    // CROSS: the list is read once, and each part looked up. The other way round it is quadratic.
    db.prepare_cached(
        "INSERT INTO object_parts (manifest, upload, number, offset, size, system_meta)
         SELECT ?1, p.upload, row_number() OVER named, sum(p.size) OVER named - p.size, p.size, p.system_meta
         FROM json_each(?3) n CROSS JOIN parts p ON p.upload = ?2 AND p.number = n.value
         WINDOW named AS (ORDER BY p.number)",
    )?
    .execute(params![int(manifest.0), int(upload.0), numbers])
    .map(drop)
}

/// Parts that are remembered with a manifest.
pub(crate) fn object_parts(
    db: &Connection,
    manifest: ManifestId,
    upload: UploadId,
    after: u32,
    limit: usize,
) -> rusqlite::Result<ObjectParts> {
    let (manifest, upload) = (int(manifest.0), place(upload.0));
    let sql =
        "SELECT coalesce(max(number), 0) FROM object_parts WHERE manifest = ?1 AND upload = ?2";
    let total = db.prepare_cached(sql)?.query_row([manifest, upload], |row| row.get(0))?;
    let mut statement = db.prepare_cached(
        "SELECT number, offset, size, system_meta FROM object_parts
         WHERE manifest = ?1 AND upload = ?2 AND number > ?3 ORDER BY number LIMIT ?4",
    )?;
    let rows = statement.query_map(params![manifest, upload, after, limit_of(limit)], |row| {
        let (offset, size) = (uint(row.get(1)?)?, uint(row.get(2)?)?);
        Ok(ObjectPart { number: row.get(0)?, offset, size, system: named(row, 3)? })
    })?;
    Ok(ObjectParts { total, page: rows.collect::<rusqlite::Result<_>>()? })
}

/// A new manifest of a composite.
pub(crate) fn write(db: &Connection, composite: &Composite) -> rusqlite::Result<ManifestId> {
    db.prepare_cached("INSERT INTO manifests (size, content) VALUES (?1, ?2)")?
        .execute(params![int(composite.size()), &composite.content().0[..]])?;
    let manifest = db.last_insert_rowid();
    let mut add = db.prepare_cached(
        "INSERT INTO manifest_parts (manifest, offset, part, start, length) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (offset, slice) in composite.slices() {
        add.execute(params![
            manifest,
            int(offset),
            int(slice.manifest.0),
            int(slice.from),
            int(slice.len)
        ])?;
    }
    uint(manifest).map(ManifestId)
}
