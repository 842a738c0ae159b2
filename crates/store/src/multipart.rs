//! Objects that come in parts, and objects that are made of others: no byte and no chunk row is
//! copied.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::{
    BucketName, Condition, ContentHash, Key, ManifestId, ObjectMeta, ObjectRow, Result, Store,
    StoreError, UploadId,
};

/// The highest number of a part; the lowest is 1. As in S3: it bounds what completing and aborting
/// have to do.
pub const PART_NUMBER_MAX: u32 = 10_000;

/// A multipart upload: it depends on no session, and lives until it is completed or aborted or its
/// bucket is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// Its id, never used again.
    pub id: UploadId,
    /// The bucket of the object to be.
    pub bucket: BucketName,
    /// The name of the object to be.
    pub key: Key,
    /// Everything else about the object to be.
    pub meta: ObjectMeta,
    /// When it was begun, in milliseconds since 1970 UTC by the database's clock.
    pub created_ms: u64,
}

/// A part of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRow {
    /// Which: 1 to [`PART_NUMBER_MAX`].
    pub number: u32,
    /// Its length in bytes.
    pub size: u64,
    /// What it contains.
    pub content: ContentHash,
    /// Its chunks.
    pub manifest: ManifestId,
    /// As for [`ObjectMeta::system`].
    pub system: BTreeMap<String, String>,
    /// When it was stored, in milliseconds since 1970 UTC by the database's clock.
    pub modified_ms: u64,
}

/// A part that an object was put together from, remembered with the object's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPart {
    /// Its place among the parts, from 1 on and without gaps, whatever its number was in the
    /// upload.
    pub number: u32,
    /// Where it begins in the object, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// What its [`PartRow::system`] was.
    pub system: BTreeMap<String, String>,
}

/// A page of an object's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectParts {
    /// How many parts there are; 0 when none are remembered.
    pub total: u32,
    /// Some of them, in order.
    pub page: Vec<ObjectPart>,
}

/// A part to be. It replaces an earlier one of its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTarget {
    /// The upload, which must exist.
    pub upload: UploadId,
    /// Which: 1 to [`PART_NUMBER_MAX`].
    pub number: u32,
    /// As for [`ObjectMeta::system`].
    pub system: BTreeMap<String, String>,
}

/// A part that goes into the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedPart {
    /// Which.
    pub number: u32,
    /// What it must contain, if that matters.
    pub content: Option<ContentHash>,
    /// What its [`system`](PartRow::system) must say, among other things.
    pub system: BTreeMap<String, String>,
}

/// How an upload becomes an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Its parts, in ascending order; others are dropped.
    pub parts: Vec<NamedPart>,
    /// Goes into the upload's [`ObjectMeta::system`], and replaces what has the same name there.
    pub system: BTreeMap<String, String>,
    /// When the object may be stored.
    pub condition: Condition,
}

/// An object to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its name.
    pub key: Key,
    /// What it must contain, if that matters.
    pub content: Option<ContentHash>,
}

/// Where a copy goes; the source's own name is fine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyTarget {
    /// The bucket, which must exist.
    pub bucket: BucketName,
    /// The copy's name.
    pub key: Key,
    /// Everything else about it; `None` takes the source's.
    pub meta: Option<ObjectMeta>,
    /// Replaces the modification time in either case.
    pub modified_ns: Option<i64>,
    /// When it may be stored.
    pub condition: Condition,
}

impl PartTarget {
    /// Whether there can be such a part.
    ///
    /// # Errors
    /// [`StoreError::PartNumber`].
    pub(crate) fn check(&self) -> Result<()> {
        if (1..=PART_NUMBER_MAX).contains(&self.number) {
            return Ok(());
        }
        Err(StoreError::PartNumber { number: self.number, max: PART_NUMBER_MAX })
    }
}

impl NamedPart {
    /// Whether it is this part that is meant.
    ///
    /// # Errors
    /// [`StoreError::PartChanged`].
    pub(crate) fn check(
        &self,
        content: ContentHash,
        system: &BTreeMap<String, String>,
    ) -> Result<()> {
        let is_meant = self.content.is_none_or(|expected| expected == content)
            && self.system.iter().all(|(name, value)| system.get(name) == Some(value));
        if is_meant { Ok(()) } else { Err(StoreError::PartChanged { number: self.number }) }
    }
}

impl Completion {
    /// Whether the parts are in order.
    ///
    /// # Errors
    /// [`StoreError::PartOrder`] with the first that is not.
    pub(crate) fn check_order(&self) -> Result<()> {
        match self.parts.windows(2).find(|pair| pair[0].number >= pair[1].number) {
            Some(pair) => Err(StoreError::PartOrder { number: pair[1].number }),
            None => Ok(()),
        }
    }
}

