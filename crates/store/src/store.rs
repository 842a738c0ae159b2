//! The store: everything that outlives one operation.

use std::ops::Bound;

use drystone_chunker::Chunking;
use drystone_pool::{BufferPool, Owner, Permits, Usage, WorkerPool};
use drystone_sync::PlainArc;

use crate::commit::Committer;
use crate::listing::list_folded;
use crate::reader_pins::ReaderPins;
use crate::upload::STEP_CHUNKS_MAX;
use crate::write::Writer;
use crate::{
    BucketName, BucketRow, Condition, DELETES_MAX, FoldedPage, Ingest, Key, NewBucket, ObjectRow,
    Records, Result, SegmentStorage, StoreError, Totals,
};

/// What a store may use. The numbers come from a plan; see `drystone plan`.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// How objects are cut; fixed when the store was made.
    pub chunking: Chunking,
    /// Threads that hash and write, or read and verify.
    pub workers: usize,
    /// Buffers, at least 2.
    pub buffers: usize,
    /// Size of a buffer in bytes: more than the largest chunk, so that an unfinished one can move
    /// in front of new bytes.
    pub buffer_bytes: usize,
    /// Ingests at a time, from 1 to half of the buffers. An ingest needs two buffers to go on, and
    /// holds one while it waits for bytes: with fewer ingests than pairs, readers have buffers
    /// that no slow writer can take.
    pub ingests: usize,
    /// Chunks that one reader fetches ahead.
    pub read_ahead_max: usize,
    /// Memory for records that wait for their commit, in bytes.
    pub commit_queue_bytes: usize,
}

/// A chunked, deduplicating store of objects. Cheap to clone; shared between threads.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: PlainArc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: StoreConfig,
    pub(crate) step_chunks_max: usize,
    pub(crate) records: PlainArc<dyn Records>,
    pub(crate) segments: PlainArc<dyn SegmentStorage>,
    pub(crate) buffers: BufferPool,
    pub(crate) workers: PlainArc<WorkerPool>,
    pub(crate) writer: PlainArc<Writer>,
    pub(crate) committer: Committer,
    /// One permit for each pair of buffers, or fewer.
    pub(crate) ingests: Owner,
    ingest_permits: Permits,
    pub(crate) reader_pins: PlainArc<ReaderPins>,
}

/// What has gone into a store since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutStats {
    /// Bytes hashed.
    pub bytes: u64,
    /// Chunks hashed.
    pub chunks: u64,
    /// Bytes that were not in the store and have been appended.
    pub new_bytes: u64,
    /// Chunks that were not in the store and have been appended.
    pub new_chunks: u64,
    /// Groups committed: each is one records transaction, after its segments have been settled
    /// together.
    pub commit_groups: u64,
}

/// Readings of a store's bounded resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreUsage {
    /// Buffers.
    pub buffers: Usage,
    /// Jobs that wait for a worker.
    pub jobs: Usage,
    /// Ingests.
    pub ingests: Usage,
}

impl Store {
    /// A store over `records` and `segments`; starts the workers.
    ///
    /// # Errors
    /// When a thread cannot be started.
    ///
    /// # Panics
    /// When the configuration cannot work: fewer than 2 buffers, no worker, no ingest or more than
    /// pairs of buffers, or buffers not larger than the largest chunk.
    pub fn new(
        records: PlainArc<dyn Records>,
        segments: PlainArc<dyn SegmentStorage>,
        config: StoreConfig,
    ) -> Result<Self> {
        assert!(
            config.buffers >= 2,
            "an upload needs a buffer to read into while its unfinished chunk is in another"
        );
        assert!(
            (1..=config.buffers / 2).contains(&config.ingests),
            "an ingest needs two buffers to go on, whatever the others do"
        );
        assert!(
            config.buffer_bytes > config.chunking.chunk_bytes_max(),
            "a buffer holds headroom and new bytes"
        );
        Self::with_steps_of(STEP_CHUNKS_MAX, records, segments, config)
    }

