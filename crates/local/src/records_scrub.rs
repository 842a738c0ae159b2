//! What a scrub reads and writes.

use std::ops::Range;

use drystone_chunker::ChunkId;
use drystone_store::rules::scrub::{self, ScrubTables};
use drystone_store::{
    BucketName, ChunkRef, Key, ManifestId, Owner, PlacedChunk, Result, ScrubAsk, ScrubCounts,
    ScrubNote, ScrubPlace, ScrubRecords, ScrubRound, SegmentId, SliceOf, UploadId,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::connection::Halt;
use crate::database::{NOW_MS, SqliteRecords, int, limit_of, uint};
use crate::records_read::{hash, unreadable};

const CHUNK_COLUMNS: &str = "c.id, c.segment, c.offset, c.hash, c.length, c.damaged IS NOT NULL";

/// A number as SQLite has them; a damaged row may have led to one beyond.
fn place(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A chunk by [`CHUNK_COLUMNS`]. One bad row must not hide the others, so a name or a length that
/// makes no sense is no error.
fn placed(row: &Row<'_>) -> rusqlite::Result<PlacedChunk> {
    let name = hash(row, 3).ok().zip(row.get(4).ok());
    Ok(PlacedChunk {
        chunk: ChunkRef(uint(row.get(0)?)?),
        segment: SegmentId(uint(row.get(1)?)?),
        offset: uint(row.get(2)?)?,
        name: name.map(|(hash, len)| (ChunkId(hash), len)),
        damaged: row.get(5)?,
    })
}

pub(crate) fn bucket_name(row: &Row<'_>, column: usize) -> rusqlite::Result<BucketName> {
    BucketName::new(row.get::<_, String>(column)?).map_err(|error| unreadable(column, error))
}

pub(crate) fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<Key> {
    Key::new(row.get::<_, String>(column)?).map_err(|error| unreadable(column, error))
}

/// The tables in one transaction of a scrub.
struct Tables<'a>(&'a Connection);

impl ScrubTables for Tables<'_> {
    type Halt = Halt;

    fn now_ms(&mut self) -> Result<u64, Halt> {
        let now = self.0.query_row(&format!("SELECT {NOW_MS}"), [], |row| row.get(0))?;
        Ok(uint(now)?)
    }

    fn last_chunk(&mut self) -> Result<ChunkRef, Halt> {
        let sql = "SELECT coalesce(max(id), 0) FROM chunks";
        Ok(ChunkRef(self.0.query_row(sql, [], |row| uint(row.get(0)?))?))
    }

    fn round(&mut self) -> Result<Option<ScrubRound>, Halt> {
        let sql = "SELECT id, began_ms, since_ms, last_chunk, segment, offset, chunk, is_over,
                       chunks, bytes, bad, well_again
                   FROM scrubs ORDER BY id DESC LIMIT 1";
        let round = self.0.query_row(sql, [], |row| {
            Ok(ScrubRound {
                id: uint(row.get(0)?)?,
                began_ms: uint(row.get(1)?)?,
                since_ms: row.get::<_, Option<i64>>(2)?.map(uint).transpose()?,
                last_chunk: ChunkRef(uint(row.get(3)?)?),
                at: ScrubPlace {
                    segment: uint(row.get(4)?)?,
                    offset: uint(row.get(5)?)?,
                    chunk: uint(row.get(6)?)?,
                },
                is_over: row.get(7)?,
                counts: ScrubCounts {
                    chunks: uint(row.get(8)?)?,
                    bytes: uint(row.get(9)?)?,
                    bad: uint(row.get(10)?)?,
                    well_again: uint(row.get(11)?)?,
                },
            })
        });
        Ok(round.optional()?)
    }

    fn put_round(&mut self, round: &ScrubRound) -> Result<u64, Halt> {
        let ScrubRound { id, began_ms, since_ms, last_chunk, at, is_over, counts } = round;
        let id = (*id > 0).then_some(place(*id));
        let sql = "INSERT OR REPLACE INTO scrubs (id, began_ms, since_ms, last_chunk, segment,
                       offset, chunk, is_over, chunks, bytes, bad, well_again)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        self.0.prepare_cached(sql)?.execute(params![
            id,
            place(*began_ms),
            since_ms.map(place),
            int(last_chunk.0),
            place(at.segment),
            place(at.offset),
            place(at.chunk),
            is_over,
            place(counts.chunks),
            place(counts.bytes),
            place(counts.bad),
            place(counts.well_again)
        ])?;
        let id = self.0.last_insert_rowid();
        self.0.prepare_cached("DELETE FROM scrubs WHERE id < ?1")?.execute([id])?;
        Ok(uint(id)?)
    }

    fn placed(&mut self, chunk: ChunkRef) -> Result<Option<PlacedChunk>, Halt> {
        Ok(one(self.0, chunk)?)
    }

    fn mark(&mut self, chunk: ChunkRef, damaged: bool) -> Result<(), Halt> {
        let sql = if damaged {
            format!("UPDATE chunks SET damaged = coalesce(damaged, {NOW_MS}) WHERE id = ?1")
        } else {
            "UPDATE chunks SET damaged = NULL WHERE id = ?1".to_owned()
        };
        self.0.prepare_cached(&sql)?.execute([int(chunk.0)])?;
        Ok(())
    }

    fn verified(&mut self, segment: SegmentId) -> Result<Option<(u64, ChunkRef)>, Halt> {
        let sql = "SELECT verified_ms, verified_to FROM segments
                   WHERE id = ?1 AND verified_ms IS NOT NULL AND verified_to IS NOT NULL";
        let found = self.0.prepare_cached(sql)?.query_row([place(segment.0)], |row| {
            Ok((uint(row.get(0)?)?, ChunkRef(uint(row.get(1)?)?)))
        });
        Ok(found.optional()?)
    }

    fn set_verified(&mut self, segment: SegmentId, at_ms: u64, last: ChunkRef) -> Result<(), Halt> {
        let sql = "UPDATE segments SET verified_ms = ?2, verified_to = ?3 WHERE id = ?1";
        let values = params![place(segment.0), place(at_ms), int(last.0)];
        self.0.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}