impl CopySource {
    /// Whether it contains what it must.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`].
    pub(crate) fn check(&self, found: &ObjectRow) -> Result<()> {
        match self.content {
            Some(expected) if expected != found.content => {
                Err(StoreError::PreconditionFailed { key: self.key.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The bytes of `found` that are meant by `range`.
    ///
    /// # Errors
    /// [`StoreError::RangeBeyondEnd`].
    pub(crate) fn range(found: &ObjectRow, range: Option<&Range<u64>>) -> Result<Range<u64>> {
        let range = range.cloned().unwrap_or(0..found.size);
        if range.start > range.end || range.end > found.size {
            return Err(StoreError::RangeBeyondEnd { size: found.size });
        }
        Ok(range)
    }
}

impl CopyTarget {
    /// The copy's properties, given its source's.
    pub(crate) fn meta(&self, source: &ObjectMeta) -> ObjectMeta {
        let mut meta = self.meta.as_ref().unwrap_or(source).clone();
        meta.modified_ns = self.modified_ns.unwrap_or(meta.modified_ns);
        meta
    }
}

impl Store {
    /// Makes an object that shares its source's bytes, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NoSuchBucket`], [`StoreError::PreconditionFailed`]
    /// with the source's key or the target's.
    pub fn copy(&self, source: &CopySource, target: &CopyTarget) -> Result<ObjectRow> {
        self.inner.writer.with_room(|| self.inner.records.copy(source, target))
    }

    /// Begins a multipart upload.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub fn create_upload(
        &self,
        bucket: &BucketName,
        key: &Key,
        meta: &ObjectMeta,
    ) -> Result<UploadRow> {
        self.inner.writer.with_room(|| self.inner.records.create_upload(bucket, key, meta))
    }

    /// Looks an upload up.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUpload`].
    pub fn upload(&self, upload: UploadId) -> Result<UploadRow> {
        self.inner.records.upload(upload)?.ok_or(StoreError::NoSuchUpload(upload))
    }

    /// One page of a bucket's uploads, in the order of their keys' bytes and then of their ids:
    /// those whose keys begin with `prefix` and that come after `after`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        after: Option<(&str, UploadId)>,
        limit: usize,
    ) -> Result<Vec<UploadRow>> {
        self.inner.records.uploads(bucket, prefix, after, limit)
    }

    /// One page of an upload's parts in order, those with numbers above `after`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUpload`].
    pub fn parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<PartRow>> {
        self.inner.records.parts(upload, after, limit)
    }

    /// One page of the parts that `upload` put an object together from, those with numbers above
    /// `after`. An object that was put whole has none, and neither has one that was completed
    /// before parts were remembered.
    ///
    /// # Errors
    /// The records'.
    pub fn object_parts(
        &self,
        object: &ObjectRow,
        upload: UploadId,
        after: u32,
        limit: usize,
    ) -> Result<ObjectParts> {
        self.inner.records.object_parts(object.manifest, upload, after, limit)
    }

    /// Makes a part of `range` (bytes) of an object, or of all of it, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NoSuchBucket`], [`StoreError::NoSuchUpload`],
    /// [`StoreError::PartNumber`], [`StoreError::PreconditionFailed`],
    /// [`StoreError::RangeBeyondEnd`], [`StoreError::TooManySlices`].
    pub fn copy_part(
        &self,
        source: &CopySource,
        range: Option<Range<u64>>,
        target: &PartTarget,
    ) -> Result<PartRow> {
        self.inner
            .writer
            .with_room(move || self.inner.records.copy_part(source, range.clone(), target))
    }

    /// Drops an upload and its parts. Returns whether there was one.
    ///
    /// # Errors
    /// The records'.
    pub fn abort_upload(&self, upload: UploadId) -> Result<bool> {
        self.inner.writer.with_room(|| self.inner.records.abort_upload(upload))
    }

    /// Makes the object of an upload's parts, and ends the upload, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUpload`], [`StoreError::PartMissing`], [`StoreError::PartChanged`],
    /// [`StoreError::PartOrder`], [`StoreError::PreconditionFailed`],
    /// [`StoreError::TooManySlices`]; then the upload is as it was.
    pub fn complete_upload(&self, upload: UploadId, completion: &Completion) -> Result<ObjectRow> {
        self.inner.writer.with_room(|| self.inner.records.complete_upload(upload, completion))
    }
}
