//! Gets: reads an object's chunks a bounded way ahead, verifies each, and hands them on in order.

mod slot;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::Range;

use drystone_chunker::ChunkId;
use drystone_pool::{BufferOwner, Lease, Slice};
use drystone_sync::{Arc, PlainArc, bound};

use self::slot::{Delivery, Slot};
use crate::ids::ContentHasher;
use crate::store::Inner;
use crate::{
    BucketName, Key, ManifestId, ManifestRow, ObjectRow, OpenObject, Records, Result,
    SegmentStorage, StoreError,
};

/// Manifest rows read at a time.
const PAGE_ROWS: usize = bound(256, 2);
/// Objects up to this size are read by the caller's own thread: handing them to a worker would cost
/// more than reading.
const INLINE_BYTES_MAX: u64 = bound(256 << 10, 12) as u64;

/// Reads a range of one object. Every chunk is verified before a byte of it leaves.
pub struct ObjectReader {
    inner: PlainArc<Inner>,
    open: OpenObject,
    chunks: PlainArc<Chunks>,
    owner: BufferOwner,
    /// What is left to hand on.
    range: Range<u64>,
    page: VecDeque<ManifestRow>,
    /// Where the next manifest page begins.
    page_next: u64,
    ahead: VecDeque<(ManifestRow, Arc<Slot>)>,
    /// Of the chunks handed on so far; only while all of an object with a plain manifest is read.
    content: Option<ContentHasher>,
    /// An object of no bytes must have no chunks. This says whether that has been checked.
    is_empty_checked: bool,
}

impl ObjectReader {
    pub(crate) fn new(inner: PlainArc<Inner>, open: OpenObject, range: Range<u64>) -> Self {
        let object = &open.row;
        let end = range.end.min(object.size);
        let range = range.start.min(end)..end;
        let owner = inner.buffers.owner();
        let chunks = PlainArc::new(Chunks {
            records: PlainArc::clone(&inner.records),
            segments: PlainArc::clone(&inner.segments),
            bucket: open.bucket.clone(),
            key: object.key.clone(),
            manifest: object.manifest,
        });
        let page_next = range.start;
        let content = (range == (0..object.size)).then(ContentHasher::new);
        let (page, ahead) = (VecDeque::new(), VecDeque::new());
        Self {
            inner,
            open,
            chunks,
            owner,
            range,
            page,
            page_next,
            ahead,
            content,
            is_empty_checked: false,
        }
    }

    /// Takes rows that are known already: the first of the object's manifest. Of use to a read that
    /// begins inside them.
    pub(crate) fn with_first_rows(mut self, rows: Vec<ManifestRow>) -> Self {
        if let Some(last) = rows.last()
            && self.range.start < last.end()
        {
            let begin = rows.iter().position(|row| self.range.start < row.end()).unwrap_or(0);
            self.page_next = last.end();
            self.page = rows.into();
            self.page.drain(..begin);
        }
        self
    }

    /// The object that is read.
    pub fn object(&self) -> &ObjectRow {
        &self.open.row
    }

    /// The same, to read it again later.
    pub fn open(&self) -> &OpenObject {
        &self.open
    }

    /// Whether the next chunk is on its way or here: then [`next_slice`](Self::next_slice) waits
    /// for no buffer.
    pub fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The next bytes, in order: one chunk, or the part of one that the range asks for; `None` at
    /// the end. Drop a slice before asking for the next: it holds a buffer that another reader or
    /// an upload may wait for.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for damaged bytes; after an error the reader is of no more use.
    pub fn next_slice(&mut self) -> Result<Option<Slice>> {
        if self.range.is_empty() {
            self.check_empty()?;
            return Ok(None);
        }
        self.read_ahead()?;
        let Some((row, slot)) = self.ahead.pop_front() else {
            return Err(self.damage(format!("the manifest of `{}` ends early", self.chunks.key)));
        };
        let chunk = slot.take()?;
        if !(row.offset..row.end()).contains(&self.range.start) {
            return Err(self.gap());
        }
        // `read_chunk` saw to it that the row's part lies inside the chunk.
        let in_chunk = |at: u64| row.skip as usize + (at - row.offset) as usize;
        let to = self.range.end.min(row.end());
        let part = in_chunk(self.range.start)..in_chunk(to);
        self.range.start = to;
        self.check_content(&row)?;
        Ok(Some(chunk.part(part)))
    }

