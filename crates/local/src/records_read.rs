//! The reading statements.

use std::collections::BTreeMap;

use drystone_chunker::ChunkId;
use drystone_store::{
    BucketName, ChunkRef, ContentHash, Key, KnownChunk, Location, ManifestId, ManifestRow, ObjectMeta,
    ObjectRow, SegmentId, Totals,
};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::records::{int, limit_of, uint};

const OBJECT_COLUMNS: &str = "key, size, content, media_type, user_meta, modified_ns, mode, manifest";

/// A column that does not hold what it must, in a database that somebody or something has damaged.
fn unreadable(column: usize, why: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(why))
}

fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; 32]> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|error| unreadable(column, error))?;
    bytes.try_into().map_err(|error: std::array::TryFromSliceError| unreadable(column, error))
}

pub(crate) fn find_chunks(db: &Connection, ids: &[ChunkId]) -> rusqlite::Result<Vec<Option<KnownChunk>>> {
    // One snapshot for all of them: beginning a read is most of what a look-up costs.
    let transaction = db.unchecked_transaction()?;
    let mut found = Vec::with_capacity(ids.len());
    {
        let mut statement =
            transaction.prepare_cached("SELECT id, condemned IS NOT NULL FROM chunks WHERE hash = ?1")?;
        for id in ids {
            let row = statement.query_row([&id.0[..]], |row| {
                Ok(KnownChunk { chunk: ChunkRef(uint(row.get(0)?)?), condemned: row.get(1)? })
            });
            found.push(row.optional()?);
        }
    }
    transaction.finish()?;
    Ok(found)
}

pub(crate) fn bucket(db: &Connection, name: &BucketName) -> rusqlite::Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT id FROM buckets WHERE name = ?1")?;
    statement.query_row([name.as_str()], |row| row.get(0)).optional()
}

pub(crate) fn buckets(
    db: &Connection,
    after: Option<&BucketName>,
    limit: usize,
) -> rusqlite::Result<Vec<BucketName>> {
    let mut statement =
        db.prepare_cached("SELECT name FROM buckets WHERE name > ?1 ORDER BY name LIMIT ?2")?;
    let after = after.map_or("", BucketName::as_str);
    let rows = statement.query_map(params![after, limit_of(limit)], |row| {
        BucketName::new(row.get::<_, String>(0)?).map_err(|error| unreadable(0, error))
    })?;
    rows.collect()
}

fn object_row(row: &Row<'_>) -> rusqlite::Result<ObjectRow> {
    let user: BTreeMap<String, String> =
        match row.get_ref(4)?.as_str_or_null().map_err(|e| unreadable(4, e))? {
            Some(text) => serde_json::from_str(text).map_err(|error| unreadable(4, error))?,
            None => BTreeMap::new(),
        };
    Ok(ObjectRow {
        key: Key::new(row.get::<_, String>(0)?).map_err(|error| unreadable(0, error))?,
        size: uint(row.get(1)?)?,
        content: ContentHash(hash(row, 2)?),
        meta: ObjectMeta { media_type: row.get(3)?, user, modified_ns: row.get(5)?, mode: row.get(6)? },
        manifest: ManifestId(uint(row.get(7)?)?),
    })
}

pub(crate) fn object(db: &Connection, bucket: i64, key: &Key) -> rusqlite::Result<Option<ObjectRow>> {
    let sql = format!("SELECT {OBJECT_COLUMNS} FROM objects WHERE bucket = ?1 AND key = ?2");
    db.prepare_cached(&sql)?.query_row(params![bucket, key.as_str()], object_row).optional()
}

pub(crate) fn list(
    db: &Connection,
    bucket: i64,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<ObjectRow>> {
    // Keys compare by bytes, so those with a prefix are neighbours and begin at the prefix itself.
    let after = after.unwrap_or("");
    let sql = format!(
        "SELECT {OBJECT_COLUMNS} FROM objects WHERE bucket = ?1 AND key >= ?2 AND key > ?3 ORDER BY key LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![bucket, prefix.max(after), after, limit_of(limit)])?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next()? {
        let object = object_row(row)?;
        if !object.key.as_str().starts_with(prefix) {
            break;
        }
        objects.push(object);
    }
    Ok(objects)
}

pub(crate) fn manifest_page(
    db: &Connection,
    manifest: ManifestId,
    from: u64,
    limit: usize,
) -> rusqlite::Result<Vec<ManifestRow>> {
    let mut statement = db.prepare_cached(
        "SELECT m.offset, c.hash, c.segment, c.offset, c.length
         FROM manifest_chunks m JOIN chunks c ON c.id = m.chunk
         WHERE m.manifest = ?1 AND m.offset >=
             (SELECT max(offset) FROM manifest_chunks WHERE manifest = ?1 AND offset <= ?2)
         ORDER BY m.offset LIMIT ?3",
    )?;
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![int(manifest.0), from, limit_of(limit)], |row| {
        let at =
            Location { segment: SegmentId(uint(row.get(2)?)?), offset: uint(row.get(3)?)?, len: row.get(4)? };
        Ok(ManifestRow { offset: uint(row.get(0)?)?, chunk: ChunkId(hash(row, 1)?), at })
    })?;
    rows.collect()
}

pub(crate) fn totals(db: &Connection) -> rusqlite::Result<Totals> {
    let pair = |sql: &str| -> rusqlite::Result<(u64, u64)> {
        db.query_row(sql, [], |row| Ok((uint(row.get(0)?)?, uint(row.get(1)?)?)))
    };
    let (objects, object_bytes) = pair("SELECT count(*), coalesce(sum(size), 0) FROM objects")?;
    let (chunks, chunk_bytes) = pair("SELECT count(*), coalesce(sum(length), 0) FROM chunks")?;
    Ok(Totals { objects, object_bytes, chunks, chunk_bytes })
}
