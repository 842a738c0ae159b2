//! What a check reads.

use drystone_store::{BucketName, CheckRecords, Key, Result, SegmentFacts, SegmentId, UploadId};
use rusqlite::params;

use crate::database::{SqliteRecords, limit_of, uint};
use crate::records_scrub::key;

/// An id that a damaged row may have made negative, and back: a check names those, too.
fn signed(segment: SegmentId) -> i64 {
    segment.0 as i64
}

impl CheckRecords for SqliteRecords {
    fn segment_facts(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentFacts>> {
        self.read("cannot list segments", |db| {
            let mut statement = db.prepare_cached(
                "SELECT s.id, s.bytes, s.live, coalesce(sum(c.length), 0),
                     coalesce(max(CAST(c.offset + c.length AS INTEGER)), 0),
                     coalesce(min(min(c.offset, c.length)), 0)
                 FROM (SELECT id, bytes, live FROM segments WHERE id > ?1 ORDER BY id LIMIT ?2) s
                     LEFT JOIN chunks c ON c.segment = s.id
                 GROUP BY s.id ORDER BY s.id",
            )?;
            let after = after.map_or(0, signed);
            let rows = statement.query_map([after, limit_of(limit)], |row| {
                Ok(SegmentFacts {
                    segment: SegmentId(uint(row.get(0)?)?),
                    bytes: uint(row.get(1)?)?,
                    live: row.get(2)?,
                    sum: row.get(3)?,
                    end: row.get(4)?,
                    least: row.get(5)?,
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }

    fn has_segments(&self, segments: &[SegmentId]) -> Result<Vec<bool>> {
        self.read("cannot look segments up", |db| {
            let mut statement = db.prepare_cached("SELECT 1 FROM segments WHERE id = ?1")?;
            segments.iter().map(|segment| statement.exists([signed(*segment)])).collect()
        })
    }

    fn segments_without_row(
        &self,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentId>> {
        self.read("cannot look for segments", |db| {
            let mut statement = db.prepare_cached(
                "SELECT DISTINCT c.segment FROM chunks c
                 WHERE c.segment > ?1 AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.id = c.segment)
                 ORDER BY c.segment LIMIT ?2",
            )?;
            let after = after.map_or(i64::MIN, signed);
            let rows = statement.query_map([after, limit_of(limit)], |row| {
                row.get(0).map(|segment: i64| SegmentId(segment as u64))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }

    fn objects_to_check(
        &self,
        bucket: &BucketName,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, bool)>> {
        self.read("cannot list objects", |db| {
            let mut statement = db.prepare_cached(
                "SELECT o.key, EXISTS (SELECT 1 FROM manifests m WHERE m.id = o.manifest)
                 FROM objects o
                 WHERE o.bucket = (SELECT id FROM buckets WHERE name = ?1) AND o.key > ?2
                 ORDER BY o.key LIMIT ?3",
            )?;
            let after = after.map_or("", Key::as_str);
            let values = params![bucket.as_str(), after, limit_of(limit)];
            let rows = statement.query_map(values, |row| Ok((key(row, 0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }

    fn parts_to_check(
        &self,
        after: Option<(UploadId, u32)>,
        limit: usize,
    ) -> Result<Vec<(UploadId, u32, bool)>> {
        self.read("cannot list parts", |db| {
            let mut statement = db.prepare_cached(
                "SELECT p.upload, p.number,
                     EXISTS (SELECT 1 FROM manifests m WHERE m.id = p.manifest)
                 FROM parts p WHERE (p.upload, p.number) > (?1, ?2)
                 ORDER BY p.upload, p.number LIMIT ?3",
            )?;
            let (upload, number) =
                after.map_or((0, 0), |(upload, number)| (upload.0 as i64, number));
            let values = params![upload, number, limit_of(limit)];
            let rows = statement.query_map(values, |row| {
                Ok((UploadId(uint(row.get(0)?)?), row.get(1)?, row.get(2)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        })
    }
}