    /// With the last chunk of a whole object: are these the chunks that it was stored with? Each is
    /// what its name says, but the manifest may have been changed to name others, or the size
    /// to leave some out.
    fn check_content(&mut self, row: &ManifestRow) -> Result<()> {
        if row.of_composite {
            self.content = None;
        }
        let Some(content) = &mut self.content else { return Ok(()) };
        content.chunk(&row.chunk, u64::from(row.at.len));
        let is_last = self.range.is_empty();
        if is_last && (row.end() != self.open.row.size || content.finish() != self.open.row.content)
        {
            return Err(self.other_chunks());
        }
        Ok(())
    }

    /// An object of no bytes has no chunks.
    fn check_empty(&mut self) -> Result<()> {
        if self.open.row.size > 0 || std::mem::replace(&mut self.is_empty_checked, true) {
            return Ok(());
        }
        let rows = self.inner.records.manifest_page(self.open.row.manifest, 0, 1)?;
        if rows.is_empty() { Ok(()) } else { Err(self.other_chunks()) }
    }

    fn gap(&self) -> StoreError {
        self.damage(format!("the manifest of `{}` has a gap", self.chunks.key))
    }

    fn other_chunks(&self) -> StoreError {
        let key = &self.chunks.key;
        self.damage(format!("the chunks of `{key}` are not those that it was stored with"))
    }

    fn damage(&self, detail: String) -> StoreError {
        self.chunks.replaced().unwrap_or(StoreError::Inconsistent(detail))
    }

    /// All of an object of at most `max` bytes, in memory of its own instead of a leased buffer.
    /// So this does not wait for a buffer. `None` when the object is larger, or put together from
    /// parts of chunks, or of unusually many; read it by slices then.
    ///
    /// # Errors
    /// As of [`next_slice`](Self::next_slice).
    pub fn read_small(&mut self, max: usize) -> Result<Option<Vec<u8>>> {
        let size = self.open.row.size;
        let is_known =
            self.range == (0..size) && self.page.back().map_or(0, ManifestRow::end) == size;
        let is_plain = self.page.iter().all(|row| row.skip == 0 && row.len == row.at.len);
        if size > max as u64 || !is_known || !is_plain || !self.ahead.is_empty() {
            return Ok(None);
        }
        let mut bytes = vec![0; size as usize];
        let mut rest = &mut bytes[..];
        while let Some(row) = self.page.pop_front() {
            if row.offset != self.range.start || row.end() > size {
                return Err(self.gap());
            }
            let (chunk, after) = rest.split_at_mut(row.len as usize);
            self.chunks.read_verified(&row, chunk)?;
            (rest, self.range.start) = (after, row.end());
            self.check_content(&row)?;
        }
        self.check_empty()?;
        Ok(Some(bytes))
    }

    /// Writes the rest of the range to `sink`; returns how many bytes that were.
    ///
    /// # Errors
    /// The outer error is the store's, the inner one the sink's.
    pub fn copy_to(&mut self, sink: &mut dyn Write) -> Result<io::Result<u64>> {
        let mut len = 0;
        while let Some(slice) = self.next_slice()? {
            if let Err(error) = sink.write_all(&slice) {
                return Ok(Err(error));
            }
            len += slice.len() as u64;
        }
        Ok(Ok(len))
    }

    /// Starts fetching as far ahead as buffers are to be had. Only the first of them is waited for,
    /// and only while none is held: readers that waited for more while holding some could wait
    /// for each other.
    fn read_ahead(&mut self) -> Result<()> {
        while self.ahead.len() < self.ahead_max() {
            let Some(row) = self.next_row()? else { return Ok(()) };
            let lease = if self.ahead.is_empty() {
                Some(self.owner.acquire()?)
            } else {
                self.owner.try_acquire()?
            };
            let Some(lease) = lease else { return Ok(()) };
            self.page.pop_front();
            self.fetch(row, lease);
        }
        Ok(())
    }

    /// At most half of the buffers, so that a slow reader leaves some to others.
    fn ahead_max(&self) -> usize {
        let config = &self.inner.config;
        config.read_ahead_max.min(config.buffers / 2).max(1)
    }

    /// The next row to fetch, without taking it.
    fn next_row(&mut self) -> Result<Option<ManifestRow>> {
        if self.page.is_empty() && self.page_next < self.range.end {
            let rows = self.inner.records.manifest_page(
                self.open.row.manifest,
                self.page_next,
                PAGE_ROWS,
            )?;
            self.page = rows.into();
            match self.page.back() {
                Some(last) if last.end() > self.page_next => self.page_next = last.end(),
                _ => self.page_next = u64::MAX,
            }
        }
        Ok(self.page.front().copied().filter(|row| row.offset < self.range.end))
    }

