//! See `crates/server/src/fuzzing/form_body.rs`.
#![no_main]

drystone_fuzz::target!(drystone_fuzz::form_body);
