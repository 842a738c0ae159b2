//! The specification: what a store contains, as a map.
//!
//! Where a fault or a crash leaves it open what happened, a place has several possible contents;
//! the first look settles it.

use std::collections::BTreeMap;
use std::ops::Range;

use drystone_store::ObjectMeta;

use super::{Body, Place, Setup};

/// Bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of which.
    pub body: Body,
    /// Which of them.
    pub range: Range<usize>,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it was put together from.
    pub pieces: Vec<Piece>,
    /// Everything else.
    pub meta: ObjectMeta,
}

/// How many bytes pieces have.
pub(super) fn len_of(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.range.len()).sum()
}

/// The bytes `range` of what pieces have together.
pub(super) fn cut(pieces: &[Piece], range: &Range<usize>) -> Vec<Piece> {
    let mut end = 0;
    let mut found = Vec::new();
    for Piece { body, range: all } in pieces {
        let begin = end;
        end += all.len();
        let (first, last) = (range.start.max(begin), range.end.min(end));
        if first < last {
            let range = all.start + (first - begin)..all.start + (last - begin);
            found.push(Piece { body: *body, range });
        }
    }
    found
}

impl Value {
    /// Its bytes, in a store that is set up like this.
    pub fn bytes(&self, setup: &Setup) -> Vec<u8> {
        let bytes = |piece: &Piece| piece.body.bytes(setup)[piece.range.clone()].to_vec();
        self.pieces.iter().flat_map(bytes).collect()
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        len_of(&self.pieces)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Every place's possible contents; `None` is absence.
#[derive(Clone, Debug, Default)]
pub struct Model {
    places: BTreeMap<Place, Vec<Option<Value>>>,
}

impl Model {
    /// What may be at `place`.
    pub fn possible(&self, place: Place) -> Vec<Option<Value>> {
        self.places.get(&place).cloned().unwrap_or_else(|| vec![None])
    }

    /// What is at `place` if that is certain.
    pub fn certain(&self, place: Place) -> Option<Option<Value>> {
        let mut possible = self.possible(place);
        let last = possible.pop();
        last.filter(|_| possible.is_empty())
    }

    /// `value` is at `place`.
    pub fn set(&mut self, place: Place, value: Option<Value>) {
        self.places.insert(place, vec![value]);
    }

    /// `value` may be at `place`, or what was there before.
    pub fn may_be(&mut self, place: Place, value: Option<Value>) {
        let mut possible = self.possible(place);
        if !possible.contains(&value) {
            possible.push(value);
        }
        self.places.insert(place, possible);
    }

    /// Leaves those possibilities that `fit`. Returns whether there are any.
    pub fn settle(&mut self, place: Place, fit: impl Fn(&Option<Value>) -> bool) -> bool {
        let mut possible = self.possible(place);
        possible.retain(fit);
        let any = !possible.is_empty();
        if any {
            self.places.insert(place, possible);
        }
        any
    }

    /// Everything that is certain, when everything is.
    pub fn all_certain(&self) -> Option<Vec<(Place, Value)>> {
        let mut all = Vec::new();
        for &place in self.places.keys() {
            if let Some(value) = self.certain(place)? {
                all.push((place, value));
            }
        }
        Some(all)
    }
}
