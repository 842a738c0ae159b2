//! Objects that are looked up to be read.

use std::ops::Range;

use drystone_sync::{PlainArc, bound};

use crate::reader_pins::Pin;
use crate::{BucketName, Key, ManifestRow, ObjectReader, ObjectRow, Result, Store, StoreError};

/// Rows of a manifest that are read together with the object: enough for all of a small one.
const FIRST_ROWS: usize = bound(4, 2);
/// Lookups of a small object that is overwritten again and again, before its reader is told.
const LOOKUPS_MAX: usize = 4;

/// An object that was looked up to be read. As long as a clone of this is held, the object stays
/// readable, also if it is deleted or overwritten meanwhile.
#[derive(Clone)]
pub struct OpenObject {
    pub(crate) bucket: BucketName,
    pub(crate) row: ObjectRow,
    /// `None` if something else keeps it from going away, or if that would be noticed at once.
    _pin: Option<PlainArc<Pin>>,
}

impl OpenObject {
    /// What the records say of it.
    pub fn row(&self) -> &ObjectRow {
        &self.row
    }

    /// An object that does not go away while it is read: for tests, which make rows of their own.
    #[doc(hidden)]
    pub fn unpinned(bucket: BucketName, row: ObjectRow) -> Self {
        Self { bucket, row, _pin: None }
    }
}

impl Store {
    /// Looks an object up to read it.
    ///
    /// The first lookup of a process begins a session, which is one write transaction. A process
    /// that reads for longer must call [`move_readers_on`](Self::move_readers_on).
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NoSuchBucket`].
    pub fn open(&self, bucket: &BucketName, key: &Key) -> Result<OpenObject> {
        self.open_with_rows(bucket, key, 0).map(|(open, _)| open)
    }

    /// Looks an object up and reads it, or the part of it inside `range` (bytes). As
    /// [`open`](Self::open) and [`read`](Self::read) in one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NoSuchBucket`].
    pub fn get(
        &self,
        bucket: &BucketName,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<ObjectReader> {
        let (open, rows) = self.open_with_rows(bucket, key, FIRST_ROWS)?;
        Ok(self.read(&open, range).with_first_rows(rows))
    }

    /// Reads an open object.
    pub fn read(&self, open: &OpenObject, range: Option<Range<u64>>) -> ObjectReader {
        let range = range.unwrap_or(0..open.row.size);
        ObjectReader::new(PlainArc::clone(&self.inner), open.clone(), range)
    }

    /// Looks an object up, and reads all of it when it is small: see
    /// [`read_small`](ObjectReader::read_small). Begins no session for a small one: it is looked up
    /// again if it was overwritten meanwhile.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and of [`next_slice`](ObjectReader::next_slice).
    pub fn get_small(
        &self,
        bucket: &BucketName,
        key: &Key,
        max: usize,
    ) -> Result<(ObjectReader, Option<Vec<u8>>)> {
        if !self.inner.reader_pins.is_begun() {
            let (row, rows) = self.look_up(bucket, key, FIRST_ROWS)?;
            if row.size <= max as u64 {
                let open = OpenObject::unpinned(bucket.clone(), row);
                let mut reader = self.read(&open, None).with_first_rows(rows);
                match reader.read_small(max) {
                    Ok(Some(bytes)) => return Ok((reader, Some(bytes))),
                    Ok(None) | Err(StoreError::Replaced { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let mut lookups = 1;
        loop {
            let mut reader = self.get(bucket, key, None)?;
            match reader.read_small(max) {
                Err(StoreError::Replaced { .. }) if lookups < LOOKUPS_MAX => lookups += 1,
                read => return read.map(|bytes| (reader, bytes)),
            }
        }
    }

    /// The heartbeat of everything that is read from this store: extends the lease of its readers'
    /// session by [`READERS_LEASE_MS`](crate::READERS_LEASE_MS), tells the records which objects
    /// are still read, and no longer keeps a collect from removing the others. Without readers the
    /// session ends. To be called several times in that time, by one thread.
    ///
    /// # Errors
    /// The records'. [`StoreError::SessionExpired`] when it came too late; objects that are read
    /// are no longer protected then, those that are looked up from now on are again.
    pub fn move_readers_on(&self) -> Result<()> {
        self.inner.reader_pins.move_on()
    }

    fn open_with_rows(
        &self,
        bucket: &BucketName,
        key: &Key,
        limit: usize,
    ) -> Result<(OpenObject, Vec<ManifestRow>)> {
        let lookup = self.inner.reader_pins.enter();
        let (row, rows) = self.look_up(bucket, key, limit)?;
        let pin = PlainArc::new(lookup.hold(row.manifest));
        Ok((OpenObject { bucket: bucket.clone(), row, _pin: Some(pin) }, rows))
    }

    fn look_up(
        &self,
        bucket: &BucketName,
        key: &Key,
        limit: usize,
    ) -> Result<(ObjectRow, Vec<ManifestRow>)> {
        let found = if limit == 0 {
            self.inner.records.object(bucket, key)?.map(|row| (row, Vec::new()))
        } else {
            self.inner.records.object_to_read(bucket, key, limit)?
        };
        found.ok_or_else(|| StoreError::NotFound { bucket: bucket.clone(), key: key.clone() })
    }
}
