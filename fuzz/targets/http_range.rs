//! See `crates/server/src/fuzzing/http_range.rs`.
#![no_main]

drystone_fuzz::target!(drystone_fuzz::http_range);