fn one(db: &Connection, chunk: ChunkRef) -> rusqlite::Result<Option<PlacedChunk>> {
    let sql = format!("SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.id = ?1");
    db.prepare_cached(&sql)?.query_row([place(chunk.0)], placed).optional()
}

/// Moves a chunk's row to bytes that have been written again, and takes its mark away.
pub(crate) fn heal(
    db: &Connection,
    chunk: i64,
    at: drystone_store::Location,
) -> rusqlite::Result<()> {
    let sql = "UPDATE chunks SET segment = ?2, offset = ?3, length = ?4, damaged = NULL
               WHERE id = ?1";
    let values = params![chunk, int(at.segment.0), int(at.offset), at.len];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

/// The chunks that a scrub reads.
const TO_SCRUB: &str = "
    SELECT c.id, c.segment, c.offset, c.hash, c.length, c.damaged IS NOT NULL
    FROM chunks c LEFT JOIN segments s ON s.id = c.segment
    WHERE (c.segment, c.offset, c.id) > (?1, ?2, ?3) AND c.offset >= 0 AND
        (?5 IS NULL OR s.verified_ms IS NULL OR s.verified_to IS NULL OR s.verified_ms < ?5
            OR c.id > s.verified_to OR c.damaged IS NOT NULL)
    ORDER BY c.segment, c.offset, c.id LIMIT ?4";

impl ScrubRecords for SqliteRecords {
    fn begin_scrub(&self, ask: &ScrubAsk) -> Result<ScrubRound> {
        self.write("cannot begin a scrub", |tx| scrub::begin(&mut Tables(tx), ask))
    }

    fn chunks_to_scrub(
        &self,
        since_ms: Option<u64>,
        after: ScrubPlace,
        limit: usize,
    ) -> Result<Vec<PlacedChunk>> {
        self.read("cannot list chunks", |db| {
            let (segment, offset, chunk) = (place(after.segment), place(after.offset), after.chunk);
            let values =
                params![segment, offset, place(chunk), limit_of(limit), since_ms.map(place)];
            db.prepare_cached(TO_SCRUB)?.query_map(values, placed)?.collect::<rusqlite::Result<_>>()
        })
    }

    fn note_scrub(&self, round: u64, note: &ScrubNote) -> Result<()> {
        self.write("cannot note what a scrub found", |tx| scrub::note(&mut Tables(tx), round, note))
    }

    fn placed_chunk(&self, chunk: ChunkRef) -> Result<Option<PlacedChunk>> {
        self.read("cannot look a chunk up", |db| one(db, chunk))
    }

    fn placed_chunk_of(&self, id: &ChunkId) -> Result<Option<PlacedChunk>> {
        self.read("cannot look a chunk up", |db| {
            let sql = format!("SELECT {CHUNK_COLUMNS} FROM chunks c WHERE c.hash = ?1");
            db.prepare_cached(&sql)?.query_row([&id.0[..]], placed).optional()
        })
    }

    fn damaged_chunks(&self, after: ChunkRef, limit: usize) -> Result<Vec<PlacedChunk>> {
        self.read("cannot list damaged chunks", |db| {
            let sql = format!(
                "SELECT {CHUNK_COLUMNS} FROM chunks c
                 WHERE c.damaged IS NOT NULL AND c.id > ?1 ORDER BY c.id LIMIT ?2"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([place(after.0), limit_of(limit)], placed)?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }

    fn chunk_bytes(&self) -> Result<u64> {
        self.read("cannot count", |db| {
            let sql = "SELECT coalesce(sum(live), 0) FROM segments";
            db.query_row(sql, [], |row| Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0)))
        })
    }

    fn manifests_of(
        &self,
        chunk: ChunkRef,
        after: Option<ManifestId>,
        limit: usize,
    ) -> Result<Vec<ManifestId>> {
        self.read("cannot look for manifests", |db| {
            let mut statement = db.prepare_cached(
                "SELECT DISTINCT manifest FROM manifest_chunks
                 WHERE chunk = ?1 AND manifest > ?2 ORDER BY manifest LIMIT ?3",
            )?;
            let after = after.map_or(0, |after| place(after.0));
            let rows = statement
                .query_map([place(chunk.0), after, limit_of(limit)], |row| uint(row.get(0)?))?;
            rows.map(|id| id.map(ManifestId)).collect::<rusqlite::Result<_>>()
        })
    }

    fn place_in(
        &self,
        chunk: ChunkRef,
        manifest: ManifestId,
        range: Range<u64>,
    ) -> Result<Option<u64>> {
        self.read("cannot look into a manifest", |db| {
            let sql = "SELECT offset FROM manifest_chunks
                       WHERE chunk = ?1 AND manifest = ?2 AND offset >= ?3 AND offset < ?4
                       ORDER BY offset LIMIT 1";
            let (from, until) = (place(range.start), place(range.end));
            let values = [place(chunk.0), place(manifest.0), from, until];
            db.prepare_cached(sql)?.query_row(values, |row| uint(row.get(0)?)).optional()
        })
    }

    fn slices_of(
        &self,
        part: ManifestId,
        after: Option<(ManifestId, u64)>,
        limit: usize,
    ) -> Result<Vec<SliceOf>> {
        self.read("cannot look for composites", |db| {
            let mut statement = db.prepare_cached(
                "SELECT manifest, offset, start, length FROM manifest_parts
                 WHERE part = ?1 AND (manifest, offset) > (?2, ?3)
                 ORDER BY manifest, offset LIMIT ?4",
            )?;
            let (manifest, offset) =
                after.map_or((0, 0), |(manifest, offset)| (place(manifest.0), place(offset)));
            let values = [place(part.0), manifest, offset, limit_of(limit)];
            let rows = statement.query_map(values, |row| {
                Ok(SliceOf {
                    composite: ManifestId(uint(row.get(0)?)?),
                    offset: uint(row.get(1)?)?,
                    start: uint(row.get(2)?)?,
                    len: uint(row.get(3)?)?,
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }

    fn objects_of(
        &self,
        manifest: ManifestId,
        after: Option<(&BucketName, &Key)>,
        limit: usize,
    ) -> Result<Vec<Owner>> {
        self.read("cannot look for objects", |db| {
            // CROSS: bucket by bucket in the order of their names, so that nothing is sorted.
            let mut statement = db.prepare_cached(
                "SELECT b.name, o.key FROM buckets b CROSS JOIN objects o ON o.bucket = b.id
                 WHERE o.manifest = ?1 AND (b.name > ?2 OR (b.name = ?2 AND o.key > ?3))
                 ORDER BY b.name, o.key LIMIT ?4",
            )?;
            let (bucket, key_after) =
                after.map_or(("", ""), |(bucket, key)| (bucket.as_str(), key.as_str()));
            let values = params![place(manifest.0), bucket, key_after, limit_of(limit)];
            let rows = statement.query_map(values, |row| {
                Ok(Owner { bucket: bucket_name(row, 0)?, key: key(row, 1)?, part: None })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }

    fn parts_of(
        &self,
        manifest: ManifestId,
        after: Option<(UploadId, u32)>,
        limit: usize,
    ) -> Result<Vec<Owner>> {
        self.read("cannot look for parts", |db| {
            let mut statement = db.prepare_cached(
                "SELECT b.name, u.key, p.upload, p.number
                 FROM parts p JOIN uploads u ON u.id = p.upload JOIN buckets b ON b.id = u.bucket
                 WHERE p.manifest = ?1 AND (p.upload, p.number) > (?2, ?3)
                 ORDER BY p.upload, p.number LIMIT ?4",
            )?;
            let (upload, number) =
                after.map_or((0, 0), |(upload, number)| (place(upload.0), number));
            let values = params![place(manifest.0), upload, number, limit_of(limit)];
            let rows = statement.query_map(values, |row| {
                let part = Some((UploadId(uint(row.get(2)?)?), row.get(3)?));
                Ok(Owner { bucket: bucket_name(row, 0)?, key: key(row, 1)?, part })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn chunks_are_read_in_the_order_of_an_index() {
        let db = Connection::open_in_memory().expect("there is memory");
        schema::STEPS.iter().for_each(|step| db.execute_batch(step).expect("it is SQL"));
        let mut statement =
            db.prepare(&format!("EXPLAIN QUERY PLAN {TO_SCRUB}")).expect("it is SQL");
        let plan = statement.query_map([1, 1, 1, 1, 1], |row| row.get(3)).expect("it is SQL");
        let plan = plan.collect::<Result<Vec<String>, _>>().expect("lines of text").join("\n");
        assert!(plan.contains("USING INDEX chunks_segment"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
