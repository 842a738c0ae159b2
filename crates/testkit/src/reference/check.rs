//! Looking: gets, lists, counts, each held against the model.

use std::ops::{Bound, Range};

use drystone_store::{ObjectRow, StoreError};

use super::Place;
use super::driver::{Driver, bucket, key};
use super::model::Value;
use super::op::{Name, When};

const NAMES: [Name; 5] = [Name::A, Name::AB, Name::AUmlaut, Name::A0, Name::Z];

impl Place {
    /// Every place of a bucket.
    pub(super) fn all_in(second_bucket: bool) -> [Self; 5] {
        NAMES.map(|key| Self { second_bucket, key })
    }
}

/// Whether a row is that of a value.
fn is_row_of(row: &ObjectRow, value: &Option<Value>) -> bool {
    value.as_ref().is_some_and(|value| row.meta == value.meta && row.size == value.len() as u64)
}

fn part(bytes: &[u8], range: Option<&Range<u64>>) -> Vec<u8> {
    let Some(range) = range else { return bytes.to_vec() };
    let end = (range.end as usize).min(bytes.len());
    bytes[(range.start as usize).min(end)..end].to_vec()
}

impl Driver<'_> {
    pub(super) fn get(&mut self, place: Place, range: Option<&Range<u64>>) {
        let fired_before = self.fired();
        let setup = self.setup;
        let mut reader =
            match self.store().get(&bucket(place.second_bucket), &key(place), range.cloned()) {
                Ok(reader) => reader,
                Err(StoreError::NotFound { .. }) => return self.is_absent(place),
                Err(error) => return self.excuse(&error, fired_before),
            };
        let row = reader.object().clone();
        assert_eq!(row.key, key(place), "{}", self.doing);
        let could = self.model.settle(place, |value| is_row_of(&row, value));
        assert!(could, "{}: found {row:?}, expected {:?}", self.doing, self.model.possible(place));
        let mut found = Vec::new();
        let result = reader.copy_to(&mut found);
        drop(reader);
        // The modification times differ, so there is one possibility left.
        let Some(Some(value)) = self.model.certain(place) else {
            panic!("{}: a row is that of two values", self.doing);
        };
        let expected = part(&value.bytes(&setup), range);
        let what = &self.doing;
        assert!(expected.starts_with(&found), "{what}: wrong bytes, from a result of {result:?}");
        match result {
            Ok(_) => assert_eq!(found.len(), expected.len(), "{what}: bytes are missing"),
            Err(error) => self.excuse(&error, fired_before),
        }
    }

    fn is_absent(&mut self, place: Place) {
        let could = self.model.settle(place, Option::is_none);
        assert!(could, "{}: not found, expected {:?}", self.doing, self.model.possible(place));
    }

    pub(super) fn stat(&mut self, place: Place) {
        let fired_before = self.fired();
        match self.store().stat(&bucket(place.second_bucket), &key(place)) {
            Ok(row) => {
                let could = self.model.settle(place, |value| is_row_of(&row, value));
                assert!(could, "{}: found {row:?}", self.doing);
            }
            Err(StoreError::NotFound { .. }) => self.is_absent(place),
            Err(error) => self.excuse(&error, fired_before),
        }
    }

    pub(super) fn delete(&mut self, place: Place, when: When) {
        let Some(condition) = self.condition(place, when) else { return };
        let fired_before = self.fired();
        let holds = |present: &Option<Value>| when.holds(present);
        match self.store().delete_if(&bucket(place.second_bucket), &key(place), condition) {
            Ok(deleted) => {
                // On a full disk a transaction that is in doubt is tried once more, and may find
                // its own work.
                let in_doubt = !deleted && self.fired() > fired_before;
                let could = self.model.settle(place, |present| {
                    (present.is_some() == deleted || in_doubt) && holds(present)
                });
                assert!(could, "{}: deleted is {deleted}, and could not be", self.doing);
                self.model.set(place, None);
            }
            // As above: the first of two attempts may have done it.
            Err(StoreError::PreconditionFailed { .. }) if self.fired() > fired_before => {
                self.model.may_be(place, None);
            }
            Err(StoreError::PreconditionFailed { .. }) => {
                let could = self.model.settle(place, |present| !holds(present));
                assert!(could, "{}: the condition holds", self.doing);
            }
            Err(error) => {
                self.excuse(&error, fired_before);
                if self.model.possible(place).iter().any(holds) {
                    self.model.may_be(place, None);
                }
            }
        }
    }

    pub(super) fn list(
        &mut self,
        second_bucket: bool,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) {
        let fired_before = self.fired();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = match self.store().list(&bucket(second_bucket), prefix, from, limit) {
            Ok(rows) => rows,
            Err(error) => return self.excuse(&error, fired_before),
        };
        assert!(rows.len() <= limit, "{}: {} rows", self.doing, rows.len());
        assert!(rows.is_sorted_by(|a, b| a.key < b.key), "{}: out of order", self.doing);
        let last = if rows.len() < limit {
            None
        } else {
            rows.last().map(|row| row.key.as_str().to_owned())
        };
        let mut found = rows.iter().peekable();
        for name in NAMES {
            let (place, text) = (Place { second_bucket, key: name }, name.text());
            if !text.starts_with(prefix)
                || after.is_some_and(|after| text <= after)
                || limit == 0
                || last.as_deref().is_some_and(|last| text > last)
            {
                continue;
            }
            match found.next_if(|row| row.key.as_str() == text) {
                Some(row) => {
                    let could = self.model.settle(place, |value| is_row_of(row, value));
                    assert!(could, "{}: listed {row:?}", self.doing);
                }
                None => self.is_absent(place),
            }
        }
        assert_eq!(found.next(), None, "{}: more than was asked for", self.doing);
    }

    /// Reads everything.
    pub(super) fn check_everything(&mut self) {
        let buckets = self.store().buckets(None, 9).expect("no fault is armed");
        let buckets: Vec<_> = buckets.into_iter().map(|row| row.name).collect();
        assert_eq!(buckets, [bucket(true), bucket(false)], "{}", self.doing);
        for second_bucket in [false, true] {
            for name in NAMES {
                self.get(Place { second_bucket, key: name }, None);
            }
            self.list(second_bucket, "", None, 99);
        }
    }

    /// Space is accounted for.
    pub(super) fn check_totals(&self) {
        let totals = self.store().totals().expect("no fault is armed");
        let what = &self.doing;
        let sum = |chunks: &std::collections::BTreeMap<_, u64>| chunks.values().sum::<u64>();
        let (least, most) = (sum(&self.stored), sum(&self.tried));
        assert!(
            totals.chunk_bytes >= least,
            "{what}: {} chunk bytes, {least} are stored",
            totals.chunk_bytes
        );
        assert!(totals.chunk_bytes <= most, "{what}: {} chunk bytes of {most}", totals.chunk_bytes);
        assert!(
            totals.chunks >= self.stored.len() as u64 && totals.chunks <= self.tried.len() as u64,
            "{what}"
        );
        if let Some(all) = self.model.all_certain() {
            let bytes: usize = all.iter().map(|(_, value)| value.len()).sum();
            assert_eq!(
                (totals.objects, totals.object_bytes),
                (all.len() as u64, bytes as u64),
                "{what}"
            );
        }
        let usage = self.store().usage();
        assert_eq!(usage.ingests.now, 0, "{what}: an ingest is not over");
    }
}
