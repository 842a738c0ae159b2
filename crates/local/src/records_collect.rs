//! What a collect asks of the tables: what nothing names, what is condemned, and where chunks are.

use drystone_chunker::ChunkId;
use drystone_store::{
    ChunkMove, ChunkRef, CondemnedTotals, Epoch, Epochs, Location, ManifestId, SegmentId,
    SegmentRow, SessionId, StoredChunk, SweepFrom, UploadId,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::database::{int, limit_of, uint};
use crate::records_read::hash;

/// A manifest that something has, or that a live session needs. The session of a pending manifest
/// is gone or dead when nothing is to come of it.
const IS_MANIFEST_NAMED: &str = "
    SELECT EXISTS (SELECT 1 FROM objects WHERE manifest = ?1)
        OR EXISTS (SELECT 1 FROM manifest_parts WHERE part = ?1)
        OR EXISTS (SELECT 1 FROM parts WHERE manifest = ?1)
        OR EXISTS (SELECT 1 FROM manifests m JOIN sessions s ON s.id = m.session
                   WHERE m.id = ?1 AND s.dead = 0)";

const SEGMENT_COLUMNS: &str = "id, bytes, live, sealed";

fn ids<P: Params>(db: &Connection, sql: &str, values: P) -> rusqlite::Result<Vec<u64>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| uint(row.get(0)?))?;
    rows.collect()
}

pub(crate) fn epoch(db: &Connection) -> rusqlite::Result<Epoch> {
    let sql = "SELECT value FROM meta WHERE name = 'epoch'";
    db.prepare_cached(sql)?.query_row([], |row| uint(row.get(0)?).map(Epoch))
}

/// Both from one state of the database.
pub(crate) fn epochs(db: &Connection) -> rusqlite::Result<Epochs> {
    let sql = "SELECT (SELECT value FROM meta WHERE name = 'epoch'),
                      (SELECT min(epoch) FROM sessions WHERE dead = 0)";
    db.prepare_cached(sql)?.query_row([], |row| {
        let oldest: Option<i64> = row.get(1)?;
        let oldest = oldest.map(uint).transpose()?.map(Epoch);
        Ok(Epochs { current: Epoch(uint(row.get(0)?)?), oldest })
    })
}

pub(crate) fn is_scanned(db: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT value FROM meta WHERE name = 'scanned'";
    let scanned = db.query_row(sql, [], |row| row.get::<_, i64>(0)).optional()?;
    Ok(scanned == Some(1))
}

pub(crate) fn is_manifest_named(db: &Connection, manifest: ManifestId) -> rusqlite::Result<bool> {
    db.prepare_cached(IS_MANIFEST_NAMED)?.query_row([int(manifest.0)], |row| row.get(0))
}

/// Whether a live session pins a manifest. Triggers remove the pins of the others.
pub(crate) fn is_pinned(db: &Connection, manifest: ManifestId) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM pins WHERE manifest = ?1 LIMIT 1";
    db.prepare_cached(sql)?.exists([int(manifest.0)])
}

pub(crate) fn is_chunk_named(db: &Connection, chunk: ChunkRef) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM manifest_chunks WHERE chunk = ?1 LIMIT 1";
    db.prepare_cached(sql)?.exists([int(chunk.0)])
}

pub(crate) fn stamp_manifest(
    db: &Connection,
    manifest: ManifestId,
    stamp: Option<Epoch>,
) -> rusqlite::Result<()> {
    let stamp = stamp.map(|epoch| int(epoch.0));
    db.prepare_cached("UPDATE manifests SET condemned = ?2 WHERE id = ?1")?
        .execute(params![int(manifest.0), stamp])
        .map(drop)
}

pub(crate) fn stamp_chunk(
    db: &Connection,
    chunk: ChunkRef,
    stamp: Option<Epoch>,
) -> rusqlite::Result<bool> {
    let stamp = stamp.map(|epoch| int(epoch.0));
    let rows = db
        .prepare_cached("UPDATE chunks SET condemned = ?2 WHERE id = ?1")?
        .execute(params![int(chunk.0), stamp])?;
    Ok(rows == 1)
}

