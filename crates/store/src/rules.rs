//! The rules of the records: what is refused and why, and what is written when nothing is.
//!
//! They are the same over every database and are written here only. A backend opens a transaction,
//! gives its [`Tables`] to one of these functions and commits when it returns `Ok`. Everything that
//! is refused is refused before anything is written, so a database without savepoints will do, and
//! one without transactions too, if it is a map under a lock.

mod collect;
mod pins;
pub mod scrub;
mod tables;

use std::ops::Range;

pub use self::pins::{PinTables, pin_manifests};
pub use collect::{
    condemn_left, condemn_unreferenced, move_chunks, revive_chunks, sweep_chunks, sweep_manifests,
    take_back,
};
pub use tables::Tables;

use crate::{
    BucketName, CommitResult, Complete, Completion, Composite, Condition, ContentHash, CopySource,
    CopyTarget, Entry, Key, LEASE_MS_MAX, ManifestId, ObjectRow, PartRow, PartTarget, Result,
    SessionId, Source, StoreError, Target, UploadId,
};
use collect::loosen;

/// Whether a session may have such a lease.
///
/// # Errors
/// [`StoreError::LeaseTooLong`].
pub fn check_lease(lease_ms: u64) -> Result<()> {
    if lease_ms > LEASE_MS_MAX {
        return Err(StoreError::LeaseTooLong { lease_ms, max_ms: LEASE_MS_MAX });
    }
    Ok(())
}

/// Whether a session may still write.
///
/// # Errors
/// [`StoreError::SessionExpired`], and the database's.
pub fn check_alive<T: Tables>(tables: &mut T, session: SessionId) -> Result<(), T::Halt> {
    if tables.is_alive(session)? { Ok(()) } else { Err(StoreError::SessionExpired.into()) }
}

/// A bucket that must be there.
///
/// # Errors
/// [`StoreError::NoSuchBucket`], and the database's.
pub fn bucket<T: Tables>(tables: &mut T, name: &BucketName) -> Result<T::Bucket, T::Halt> {
    tables.bucket(name)?.ok_or_else(|| StoreError::NoSuchBucket(name.clone()).into())
}

/// A bucket that must be there and be empty: one that may be removed.
///
/// # Errors
/// [`StoreError::NoSuchBucket`], [`StoreError::BucketNotEmpty`], and the database's.
pub fn empty_bucket<T: Tables>(tables: &mut T, name: &BucketName) -> Result<T::Bucket, T::Halt> {
    let found = bucket(tables, name)?;
    if tables.has_objects(&found)? {
        return Err(StoreError::BucketNotEmpty(name.clone()).into());
    }
    Ok(found)
}

/// Whether an upload is there.
///
/// # Errors
/// [`StoreError::NoSuchUpload`], and the database's.
pub fn check_upload<T: Tables>(tables: &mut T, upload: UploadId) -> Result<(), T::Halt> {
    if tables.has_upload(upload)? { Ok(()) } else { Err(StoreError::NoSuchUpload(upload).into()) }
}

/// Writes the entries of a group commit, but for those that are refused.
///
/// # Errors
/// The database's. What is refused is in the answers, and leaves the other entries as they are.
pub fn commit<T: Tables>(tables: &mut T, entries: &[&Entry]) -> Result<Vec<CommitResult>, T::Halt> {
    let mut answers = Vec::with_capacity(entries.len());
    for entry in entries {
        answers.push(match admit(tables, entry)? {
            Ok(bucket) => Ok(write(tables, entry, bucket)?),
            Err(refused) => Err(refused),
        });
    }
    Ok(answers)
}

/// Whether an entry may be written: the bucket of its object, if it completes one, or why not.
fn admit<T: Tables>(tables: &mut T, entry: &Entry) -> Result<Result<Option<T::Bucket>>, T::Halt> {
    if !tables.is_alive(entry.session)? {
        return Ok(Err(StoreError::SessionExpired));
    }
    for chunk in &entry.chunks {
        if let Source::Known(row) = chunk.source
            && !tables.has_chunk(row)?
        {
            let detail = format!("chunk {} vanished under a live session", chunk.id);
            return Ok(Err(StoreError::Inconsistent(detail)));
        }
    }
    match entry.complete.as_ref().map(|complete| &complete.target) {
        None => Ok(Ok(None)),
        Some(Target::Object(target)) => {
            let Some(bucket) = tables.bucket(&target.bucket)? else {
                return Ok(Err(StoreError::NoSuchBucket(target.bucket.clone())));
            };
            let met = check_condition(tables, &bucket, &target.key, target.condition)?;
            Ok(met.map(|()| Some(bucket)))
        }
        Some(Target::Part(target)) => match target.check() {
            Ok(()) if tables.has_upload(target.upload)? => Ok(Ok(None)),
            Ok(()) => Ok(Err(StoreError::NoSuchUpload(target.upload))),
            Err(refused) => Ok(Err(refused)),
        },
    }
}

