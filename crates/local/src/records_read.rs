//! The reading statements.

use std::collections::BTreeMap;
use std::ops::Bound;

use drystone_chunker::ChunkId;
use drystone_store::{
    BucketName, BucketRow, ChunkRef, ContentHash, Key, KnownChunk, ManifestId, ObjectMeta,
    ObjectRow, TAGS, Totals,
};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::{limit_of, uint};

const OBJECT_COLUMNS: &str =
    "key, size, content, media_type, user_meta, system_meta, modified_ns, mode, manifest";

/// SQL for a column of properties without [`TAGS`], which would make pages of lists long. Few rows
/// have any, and it is told without reading the document.
pub(crate) fn without_tags(column: &str) -> String {
    format!(
        "CASE WHEN instr({column}, '\"{TAGS}\":') = 0 THEN {column} ELSE json_remove({column}, '$.{TAGS}') END"
    )
}

/// A column that does not hold what it must, in a database that is damaged.
pub(crate) fn unreadable(
    column: usize,
    why: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(why))
}

pub(crate) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; 32]> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|error| unreadable(column, error))?;
    bytes.try_into().map_err(|error: std::array::TryFromSliceError| unreadable(column, error))
}

pub(crate) fn find_chunks(
    db: &Connection,
    ids: &[ChunkId],
) -> rusqlite::Result<Vec<Option<KnownChunk>>> {
    // One snapshot for all of them: beginning a read is most of what a look-up costs.
    let transaction = db.unchecked_transaction()?;
    let mut found = Vec::with_capacity(ids.len());
    {
        let mut statement = transaction.prepare_cached(
            "SELECT id, condemned IS NOT NULL, damaged IS NOT NULL FROM chunks WHERE hash = ?1",
        )?;
        for id in ids {
            let row = statement.query_row([&id.0[..]], |row| {
                let chunk = ChunkRef(uint(row.get(0)?)?);
                Ok(KnownChunk { chunk, condemned: row.get(1)?, damaged: row.get(2)? })
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

fn a_bucket(row: &Row<'_>) -> rusqlite::Result<BucketRow> {
    Ok(BucketRow {
        name: BucketName::new(row.get::<_, String>(0)?).map_err(|error| unreadable(0, error))?,
        created_ms: uint(row.get(1)?)?,
        public: row.get(2)?,
        region: row.get(3)?,
    })
}

pub(crate) fn bucket_row(
    db: &Connection,
    name: &BucketName,
) -> rusqlite::Result<Option<BucketRow>> {
    let sql = "SELECT name, created_ms, public, region FROM buckets WHERE name = ?1";
    let mut statement = db.prepare_cached(sql)?;
    statement.query_row([name.as_str()], a_bucket).optional()
}

pub(crate) fn buckets(
    db: &Connection,
    after: Option<&BucketName>,
    limit: usize,
) -> rusqlite::Result<Vec<BucketRow>> {
    let mut statement = db.prepare_cached(
        "SELECT name, created_ms, public, region FROM buckets WHERE name > ?1 ORDER BY name LIMIT ?2",
    )?;
    let after = after.map_or("", BucketName::as_str);
    let rows = statement.query_map(params![after, limit_of(limit)], a_bucket)?;
    rows.collect()
}

/// Names and values that are kept as a JSON object, or as nothing when there are none.
pub(crate) fn named(row: &Row<'_>, column: usize) -> rusqlite::Result<BTreeMap<String, String>> {
    match row.get_ref(column)?.as_str_or_null().map_err(|error| unreadable(column, error))? {
        Some(text) => serde_json::from_str(text).map_err(|error| unreadable(column, error)),
        None => Ok(BTreeMap::new()),
    }
}

/// Media type, user's and protocol's names, modification time and mode, from column `first` on.
pub(crate) fn object_meta(row: &Row<'_>, first: usize) -> rusqlite::Result<ObjectMeta> {
    Ok(ObjectMeta {
        media_type: row.get(first)?,
        user: named(row, first + 1)?,
        system: named(row, first + 2)?,
        modified_ns: row.get(first + 3)?,
        mode: row.get(first + 4)?,
    })
}

fn object_row(row: &Row<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        key: Key::new(row.get::<_, String>(0)?).map_err(|error| unreadable(0, error))?,
        size: uint(row.get(1)?)?,
        content: ContentHash(hash(row, 2)?),
        meta: object_meta(row, 3)?,
        manifest: ManifestId(uint(row.get(8)?)?),
    })
}

pub(crate) fn object(
    db: &Connection,
    bucket: i64,
    key: &Key,
) -> rusqlite::Result<Option<ObjectRow>> {
    let sql = format!("SELECT {OBJECT_COLUMNS} FROM objects WHERE bucket = ?1 AND key = ?2");
    db.prepare_cached(&sql)?.query_row(params![bucket, key.as_str()], object_row).optional()
}

pub(crate) fn list(
    db: &Connection,
    bucket: i64,
    prefix: &str,
    from: Bound<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<ObjectRow>> {
    // Keys compare by bytes, so those with a prefix are neighbours and begin at the prefix itself.
    // No key is empty.
    let (first, after) = match from {
        Bound::Included(first) => (prefix.max(first), ""),
        Bound::Excluded(after) => (prefix.max(after), after),
        Bound::Unbounded => (prefix, ""),
    };
    let columns = OBJECT_COLUMNS.replace("system_meta", &without_tags("system_meta"));
    let sql = format!(
        "SELECT {columns} FROM objects WHERE bucket = ?1 AND key >= ?2 AND key > ?3 ORDER BY key LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![bucket, first, after, limit_of(limit)])?;
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

pub(crate) fn totals(db: &Connection) -> rusqlite::Result<Totals> {
    let pair = |sql: &str| -> rusqlite::Result<(u64, u64)> {
        db.query_row(sql, [], |row| Ok((uint(row.get(0)?)?, uint(row.get(1)?)?)))
    };
    let (objects, object_bytes) = pair("SELECT count(*), coalesce(sum(size), 0) FROM objects")?;
    let (chunks, chunk_bytes) = pair("SELECT count(*), coalesce(sum(length), 0) FROM chunks")?;
    Ok(Totals { objects, object_bytes, chunks, chunk_bytes })
}
