//! Copies, uploads in parts, and a bucket that goes: what may have become of them.

use std::collections::BTreeMap;

use drystone_store::{
    Completion, CopySource, CopyTarget, NamedPart, ObjectMeta, PartRow, PartTarget, StoreError,
    Stored, UploadId,
};

use super::driver::{Driver, bucket, key};
use super::model::{Piece, Value, cut, len_of};
use super::put::LONG_MS;
use super::{Body, Place, Size, When};

/// Uploads that are under way at a time.
pub(super) const SLOTS: usize = 3;
/// Part numbers in use: few, so that parts replace each other.
const NUMBERS: u8 = 4;

/// A part with a tag of its own, or none.
type MaybePart = Option<(String, Vec<Piece>)>;

/// An upload as the specification sees it.
pub(super) struct OpenUpload {
    id: UploadId,
    place: Place,
    meta: ObjectMeta,
    /// What each part may be.
    parts: BTreeMap<u32, Vec<MaybePart>>,
    /// It may have been completed, aborted or removed with its bucket.
    may_be_gone: bool,
}

fn number(from: u8) -> u32 {
    1 + u32::from(from % NUMBERS)
}

impl OpenUpload {
    fn possible(&mut self, number: u32) -> &mut Vec<MaybePart> {
        self.parts.entry(number).or_insert_with(|| vec![None])
    }
}