fn write<T: Tables>(
    tables: &mut T,
    entry: &Entry,
    bucket: Option<T::Bucket>,
) -> Result<ManifestId, T::Halt> {
    let manifest = tables.add_to_manifest(entry)?;
    if let Some(Complete { target, size, content }) = &entry.complete {
        let (size, content) = (*size, *content);
        match (target, bucket) {
            (Target::Object(target), Some(bucket)) => {
                let (key, meta) = (target.key.clone(), target.meta.clone());
                put_object(tables, &bucket, &ObjectRow { key, size, content, meta, manifest })?;
            }
            (Target::Object(_), None) => unreachable!("an object without its bucket was refused"),
            (Target::Part(target), _) => {
                put_part(tables, target, size, content, manifest)?;
            }
        }
    }
    if entry.advance {
        tables.advance_session(entry.session)?;
    }
    Ok(manifest)
}

/// Writes an object over an earlier one of its key, whose manifest may be nothing's from then on.
fn put_object<T: Tables>(
    tables: &mut T,
    bucket: &T::Bucket,
    row: &ObjectRow,
) -> Result<(), T::Halt> {
    let before = tables.manifest_of(bucket, &row.key)?;
    tables.put_object(bucket, row)?;
    match before.filter(|before| *before != row.manifest) {
        Some(before) => loosen(tables, before),
        None => Ok(()),
    }
}

/// The same for a part.
fn put_part<T: Tables>(
    tables: &mut T,
    target: &PartTarget,
    size: u64,
    content: ContentHash,
    manifest: ManifestId,
) -> Result<PartRow, T::Halt> {
    let before = tables.part(target.upload, target.number)?.map(|part| part.manifest);
    let part = tables.put_part(target, size, content, manifest)?;
    if let Some(before) = before.filter(|before| *before != manifest) {
        loosen(tables, before)?;
    }
    Ok(part)
}

fn remove_object<T: Tables>(
    tables: &mut T,
    bucket: &T::Bucket,
    key: &Key,
) -> Result<bool, T::Halt> {
    let removed = tables.remove_object(bucket, key)?;
    if let Some(manifest) = removed {
        loosen(tables, manifest)?;
    }
    Ok(removed.is_some())
}

/// Removes an upload and its parts.
fn remove_upload<T: Tables>(tables: &mut T, id: UploadId) -> Result<(), T::Halt> {
    let manifests = tables.remove_upload(id)?;
    manifests.into_iter().try_for_each(|manifest| loosen(tables, manifest))
}

/// Whether the condition holds for the key. The inner error is the refusal.
fn check_condition<T: Tables>(
    tables: &mut T,
    bucket: &T::Bucket,
    key: &Key,
    condition: Condition,
) -> Result<Result<()>, T::Halt> {
    // Most puts have no condition, and need not look.
    let holds =
        condition == Condition::Always || condition.holds(tables.object(bucket, key)?.as_ref());
    Ok(if holds { Ok(()) } else { Err(StoreError::PreconditionFailed { key: key.clone() }) })
}

/// Removes an object, if the condition holds. Returns whether there was one.
///
/// # Errors
/// As for [`ObjectRecords::delete`](crate::ObjectRecords::delete), and the database's.
pub fn delete<T: Tables>(
    tables: &mut T,
    name: &BucketName,
    key: &Key,
    condition: Condition,
) -> Result<bool, T::Halt> {
    let bucket = bucket(tables, name)?;
    check_condition(tables, &bucket, key, condition)??;
    remove_object(tables, &bucket, key)
}

/// Removes objects, each if its condition holds.
///
/// # Errors
/// As for [`ObjectRecords::delete_many`](crate::ObjectRecords::delete_many), and the database's.
pub fn delete_many<T: Tables>(
    tables: &mut T,
    name: &BucketName,
    objects: &[(Key, Condition)],
) -> Result<Vec<Result<bool>>, T::Halt> {
    let bucket = bucket(tables, name)?;
    let mut answers = Vec::with_capacity(objects.len());
    for (key, condition) in objects {
        answers.push(match check_condition(tables, &bucket, key, *condition)? {
            Ok(()) => Ok(remove_object(tables, &bucket, key)?),
            Err(refused) => Err(refused),
        });
    }
    Ok(answers)
}

/// Changes a system property of an object, or takes it away.
///
/// # Errors
/// As for [`ObjectRecords::set_property`](crate::ObjectRecords::set_property), and the database's.
pub fn set_property<T: Tables>(
    tables: &mut T,
    name: &BucketName,
    key: &Key,
    property: &str,
    value: Option<&str>,
) -> Result<(), T::Halt> {
    let (bucket, mut object) = object(tables, name, key)?;
    match value {
        Some(value) => object.meta.system.insert(property.into(), value.into()),
        None => object.meta.system.remove(property),
    };
    tables.put_object(&bucket, &object)
}