    fn fetch(&mut self, row: ManifestRow, lease: Lease) {
        if self.open.row.size <= INLINE_BYTES_MAX {
            // Not by way of a delivery: it notifies a waiter, which is a system call even if no
            // thread waits.
            let read = self.chunks.read(row, lease);
            let slot = Slot::new(Some(read));
            self.ahead.push_back((row, Arc::new(slot)));
            return;
        }
        let slot = Arc::new(Slot::new(None));
        let delivery = Delivery::to(&slot);
        self.ahead.push_back((row, slot));
        let chunks = PlainArc::clone(&self.chunks);
        // A closed pool drops the job, and with it the delivery, which says so.
        let _ = self.inner.workers.submit(move || delivery.deliver(chunks.read(row, lease)));
    }
}

/// The chunks of one object, for whichever thread reads them.
///
/// Not the whole store: a worker that is the last to hold it would end the workers and wait for
/// itself.
struct Chunks {
    records: PlainArc<dyn Records>,
    segments: PlainArc<dyn SegmentStorage>,
    bucket: BucketName,
    key: Key,
    manifest: ManifestId,
}

impl Chunks {
    /// Reads one chunk into a leased buffer.
    fn read(&self, row: ManifestRow, mut lease: Lease) -> Result<Slice> {
        let len = row.at.len as usize;
        if len > lease.len() {
            let detail = format!("{len} bytes are longer than any chunk of this store");
            return Err(self.corrupt(&row, detail));
        }
        if u64::from(row.skip) + u64::from(row.len) > u64::from(row.at.len) {
            let detail =
                format!("a part of {}+{} bytes is not inside its {len}", row.skip, row.len);
            return Err(self.corrupt(&row, detail));
        }
        let mut bytes = lease.split_to(len);
        drop(lease);
        self.read_verified(&row, &mut bytes)?;
        Ok(bytes.freeze())
    }

    /// Reads one chunk and verifies it against its name. `bytes` is as long as the chunk.
    fn read_verified(&self, row: &ManifestRow, bytes: &mut [u8]) -> Result<()> {
        let mut row = *row;
        while let Err(error) = self.segments.read(row.at, bytes) {
            let StoreError::Storage { source, .. } = &error else { return Err(error) };
            let detail = match source.kind() {
                io::ErrorKind::UnexpectedEof => {
                    let end = row.at.offset + u64::from(row.at.len);
                    format!("the segment ends before byte {end}")
                }
                io::ErrorKind::NotFound => match self.moved(&row)? {
                    // Each time round, a collect has moved the chunk once more: this ends.
                    Some(moved) => {
                        row = moved;
                        continue;
                    }
                    None => match self.replaced() {
                        Some(replaced) => return Err(replaced),
                        None => "the segment is missing".into(),
                    },
                },
                io::ErrorKind::InvalidData => format!("the segment cannot be read: {source}"),
                _ => return Err(error),
            };
            return Err(self.corrupt(&row, detail));
        }
        let found = ChunkId::of(bytes);
        if found != row.chunk {
            let detail = format!("its {} bytes at {} hash to {found}", row.at.len, row.at.offset);
            return Err(self.corrupt(&row, detail));
        }
        Ok(())
    }

    /// Where a chunk whose segment is gone is now. `None` if the records still name the old
    /// segment. A collect copies a chunk to another segment, tells the records, and removes the old
    /// segment. A row that was read before that is out of date.
    fn moved(&self, row: &ManifestRow) -> Result<Option<ManifestRow>> {
        let rows = self.records.manifest_page(self.manifest, row.offset, 1)?;
        let same = |now: &ManifestRow| {
            (now.chunk, now.offset, now.at.len) == (row.chunk, row.offset, row.at.len)
        };
        Ok(rows.into_iter().find(same).filter(|now| now.at != row.at))
    }

    /// Why something is missing, if the object is no longer the one that is read: an object that is
    /// not protected is a collect's as soon as it is deleted.
    fn replaced(&self) -> Option<StoreError> {
        let is_the_same = match self.records.object(&self.bucket, &self.key) {
            Ok(found) => found.is_some_and(|row| row.manifest == self.manifest),
            Err(StoreError::NoSuchBucket(_)) => false,
            Err(_) => true,
        };
        (!is_the_same).then(|| StoreError::Replaced { key: self.key.clone() })
    }

    fn corrupt(&self, row: &ManifestRow, detail: String) -> StoreError {
        StoreError::Corrupt {
            key: self.key.clone(),
            offset: row.offset,
            chunk: row.chunk,
            segment: row.at.segment,
            detail,
        }
    }
}