fn condemned_in(
    db: &Connection,
    sql: &str,
    upto: Epoch,
    after: SweepFrom,
    limit: usize,
) -> rusqlite::Result<Vec<SweepFrom>> {
    let values = params![int(upto.0), int(after.epoch.0), int(after.id), limit_of(limit)];
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| {
        Ok(SweepFrom { epoch: Epoch(uint(row.get(0)?)?), id: uint(row.get(1)?)? })
    })?;
    rows.collect()
}

pub(crate) fn condemned_manifests(
    db: &Connection,
    upto: Epoch,
    after: SweepFrom,
    limit: usize,
) -> rusqlite::Result<Vec<SweepFrom>> {
    let sql = "SELECT condemned, id FROM manifests
               WHERE condemned <= ?1 AND (condemned, id) > (?2, ?3)
               ORDER BY condemned, id LIMIT ?4";
    condemned_in(db, sql, upto, after, limit)
}

pub(crate) fn condemned_chunks(
    db: &Connection,
    upto: Epoch,
    after: SweepFrom,
    limit: usize,
) -> rusqlite::Result<Vec<SweepFrom>> {
    let sql = "SELECT condemned, id FROM chunks
               WHERE condemned <= ?1 AND (condemned, id) > (?2, ?3)
               ORDER BY condemned, id LIMIT ?4";
    condemned_in(db, sql, upto, after, limit)
}

pub(crate) fn manifests_after(
    db: &Connection,
    after: ManifestId,
    limit: usize,
) -> rusqlite::Result<Vec<ManifestId>> {
    let sql = "SELECT id FROM manifests WHERE id > ?1 AND condemned IS NULL ORDER BY id LIMIT ?2";
    let found = ids(db, sql, params![int(after.0), limit_of(limit)])?;
    Ok(found.into_iter().map(ManifestId).collect())
}

pub(crate) fn chunks_after(
    db: &Connection,
    after: ChunkRef,
    limit: usize,
) -> rusqlite::Result<Vec<ChunkRef>> {
    let sql = "SELECT id FROM chunks WHERE id > ?1 AND condemned IS NULL ORDER BY id LIMIT ?2";
    let found = ids(db, sql, params![int(after.0), limit_of(limit)])?;
    Ok(found.into_iter().map(ChunkRef).collect())
}

pub(crate) fn left_pending(db: &Connection, limit: usize) -> rusqlite::Result<Vec<ManifestId>> {
    let sql = "SELECT m.id FROM manifests m
               WHERE m.session IS NOT NULL AND m.condemned IS NULL AND NOT EXISTS
                   (SELECT 1 FROM sessions s WHERE s.id = m.session AND s.dead = 0)
               LIMIT ?1";
    Ok(ids(db, sql, [limit_of(limit)])?.into_iter().map(ManifestId).collect())
}

pub(crate) fn upload_without_bucket(db: &Connection) -> rusqlite::Result<Option<UploadId>> {
    let sql = "SELECT id FROM uploads u
               WHERE NOT EXISTS (SELECT 1 FROM buckets b WHERE b.id = u.bucket) LIMIT 1";
    db.prepare_cached(sql)?.query_row([], |row| uint(row.get(0)?).map(UploadId)).optional()
}

/// Removes the last rows of a manifest from the table that `read` and `remove` name. Returns what
/// they point at. They are read first, so that what cannot be read stays.
fn take_last(
    db: &Connection,
    [read, remove]: [&str; 2],
    manifest: ManifestId,
    limit: usize,
) -> rusqlite::Result<Vec<u64>> {
    let mut statement = db.prepare_cached(read)?;
    let rows = statement.query_map(params![int(manifest.0), limit_of(limit)], |row| {
        Ok((uint(row.get(0)?)?, uint(row.get(1)?)?))
    })?;
    let rows: Vec<(u64, u64)> = rows.collect::<rusqlite::Result<_>>()?;
    if let Some((_, first)) = rows.last() {
        db.prepare_cached(remove)?.execute(params![int(manifest.0), int(*first)])?;
    }
    Ok(rows.into_iter().map(|(target, _)| target).collect())
}

