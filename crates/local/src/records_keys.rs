//! Access keys and their grants.

use drystone_store::{BucketName, Grant, KeyRow, NewKey, Result, Secret, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::connection::Halt;
use crate::database::{NOW_MS, limit_of, uint};
use crate::records_read::unreadable;

pub(crate) fn put(tx: &Transaction<'_>, key: &NewKey) -> Result<(), Halt> {
    let sql = format!(
        "INSERT INTO keys (access, secret, name, created_ms) VALUES (?1, ?2, ?3, {NOW_MS})
         ON CONFLICT (access) DO NOTHING"
    );
    if tx.execute(&sql, params![key.access, key.secret.0, key.name])? == 0 {
        return Err(StoreError::KeyExists(key.access.clone()).into());
    }
    let mut add = tx.prepare_cached(
        "INSERT OR REPLACE INTO grants (access, bucket, read, write, list, admin)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for grant in &key.grants {
        let bucket = grant.bucket.as_ref().map_or("", BucketName::as_str);
        add.execute(params![key.access, bucket, grant.read, grant.write, grant.list, grant.admin])?;
    }
    Ok(())
}

fn key_row(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let key = NewKey {
        access: row.get(0)?,
        secret: Secret(row.get(1)?),
        name: row.get(2)?,
        grants: Vec::new(),
    };
    Ok(KeyRow { key, created_ms: uint(row.get(3)?)? })
}

fn with_grants(db: &Connection, mut row: KeyRow) -> rusqlite::Result<KeyRow> {
    let mut statement = db.prepare_cached(
        "SELECT bucket, read, write, list, admin FROM grants WHERE access = ?1 ORDER BY bucket",
    )?;
    let grants = statement.query_map([&row.key.access], |row| {
        let bucket: String = row.get(0)?;
        let bucket = (!bucket.is_empty()).then(|| BucketName::new(bucket)).transpose();
        Ok(Grant {
            bucket: bucket.map_err(|error| unreadable(0, error))?,
            read: row.get(1)?,
            write: row.get(2)?,
            list: row.get(3)?,
            admin: row.get(4)?,
        })
    })?;
    row.key.grants = grants.collect::<rusqlite::Result<_>>()?;
    Ok(row)
}

pub(crate) fn key(db: &Connection, access: &str) -> rusqlite::Result<Option<KeyRow>> {
    // One snapshot: a key is never seen without its grants.
    let transaction = db.unchecked_transaction()?;
    let mut statement = transaction
        .prepare_cached("SELECT access, secret, name, created_ms FROM keys WHERE access = ?1")?;
    let found = statement.query_row([access], key_row).optional()?;
    found.map(|row| with_grants(&transaction, row)).transpose()
}

pub(crate) fn keys(
    db: &Connection,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<KeyRow>> {
    let transaction = db.unchecked_transaction()?;
    let mut statement = transaction.prepare_cached(
        "SELECT access, secret, name, created_ms FROM keys
         WHERE ?1 IS NULL OR access > ?1 ORDER BY access LIMIT ?2",
    )?;
    let rows = statement.query_map(params![after, limit_of(limit)], key_row)?;
    rows.map(|row| with_grants(&transaction, row?)).collect()
}

pub(crate) fn revoke(tx: &Transaction<'_>, access: &str) -> rusqlite::Result<bool> {
    tx.execute("DELETE FROM grants WHERE access = ?1", [access])?;
    tx.execute("DELETE FROM keys WHERE access = ?1", [access]).map(|rows| rows == 1)
}
