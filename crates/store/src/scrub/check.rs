//! Check: do the records and the segments tell of each other? Reads no chunks; of each segment that
//! should have bytes, it reads the last one.
//!
//! Other processes go on meanwhile. So what looks wrong is looked up once more before it is called
//! wrong, in the order that a process makes or removes things.

use std::io;

use drystone_sync::{PlainArc, bound};

use super::SegmentFacts;
use crate::store::Inner;
use crate::{BucketName, Key, Location, Result, SegmentId, Store, StoreError, UploadId};

/// Rows that are read at a time.
const PAGE_ROWS: usize = bound(1024, 2);

/// Something that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A segment with committed bytes is missing.
    SegmentMissing(SegmentId),
    /// A segment is shorter than what is committed of it.
    SegmentShort {
        /// The segment.
        segment: SegmentId,
        /// Its committed length, in bytes.
        bytes: u64,
    },
    /// A segment's last committed byte cannot be read.
    SegmentUnreadable {
        /// The segment.
        segment: SegmentId,
        /// Why.
        detail: String,
    },
    /// Chunks lie beyond what is committed of their segment, or at places that cannot be.
    ChunksBeyond {
        /// The segment.
        segment: SegmentId,
        /// Its committed length, in bytes.
        bytes: u64,
        /// Where the last chunk ends, in bytes.
        end: i64,
    },
    /// Chunks are in a segment that has no row.
    SegmentUnknown(SegmentId),
    /// A segment's row says that its chunks have `live` bytes, and they have `sum`.
    LiveWrong {
        /// The segment.
        segment: SegmentId,
        /// What its row says.
        live: i64,
        /// What it is.
        sum: i64,
    },
    /// An object's manifest is missing.
    ObjectWithoutManifest(BucketName, Key),
    /// The manifest of an unfinished upload's part is missing.
    PartWithoutManifest(UploadId, u32),
    /// A segment of which no row tells. It takes room, and nothing is lost by it.
    Leftover(SegmentId),
}

impl Finding {
    /// Whether something is lost or contradicts itself.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Leftover(_))
    }
}

/// What is looked at next.
enum Stage {
    Segments(Option<SegmentId>),
    Unknown(Option<SegmentId>),
    Files(Option<SegmentId>),
    Bucket(Option<BucketName>),
    Objects(BucketName, Option<Key>),
    Parts(Option<(UploadId, u32)>),
    Done,
}

/// A check under way.
pub struct Check {
    inner: PlainArc<Inner>,
    stage: Stage,
    looked_at: u64,
}

impl Store {
    /// Begins a check.
    pub fn check(&self) -> Check {
        let inner = PlainArc::clone(&self.inner);
        Check { inner, stage: Stage::Segments(None), looked_at: 0 }
    }
}

impl Check {
    /// Rows and segments looked at so far.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// Looks at one page. Returns what is wrong in it, or `None` at the end.
    ///
    /// # Errors
    /// The records' and the storage's.
    pub fn step(&mut self) -> Result<Option<Vec<Finding>>> {
        let mut found = Vec::new();
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        self.stage = match stage {
            Stage::Segments(after) => self.segments(after, &mut found)?,
            Stage::Unknown(after) => self.unknown(after, &mut found)?,
            Stage::Files(after) => self.files(after, &mut found)?,
            Stage::Bucket(after) => self.bucket(after.as_ref())?,
            Stage::Objects(bucket, after) => self.objects(bucket, after.as_ref(), &mut found)?,
            Stage::Parts(after) => self.parts(after, &mut found)?,
            Stage::Done => return Ok(None),
        };
        Ok(Some(found))
    }

    fn segments(&mut self, after: Option<SegmentId>, found: &mut Vec<Finding>) -> Result<Stage> {
        let page = self.inner.records.segment_facts(after, PAGE_ROWS)?;
        for facts in &page {
            self.looked_at += 1;
            let SegmentFacts { segment, bytes, live, sum, end, least } = *facts;
            found.extend(self.bytes_of(segment, bytes)?);
            let is_beyond = u64::try_from(end).is_ok_and(|end| end > bytes);
            if is_beyond || least < 0 {
                found.push(Finding::ChunksBeyond { segment, bytes, end });
            }
            if live != sum {
                found.push(Finding::LiveWrong { segment, live, sum });
            }
        }
        Ok(next(&page, Stage::Unknown(None), |last| Stage::Segments(Some(last.segment))))
    }

