//! Puts, and what may have become of them.

use drystone_store::{
    Condition, ManifestId, ObjectMeta, ObjectVersion, PutFailure, PutTarget, StoreError, Stored,
};

use super::driver::{Driver, bucket, key};
use super::model::{Piece, Value};
use super::{Body, Kind, Manner, Place, ScriptedReader, When};

/// Longer than any run, in milliseconds.
pub(super) const LONG_MS: u64 = 3_600_000;
/// Objects that [`Op::PutMany`](super::Op::PutMany) puts at the most.
const MANY_MAX: usize = 4;

/// A put whose outcome is to be judged.
struct Attempt {
    place: Place,
    value: Value,
    len: usize,
    when: When,
    /// The source was made to fail, and did.
    source_failed: bool,
    /// The session was made to expire, and the store could not know.
    expired: bool,
    fired_before: u64,
    /// Bytes of it that were not in the store when the operation began.
    unknown_bytes: u64,
}

impl When {
    /// Whether it is true of a place.
    pub(super) fn holds(self, present: &Option<Value>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => present.is_none(),
            Self::Same => present.is_some(),
            Self::OtherManifest | Self::OtherTime => false,
        }
    }
}

impl Driver<'_> {
    pub(super) fn put(&mut self, place: Place, body: Body, when: When, manner: Manner, kind: Kind) {
        let fired_before = self.fired();
        let bytes = body.bytes(&self.setup);
        let part = |of_256: u8| bytes.len() * usize::from(of_256) / 256;
        let value = self.value(body, &bytes);
        let unknown_bytes = self.unknown_bytes(&bytes);
        let Some(condition) = self.condition(place, when) else { return };
        let target = target(place, &value, condition);
        let records = drystone_sync::PlainArc::clone(&self.records);
        let mut source = ScriptedReader::new(&bytes, manner);
        let mut lease_ms = LONG_MS;
        match kind {
            Kind::Whole => {}
            Kind::SourceFails(at) => source = source.failing_at(part(at)),
            Kind::Expires(at) => {
                lease_ms = 0;
                // The lease runs out a millisecond after it began, by the database's clock.
                let wait = move || while matches!(records.expire_sessions(), Ok(0)) {};
                source = source.calling_at(part(at), wait);
            }
        }
        let store = self.store().clone();
        let result = store.ingest(lease_ms).map_err(PutFailure::Store).and_then(|mut ingest| {
            let result = ingest.put_now(target, &mut source);
            drop(ingest);
            result
        });
        let source_failed = source.has_failed();
        drop(source);
        let expired = matches!(kind, Kind::Expires(_));
        let len = bytes.len();
        self.judge(
            &Attempt {
                place,
                value,
                len,
                when,
                source_failed,
                expired,
                fired_before,
                unknown_bytes,
            },
            &bytes,
            result,
        );
    }

    pub(super) fn put_many(&mut self, puts: &[(Place, Body)], manner: Manner, failing: u8) {
        let fired_before = self.fired();
        let puts = &puts[..puts.len().min(MANY_MAX)];
        let bodies: Vec<Vec<u8>> = puts.iter().map(|(_, body)| body.bytes(&self.setup)).collect();
        let values: Vec<Value> =
            puts.iter().zip(&bodies).map(|((_, body), bytes)| self.value(*body, bytes)).collect();
        let unknown_bytes: Vec<u64> =
            bodies.iter().map(|bytes| self.unknown_bytes(bytes)).collect();
        let mut failed = vec![false; puts.len()];
        let mut results: Vec<Result<Stored, PutFailure>> = Vec::with_capacity(puts.len());
        let store = self.store().clone();
        match store.ingest(LONG_MS) {
            Ok(mut ingest) => {
                let mut pending = Vec::new();
                for (at, bytes) in bodies.iter().enumerate() {
                    let mut source = ScriptedReader::new(bytes, manner);
                    if at == usize::from(failing) {
                        source = source.failing_at(bytes.len() / 2);
                    }
                    let target = target(puts[at].0, &values[at], Condition::Always);
                    pending.push(ingest.put(target, Some(bytes.len() as u64), &mut source));
                    failed[at] = source.has_failed();
                }
                for put in pending {
                    results.push(put.and_then(|put| Ok(put.wait(&mut ingest)?)));
                }
            }
            Err(error) => {
                results.extend(puts.iter().map(|_| Err(PutFailure::Store(error.clone()))));
            }
        }
        for (at, result) in results.into_iter().enumerate() {
            let attempt = Attempt {
                place: puts[at].0,
                value: values[at].clone(),
                len: bodies[at].len(),
                when: When::Always,
                source_failed: failed[at],
                expired: false,
                fired_before,
                unknown_bytes: unknown_bytes[at],
            };
            self.judge(&attempt, &bodies[at], result);
        }
        // Two puts at one place may be committed in either order.
        for (at, (place, _)) in puts.iter().enumerate() {
            if !failed[at] && puts.iter().filter(|(other, _)| other == place).count() > 1 {
                self.model.may_be(*place, Some(values[at].clone()));
            }
        }
    }

    fn value(&mut self, body: Body, bytes: &[u8]) -> Value {
        self.puts += 1;
        let tried = self.chunks_of(bytes);
        self.tried.extend(tried);
        let mut meta = ObjectMeta { modified_ns: self.puts, ..ObjectMeta::default() };
        if self.puts % 2 == 0 {
            meta.media_type = Some("text/x-stone".to_owned());
            meta.user.insert("put".to_owned(), self.puts.to_string());
            meta.mode = Some(0o640);
        }
        if self.puts % 3 == 0 {
            meta.system.insert("etag".to_owned(), self.puts.to_string());
        }
        Value { pieces: vec![Piece { body, range: 0..bytes.len() }], meta }
    }

    fn unknown_bytes(&self, bytes: &[u8]) -> u64 {
        let chunks = self.chunks_of(bytes);
        chunks.iter().filter(|(id, _)| !self.stored.contains_key(id)).map(|(_, len)| len).sum()
    }

    /// The condition to put under; `None` when the model cannot say which, or a fault comes in
    /// between.
    pub(super) fn condition(&mut self, place: Place, when: When) -> Option<Condition> {
        Some(match when {
            When::Always => Condition::Always,
            When::Absent => Condition::IfAbsent,
            When::Same => match self.store().stat(&bucket(place.second_bucket), &key(place)) {
                Ok(row) => Condition::IfVersion(row.version()),
                Err(_) => return None,
            },
            When::OtherManifest => {
                let seen = self.version(place)?;
                Condition::IfVersion(ObjectVersion {
                    manifest: ManifestId(seen.manifest.0 ^ 1),
                    ..seen
                })
            }
            When::OtherTime => {
                let seen = self.version(place)?;
                Condition::IfVersion(ObjectVersion { modified_ns: seen.modified_ns ^ 1, ..seen })
            }
        })
    }

    /// What is there; where nothing is, what nothing is.
    fn version(&self, place: Place) -> Option<ObjectVersion> {
        match self.store().stat(&bucket(place.second_bucket), &key(place)) {
            Ok(row) => Some(row.version()),
            Err(StoreError::NotFound { .. }) => {
                Some(ObjectVersion { manifest: ManifestId(u64::MAX), modified_ns: 0 })
            }
            Err(_) => None,
        }
    }

    fn judge(&mut self, attempt: &Attempt, bytes: &[u8], result: Result<Stored, PutFailure>) {
        let Attempt { place, when, .. } = *attempt;
        let holds = |present: &Option<Value>| when.holds(present);
        match result {
            Ok(stored) => self.stored(attempt, bytes, &stored, holds),
            Err(PutFailure::Source(_)) => {
                assert!(attempt.source_failed, "{}: the source did not fail", self.doing);
            }
            Err(PutFailure::Store(StoreError::PreconditionFailed { .. })) => {
                let could = self.model.settle(place, |present| !holds(present));
                assert!(could, "{}: the condition holds", self.doing);
            }
            Err(PutFailure::Store(StoreError::SessionExpired)) if attempt.expired => {}
            Err(PutFailure::Store(error)) => {
                self.excuse(&error, attempt.fired_before);
                if !attempt.source_failed && self.model.possible(place).iter().any(holds) {
                    self.model.may_be(place, Some(attempt.value.clone()));
                }
            }
        }
    }

    fn stored(
        &mut self,
        attempt: &Attempt,
        bytes: &[u8],
        stored: &Stored,
        holds: impl Fn(&Option<Value>) -> bool,
    ) {
        let what = &self.doing;
        assert!(!attempt.source_failed, "{what}: stored, and its source failed");
        assert!(
            !attempt.expired || self.fired() > attempt.fired_before,
            "{what}: stored in a dead session"
        );
        assert_eq!(stored.size, attempt.len as u64, "{what}");
        if self.fired() == attempt.fired_before {
            let (written, unknown) = (stored.new_bytes, attempt.unknown_bytes);
            assert!(written <= unknown, "{what}: {written} bytes were written, {unknown} are new");
        }
        let could = self.model.settle(attempt.place, holds);
        assert!(could, "{what}: stored against its condition");
        self.model.set(attempt.place, Some(attempt.value.clone()));
        let chunks = self.chunks_of(bytes);
        self.stored.extend(chunks);
    }
}

fn target(place: Place, value: &Value, condition: Condition) -> PutTarget {
    PutTarget {
        bucket: bucket(place.second_bucket),
        key: key(place),
        meta: value.meta.clone(),
        condition,
    }
}