pub(crate) fn take_rows(
    db: &Connection,
    manifest: ManifestId,
    limit: usize,
) -> rusqlite::Result<Vec<ChunkRef>> {
    let sql = [
        "SELECT chunk, offset FROM manifest_chunks WHERE manifest = ?1
         ORDER BY offset DESC LIMIT ?2",
        "DELETE FROM manifest_chunks WHERE manifest = ?1 AND offset >= ?2",
    ];
    Ok(take_last(db, sql, manifest, limit)?.into_iter().map(ChunkRef).collect())
}

pub(crate) fn take_slices(
    db: &Connection,
    manifest: ManifestId,
    limit: usize,
) -> rusqlite::Result<Vec<ManifestId>> {
    let sql = [
        "SELECT part, offset FROM manifest_parts WHERE manifest = ?1
         ORDER BY offset DESC LIMIT ?2",
        "DELETE FROM manifest_parts WHERE manifest = ?1 AND offset >= ?2",
    ];
    Ok(take_last(db, sql, manifest, limit)?.into_iter().map(ManifestId).collect())
}

pub(crate) fn remove_manifest(db: &Connection, manifest: ManifestId) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM object_parts WHERE manifest = ?1",
        "DELETE FROM pins WHERE manifest = ?1",
        "DELETE FROM manifests WHERE id = ?1",
    ] {
        db.prepare_cached(sql)?.execute([int(manifest.0)])?;
    }
    Ok(())
}

pub(crate) fn remove_chunk(db: &Connection, chunk: ChunkRef) -> rusqlite::Result<u32> {
    let sql = "SELECT length FROM chunks WHERE id = ?1";
    let len = db.prepare_cached(sql)?.query_row([int(chunk.0)], |row| row.get(0))?;
    db.prepare_cached("DELETE FROM chunks WHERE id = ?1")?.execute([int(chunk.0)])?;
    Ok(len)
}

pub(crate) fn move_chunk(db: &Connection, moved: &ChunkMove) -> rusqlite::Result<bool> {
    let sql = "UPDATE chunks SET segment = ?4, offset = ?5
               WHERE id = ?1 AND segment = ?2 AND offset = ?3";
    let ChunkMove { chunk, from, to } = moved;
    let values = params![
        int(chunk.0),
        int(from.segment.0),
        int(from.offset),
        int(to.segment.0),
        int(to.offset)
    ];
    Ok(db.prepare_cached(sql)?.execute(values)? == 1)
}

pub(crate) fn condemned(db: &Connection) -> rusqlite::Result<CondemnedTotals> {
    let of = |table: &str, sum: &str| {
        let sql = format!(
            "SELECT count(*), coalesce({sum}, 0), max(condemned) FROM {table}
             WHERE condemned IS NOT NULL"
        );
        db.query_row(&sql, [], |row| {
            let youngest: Option<i64> = row.get(2)?;
            let youngest = youngest.map(uint).transpose()?.map(Epoch);
            Ok((uint(row.get(0)?)?, uint(row.get(1)?)?, youngest))
        })
    };
    let (manifests, _, of_manifests) = of("manifests", "0")?;
    let (chunks, bytes, of_chunks) = of("chunks", "sum(length)")?;
    let (segments, _, of_segments) = of("segments", "0")?;
    let youngest = of_manifests.max(of_chunks).max(of_segments);
    Ok(CondemnedTotals { manifests, chunks, bytes, segments, youngest })
}

fn segment_row(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    Ok(SegmentRow {
        segment: SegmentId(uint(row.get(0)?)?),
        bytes: uint(row.get(1)?)?,
        live: uint(row.get(2)?)?,
        sealed: row.get(3)?,
    })
}

fn segment_rows<P: Params>(
    db: &Connection,
    rest: &str,
    values: P,
) -> rusqlite::Result<Vec<SegmentRow>> {
    let sql = format!("SELECT {SEGMENT_COLUMNS} FROM segments WHERE {rest}");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(values, segment_row)?;
    rows.collect()
}

fn behind(after: Option<SegmentId>) -> i64 {
    after.map_or(0, |after| int(after.0))
}

