//! What a store must hold after a fault, as far as its commands have reported.
//!
//! After a command that succeeded, one state of a key is possible. After a command that failed, was
//! killed or was cut off, the old and the new state are. Reading the store tells which of them it
//! is, and from then on only that one is possible. States of a key have different lengths, so a
//! listing tells them apart. The bytes are compared afterwards.

use std::collections::BTreeMap;

use super::content::Content;

/// Present with these bytes, or absent.
pub(super) type State = Option<Content>;

/// The states that each key may be in; the last one is the newest. A key that is not in the model
/// is absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    keys: BTreeMap<String, Vec<State>>,
}

impl Model {
    /// A change that was acknowledged.
    pub(super) fn acknowledge(&mut self, key: &str, state: State) {
        self.keys.insert(key.to_owned(), vec![state]);
    }

    /// A change that was begun and whose outcome is not known.
    pub(super) fn attempt(&mut self, key: &str, state: State) {
        let states = self.keys.entry(key.to_owned()).or_insert_with(|| vec![None]);
        if !states.contains(&state) {
            states.push(state);
        }
    }

    /// The newest state that a key may be in.
    pub(super) fn newest(&self, key: &str) -> State {
        self.keys.get(key).and_then(|states| states.last().copied()).flatten()
    }

    /// Adds the keys of another writer. The two have no key in common.
    pub(super) fn merge(&mut self, other: &Self) {
        self.keys.extend(other.keys.iter().map(|(key, states)| (key.clone(), states.clone())));
    }

    /// Takes the states of this model's keys from a model that has been settled.
    pub(super) fn learn(&mut self, settled: &Self) {
        for (key, states) in &mut self.keys {
            if let Some(known) = settled.keys.get(key) {
                states.clone_from(known);
            }
        }
    }

    /// Compares with a listing (key and length), and keeps the states that are there. An error if a
    /// state is not possible.
    pub(super) fn settle(&mut self, listed: &BTreeMap<String, u64>) -> Result<(), String> {
        if let Some(stranger) = listed.keys().find(|key| !self.keys.contains_key(*key)) {
            return Err(format!("`{stranger}` is there and was never put"));
        }
        for (key, states) in &mut self.keys {
            let found = listed.get(key).copied();
            let Some(state) =
                states.iter().find(|state| state.map(|content| content.bytes) == found)
            else {
                let expected: Vec<String> = states
                    .iter()
                    .map(|state| described(state.map(|content| content.bytes)))
                    .collect();
                return Err(format!(
                    "`{key}` is {}, expected {}",
                    described(found),
                    expected.join(" or ")
                ));
            };
            *states = vec![*state];
        }
        Ok(())
    }

    /// The objects that are there, by key.
    pub(super) fn present(&self) -> impl Iterator<Item = (&str, Content)> {
        self.keys.iter().filter_map(|(key, states)| Some((key.as_str(), (*states.last()?)?)))
    }
}

fn described(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "absent".to_owned(), |bytes| format!("{bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: u64) -> State {
        Some(Content { seed: bytes, bytes })
    }

    fn listed(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
        entries.iter().map(|(key, bytes)| ((*key).to_owned(), *bytes)).collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_there() {
        let mut model = Model::default();
        model.acknowledge("a", content(1));
        assert!(model.clone().settle(&listed(&[("a", 1)])).is_ok());
        assert_eq!(model.settle(&listed(&[])), Err("`a` is absent, expected 1 bytes".to_owned()));
        model.acknowledge("a", None);
        assert_eq!(
            model.settle(&listed(&[("a", 1)])),
            Err("`a` is 1 bytes, expected absent".to_owned())
        );
    }

    #[test]
    fn an_attempt_may_have_happened_or_not_and_is_settled_once() {
        let mut model = Model::default();
        model.acknowledge("a", content(1));
        model.attempt("a", content(2));
        model.attempt("b", content(3));
        assert!(model.clone().settle(&listed(&[("a", 1)])).is_ok());
        assert_eq!(model.newest("a"), content(2));
        model.settle(&listed(&[("a", 2), ("b", 3)])).expect("both happened");
        assert!(model.settle(&listed(&[("a", 1), ("b", 3)])).is_err());
        assert_eq!(model.present().count(), 2);
    }

    #[test]
    fn a_third_state_and_a_stranger_are_refused() {
        let mut model = Model::default();
        model.acknowledge("a", content(1));
        model.attempt("a", content(2));
        let third = model.settle(&listed(&[("a", 4)]));
        assert_eq!(third, Err("`a` is 4 bytes, expected 1 bytes or 2 bytes".to_owned()));
        let stranger = model.settle(&listed(&[("a", 1), ("x", 1)]));
        assert_eq!(stranger, Err("`x` is there and was never put".to_owned()));
    }

    #[test]
    fn writers_are_merged_and_told_what_was_found() {
        let (mut all, mut one) = (Model::default(), Model::default());
        one.attempt("a", content(1));
        all.merge(&one);
        all.settle(&listed(&[])).expect("it did not happen");
        one.learn(&all);
        assert!(one.settle(&listed(&[("a", 1)])).is_err());
    }
}