    /// [`new`](Self::new) with another number of chunks in a step of a large object: for tests,
    /// which have no gigabytes.
    #[doc(hidden)]
    pub fn with_steps_of(
        step_chunks_max: usize,
        records: PlainArc<dyn Records>,
        segments: PlainArc<dyn SegmentStorage>,
        config: StoreConfig,
    ) -> Result<Self> {
        let workers = WorkerPool::new("drystone-worker", config.workers, config.workers * 2)
            .map_err(|error| StoreError::storage("cannot start the worker threads", error))?;
        let committer =
            Committer::new(records.clone(), PlainArc::clone(&segments), config.commit_queue_bytes);
        let writer = Writer::new(PlainArc::clone(&records), PlainArc::clone(&segments));
        let ingest_permits = Permits::new(config.ingests, config.ingests);
        let reader_pins = ReaderPins::new(PlainArc::clone(&records));
        let inner = Inner {
            buffers: BufferPool::new(config.buffers, config.buffer_bytes, config.buffers),
            ingests: ingest_permits.owner(),
            ingest_permits,
            reader_pins,
            workers: PlainArc::new(workers),
            writer: PlainArc::new(writer),
            committer,
            records,
            segments,
            step_chunks_max,
            config,
        };
        Ok(Self { inner: PlainArc::new(inner) })
    }

    /// Begins to put objects, in an upload session of its own with a lease of `lease_ms`. Waits
    /// while as many others are putting as [`StoreConfig::ingests`] allows.
    ///
    /// # Errors
    /// The records'; or the store is closing.
    pub fn ingest(&self, lease_ms: u64) -> Result<Ingest> {
        Ingest::start(PlainArc::clone(&self.inner), lease_ms)
    }

    /// Looks an object up.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NoSuchBucket`].
    pub fn stat(&self, bucket: &BucketName, key: &Key) -> Result<ObjectRow> {
        let object = self.inner.records.object(bucket, key)?;
        object.ok_or_else(|| StoreError::NotFound { bucket: bucket.clone(), key: key.clone() })
    }

    /// One page of objects in the order of their keys' bytes.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub fn list(
        &self,
        bucket: &BucketName,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>> {
        self.inner.records.list(bucket, prefix, from, limit)
    }

    /// One page of objects and folders, at most `limit` of both together. Keys that have
    /// `delimiter` somewhere behind `prefix` are not listed but the folders that they are in;
    /// an empty delimiter makes none. Reads a bounded number of rows for each entry, whatever
    /// is below the folders; several transactions.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub fn list_folded(
        &self,
        bucket: &BucketName,
        prefix: &str,
        delimiter: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<FoldedPage> {
        let list = |from: Bound<&str>, limit| self.inner.records.list(bucket, prefix, from, limit);
        list_folded(list, prefix, delimiter, from, limit)
    }

    /// Changes one of an object's system properties, or takes it away, and nothing else.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NoSuchBucket`].
    pub fn set_property(
        &self,
        bucket: &BucketName,
        key: &Key,
        name: &str,
        value: Option<&str>,
    ) -> Result<()> {
        self.inner.writer.with_room(|| self.inner.records.set_property(bucket, key, name, value))
    }