impl Driver<'_> {
    fn next_meta(&mut self) -> ObjectMeta {
        self.puts += 1;
        let system = BTreeMap::from([("etag".to_owned(), format!("{}", self.puts))]);
        ObjectMeta { modified_ns: self.puts, system, ..ObjectMeta::default() }
    }

    pub(super) fn copy(&mut self, from: Place, to: Place, when: When) {
        let fired_before = self.fired();
        // Settles what the source is; a fault that comes in between leaves it open, and then the
        // copy says nothing.
        self.stat(from);
        let (Some(source), Some(condition)) = (self.model.certain(from), self.condition(to, when))
        else {
            return;
        };
        let meta = self.next_meta();
        let source_name =
            CopySource { bucket: bucket(from.second_bucket), key: key(from), content: None };
        let target = CopyTarget {
            bucket: bucket(to.second_bucket),
            key: key(to),
            meta: Some(meta.clone()),
            modified_ns: None,
            condition,
        };
        let copied = self.store().copy(&source_name, &target);
        let new = source.clone().map(|value| Value { meta, ..value });
        match copied {
            Ok(row) => {
                let new = new.unwrap_or_else(|| panic!("{}: copied what is not there", self.doing));
                assert_eq!((row.key, row.size), (key(to), new.len() as u64), "{}", self.doing);
                self.appeared(to, when, new);
            }
            Err(StoreError::NotFound { .. }) => {
                assert!(source.is_none(), "{}: the source is there", self.doing);
            }
            Err(error) => self.refused(&error, fired_before, to, when, new),
        }
    }

    /// `value` was acknowledged at `place`.
    fn appeared(&mut self, place: Place, when: When, value: Value) {
        let could = self.model.settle(place, |present| when.holds(present));
        assert!(could, "{}: stored against its condition", self.doing);
        self.model.set(place, Some(value));
    }

    /// An object was refused, or a fault leaves open whether it appeared.
    fn refused(
        &mut self,
        error: &StoreError,
        fired_before: u64,
        place: Place,
        when: When,
        value: Option<Value>,
    ) {
        if matches!(error, StoreError::PreconditionFailed { .. }) {
            let could = self.model.settle(place, |present| !when.holds(present));
            assert!(could, "{}: the condition holds", self.doing);
            return;
        }
        self.excuse(error, fired_before);
        if value.is_some() && self.model.possible(place).iter().any(|present| when.holds(present)) {
            self.model.may_be(place, value);
        }
    }

    pub(super) fn begin(&mut self, slot: u8, place: Place) {
        let fired_before = self.fired();
        let meta = self.next_meta();
        match self.store().create_upload(&bucket(place.second_bucket), &key(place), &meta) {
            Ok(row) => {
                let parts = BTreeMap::new();
                let upload = OpenUpload { id: row.id, place, meta, parts, may_be_gone: false };
                self.uploads[usize::from(slot) % SLOTS] = Some(upload);
            }
            Err(error) => self.excuse(&error, fired_before),
        }
    }

    /// The upload in a slot, taken out, with a name for its next part.
    fn take(&mut self, slot: u8) -> Option<(OpenUpload, String)> {
        let upload = self.uploads[usize::from(slot) % SLOTS].take()?;
        self.puts += 1;
        Some((upload, self.puts.to_string()))
    }

    /// An upload was said to be gone.
    fn gone(&self, upload: &OpenUpload) {
        assert!(upload.may_be_gone, "{}: an upload is gone", self.doing);
    }

    pub(super) fn part(&mut self, slot: u8, at: u8, body: Body, step: u8, cancelled: bool) {
        let Some((mut upload, tag)) = self.take(slot) else { return };
        let fired_before = self.fired();
        let (number, bytes) = (number(at), body.bytes(&self.setup));
        let chunks = self.chunks_of(&bytes);
        self.tried.extend(chunks.clone());
        let target = part_target(&upload, number, &tag);
        let give = || -> Result<Option<Stored>, StoreError> {
            let mut ingest = self.store().ingest(LONG_MS)?;
            let mut writing = ingest.begin(None);
            let given = if cancelled { bytes.len() / 2 } else { bytes.len() };
            for piece in bytes[..given].chunks(1 + usize::from(step) * 7) {
                writing.push(piece)?;
            }
            if cancelled {
                drop(writing);
                return Ok(None);
            }
            let pending = writing.finish(target)?;
            ingest.flush()?;
            pending.join().map(Some)
        };
        let stored = give();
        let new = Some((tag, vec![Piece { body, range: 0..bytes.len() }]));
        match stored {
            Ok(None) => {}
            Ok(Some(stored)) => {
                assert_eq!(stored.size, bytes.len() as u64, "{}", self.doing);
                self.stored.extend(chunks);
                upload.may_be_gone = false;
                *upload.possible(number) = vec![new];
            }
            Err(StoreError::NoSuchUpload(_)) => return self.gone(&upload),
            Err(error) => {
                self.excuse(&error, fired_before);
                if !cancelled {
                    upload.possible(number).push(new);
                }
            }
        }
        self.uploads[usize::from(slot) % SLOTS] = Some(upload);
    }

    pub(super) fn copy_part(&mut self, slot: u8, at: u8, from: Place, start: Size, len: Size) {
        let fired_before = self.fired();
        self.stat(from);
        let Some(source) = self.model.certain(from) else { return };
        let Some((mut upload, tag)) = self.take(slot) else { return };
        let number = number(at);
        let size = source.as_ref().map_or(0, Value::len);
        let (start, len) = self.part_of(size, start, len);
        let name = CopySource { bucket: bucket(from.second_bucket), key: key(from), content: None };
        let target = part_target(&upload, number, &tag);
        let range = start as u64..(start + len) as u64;
        let copied = self.store().copy_part(&name, Some(range), &target);
        let new = source.as_ref().map(|value| (tag, cut(&value.pieces, &(start..start + len))));
        match copied {
            Ok(part) => {
                assert!(source.is_some() && part.size == len as u64, "{}: {part:?}", self.doing);
                upload.may_be_gone = false;
                *upload.possible(number) = vec![new];
            }
            Err(StoreError::NotFound { .. }) => assert!(source.is_none(), "{}", self.doing),
            Err(StoreError::RangeBeyondEnd { .. }) => assert!(size < start + len, "{}", self.doing),
            Err(StoreError::NoSuchUpload(_)) => return self.gone(&upload),
            Err(error) => {
                self.excuse(&error, fired_before);
                if source.is_some() && start + len <= size {
                    upload.possible(number).push(new);
                }
            }
        }
        self.uploads[usize::from(slot) % SLOTS] = Some(upload);
    }

    /// Where a range begins and how long it is: mostly inside an object of `size` bytes.
    fn part_of(&self, size: usize, start: Size, len: Size) -> (usize, usize) {
        let (start, len) = (start.bytes(&self.setup), len.bytes(&self.setup));
        if (start + len).is_multiple_of(5) {
            return (start, len);
        }
        let start = start % (size + 1);
        (start, len % (size - start + 1))
    }

    /// Which of what they may be the parts are. `None` when the upload is gone or a fault comes in
    /// between.
    fn settle_parts(&mut self, upload: &mut OpenUpload) -> Option<BTreeMap<u32, Vec<Piece>>> {
        let fired_before = self.fired();
        let rows: Vec<PartRow> = match self.store().parts(upload.id, 0, 99) {
            Ok(rows) => rows,
            Err(StoreError::NoSuchUpload(_)) => {
                self.gone(upload);
                return None;
            }
            Err(error) => {
                self.excuse(&error, fired_before);
                return None;
            }
        };
        let mut found = BTreeMap::new();
        for (number, possible) in &mut upload.parts {
            let row = rows.iter().find(|row| row.number == *number);
            possible.retain(|one| {
                one.as_ref().map(|(tag, _)| tag) == row.map(|row| &row.system["etag"])
            });
            let what = &self.doing;
            assert!(!possible.is_empty(), "{what}: part {number} is {row:?}");
            if let (Some(row), Some((_, pieces))) = (row, possible[0].clone()) {
                assert_eq!(row.size, len_of(&pieces) as u64, "{what}");
                found.insert(*number, pieces);
            }
        }
        assert_eq!(rows.len(), found.len(), "{}: parts that were never put", self.doing);
        Some(found)
    }

    pub(super) fn complete(&mut self, slot: u8, which: u8, when: When) {
        let fired_before = self.fired();
        let Some((mut upload, _)) = self.take(slot) else { return };
        let parts = self.settle_parts(&mut upload);
        let condition = self.condition(upload.place, when);
        let (Some(parts), Some(condition)) = (parts, condition) else {
            self.uploads[usize::from(slot) % SLOTS] = Some(upload);
            return;
        };
        // Mostly parts that are there.
        let asks_for_all = which & 1 == 1;
        let named: Vec<u32> = (1..=u32::from(NUMBERS))
            .filter(|number| {
                which >> number & 1 == 1 && (asks_for_all || parts.contains_key(number))
            })
            .collect();
        let is_there = named.iter().all(|number| parts.contains_key(number));
        let completion = Completion {
            parts: named
                .iter()
                .map(|number| NamedPart { number: *number, ..NamedPart::default() })
                .collect(),
            system: BTreeMap::new(),
            condition,
        };
        let pieces =
            named.iter().filter_map(|number| parts.get(number)).flatten().cloned().collect();
        let value = Value { pieces, meta: upload.meta.clone() };
        match self.store().complete_upload(upload.id, &completion) {
            Ok(row) => {
                assert!(is_there && row.size == value.len() as u64, "{}: {row:?}", self.doing);
                return self.appeared(upload.place, when, value);
            }
            Err(StoreError::PartMissing { number }) => {
                assert!(!parts.contains_key(&number), "{}", self.doing);
            }
            Err(error) => {
                let is_decided = matches!(error, StoreError::PreconditionFailed { .. });
                upload.may_be_gone |= !is_decided;
                self.refused(&error, fired_before, upload.place, when, is_there.then_some(value));
            }
        }
        self.uploads[usize::from(slot) % SLOTS] = Some(upload);
    }

    pub(super) fn abort(&mut self, slot: u8) {
        let Some((mut upload, _)) = self.take(slot) else { return };
        let fired_before = self.fired();
        match self.store().abort_upload(upload.id) {
            Ok(true) => {}
            Ok(false) => self.gone(&upload),
            Err(error) => {
                self.excuse(&error, fired_before);
                upload.may_be_gone = true;
                self.uploads[usize::from(slot) % SLOTS] = Some(upload);
            }
        }
    }

    /// Removes the second bucket, if it is empty, and makes it again.
    pub(super) fn remove_bucket(&mut self) {
        let fired_before = self.fired();
        let mut is_removed = false;
        match self.store().delete_bucket(&bucket(true)) {
            Ok(()) => {
                is_removed = true;
                for place in Place::all_in(true) {
                    let could = self.model.settle(place, Option::is_none);
                    assert!(could, "{}: a bucket was removed with {place:?} in it", self.doing);
                }
            }
            Err(StoreError::BucketNotEmpty(_)) => {
                let may_be =
                    Place::all_in(true).into_iter().flat_map(|place| self.model.possible(place));
                assert!(may_be.flatten().next().is_some(), "{}: it is empty", self.doing);
                return;
            }
            Err(error) => self.excuse(&error, fired_before),
        }
        for slot in &mut self.uploads {
            match slot {
                Some(upload) if upload.place.second_bucket && is_removed => *slot = None,
                Some(upload) if upload.place.second_bucket => upload.may_be_gone = true,
                _ => {}
            }
        }
        self.bucket_may_be_gone = true;
        self.make_bucket_again();
    }

    /// The other operations want both buckets. What fails here fails because of a fault, and is
    /// tried again after a crash.
    pub(super) fn make_bucket_again(&mut self) {
        for _ in 0..2 {
            if self.bucket_may_be_gone && self.store().create_bucket(&bucket(true)).is_ok() {
                self.bucket_may_be_gone = false;
            }
        }
    }
}

fn part_target(upload: &OpenUpload, number: u32, tag: &str) -> PartTarget {
    let system = BTreeMap::from([("etag".to_owned(), tag.to_owned())]);
    PartTarget { upload: upload.id, number, system }
}