/// An object that must be there.
fn object<T: Tables>(
    tables: &mut T,
    name: &BucketName,
    key: &Key,
) -> Result<(T::Bucket, ObjectRow), T::Halt> {
    let bucket = bucket(tables, name)?;
    match tables.object(&bucket, key)? {
        Some(object) => Ok((bucket, object)),
        None => Err(StoreError::NotFound { bucket: name.clone(), key: key.clone() }.into()),
    }
}

/// What is copied from.
fn source<T: Tables>(tables: &mut T, source: &CopySource) -> Result<ObjectRow, T::Halt> {
    let (_, found) = object(tables, &source.bucket, &source.key)?;
    source.check(&found)?;
    Ok(found)
}

/// Makes an object of another's manifest.
///
/// # Errors
/// As for [`Store::copy`](crate::Store::copy), and the database's.
pub fn copy<T: Tables>(
    tables: &mut T,
    from: &CopySource,
    target: &CopyTarget,
) -> Result<ObjectRow, T::Halt> {
    let found = source(tables, from)?;
    let bucket = bucket(tables, &target.bucket)?;
    check_condition(tables, &bucket, &target.key, target.condition)??;
    let row = ObjectRow { key: target.key.clone(), meta: target.meta(&found.meta), ..found };
    put_object(tables, &bucket, &row)?;
    Ok(row)
}

/// Makes a part of a range of an object.
///
/// # Errors
/// As for [`Store::copy_part`](crate::Store::copy_part), and the database's.
pub fn copy_part<T: Tables>(
    tables: &mut T,
    from: &CopySource,
    range: Option<&Range<u64>>,
    target: &PartTarget,
) -> Result<PartRow, T::Halt> {
    target.check()?;
    let found = source(tables, from)?;
    check_upload(tables, target.upload)?;
    let range = CopySource::range(&found, range)?;
    let mut composite = Composite::default();
    add(tables, &mut composite, found.manifest, &range)?;
    let manifest = manifest_of(tables, &composite)?;
    put_part(tables, target, composite.size(), composite.content(), manifest)
}

/// Makes the object of an upload's parts, and ends the upload.
///
/// # Errors
/// As for [`Store::complete_upload`](crate::Store::complete_upload), and the database's.
pub fn complete_upload<T: Tables>(
    tables: &mut T,
    id: UploadId,
    completion: &Completion,
) -> Result<ObjectRow, T::Halt> {
    let (bucket, begun) = tables.upload(id)?.ok_or(StoreError::NoSuchUpload(id))?;
    completion.check_order()?;
    let mut composite = Composite::default();
    for named in &completion.parts {
        let part = tables.part(id, named.number)?;
        let part = part.ok_or(StoreError::PartMissing { number: named.number })?;
        named.check(part.content, &part.system)?;
        add(tables, &mut composite, part.manifest, &(0..part.size))?;
    }
    check_condition(tables, &bucket, &begun.key, completion.condition)??;
    let mut meta = begun.meta;
    meta.system.extend(completion.system.clone());
    let manifest = manifest_of(tables, &composite)?;
    let (size, content) = (composite.size(), composite.content());
    let row = ObjectRow { key: begun.key, size, content, meta, manifest };
    put_object(tables, &bucket, &row)?;
    tables.remember_parts(manifest, id, &completion.parts)?;
    remove_upload(tables, id)?;
    Ok(row)
}

/// Drops an upload and its parts. Returns whether there was one.
///
/// # Errors
/// The database's.
pub fn abort_upload<T: Tables>(tables: &mut T, id: UploadId) -> Result<bool, T::Halt> {
    let is_there = tables.has_upload(id)?;
    remove_upload(tables, id)?;
    Ok(is_there)
}

/// Adds bytes of a manifest to a composite.
fn add<T: Tables>(
    tables: &mut T,
    composite: &mut Composite,
    manifest: ManifestId,
    range: &Range<u64>,
) -> Result<(), T::Halt> {
    let size = composite.size().saturating_add(range.end - range.start);
    let mut each = |offset, slice| composite.add_range(offset, slice, range);
    let detail = if !tables.slices(manifest, range, &mut each)? {
        format!("there is no manifest {manifest}")
    } else if composite.size() != size {
        format!("manifest {manifest} is shorter than what is taken from it")
    } else {
        return Ok(());
    };
    Err(StoreError::Inconsistent(detail).into())
}

/// The manifest of a composite: a new one, or the plain one that it is all of.
fn manifest_of<T: Tables>(tables: &mut T, composite: &Composite) -> Result<ManifestId, T::Halt> {
    match composite.whole() {
        Some(whole) => Ok(whole),
        None => tables.put_composite(composite),
    }
}