    /// What is wrong with a segment's bytes, if anything is.
    fn bytes_of(&self, segment: SegmentId, bytes: u64) -> Result<Option<Finding>> {
        // The row comes before the segment, so there need be none before it has bytes.
        let Some(offset) = bytes.checked_sub(1) else { return Ok(None) };
        let read = self.inner.segments.read(Location { segment, offset, len: 1 }, &mut [0]);
        let Err(StoreError::Storage { source, .. }) = &read else {
            return read.map(|()| None);
        };
        // A collect removes the row, and then the segment.
        if !self.inner.records.has_segments(&[segment])?.contains(&true) {
            return Ok(None);
        }
        Ok(Some(match source.kind() {
            io::ErrorKind::NotFound => Finding::SegmentMissing(segment),
            io::ErrorKind::UnexpectedEof => Finding::SegmentShort { segment, bytes },
            _ => Finding::SegmentUnreadable { segment, detail: source.to_string() },
        }))
    }

    fn unknown(&mut self, after: Option<SegmentId>, found: &mut Vec<Finding>) -> Result<Stage> {
        let page = self.inner.records.segments_without_row(after, PAGE_ROWS)?;
        found.extend(page.iter().map(|segment| Finding::SegmentUnknown(*segment)));
        Ok(next(&page, Stage::Files(None), |last| Stage::Unknown(Some(*last))))
    }

    fn files(&mut self, after: Option<SegmentId>, found: &mut Vec<Finding>) -> Result<Stage> {
        let page = self.inner.segments.list(after, PAGE_ROWS)?;
        // After the list: a segment that is listed was registered before.
        let known = self.inner.records.has_segments(&page)?;
        for (segment, is_known) in page.iter().zip(known) {
            self.looked_at += 1;
            if !is_known && self.is_there(*segment) {
                found.push(Finding::Leftover(*segment));
            }
        }
        Ok(next(&page, Stage::Bucket(None), |last| Stage::Files(Some(*last))))
    }

    /// Whether a segment can be read. One that has just been removed cannot.
    fn is_there(&self, segment: SegmentId) -> bool {
        let read = self.inner.segments.read(Location { segment, offset: 0, len: 1 }, &mut [0]);
        let is_gone = |error: &StoreError| {
            let StoreError::Storage { source, .. } = error else { return false };
            source.kind() == io::ErrorKind::NotFound
        };
        !read.is_err_and(|error| is_gone(&error))
    }

    fn bucket(&self, after: Option<&BucketName>) -> Result<Stage> {
        let bucket = self.inner.records.buckets(after, 1)?.pop();
        Ok(bucket.map_or(Stage::Parts(None), |bucket| Stage::Objects(bucket.name, None)))
    }

    fn objects(
        &mut self,
        bucket: BucketName,
        after: Option<&Key>,
        found: &mut Vec<Finding>,
    ) -> Result<Stage> {
        let page = self.inner.records.objects_to_check(&bucket, after, PAGE_ROWS)?;
        self.looked_at += page.len() as u64;
        let lost = page.iter().filter(|(_, has_manifest)| !has_manifest);
        found.extend(
            lost.map(|(key, _)| Finding::ObjectWithoutManifest(bucket.clone(), key.clone())),
        );
        Ok(match page.into_iter().nth(PAGE_ROWS - 1) {
            Some((last, _)) => Stage::Objects(bucket, Some(last)),
            None => Stage::Bucket(Some(bucket)),
        })
    }

    fn parts(&mut self, after: Option<(UploadId, u32)>, found: &mut Vec<Finding>) -> Result<Stage> {
        let page = self.inner.records.parts_to_check(after, PAGE_ROWS)?;
        self.looked_at += page.len() as u64;
        for (upload, number, has_manifest) in &page {
            if !has_manifest {
                found.push(Finding::PartWithoutManifest(*upload, *number));
            }
        }
        Ok(next(&page, Stage::Done, |last| Stage::Parts(Some((last.0, last.1)))))
    }
}

/// The same stage behind a full page, or the one that follows.
fn next<T>(page: &[T], following: Stage, again: impl FnOnce(&T) -> Stage) -> Stage {
    match page.last() {
        Some(last) if page.len() == PAGE_ROWS => again(last),
        _ => following,
    }
}