    /// Removes an object; its space comes back with a collect. Returns whether it was there.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub fn delete(&self, bucket: &BucketName, key: &Key) -> Result<bool> {
        self.delete_if(bucket, key, Condition::Always)
    }

    /// The same, if the condition holds at that moment.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::PreconditionFailed`].
    pub fn delete_if(&self, bucket: &BucketName, key: &Key, condition: Condition) -> Result<bool> {
        self.inner.writer.with_room(|| self.inner.records.delete(bucket, key, condition))
    }

    /// [Deletes](Self::delete_if) objects of one bucket, in transactions of up to [`DELETES_MAX`].
    /// The answer has the same order and length; an object that is refused leaves the others as
    /// they are.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; for a single object [`StoreError::PreconditionFailed`].
    pub fn delete_many(
        &self,
        bucket: &BucketName,
        objects: &[(Key, Condition)],
    ) -> Result<Vec<Result<bool>>> {
        let mut outcomes = Vec::with_capacity(objects.len());
        for some in objects.chunks(DELETES_MAX) {
            match self.inner.writer.with_room(|| self.inner.records.delete_many(bucket, some)) {
                Ok(deleted) => outcomes.extend(deleted),
                // What is kept for deletes on a full disk is enough for a few objects, not for so
                // many.
                Err(error) if error.is_full() => {
                    outcomes
                        .extend(some.iter().map(|(key, when)| self.delete_if(bucket, key, *when)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }

    /// Makes a bucket that is not public; one that exists stays as it is, whatever its name.
    /// Returns whether it is new.
    ///
    /// # Errors
    /// Those of [`make_bucket`](Self::make_bucket).
    pub fn create_bucket(&self, bucket: &BucketName) -> Result<bool> {
        self.make_bucket(&NewBucket::named(bucket.clone()))
    }

    /// The same, with all that can be said of a bucket.
    ///
    /// # Errors
    /// [`StoreError::Name`] for a name that [no new bucket has](BucketName::is_for_a_new_one), and
    /// the records'.
    pub fn make_bucket(&self, bucket: &NewBucket) -> Result<bool> {
        if let Err(refused) = bucket.name.is_for_a_new_one() {
            // It may come from a time when it was allowed.
            return match self.bucket(&bucket.name)? {
                Some(_) => Ok(false),
                None => Err(refused.into()),
            };
        }
        self.inner.writer.with_room(|| self.inner.records.create_bucket(bucket))
    }

    /// One page of buckets by name.
    ///
    /// # Errors
    /// The records'.
    pub fn buckets(&self, after: Option<&BucketName>, limit: usize) -> Result<Vec<BucketRow>> {
        self.inner.records.buckets(after, limit)
    }

    /// Looks a bucket up.
    ///
    /// # Errors
    /// The records'.
    pub fn bucket(&self, bucket: &BucketName) -> Result<Option<BucketRow>> {
        self.inner.records.bucket(bucket)
    }

    /// Notes whether every client, also one without a key, may read the bucket's objects. The
    /// server has to ask for this: the store does not enforce it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub fn set_bucket_public(&self, bucket: &BucketName, public: bool) -> Result<()> {
        self.inner.writer.with_room(|| self.inner.records.set_bucket_public(bucket, public))
    }

    /// Removes a bucket that has no objects, and with it its unfinished multipart uploads.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::BucketNotEmpty`].
    pub fn delete_bucket(&self, bucket: &BucketName) -> Result<()> {
        self.inner.writer.with_room(|| self.inner.records.delete_bucket(bucket))
    }

    /// Counts over the whole store; reads every row of two tables.
    ///
    /// # Errors
    /// The records'.
    pub fn totals(&self) -> Result<Totals> {
        self.inner.records.totals()
    }

    /// What has gone in since the store was opened.
    pub fn put_stats(&self) -> PutStats {
        let stats = self.inner.writer.stats();
        PutStats {
            bytes: stats.bytes,
            chunks: stats.chunks,
            new_bytes: stats.new_bytes,
            new_chunks: stats.new_chunks,
            commit_groups: self.inner.committer.groups(),
        }
    }

    /// Gives the memory of buffers that are not in use back to the system: for one that has nothing
    /// to do for a while.
    pub fn trim(&self) {
        self.inner.buffers.trim();
    }

    /// Readings of the bounded resources.
    pub fn usage(&self) -> StoreUsage {
        StoreUsage {
            buffers: self.inner.buffers.usage(),
            jobs: self.inner.workers.usage(),
            ingests: self.inner.ingest_permits.usage(),
        }
    }

    /// Ends every wait for a buffer and refuses new work; operations under way fail with
    /// [`StoreError::Closed`].
    pub fn close(&self) {
        self.inner.ingest_permits.close();
        self.inner.buffers.close();
    }
}
