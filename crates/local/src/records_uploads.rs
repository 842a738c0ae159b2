//! Multipart uploads and their parts. An upload whose bucket is gone is gone.

use drystone_store::{
    BucketName, ContentHash, Key, ManifestId, ObjectMeta, PartRow, PartTarget, UploadId, UploadRow,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::{NOW_MS, int, limit_of, uint};

use crate::records_read::{hash, named, object_meta, unreadable, without_tags};
use crate::records_tables::json;

const UPLOAD_COLUMNS: &str = "u.id, b.name, u.key, u.created_ms,
    u.media_type, u.user_meta, u.system_meta, u.modified_ns, u.mode";
const PART_COLUMNS: &str = "number, size, content, system_meta, modified_ms, manifest";

/// An id as SQLite has them; there are none beyond.
fn id(upload: UploadId) -> i64 {
    i64::try_from(upload.0).unwrap_or(i64::MAX)
}

fn upload_row(row: &Row<'_>) -> rusqlite::Result<UploadRow> {
    Ok(UploadRow {
        id: UploadId(uint(row.get(0)?)?),
        bucket: BucketName::new(row.get::<_, String>(1)?).map_err(|error| unreadable(1, error))?,
        key: Key::new(row.get::<_, String>(2)?).map_err(|error| unreadable(2, error))?,
        created_ms: uint(row.get(3)?)?,
        meta: object_meta(row, 4)?,
    })
}

fn part_row(row: &Row<'_>) -> rusqlite::Result<PartRow> {
    Ok(PartRow {
        number: row.get(0)?,
        size: uint(row.get(1)?)?,
        content: ContentHash(hash(row, 2)?),
        system: named(row, 3)?,
        modified_ms: uint(row.get(4)?)?,
        manifest: ManifestId(uint(row.get(5)?)?),
    })
}

pub(crate) fn create(
    db: &Connection,
    row: i64,
    bucket: &BucketName,
    key: &Key,
    meta: &ObjectMeta,
) -> rusqlite::Result<UploadRow> {
    let sql = format!(
        "INSERT INTO uploads
             (bucket, key, media_type, user_meta, system_meta, modified_ns, mode, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, {NOW_MS}) RETURNING id, created_ms"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let values = params![
        row,
        key.as_str(),
        meta.media_type,
        json(&meta.user)?,
        json(&meta.system)?,
        meta.modified_ns,
        meta.mode
    ];
    statement.query_row(values, |row| {
        let (id, created_ms) = (UploadId(uint(row.get(0)?)?), uint(row.get(1)?)?);
        let (bucket, key, meta) = (bucket.clone(), key.clone(), meta.clone());
        Ok(UploadRow { id, bucket, key, meta, created_ms })
    })
}

pub(crate) fn upload(db: &Connection, upload: UploadId) -> rusqlite::Result<Option<UploadRow>> {
    let sql = format!(
        "SELECT {UPLOAD_COLUMNS} FROM uploads u JOIN buckets b ON b.id = u.bucket WHERE u.id = ?1"
    );
    db.prepare_cached(&sql)?.query_row([id(upload)], upload_row).optional()
}

/// The row of an upload's bucket; `None` when there is no such upload.
pub(crate) fn bucket_of(db: &Connection, upload: UploadId) -> rusqlite::Result<Option<i64>> {
    let mut statement = db.prepare_cached(
        "SELECT b.id FROM uploads u JOIN buckets b ON b.id = u.bucket WHERE u.id = ?1",
    )?;
    statement.query_row([id(upload)], |row| row.get(0)).optional()
}

pub(crate) fn uploads(
    db: &Connection,
    bucket: i64,
    prefix: &str,
    after: Option<(&str, UploadId)>,
    limit: usize,
) -> rusqlite::Result<Vec<UploadRow>> {
    // As for objects: those with a prefix are neighbours. Ids begin at 1.
    let (after_key, after_id) = after.unwrap_or(("", UploadId(0)));
    let columns = UPLOAD_COLUMNS.replace("u.system_meta", &without_tags("u.system_meta"));
    let sql = format!(
        "SELECT {columns} FROM uploads u JOIN buckets b ON b.id = u.bucket
         WHERE u.bucket = ?1 AND u.key >= ?2 AND (u.key, u.id) > (?3, ?4) ORDER BY u.key, u.id LIMIT ?5"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let values = params![bucket, prefix.max(after_key), after_key, id(after_id), limit_of(limit)];
    let mut rows = statement.query(values)?;
    let mut uploads = Vec::new();
    while let Some(row) = rows.next()? {
        let upload = upload_row(row)?;
        if !upload.key.as_str().starts_with(prefix) {
            break;
        }
        uploads.push(upload);
    }
    Ok(uploads)
}

/// Removes an upload and its parts, if they are there. Returns the parts' manifests.
pub(crate) fn remove(db: &Connection, upload: UploadId) -> rusqlite::Result<Vec<ManifestId>> {
    let manifests = {
        let mut statement =
            db.prepare_cached("DELETE FROM parts WHERE upload = ?1 RETURNING manifest")?;
        let rows = statement.query_map([id(upload)], |row| uint(row.get(0)?).map(ManifestId))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    db.prepare_cached("DELETE FROM uploads WHERE id = ?1")?.execute([id(upload)])?;
    Ok(manifests)
}

pub(crate) fn parts(
    db: &Connection,
    upload: UploadId,
    after: u32,
    limit: usize,
) -> rusqlite::Result<Vec<PartRow>> {
    let sql = format!(
        "SELECT {PART_COLUMNS} FROM parts WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![id(upload), after, limit_of(limit)], part_row)?;
    rows.collect()
}

pub(crate) fn part(
    db: &Connection,
    upload: UploadId,
    number: u32,
) -> rusqlite::Result<Option<PartRow>> {
    let sql = format!("SELECT {PART_COLUMNS} FROM parts WHERE upload = ?1 AND number = ?2");
    db.prepare_cached(&sql)?.query_row(params![id(upload), number], part_row).optional()
}

/// Writes a part over an earlier one of its number.
pub(crate) fn put_part(
    db: &Connection,
    target: &PartTarget,
    size: u64,
    content: ContentHash,
    manifest: ManifestId,
) -> rusqlite::Result<PartRow> {
    let sql = format!(
        "INSERT INTO parts (upload, number, size, content, system_meta, modified_ms, manifest)
         VALUES (?1, ?2, ?3, ?4, ?5, {NOW_MS}, ?6)
         ON CONFLICT (upload, number) DO UPDATE SET size = excluded.size, content = excluded.content,
             system_meta = excluded.system_meta, modified_ms = excluded.modified_ms,
             manifest = excluded.manifest
         RETURNING {PART_COLUMNS}"
    );
    let (upload, number, system) = (id(target.upload), target.number, json(&target.system)?);
    let values = params![upload, number, int(size), &content.0[..], system, int(manifest.0)];
    db.prepare_cached(&sql)?.query_row(values, part_row)
}
