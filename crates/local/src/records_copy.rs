//! Objects and parts that are made of stored bytes. What must be refused is refused before anything
//! is written.
//!
//! The outer errors are the database's and roll the transaction back; the inner ones are the
//! caller's.

use std::ops::Range;

use drystone_store::{
    Completion, Composite, CopySource, CopyTarget, ObjectRow, PartRow, PartTarget, StoreError,
    UploadId,
};
use rusqlite::{Connection, Transaction};

use crate::records_commit::{NewObject, put_object, unmet};
use crate::{records_manifest, records_read, records_uploads};

type Answer<T> = rusqlite::Result<Result<T, StoreError>>;

/// The value, or out of here with the refusal.
macro_rules! allowed {
    ($answer:expr) => {
        match $answer {
            Ok(value) => value,
            Err(refused) => return Ok(Err(refused)),
        }
    };
}

fn source_row(db: &Connection, source: &CopySource) -> Answer<ObjectRow> {
    let Some(bucket) = records_read::bucket(db, &source.bucket)? else {
        return Ok(Err(StoreError::NoSuchBucket(source.bucket.clone())));
    };
    Ok(match records_read::object(db, bucket, &source.key)? {
        Some(found) => source.check(&found).map(|()| found),
        None => {
            Err(StoreError::NotFound { bucket: source.bucket.clone(), key: source.key.clone() })
        }
    })
}

pub(crate) fn copy(
    tx: &Transaction<'_>,
    source: &CopySource,
    target: &CopyTarget,
) -> Answer<ObjectRow> {
    let found = allowed!(source_row(tx, source)?);
    let Some(bucket) = records_read::bucket(tx, &target.bucket)? else {
        return Ok(Err(StoreError::NoSuchBucket(target.bucket.clone())));
    };
    if let Some(refused) = unmet(tx, bucket, &target.key, target.condition)? {
        return Ok(Err(refused));
    }
    let row = ObjectRow { key: target.key.clone(), meta: target.meta(&found.meta), ..found };
    put_object(tx, &NewObject::of(bucket, &row))?;
    Ok(Ok(row))
}

pub(crate) fn copy_part(
    tx: &Transaction<'_>,
    source: &CopySource,
    range: Option<&Range<u64>>,
    target: &PartTarget,
) -> Answer<PartRow> {
    allowed!(target.check());
    let found = allowed!(source_row(tx, source)?);
    if records_uploads::bucket_of(tx, target.upload)?.is_none() {
        return Ok(Err(StoreError::NoSuchUpload(target.upload)));
    }
    let range = allowed!(CopySource::range(&found, range));
    let mut composite = Composite::default();
    allowed!(records_manifest::add_to(&mut composite, tx, found.manifest, &range)?);
    let manifest = records_manifest::write(tx, &composite)?;
    let (size, content) = (composite.size(), composite.content());
    let modified_ms = records_uploads::put_part(tx, target, size, &content, manifest)?;
    let (number, system) = (target.number, target.system.clone());
    Ok(Ok(PartRow { number, size, content, manifest, system, modified_ms }))
}

pub(crate) fn complete_upload(
    tx: &Transaction<'_>,
    upload: UploadId,
    completion: &Completion,
) -> Answer<ObjectRow> {
    let (Some(bucket), Some(begun)) =
        (records_uploads::bucket_of(tx, upload)?, records_uploads::upload(tx, upload)?)
    else {
        return Ok(Err(StoreError::NoSuchUpload(upload)));
    };
    allowed!(completion.check_order());
    let mut composite = Composite::default();
    for named in &completion.parts {
        let Some(part) = records_uploads::part(tx, upload, named.number)? else {
            return Ok(Err(StoreError::PartMissing { number: named.number }));
        };
        allowed!(named.check(part.content, &part.system));
        allowed!(records_manifest::add_to(&mut composite, tx, part.manifest, &(0..part.size))?);
    }
    if let Some(refused) = unmet(tx, bucket, &begun.key, completion.condition)? {
        return Ok(Err(refused));
    }
    let mut meta = begun.meta;
    meta.system.extend(completion.system.clone());
    let manifest = records_manifest::write(tx, &composite)?;
    let (size, content) = (composite.size(), composite.content());
    let row = ObjectRow { key: begun.key, size, content, meta, manifest };
    put_object(tx, &NewObject::of(bucket, &row))?;
    records_manifest::remember_parts(tx, manifest, upload, &completion.parts)?;
    records_uploads::remove(tx, upload)?;
    Ok(Ok(row))
}
