//! The store's protocol under the model checkers: [`memory`] is the backend that the production
//! `Store` runs over, the scenarios are in `tests/protocol`, one file per subject. How they are run
//! and replayed: `drystone-models`.

pub mod memory;