pub(crate) fn segments(
    db: &Connection,
    after: Option<SegmentId>,
    limit: usize,
) -> rusqlite::Result<Vec<SegmentRow>> {
    segment_rows(db, "id > ?1 ORDER BY id LIMIT ?2", params![behind(after), limit_of(limit)])
}

pub(crate) fn wasteful_segments(
    db: &Connection,
    dead_bytes: u64,
    limit: usize,
) -> rusqlite::Result<Vec<SegmentRow>> {
    let rest = "bytes - live > ?1 AND (live > 0 OR sealed = 0)
                ORDER BY CAST(bytes - live AS REAL) / (live + 1) DESC LIMIT ?2";
    segment_rows(db, rest, params![int(dead_bytes), limit_of(limit)])
}

pub(crate) fn condemned_segments(
    db: &Connection,
    upto: Epoch,
    after: Option<SegmentId>,
    limit: usize,
) -> rusqlite::Result<Vec<SegmentRow>> {
    let rest = "condemned <= ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    segment_rows(db, rest, params![int(upto.0), behind(after), limit_of(limit)])
}

/// Stamps sealed segments without chunks, and takes the stamp of others away.
pub(crate) fn condemn_segments(db: &Connection) -> rusqlite::Result<u64> {
    let epoch = int(epoch(db)?.0);
    let sql = "UPDATE segments SET condemned = NULL WHERE condemned IS NOT NULL AND live > 0";
    db.prepare_cached(sql)?.execute([])?;
    let sql = "UPDATE segments SET condemned = ?1
               WHERE condemned IS NULL AND sealed = 1 AND live = 0
                   AND NOT EXISTS (SELECT 1 FROM chunks WHERE segment = segments.id)";
    db.prepare_cached(sql)?.execute([epoch]).map(|rows| rows as u64)
}

/// Removes a segment's row, unless a chunk is in it: then its stamp goes.
pub(crate) fn sweep_segment(
    db: &Connection,
    segment: SegmentId,
    upto: Epoch,
) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM chunks WHERE segment = ?1 LIMIT 1";
    if db.prepare_cached(sql)?.exists([int(segment.0)])? {
        let sql = "UPDATE segments SET condemned = NULL WHERE id = ?1";
        db.prepare_cached(sql)?.execute([int(segment.0)])?;
        return Ok(false);
    }
    let sql = "DELETE FROM segments WHERE id = ?1 AND sealed = 1 AND condemned <= ?2";
    Ok(db.prepare_cached(sql)?.execute(params![int(segment.0), int(upto.0)])? == 1)
}

pub(crate) fn last_segment(db: &Connection) -> rusqlite::Result<Option<SegmentId>> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'segments'";
    db.query_row(sql, [], |row| uint(row.get(0)?).map(SegmentId)).optional()
}

pub(crate) fn chunks_in(
    db: &Connection,
    segment: SegmentId,
    after: Option<ChunkRef>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredChunk>> {
    let sql = "SELECT id, hash, offset, length FROM chunks
               WHERE segment = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    let after = after.map_or(0, |after| int(after.0));
    let mut statement = db.prepare_cached(sql)?;
    let values = params![int(segment.0), after, limit_of(limit)];
    let rows = statement.query_map(values, |row| {
        let at = Location { segment, offset: uint(row.get(2)?)?, len: row.get(3)? };
        Ok(StoredChunk { chunk: ChunkRef(uint(row.get(0)?)?), id: ChunkId(hash(row, 1)?), at })
    })?;
    rows.collect()
}

/// A manifest that a session left pending: the one asked for, or any.
pub(crate) fn pending(
    db: &Connection,
    session: SessionId,
    wanted: Option<ManifestId>,
) -> rusqlite::Result<Option<ManifestId>> {
    let row = |row: &Row<'_>| uint(row.get(0)?).map(ManifestId);
    let session = int(session.0);
    let found = match wanted {
        Some(wanted) => db
            .prepare_cached("SELECT id FROM manifests WHERE id = ?1 AND session = ?2")?
            .query_row([int(wanted.0), session], row),
        None => db
            .prepare_cached("SELECT id FROM manifests WHERE session = ?1 LIMIT 1")?
            .query_row([session], row),
    };
    found.optional()
}
